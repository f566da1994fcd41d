"""Authentication: keys, and endpoints that need none."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from roadmap.bundle import Bundle
from serving.auth import __main__ as auth
from serving.auth import callers, keys
from serving.http.app import create_app
from serving.settings import Settings

BODY: dict[str, Any] = {"inputs": [{}]}
JSON_LINES = "application/jsonlines"


def made(file: Path, capsys: pytest.CaptureFixture[str], name: str, *options: str) -> str:
    """A new key, created by the operator's command."""
    assert auth.main(["new", "--name", name, "--file", str(file), *options]) == 0
    return capsys.readouterr().out.strip()


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def ask(client: TestClient, headers: dict[str, str], project: str = "titanic") -> Any:
    return client.post(f"/models/{project}/predict", json=BODY, headers=headers)


class Keyed:
    def __init__(self, client: TestClient, file: Path, key: str) -> None:
        self.client, self.file, self.key = client, file, key


@pytest.fixture
def keyed(
    artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Keyed]:
    """A server with one key for titanic that checks its key file on every request."""
    monkeypatch.setattr(keys, "LOOK_SECONDS", 0.0)
    file = tmp_path / "keys.json"
    key = made(file, capsys, "ci", "--projects", "titanic")
    with TestClient(create_app(Settings(bundles=str(artifacts), api_keys=file))) as client:
        yield Keyed(client, file, key)


@pytest.mark.parametrize("header", ["Authorization", "X-API-Key"])
def test_a_key_grants_access_to_its_projects_in_either_header(keyed: Keyed, header: str) -> None:
    value = keyed.key if header == "X-API-Key" else f"Bearer {keyed.key}"
    assert ask(keyed.client, {header: value}).status_code == 200


def test_a_missing_key_is_401_with_the_scheme(keyed: Keyed) -> None:
    response = ask(keyed.client, {})
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer realm="models"'
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("wrong", ["rk_guess", "", "a b", "é", "x" * 5000, "a.b.c"])
def test_a_wrong_key_is_401_and_is_not_echoed(keyed: Keyed, wrong: str) -> None:
    response = keyed.client.post(
        "/models/titanic/predict", json=BODY, headers=[(b"Authorization", f"Bearer {wrong}".encode("latin-1"))]
    )
    assert response.status_code == 401
    assert 'error="invalid_token"' in response.headers["www-authenticate"]
    assert len(wrong) < 4 or wrong not in response.text


@pytest.mark.parametrize(
    "method_path", ["POST /models/mnist/predict", "GET /models/mnist", "POST /models/mnist/stream"]
)
def test_another_project_is_403_and_is_named(keyed: Keyed, method_path: str) -> None:
    method, path = method_path.split()
    response = keyed.client.request(method, path, headers=bearer(keyed.key), json=BODY if method == "POST" else None)
    assert response.status_code == 403
    assert response.json()["detail"] == "ci may not use mnist; allowed: titanic"


def test_percent_encoding_does_not_bypass_the_scope(keyed: Keyed) -> None:
    response = keyed.client.post("/models/%6Dnist/predict", json=BODY, headers=bearer(keyed.key))
    assert response.status_code == 403


def test_a_project_named_in_the_body_is_checked_too(keyed: Keyed) -> None:
    requests = {"model": "mini_gpt", "prompt": "The "}
    response = keyed.client.post("/v1/completions", json=requests, headers=bearer(keyed.key))
    assert (response.status_code, response.json()["detail"]) == (403, "ci may not use mini_gpt; allowed: titanic")
    assert keyed.client.get("/v1/models/mini_gpt", headers=bearer(keyed.key)).status_code == 403


def test_the_default_project_is_checked_too(keyed: Keyed, monkeypatch: pytest.MonkeyPatch, artifacts: Path) -> None:
    monkeypatch.setenv("MODEL_PROJECT", "house_prices")
    settings = Settings(bundles=str(artifacts), api_keys=keyed.file)
    with TestClient(create_app(settings)) as client:
        requests = Bundle(artifacts / "house_prices" / "bundle").example
        response = client.post("/invocations", json={"inputs": requests}, headers=bearer(keyed.key))
        assert (response.status_code, response.json()["detail"]) == (
            403,
            "ci may not use house_prices; allowed: titanic",
        )
        lines = client.post(
            "/invocations", content=json.dumps(requests[0]), headers=bearer(keyed.key) | {"Content-Type": JSON_LINES}
        )
        assert lines.status_code == 403
        assert client.get("/ping").status_code == 200


