"""A request's body: unpacked from gzip, and never larger than what is allowed."""

import zlib
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import cut
from serving.http.problems import response


class BodyMiddleware:
    """413 where a body is larger than `most` bytes, by its declared length before a byte is read, otherwise while it
    arrives. What is refused while a route reads is an HTTPException: FastAPI passes on no other from there."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self.app, self.most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = packing = b""
        for name, value in scope["headers"]:
            if name == b"content-length":
                declared = value
            elif name == b"content-encoding":
                packing = value.strip().lower()
        if declared.isdigit() and int(declared[:20]) > self.most:
            await response(scope, 413, self._too_large())(scope, receive, send)
        elif packing in (b"", b"identity", b"gzip"):
            await self.app(scope, self._counted(receive, zlib.decompressobj(31) if packing == b"gzip" else None), send)
        else:
            detail = f"a body packed as {cut(packing.decode('latin-1'))} is not read here; send it plain or as gzip"
            await response(scope, 415, detail, {"Accept-Encoding": "gzip"})(scope, receive, send)

    def _too_large(self) -> str:
        return f"the body is larger than {self.most // 2**20} MiB; send fewer inputs per request"

    def _counted(self, receive: Receive, unpacker: Any) -> Receive:
        arrived = 0

        async def counted() -> Message:
            nonlocal arrived
            message = await receive()
            if message["type"] == "http.request":
                if unpacker is not None:
                    message = {**message, "body": self._unpacked(unpacker, message, self.most + 1 - arrived)}
                arrived += len(message.get("body", b""))
                if arrived > self.most:
                    raise HTTPException(413, self._too_large())
            return message

        return counted

    @staticmethod
    def _unpacked(unpacker: Any, message: Message, most: int) -> bytes:
        """At most so many bytes, however many are in it."""
        try:
            plain: bytes = unpacker.decompress(message.get("body", b""), most)
        except zlib.error as error:
            raise HTTPException(400, f"the body says it is gzip and is not: {error}") from None
        if not message.get("more_body") and len(plain) < most and not unpacker.eof:
            raise HTTPException(400, "the body's gzip ends in the middle")
        return plain
