"""Compresses responses with gzip if the client accepts it."""

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import Receive, Scope, Send


class CompressionMiddleware(GZipMiddleware):
    """Skips clients that don't accept gzip."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        accepts_gzip = scope["type"] == "http" and any(
            k == b"accept-encoding" and b"gzip" in v for k, v in scope["headers"]
        )
        await (super().__call__ if accepts_gzip else self.app)(scope, receive, send)
