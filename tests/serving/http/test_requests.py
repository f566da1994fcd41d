"""Requests other than plain JSON, timeouts, and disconnected clients."""

import asyncio
import gzip
import json
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from serving.http.app import Api, create_app
from serving.settings import Settings
from tests.support.waiting import until

BODY = json.dumps({"inputs": [{"sex": "female"}]}).encode()
JSON = {"content-type": "application/json"}


@pytest.fixture
def app(artifacts: Path) -> Api:
    return create_app(Settings(bundles=str(artifacts), max_body_mb=1))


@pytest.fixture
def client(app: Api) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def post(client: TestClient, body: bytes, project: str = "titanic", **headers: str) -> Any:
    return client.post(f"/models/{project}/predict", content=body, headers={**JSON, **headers})


class Held:
    """Holds a model's first call until released."""

    def __init__(self, app: Api, project: str) -> None:
        self.begun, self.gate, self.calls = threading.Event(), threading.Event(), 0
        self.model = app.state.store.slots[project].model
        self.answer = self.model.queue.answer
        self.model.queue.answer = self
        self.model.queue.slowest = 1.0  # so that it runs in a thread, not in the event loop

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        self.calls += 1
        self.begun.set()
        assert self.gate.wait(10)
        return list(self.answer(inputs))


# ---------------------------------------------------------------- gzip


def test_a_compressed_body_gives_the_same_response(client: TestClient) -> None:
    packed = post(client, gzip.compress(BODY), **{"content-encoding": "gzip"})
    assert packed.status_code == 200 and packed.json() == post(client, BODY).json()


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("kind", ["application/json", "text/csv"])
def test_all_members_of_a_gzip_are_read(artifacts: Path, monkeypatch: pytest.MonkeyPatch, kind: str, size: int) -> None:
    monkeypatch.setenv("MODEL_PROJECT", "titanic")
    rows = [{"sex": sex, "class": "1st", "age": "adult"} for sex in ("female", "male")] * 40
    lines = "class,sex,age\n" + "".join(f"{row['class']},{row['sex']},{row['age']}\n" for row in rows)
    plain = (json.dumps({"inputs": rows}) if kind == "application/json" else lines).encode()
    parts = [plain[start : start + size] for start in range(0, len(plain), size)]
    packed = b"".join([gzip.compress(b""), *map(gzip.compress, parts), b"\0" * 100])
    headers = {"content-type": kind, "content-encoding": "gzip"}
    with TestClient(create_app(Settings(bundles=str(artifacts)))) as client:
        answer = client.post("/invocations", content=packed, headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.text == client.post("/invocations", content=plain, headers={"content-type": kind}).text


def test_many_gzip_members_are_cheap(client: TestClient) -> None:
    started = time.process_time()
    assert post(client, gzip.compress(b"") * 50_000, **{"content-encoding": "gzip"}).status_code == 422
    assert time.process_time() - started < 3


def test_a_gzip_bomb_is_rejected_before_decompression(client: TestClient) -> None:
    bomb = gzip.compress(b" " * 300 * 2**20)
    assert len(bomb) < 2**20
    started = time.process_time()
    response = post(client, bomb, **{"content-encoding": "gzip"})
    assert response.status_code == 413 and "1 MiB" in response.json()["detail"]
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("body", "encoding", "status", "words"),
    [
        (BODY, "gzip", 400, "is not valid gzip"),
        (gzip.compress(BODY, mtime=0)[:-9], "gzip", 400, "gzip is truncated"),
        (gzip.compress(BODY) + gzip.compress(BODY)[:-9], "gzip", 400, "gzip is truncated"),
        (gzip.compress(BODY) + b"more", "gzip", 400, "is not valid gzip"),
        (gzip.compress(BODY) + b"\0\0more", "gzip", 400, "trailing data"),
        (b"", "gzip", 400, "gzip is truncated"),
        (zlib.compress(BODY), "deflate", 415, "expected gzip or none"),
        (BODY, "br", 415, "expected gzip or none"),
    ],
    ids=["plain", "cut", "second cut", "garbage", "zeros and garbage", "empty", "deflate", "brotli"],
)
def test_other_encodings_are_rejected(client: TestClient, body: bytes, encoding: str, status: int, words: str) -> None:
    response = post(client, body, **{"content-encoding": encoding})
    assert response.status_code == status and words in response.json()["detail"]


def test_long_responses_are_compressed_on_request(client: TestClient) -> None:
    body = json.dumps({"inputs": [{}] * 200}).encode()
    assert post(client, body, **{"accept-encoding": "gzip"}).headers["content-encoding"] == "gzip"
    assert "content-encoding" not in post(client, body, **{"accept-encoding": "identity"}).headers


# ---------------------------------------------------------------- time


def test_a_request_times_out(app: Api, client: TestClient) -> None:
    held = Held(app, "titanic")
    response = post(client, BODY, **{"x-request-timeout": "0.1"})
    assert response.status_code == 504 and "0.1 s" in response.json()["detail"]
    held.gate.set()
    assert post(client, BODY).status_code == 200


@pytest.mark.parametrize("timeout", ["soon", "-1", "0", "nan", "inf"])
def test_an_invalid_timeout_is_400(client: TestClient, timeout: str) -> None:
    response = post(client, BODY, **{"x-request-timeout": timeout})
    assert response.status_code == (200 if timeout == "inf" else 400)


def test_a_full_queue_is_503_with_retry_after(artifacts: Path) -> None:
    app = create_app(Settings(bundles=str(artifacts), max_queue=4, threads=1))
    held = Held(app, "titanic")
    with TestClient(app) as client:
        answers: list[Any] = []
        body = json.dumps({"inputs": [{}] * 3}).encode()
        threads = [threading.Thread(target=lambda: answers.append(post(client, body))) for _ in range(2)]
        threads[0].start()
        assert held.begun.wait(5)
        threads[1].start()
        queue = held.model.queue
        until(lambda: queue.waiting >= 3)
        refused = post(client, body)
        assert refused.status_code == 503 and int(refused.headers["retry-after"]) >= 1
        assert "3 inputs are queued already" in refused.json()["detail"]
        assert client.post("/models/mnist/predict", json={"inputs": [{}]}).status_code == 422  # others go on
        held.gate.set()
        for thread in threads:
            thread.join(10)
        assert [answer.status_code for answer in answers] == [200, 200]


def test_disconnected_clients_requests_are_not_computed(app: Api) -> None:
    """Directly on ASGI: two clients wait behind a first one, and one of them disconnects."""
    held = Held(app, "titanic")

    async def ask(leave: asyncio.Event | None = None) -> int:
        status = 0
        sent = False

        async def receive() -> Any:
            nonlocal sent
            if not sent:
                sent = True
                return {"type": "http.request", "body": BODY, "more_body": False}
            await (leave or asyncio.Event()).wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)

        path = "/models/titanic/predict"
        headers = [(b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
        await app({**scope, "headers": headers, "http_version": "1.1", "scheme": "http"}, receive, send)
        return status

    async def main() -> None:
        first = asyncio.create_task(ask())
        await asyncio.to_thread(held.begun.wait, 5)
        leave = asyncio.Event()
        goes, stays = asyncio.create_task(ask(leave)), asyncio.create_task(ask())
        await asyncio.sleep(0.1)
        assert held.model.queue.waiting == 2
        leave.set()
        assert await goes == 499
        held.gate.set()
        assert [await first, await stays] == [200, 200]

    asyncio.run(asyncio.wait_for(main(), 20))
    assert held.calls == 2