@pytest.mark.parametrize("path", ["/v2/models/mnist/infer", "/v2/models/mnist/versions/1/infer", "/v2/models/mnist"])
def test_kserve_routes_have_the_same_scopes(keyed: Keyed, path: str) -> None:
    assert keyed.client.post(path, json={}, headers=bearer(keyed.key)).status_code == 403


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions", "/v1/embeddings"])
def test_every_openai_route_checks_the_model(keyed: Keyed, path: str) -> None:
    given: dict[str, dict[str, Any]] = {
        "/v1/completions": {"prompt": "The "},
        "/v1/chat/completions": {"messages": [{"role": "user", "content": "The "}]},
        "/v1/embeddings": {"input": "The "},
    }
    response = keyed.client.post(path, json={"model": "mnist", **given[path]}, headers=bearer(keyed.key))
    assert response.status_code == 403


@pytest.mark.parametrize("path", ["/health", "/ready", "/"])
def test_probes_and_the_playground_need_no_key(keyed: Keyed, path: str) -> None:
    assert keyed.client.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/models", "/docs", "/openapi.json", "/metrics", "/nowhere", "//", "/v1/models"])
def test_everything_else_needs_a_key(keyed: Keyed, path: str) -> None:
    assert keyed.client.get(f"http://testserver{path}").status_code == 401


def test_metrics_need_their_own_permission(keyed: Keyed, capsys: pytest.CaptureFixture[str]) -> None:
    assert keyed.client.get("/metrics", headers=bearer(keyed.key)).status_code == 403
    key = made(keyed.file, capsys, "prometheus", "--metrics")
    assert keyed.client.get("/metrics", headers=bearer(key)).status_code == 200
    assert ask(keyed.client, bearer(key)).status_code == 403


def test_new_and_revoked_keys_take_effect_at_once(keyed: Keyed, capsys: pytest.CaptureFixture[str]) -> None:
    late = made(keyed.file, capsys, "late", "--projects", "*")
    assert ask(keyed.client, bearer(late), "mnist").status_code == 422  # authorised, but {} is not an image
    assert auth.main(["revoke", "--name", "late", "--file", str(keyed.file)]) == 0
    assert ask(keyed.client, bearer(late)).status_code == 401
    assert ask(keyed.client, bearer(keyed.key)).status_code == 200


def test_an_expired_key_is_401(keyed: Keyed) -> None:
    found = keys.KeyFile.read(keyed.file)
    past = datetime.now(UTC) - timedelta(seconds=1)
    keys.KeyFile(keys=[key.model_copy(update={"expires": past}) for key in found.keys]).write(keyed.file)
    assert ask(keyed.client, bearer(keyed.key)).status_code == 401


@pytest.mark.parametrize("content", ["", "{", '{"keys": []', None])
def test_a_corrupt_key_file_keeps_the_previous_keys(keyed: Keyed, content: str | None) -> None:
    if content is None:
        keyed.file.unlink()
    else:
        keyed.file.write_text(content)
    assert ask(keyed.client, bearer(keyed.key)).status_code == 200
    assert ask(keyed.client, bearer("rk_other")).status_code == 401


def test_a_corrupt_key_file_at_startup_is_reported_with_its_position(tmp_path: Path, artifacts: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text('{"keys": [{"name": "ci", "sha256": "short", "projects": ["*"]}]}')
    with pytest.raises(callers.KeysError, match=r"keys\.json: keys/0/sha256: "):
        create_app(Settings(bundles=str(artifacts), api_keys=file))


def test_the_key_file_holds_only_hashes_and_is_private(keyed: Keyed) -> None:
    assert keyed.key not in keyed.file.read_text()
    assert keyed.file.stat().st_mode & 0o077 == 0


def test_the_command_lists_names_and_rejects_duplicates(keyed: Keyed, capsys: pytest.CaptureFixture[str]) -> None:
    assert auth.main(["list", "--file", str(keyed.file)]) == 0
    assert capsys.readouterr().out.split() == ["ci", "titanic", "for", "good"]
    assert auth.main(["new", "--name", "ci", "--file", str(keyed.file)]) == 2
    assert "found a key named ci" in capsys.readouterr().err
    assert auth.main(["revoke", "--name", "nobody", "--file", str(keyed.file)]) == 2
