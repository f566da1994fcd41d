"""Downloads from real servers: resumed, verified, from every kind of mirror, and never partial."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadmap.data.download import fetch
from roadmap.io.errors import UsageError

MIB = 1 << 20
CONTENT = np.random.default_rng(1).bytes(7 * MIB)
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
CLOSED = "http://127.0.0.1:9"  # the discard port: nothing listens


class Server(ThreadingHTTPServer):
    """Serves CONTENT at /data/file.bin, and records (start of the requested range, bytes sent) of each request.

    ranges  True: serves them; False: says that it does not; None: says nothing and ignores them
    cut     breaks the connection once so many bytes have been sent in all
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges: bool | None = True
        self.cut: int | None = None
        self.served: list[tuple[int, int]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.file = f"{self.url}/data/file.bin"

    def handle_error(self, *_: Any) -> None:
        """Ignores disconnected clients."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        if self.path != "/data/file.bin":
            self.send_error(404)
            return
        first, last = 0, len(CONTENT) - 1
        if self.server.ranges and (start := self.headers.get("Range")):
            low, _, high = start.removeprefix("bytes=").partition("-")
            first, last = int(low), min(last, int(high or last))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(CONTENT)}")
        else:
            self.send_response(200)
        if self.server.ranges is not None:
            self.send_header("Accept-Ranges", "bytes" if self.server.ranges else "none")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        if body:
            self.send(first, CONTENT[first : last + 1])

    def send(self, first: int, part: bytes) -> None:
        left = len(part)
        if self.server.cut is not None:
            left = self.server.cut - sum(sent for _, sent in self.server.served)
        self.server.served.append((first, min(left, len(part))))
        self.wfile.write(part[: max(left, 0)])
        if left < len(part):
            self.server.cut = None
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DATA_MIRROR", raising=False)
    return tmp_path / "cache" / "data"


def assert_whole(path: Path, cache: Path) -> None:
    assert path == cache / "file.bin"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SHA256.removeprefix("sha256:")
    assert [found.name for found in cache.iterdir()] == ["file.bin"]


@pytest.mark.parametrize("checksum", [SHA256, f"md5:{hashlib.md5(CONTENT).hexdigest()}"], ids=["sha256", "md5"])
def test_a_file_is_downloaded_once_and_then_cached(server: Server, cache: Path, checksum: str) -> None:
    assert_whole(fetch("data", server.file, checksum), cache)
    requests = len(server.served)
    assert_whole(fetch("data", server.file, checksum), cache)
    assert len(server.served) == requests


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no ranges"])
def test_an_interrupted_download_resumes(server: Server, cache: Path, ranges: bool) -> None:
    server.ranges, server.cut = ranges, 6 * MIB
    with pytest.raises(UsageError, match=r"cannot get file\.bin of data"):
        fetch("data", server.file, SHA256)
    kept = (cache / "file.bin.part").stat().st_size
    assert [path.name for path in cache.iterdir()] == ["file.bin.part"]
    assert MIB < kept <= 6 * MIB
    server.served.clear()
    assert_whole(fetch("data", server.file, SHA256), cache)
    if ranges:
        assert server.served[0][0] == kept
        assert sum(sent for _, sent in server.served) == len(CONTENT) - kept
    else:
        assert server.served[0][0] == 0, "without ranges it starts again"


@pytest.mark.parametrize("begun", [0, 4 * MIB])
def test_a_server_that_ignores_ranges_is_handled(server: Server, cache: Path, begun: int) -> None:
    server.ranges = None
    begin(cache, begun)
    assert_whole(fetch("data", server.file, SHA256), cache)


def test_the_publisher_resumes_the_mirrors_download(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(cache, 4 * MIB)
    monkeypatch.setenv("DATA_MIRROR", CLOSED)
    assert_whole(fetch("data", server.file, SHA256), cache)
    assert sum(sent for _, sent in server.served) == 3 * MIB


def begin(cache: Path, size: int) -> None:
    """Creates the partial file of an interrupted download."""
    cache.mkdir(parents=True)
    (cache / "file.bin.part").write_bytes(CONTENT[:size])


def test_a_wrong_checksum_fails_and_leaves_nothing(server: Server, cache: Path) -> None:
    wrong = f"sha256:{'0' * 64}"
    with pytest.raises(UsageError, match=wrong) as caught:
        fetch("data", server.file, wrong)
    assert server.file in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(cache.iterdir()) == []


def test_a_corrupt_cache_is_fetched_again(server: Server, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "file.bin").write_bytes(CONTENT[:-1] + b"?")
    assert_whole(fetch("data", server.file, SHA256), cache)


@pytest.fixture
def bucket(s3: None) -> str:
    import boto3

    client = boto3.client("s3")
    client.create_bucket(Bucket="mirror")
    client.put_object(Bucket="mirror", Key="sets/data/file.bin", Body=CONTENT)
    return "s3://mirror/sets"


def folder_of(path: Path) -> str:
    (path / "data").mkdir(parents=True)
    (path / "data" / "file.bin").write_bytes(CONTENT)
    return str(path)


MIRRORS: dict[str, Callable[[pytest.FixtureRequest], str]] = {
    "folder": lambda request: folder_of(request.getfixturevalue("tmp_path") / "mirror"),
    "folder with a space and 汉字": lambda request: folder_of(request.getfixturevalue("tmp_path") / "my 镜像 100%"),
    "http": lambda request: request.getfixturevalue("server").url,
    "s3": lambda request: request.getfixturevalue("bucket"),
}


@pytest.mark.parametrize("kind", MIRRORS)
def test_every_kind_of_mirror_is_tried_first(
    kind: str, cache: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("DATA_MIRROR", MIRRORS[kind](request) + "/")
    assert_whole(fetch("data", f"{CLOSED}/sets/file.bin", SHA256), cache)


@pytest.mark.parametrize(
    "mirror", ["{tmp}", "{tmp}/absent", "{http}/absent", "{s3}/absent", CLOSED, "carrier-pigeon://loft"]
)
def test_a_mirror_without_the_file_falls_back_to_the_publisher(
    mirror: str, server: Server, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket: str
) -> None:
    monkeypatch.setenv("DATA_MIRROR", mirror.format(tmp=tmp_path, http=server.url, s3=bucket))
    assert_whole(fetch("data", server.file, SHA256), cache)


@pytest.mark.parametrize("mirror", [None, CLOSED], ids=["no mirror", "mirror"])
def test_unreachable_servers_are_one_line(mirror: str | None, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if mirror:
        monkeypatch.setenv("DATA_MIRROR", mirror)
    with pytest.raises(UsageError) as caught:
        fetch("data", f"{CLOSED}/sets/file.bin", SHA256)
    message = str(caught.value)
    assert message.startswith("cannot get file.bin of data (")
    assert f"{CLOSED}/sets/file.bin" in message
    assert (f"{CLOSED}/data/file.bin" in message) == bool(mirror)
    assert ("set DATA_MIRROR" in message) == (not mirror)
    assert "\n" not in message
