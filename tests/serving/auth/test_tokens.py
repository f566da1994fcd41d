"""Authentication by tokens of an OIDC issuer on this machine."""

import base64
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from joserfc import jwt
from joserfc.jwk import ECKey, Key, RSAKey

from serving.auth import oidc
from serving.http.app import create_app
from serving.settings import Settings
from tests.standins.openid_server import AUDIENCE, OpenId

BODY: dict[str, Any] = {"inputs": [{}]}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def ask(client: TestClient, headers: dict[str, str], project: str = "titanic") -> Any:
    return client.post(f"/models/{project}/predict", json=BODY, headers=headers)


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
