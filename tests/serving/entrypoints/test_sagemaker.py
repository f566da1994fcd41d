"""`docker run <image> serve`, as SageMaker runs it: it finds the bundle, answers, and stops."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from serving.entrypoints import sagemaker
from tests.support import bundles
from tests.support.servers import free_port
from tests.support.waiting import until

ROOT = Path(__file__).parents[3]
ROWS = "1st,female,adult\n3rd,male,child\ncrew,male,\n"
Connect = Callable[..., HTTPConnection]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.make_all(tmp_path_factory.mktemp("artifacts"), {"titanic": bundles.titanic})


@contextmanager
def container(
    folder: Path, **environment: str
) -> Iterator[tuple[subprocess.Popen[str], Callable[..., HTTPConnection]]]:
    number = free_port()
    given = {"SM_MODEL_DIR": str(folder), "SAGEMAKER_BIND_TO_PORT": str(number), **environment}
    arguments = [sys.executable, "-m", "serving.entrypoints.sagemaker", "serve"]
    process = subprocess.Popen(
        arguments, cwd=ROOT, env={**os.environ, **given}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )

    def connect(timeout: float = 60) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", number, timeout=timeout)

    try:
        yield process, connect
    finally:
        process.kill()
        process.communicate()


def await_ping(process: subprocess.Popen[str], connect: Connect) -> None:
    """Polls like SageMaker until the response is 200 within two seconds."""

    def answered() -> bool:
        assert process.poll() is None, process.communicate()[0]
        try:
            connection = connect(2)
            connection.request("GET", "/ping")
            return connection.getresponse().status == 200
        except OSError:
            return False

    until(answered)


def refuses(connection: HTTPConnection) -> bool:
    try:
        connection.connect()
    except ConnectionRefusedError:
        return True
    connection.close()
    return False


def packed(artifacts: Path, folder: Path, layout: str) -> Path:
    """The contents of /opt/ml/model after SageMaker has unpacked model.tar.gz."""
    shutil.copytree(artifacts / "titanic" / "bundle", folder / layout)
    return folder


@pytest.mark.parametrize("layout", ["", "bundle", "titanic/bundle"])
def test_serve_finds_the_bundle_at_any_depth(artifacts: Path, tmp_path: Path, layout: str) -> None:
    with container(packed(artifacts, tmp_path / "model", layout)) as (process, connect):
        await_ping(process, connect)
        connection = connect()
        connection.request("POST", "/invocations", ROWS, {"content-type": "text/csv"})
        assert len(connection.getresponse().read().splitlines()) == 3


def test_sigterm_answers_requests_in_flight(artifacts: Path, tmp_path: Path) -> None:
    with container(packed(artifacts, tmp_path / "model", "")) as (process, connect):
        await_ping(process, connect)
        connection = connect()
        connection.putrequest("POST", "/invocations")
        connection.putheader("content-type", "text/csv")
        connection.putheader("content-length", str(len(ROWS)))
        connection.putheader("expect", "100-continue")
        connection.endheaders()
        message = b""
        while not message.endswith(b"\r\n\r\n"):
            message += connection.sock.recv(100)
        assert message.startswith(b"HTTP/1.1 100")  # it reads the body: the request is in flight
        connection.send(ROWS[:10].encode())
        process.send_signal(signal.SIGTERM)
        until(lambda: refuses(connect()))
        connection.send(ROWS[10:].encode())
        answer = connection.getresponse()
        assert (answer.status, len(answer.read().splitlines())) == (200, 3)
        assert process.wait(timeout=60) in (0, -signal.SIGTERM)


def test_ping_stays_responsive_during_a_large_request(artifacts: Path, tmp_path: Path) -> None:
    with container(packed(artifacts, tmp_path / "model", "")) as (process, connect):
        await_ping(process, connect)
        busy = connect()
        busy.request("POST", "/invocations", "1st,female,adult\n" * 100_000, {"content-type": "text/csv"})
        await_ping(process, connect)
        answer = busy.getresponse()
        assert (answer.status, len(answer.read().splitlines())) == (200, 100_000)


def test_serve_reports_what_is_missing(
    artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SM_MODEL_DIR", str(tmp_path))
    assert sagemaker.main(["train"]) == 2
    assert "'train'" in capsys.readouterr().err
    assert sagemaker.main(["serve"]) == 2
    assert f"no bundle.json in {tmp_path}" in capsys.readouterr().err
    packed(artifacts, tmp_path, "a")
    packed(artifacts, tmp_path, "b")
    assert sagemaker.main(["serve"]) == 2
    assert "found a second bundle of titanic" in capsys.readouterr().err
    (tmp_path / "a" / "bundle.json").write_text("{}")
    assert sagemaker.main(["serve"]) == 2
    assert "a/bundle.json: " in capsys.readouterr().err
