"""An OpenID Connect issuer: its discovery document, its keys, and tokens that it signs."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jwt
from joserfc.jwk import Key

AUDIENCE = "models"


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
