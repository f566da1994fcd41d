"""Rate limits, and the security headers for browsers."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from serving.auth import __main__ as auth
from serving.auth.rate_limit import RateLimit, network
from serving.http.app import create_app
from serving.settings import Settings
from tests.support import bundles

PAGE = "https://app.example.org"


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("artifacts")
    bundles.titanic(folder / "titanic" / "bundle")
    return str(folder)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_of_one_minute_and_then_the_steady_rate() -> None:
    clock = Clock()
    limit = RateLimit(6, clock=clock)
    assert [limit.take("a").allowed for _ in range(8)] == [True] * 6 + [False] * 2
    assert limit.take("b").allowed
    clock.now += 9.9
    assert not limit.take("a").allowed
    clock.now += 0.2
    assert [limit.take("a").allowed for _ in range(2)] == [True, False]
    clock.now += 3600
    assert [limit.take("a").allowed for _ in range(7)] == [True] * 6 + [False]


def test_waiting_for_retry_after_is_enough() -> None:
    clock = Clock()
    for per_minute in (1, 7, 60, 1000):
        limit = RateLimit(per_minute, clock=clock)
        while (verdict := limit.take("a")).allowed:
            pass
        seconds = int(dict(verdict.headers)[b"retry-after"])
        assert 1 <= seconds <= 60
        clock.now += seconds
        assert limit.take("a").allowed


def test_memory_is_bounded_and_recent_callers_are_kept() -> None:
    limit = RateLimit(1, most=100, clock=Clock())
    for number in range(10_000):
        limit.take(str(number))
    assert len(limit) == 100
    assert not limit.take("9999").allowed


def test_an_ipv6_prefix_is_one_caller() -> None:
    assert network("2001:db8:1:2::1") == network("2001:db8:1:2:ffff::9") != network("2001:db8:1:3::1")
    assert network("10.0.0.1") != network("10.0.0.2")


def test_exceeding_the_rate_is_429_with_retry_after(artifacts: str) -> None:
    with TestClient(create_app(Settings(bundles=artifacts, rate_per_minute=3))) as client:
        answers: list[Any] = [client.post("/models/titanic/predict", json={"inputs": [{}]}) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert [answer.headers["ratelimit"].split(";")[1] for answer in answers] == ["r=2", "r=1", "r=0", "r=0"]
        assert answers[0].headers["ratelimit-policy"] == '"default";q=3;w=60'
        assert 1 <= int(answers[3].headers["retry-after"]) <= 20
        assert answers[3].json()["title"] == "Too Many Requests"
        assert client.get("/health").status_code == 200  # probes are not limited


def test_each_key_has_its_own_rate_and_invalid_keys_share_their_addresss(
    artifacts: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "keys.json"
    found = []
    for name in ("a", "b"):
        auth.main(["new", "--name", name, "--projects", "*", "--file", str(file)])
        found.append(capsys.readouterr().out.strip())
    with TestClient(create_app(Settings(bundles=artifacts, api_keys=file, rate_per_minute=2))) as client:

        def ask(key: str) -> int:
            return client.get("/models", headers={"X-API-Key": key}).status_code

        assert [ask(f"guess{number}") for number in range(4)] == [401, 401, 429, 429]
        assert [ask(found[0]) for _ in range(3)] == [200, 200, 429]
        assert ask(found[1]) == 200


# ---------------------------------------------------------------- browsers


@pytest.mark.parametrize("path", ["/", "/health", "/models/titanic", "/nowhere"])
def test_every_response_has_the_security_headers(artifacts: str, path: str) -> None:
    with TestClient(create_app(Settings(bundles=artifacts))) as client:
        headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "camera=()" in headers["permissions-policy"]
    assert "strict-transport-security" not in headers
    assert "access-control-allow-origin" not in headers


def test_errors_have_them_too_and_https_sets_hsts(artifacts: str) -> None:
    app = create_app(Settings(bundles=artifacts))

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("broken")

    with TestClient(app, base_url="https://testserver", raise_server_exceptions=False) as client:
        response = client.get("/broken")
    assert response.status_code == 500
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["strict-transport-security"] == "max-age=31536000"


def preflight(client: TestClient, origin: str) -> Any:
    headers_ = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    return client.options("/models/titanic/predict", headers=headers_)


def test_cors_allows_only_the_configured_origins(artifacts: str, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    auth.main(["new", "--name", "a", "--file", str(file)])
    settings = Settings(bundles=artifacts, cors_origins=f"{PAGE}, http://localhost:3000", api_keys=file)
    with TestClient(create_app(settings)) as client:
        allowed = preflight(client, PAGE)  # preflight requests have no key
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == PAGE
        assert preflight(client, "https://evil.example").status_code == 400
        refused = client.get("/models", headers={"Origin": PAGE})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, PAGE)
        assert "X-Request-ID" in refused.headers["access-control-expose-headers"]


@pytest.mark.parametrize("origin", ["app.example.org", "https://app.example.org/", "https://a.org/path", "ftp://a.org"])
def test_an_invalid_origin_is_rejected_at_startup(origin: str) -> None:
    with pytest.raises(ValueError, match="expected an origin"):
        Settings(cors_origins=origin)
