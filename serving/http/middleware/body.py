"""Limits the size of request bodies and decompresses gzip."""

import zlib

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import cut
from serving.http.problems import response

CHUNK = 2**14  # bytes unpacked in one go: of a body of many small members, the rest is copied after each
GZIP = (b"gzip", b"x-gzip")


class BodyMiddleware:
    """413 if a body is larger than `most` bytes, by its declared length before reading, otherwise while reading. Errors
    while a route reads are HTTPExceptions: FastAPI wraps all others."""

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
        elif packing in (b"", b"identity", *GZIP):
            await self.app(scope, self._counted(receive, Unpacker() if packing in GZIP else None), send)
        else:
            detail = f"content-encoding: found {cut(packing.decode('latin-1'))}; expected gzip or none"
            await response(scope, 415, detail, {"Accept-Encoding": "gzip"})(scope, receive, send)

    def _too_large(self) -> str:
        return f"the body is larger than {self.most // 2**20} MiB; send fewer inputs per request"

    def _counted(self, receive: Receive, unpacker: "Unpacker | None") -> Receive:
        arrived = 0

        async def counted() -> Message:
            nonlocal arrived
            message = await receive()
            if message["type"] == "http.request":
                if unpacker is not None:
                    plain = unpacker.take(message.get("body", b""), self.most + 1 - arrived)
                    if not message.get("more_body") and len(plain) < self.most + 1 - arrived:
                        unpacker.close()
                    message = {**message, "body": plain}
                arrived += len(message.get("body", b""))
                if arrived > self.most:
                    raise HTTPException(413, self._too_large())
            return message

        return counted


class Unpacker:
    """gzip as RFC 1952 has it: one member after the other, as `cat a.gz b.gz` makes them; zeros may follow the last.

    Raises:
        HTTPException: 400, of whatever is no gzip.
    """

    def __init__(self) -> None:
        self.member = zlib.decompressobj(31)
        self.padded = False

    def take(self, packed: bytes, most: int) -> bytes:
        """What the next bytes hold, at most so many bytes of it."""
        plain = bytearray()
        for start in range(0, len(packed), CHUNK):
            rest = packed[start : start + CHUNK]
            while rest and len(plain) < most:
                rest = self._step(rest, plain, most)
        return bytes(plain)

    def _step(self, packed: bytes, plain: bytearray, most: int) -> bytes:
        """To the end of a member or of `packed`; returns what is left of it."""
        if self.member.eof and not self.padded:
            self.member, self.padded = zlib.decompressobj(31), packed[:1] == b"\0"
        if self.padded:
            if packed.strip(b"\0"):
                raise HTTPException(400, "the body has trailing data after its gzip")
            return b""
        try:
            plain += self.member.decompress(packed, most - len(plain))
        except zlib.error as error:
            raise HTTPException(400, f"the body is not valid gzip: {error}") from None
        return self.member.unused_data

    def close(self) -> None:
        """After the last byte. Raises: HTTPException: 400, the gzip is truncated."""
        if not (self.member.eof or self.padded):
            raise HTTPException(400, "the body's gzip is truncated")
