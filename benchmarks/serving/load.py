"""The clients. Complete responses: wrk, which takes little of the shared cores. Streams: asyncio on bare sockets."""

import asyncio
import json
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

SCRIPT = Path(__file__).parent / "post.lua"
END = b"\r\n0\r\n\r\n"  # of a chunked answer


@dataclass
class Figures:
    """The figures of one contender at one concurrency.

    rate      requests per second; of streams: tokens per second
    p50, p99  ms of a request; of streams: until the first token
    cpu CPU ms of the contender per request; of streams: per token
    errors responses other than 200, broken connections, streams with another text
    """

    rate: float
    p50: float
    p99: float
    errors: int
    cpu: float = float("nan")


def whole(url: str, bodies: list[bytes], concurrency: int, seconds: float) -> Figures:
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        file.write(b"\n".join(bodies) + b"\n")
        file.flush()
        options = ["-t1", f"-c{concurrency}", f"-d{seconds:.0f}s", "--timeout", "30s", "-s", str(SCRIPT)]
        done = subprocess.run(["wrk", *options, url, "--", file.name], capture_output=True, text=True, check=True)
    return Figures(**json.loads(done.stdout.splitlines()[-1]))


@dataclass
class Streams:
    """`concurrency` connections, each sending the next request after its response."""

    port: int
    path: str
    body: bytes
    seconds: float
    expected: str
    first: list[float] = field(default_factory=list)  # seconds until the first piece of each response
    answers: list[tuple[bytes, bytes]] = field(default_factory=list)  # head and body
    broken: int = 0

    def measure(self, concurrency: int) -> Figures:
        elapsed = asyncio.run(self._run(concurrency))
        right = sum(head.startswith(b"HTTP/1.1 200") and text(body) == self.expected for head, body in self.answers)
        p50, p99 = np.percentile(np.array(self.first or [np.nan]) * 1000, [50, 99])
        errors = self.broken + len(self.answers) - right
        return Figures(right * len(self.expected) / elapsed, float(p50), float(p99), errors)

    async def _run(self, concurrency: int) -> float:
        start = time.perf_counter()
        self.until = start + self.seconds
        await asyncio.gather(*(self._connection() for _ in range(concurrency)))
        return time.perf_counter() - start

    async def _connection(self) -> None:
        request = (
            f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(self.body)}\r\n\r\n"
        ).encode() + self.body
        while time.perf_counter() < self.until:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                while time.perf_counter() < self.until:
                    writer.write(request)
                    if not await asyncio.wait_for(self._answer(reader), 60):
                        break
                writer.close()
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                self.broken += 1
                await asyncio.sleep(0.1)

    async def _answer(self, reader: asyncio.StreamReader) -> bool:
        """Whether the connection may be used again."""
        start = time.perf_counter()
        head = await reader.readuntil(b"\r\n\r\n")
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            raw = bytearray(b"\r\n")
            while not raw.endswith(END):
                came = await reader.read(65536)
                if not came:
                    raise asyncio.IncompleteReadError(bytes(raw), None)
                if len(raw) == 2:
                    self.first.append(time.perf_counter() - start)
                raw += came
            body = dechunked(bytes(raw[2:]))
        else:
            length = int(lower.partition(b"content-length:")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
            self.first.append(time.perf_counter() - start)
        self.answers.append((head, body))
        return b"connection: close" not in lower


def dechunked(raw: bytes) -> bytes:
    parts = []
    while raw:
        size, _, rest = raw.partition(b"\r\n")
        length = int(size, 16)
        parts.append(rest[:length])
        raw = rest[length + 2 :]
    return b"".join(parts)


def text(body: bytes) -> str:
    """The text of a stream of events, or of a complete response."""
    if body.startswith(b"{"):
        return json.loads(body)["predictions"][0]["text"]
    events = [json.loads(line[5:]) for line in body.decode().splitlines() if line.startswith("data:")]
    return "".join(event["text"] for event in events if "usage" not in event)
