"""`python -m serving`: its command line, and what it imports."""

import json
import signal
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest

from serving.entrypoints import server as command
from serving.http import app as app_module
from serving.http import problems
from serving.settings import Settings
from tests.support import bundles
from tests.support.waiting import until

PROJECTS = sorted(bundles.MAKERS)
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.make_all(tmp_path_factory.mktemp("artifacts"))


def test_command_errors_are_one_line(
    artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command.main(["--bundles", str(tmp_path)]) == 2
    assert "make run" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert command.main(["--bundles", str(artifacts), "--port", str(port)]) == 1
    message = capsys.readouterr().err
    assert f"127.0.0.1:{port}" in message and "--port" in message and message.count("\n") == 1
    monkeypatch.setenv("PORT", "http")
    assert command.main([]) == 2
    message = capsys.readouterr().err
    assert "--port (or PORT)" in message and "not 'http'" in message and message.count("\n") == 1


def test_port_and_host_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9001")
    monkeypatch.setenv("HOST", "0.0.0.0")
    assert (Settings().port, Settings().host) == (9001, "0.0.0.0")
    assert Settings(port=9002).port == 9002


def test_the_command_serves_with_low_latency_until_stopped(artifacts: Path) -> None:
    arguments = [sys.executable, "-m", "serving", "--port", "0", "--bundles", str(artifacts)]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            message = [next(server.stdout) for _ in range(len(PROJECTS) + 1)]
            assert [line.split()[0] for line in message] == [*PROJECTS, "page"]
            address = message[-1].split()[1].removeprefix("http://").rstrip("/")
            connection = HTTPConnection(address, timeout=60)

            def quick() -> bool:
                begun = time.perf_counter()
                headers = {"content-type": "application/json"}
                connection.request("POST", "/models/titanic/predict", '{"inputs": [{}]}', headers)
                answer = connection.getresponse()
                assert (answer.status, len(json.load(answer)["outputs"])) == (200, 1)
                return time.perf_counter() - begun < 0.03

            until(quick)  # never, without TCP_NODELAY: each takes 40 ms and more
        finally:
            server.send_signal(signal.SIGINT)
    assert server.returncode == 0


def test_serving_imports_no_training_library() -> None:
    code = (
        "import sys, serving.http.app, serving.entrypoints.server\n"
        "import pipelines.titanic.predict, pipelines.house_prices.predict, pipelines.mnist.predict\n"
        "heavy = ('torch', 'pytorch_lightning', 'lightning', 'mlflow', 'sklearn', 'pandas', 'hydra', 'matplotlib')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_serving_names_no_project() -> None:
    for module in (app_module, problems, command):
        source = Path(str(module.__file__)).read_text()
        assert not [name for name in PROJECTS if name in source]
