"""Authentication: keys, tokens of a real OIDC issuer on this machine, and open endpoints."""

import base64
import hmac
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from joserfc import jwt
from joserfc.jwk import ECKey, Key, RSAKey

from roadmap.bundle import Bundle
from serving.auth import __main__ as auth
from serving.auth import callers, keys, oidc
from serving.http.app import create_app
from serving.settings import Settings
from tests.support import bundles

AUDIENCE = "models"
BODY: dict[str, Any] = {"inputs": [{}]}
JSON_LINES = "application/jsonlines"


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.make_all(tmp_path_factory.mktemp("artifacts"))


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


# ---------------------------------------------------------------- keys


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


# ---------------------------------------------------------------- tokens


class OpenId:
    """An issuer that publishes its keys over HTTP, like real ones."""

    def __init__(self) -> None:
        self.keys: list[Key] = []
        self.requests = 0
        self.up = True
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.requests += 1
                documents = {
                    "/.well-known/openid-configuration": {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/jwks"},
                    "/jwks": {"keys": [key.as_dict(private=False) for key in issuer.keys]},
                }
                self.send_response(200 if issuer.up else 500)
                self.end_headers()
                self.wfile.write(json.dumps(documents[self.path]).encode())

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        usual = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "ada",
            "iat": now,
            "exp": now + 60,
            "scope": "predict:titanic",
        }
        return {name: value for name, value in (usual | changes).items() if value is not None}

    def token(self, key: Key | None = None, alg: str = "RS256", **changes: Any) -> str:
        key = key or self.keys[0]
        return jwt.encode({"alg": alg, "kid": key.kid}, self.claims(**changes), key, algorithms=[alg])


def rsa() -> Key:
    key = RSAKey.generate_key(2048)
    key.ensure_kid()
    return key


RSA_KEYS = [rsa(), rsa()]


@pytest.fixture
def issuer() -> Iterator[OpenId]:
    found = OpenId()
    found.keys = [RSA_KEYS[0]]
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def client(artifacts: Path, issuer: OpenId) -> Iterator[TestClient]:
    settings = Settings(bundles=str(artifacts), jwt_issuer=issuer.url, jwt_audience=AUDIENCE)
    with TestClient(create_app(settings)) as client:
        yield client


def test_a_token_grants_access_to_the_projects_of_its_scope(client: TestClient, issuer: OpenId) -> None:
    assert ask(client, bearer(issuer.token())).status_code == 200
    assert ask(client, bearer(issuer.token()), "mnist").status_code == 403
    everything = issuer.token(scope="openid predict:*", aud=["others", AUDIENCE])
    assert ask(client, bearer(everything), "mnist").status_code == 422
    assert ask(client, bearer(issuer.token(scope=None))).status_code == 403
    assert client.get("/metrics", headers=bearer(issuer.token(scope="metrics"))).status_code == 200


def test_elliptic_curve_keys_are_accepted(client: TestClient, issuer: OpenId) -> None:
    key = ECKey.generate_key("P-256")
    key.ensure_kid()
    issuer.keys.append(key)
    assert ask(client, bearer(issuer.token(key, "ES256"))).status_code == 200


def part(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def unsigned(issuer: OpenId) -> str:
    return f"{part({'alg': 'none', 'kid': issuer.keys[0].kid})}.{part(issuer.claims())}."


def confused(issuer: OpenId) -> str:
    """Signed by HMAC with the issuer's public key as the secret."""
    key = issuer.keys[0]
    assert isinstance(key, RSAKey)
    signed = f"{part({'alg': 'HS256', 'kid': key.kid})}.{part(issuer.claims())}"
    secret = key.as_pem(private=False)
    signature = hmac.digest(secret, signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def changed(issuer: OpenId) -> str:
    head, _, signature = issuer.token().split(".")
    claims = json.dumps(issuer.claims(scope="predict:*")).encode()
    return f"{head}.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.{signature}"


def forged(issuer: OpenId) -> str:
    """Another key with the id of the issuer's."""
    header = {"alg": "RS256", "kid": issuer.keys[0].kid}
    return jwt.encode(header, issuer.claims(), RSA_KEYS[1], algorithms=["RS256"])


@pytest.mark.parametrize(
    "token",
    [
        unsigned,
        confused,
        changed,
        forged,
        lambda issuer: issuer.token(RSA_KEYS[1]),
        lambda issuer: issuer.token(exp=int(time.time()) - 3600),
        lambda issuer: issuer.token(exp=None),
        lambda issuer: issuer.token(nbf=int(time.time()) + 3600),
        lambda issuer: issuer.token(aud="another"),
        lambda issuer: issuer.token(aud=None),
        lambda issuer: issuer.token(iss="https://evil.example"),
        lambda issuer: issuer.token(sub=None),
        lambda issuer: "e30.e30.e30",
        lambda issuer: "a.b.c",
        lambda issuer: issuer.token() + "x" * 20_000,
    ],
    ids=[
        *("alg none", "HS256 with the public key", "changed", "forged", "unknown key", "expired", "without expiry"),
        *("not yet", "another audience", "no audience", "another issuer", "nobody", "empty", "junk", "too long"),
    ],
)
def test_an_invalid_token_is_401(client: TestClient, issuer: OpenId, token: Any) -> None:
    assert ask(client, bearer(issuer.token())).status_code == 200
    response = ask(client, bearer(token(issuer)))
    assert response.status_code == 401
    assert 'error="invalid_token"' in response.headers["www-authenticate"]


def test_rotated_issuer_keys_are_fetched_and_old_ones_dropped(
    client: TestClient, issuer: OpenId, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = issuer.token()
    assert ask(client, bearer(old)).status_code == 200
    issuer.keys = [RSA_KEYS[1]]
    assert ask(client, bearer(issuer.token())).status_code == 401  # not requested again so soon
    monkeypatch.setattr(oidc, "PAUSE_SECONDS", 0.0)
    assert ask(client, bearer(issuer.token())).status_code == 200
    assert ask(client, bearer(old)).status_code == 401


def test_unknown_key_ids_do_not_cause_a_request_each(client: TestClient, issuer: OpenId) -> None:
    for _ in range(5):
        assert ask(client, bearer(issuer.token(RSA_KEYS[1]))).status_code == 401
    assert issuer.requests == 2  # one configuration, one set of keys


def test_known_keys_work_while_the_issuer_is_down(
    client: TestClient, issuer: OpenId, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(client, bearer(issuer.token())).status_code == 200
    issuer.up = False
    monkeypatch.setattr(oidc, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(oidc, "KEEP_SECONDS", 0.0)
    assert ask(client, bearer(issuer.token())).status_code == 200


def test_an_unreachable_issuer_is_503(client: TestClient, issuer: OpenId) -> None:
    issuer.up = False
    response = ask(client, bearer(issuer.token()))
    assert response.status_code == 503
    assert response.headers["retry-after"] == "10"


@pytest.mark.parametrize(
    "settings",
    [
        {"jwt_issuer": "https://login.example.org"},
        {"jwt_issuer": "http://login.example.org", "jwt_audience": AUDIENCE},
        {"jwt_issuer": "http://localhost.evil.example", "jwt_audience": AUDIENCE},
    ],
)
def test_insecure_settings_are_rejected(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"audience|https"):
        Settings(**settings)
