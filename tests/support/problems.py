"""Requests to a server, and its problem details."""

from typing import Any

from fastapi.testclient import TestClient


def problem(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-request-id"]
    content = response.json()
    assert content["status"] == status
    assert content["type"] == "about:blank"
    assert content["title"] and content["detail"]
    assert content["instance"] == response.url.raw_path.decode().partition("?")[0]
    assert "Traceback" not in response.text
    return content


def post(client: TestClient, body: str | bytes, project: str = "titanic", **headers: str) -> Any:
    headers = {"content-type": "application/json"} | headers
    return client.post(f"/models/{project}/predict", content=body, headers=headers)
