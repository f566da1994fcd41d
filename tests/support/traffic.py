"""An MLflow server over a store, and callers that send requests continuously."""

import itertools
import json
import random
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.checkouts import environment
from tests.support.servers import free_port

Row = dict[str, Any]


@contextmanager
def mlflow(store: str, folder: Path) -> Iterator[str]:
    """The address of an MLflow server over this store, with artifacts in `folder`."""
    port = free_port()
    arguments = ["server", "--backend-store-uri", store, "--artifacts-destination", str(folder / "served")]
    with (folder / "mlflow.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *arguments, "--port", str(port), "--workers", "1"],
            cwd=folder, env=environment(), stdout=log, stderr=log,
        )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 600
        while True:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5).close()
                break
            except OSError:
                assert time.monotonic() < deadline and process.poll() is None, (folder / "mlflow.log").read_text()
                time.sleep(0.5)
        yield address
    finally:
        process.terminate()
        process.wait(30)


@dataclass(frozen=True)
class Exchange:
    request_id: str
    row: Row
    truth: str
    version: str
    answer: str


def woman(rng: random.Random) -> tuple[Row, str]:
    return {"class": "1st", "sex": "female", "age": "adult"}, "survived"


class Callers:
    """Send requests to titanic continuously, each as another caller. `draws` returns a passenger and the true label."""

    def __init__(self, address: str, draws: Callable[[random.Random], tuple[Row, str]] = woman) -> None:
        self.address, self.draws = address, draws
        self.exchanges: list[Exchange] = []
        self.failed: list[str] = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.ask)

    def ask(self) -> None:
        rng = random.Random(0)
        for number in itertools.count():
            if self.over.wait(0.02):
                return
            row, truth = self.draws(rng)
            about = {"X-Request-ID": f"request-{number}", "X-Caller-Id": f"caller {number % 200}"}
            body = json.dumps({"inputs": [row]}).encode()
            headers = {"Content-Type": "application/json", **about}
            try:
                request = urllib.request.Request(f"{self.address}/models/titanic/predict", body, headers)
                with urllib.request.urlopen(request, timeout=30) as response:
                    found = json.load(response)
            except OSError as error:
                self.failed.append(f"{about['X-Request-ID']}: {error}")
                continue
            version, answer = found["model"]["version"], found["outputs"][0]["label"]
            self.exchanges.append(Exchange(about["X-Request-ID"], row, truth, version, answer))

    def more(self, count: int, seconds: float = 900) -> list[Exchange]:
        """Waits for so many more responses, and returns them."""
        start, deadline = len(self.exchanges), time.monotonic() + seconds
        while len(self.exchanges) < start + count:
            assert time.monotonic() < deadline and self.thread.is_alive(), self.failed[-3:]
            time.sleep(0.2)
        return self.exchanges[start:]

    def versions(self, since: int = 0) -> set[str]:
        return {one.version for one in self.exchanges[since:]}

    def __enter__(self) -> "Callers":
        self.thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.over.set()
        self.thread.join()
