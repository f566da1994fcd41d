import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.checkouts import ROOT
from tests.support.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fork server needs Linux")
QUICK = "from roadmap import fork_server; fork_server.PRELOAD = ('colorsys',); fork_server.main()"
STAGE = """
import os, sys
how = "alone" if "-m" in sys.orig_argv[:2] else "forked"
print(how, *sys.argv[1:], os.environ.get("WORD"))
"""


class Stages:
    """A package of stages, like pipelines/."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("work", STAGE)

    def write(self, name: str, code: str) -> None:
        (self.folder / "stages").mkdir(exist_ok=True)
        begin = "from roadmap.fork_server import hand_over\nhand_over()\n"
        (self.folder / "stages" / f"{name}.py").write_text(begin + code)

    def start(self, *command: str, **env: str) -> "subprocess.Popen[str]":
        kept = {**os.environ, "PYTHONPATH": str(ROOT), **env}
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, *command], cwd=self.folder, env=kept, text=True, stdin=pipe, stdout=pipe, stderr=pipe
        )

    def run(self, *command: str, **env: str) -> tuple[int, str, str]:
        process = self.start(*command, **env)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err


class Served(Stages):
    """The same with a server, whose `dvc` is a waiting process."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.dvc = self.start("-c", "input()")
        (folder / "server").mkdir()
        self.address = "server/socket"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(folder / self.address))
            listener.listen()
            fd = listener.fileno()
            self.server = subprocess.Popen(
                [sys.executable, "-c", QUICK, str(self.dvc.pid), str(fd)],
                cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, pass_fds=[fd], start_new_session=True,
            )  # fmt: skip

    def work(self, *command: str, **env: str) -> "subprocess.Popen[str]":
        return self.start("-m", *command, FORK_SERVER=self.address, **env)


@pytest.fixture
def stages(tmp_path: Path) -> Stages:
    return Stages(tmp_path)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    served = Served(tmp_path)
    yield served
    signal.signal(signal.SIGINT, before)
    served.dvc.kill()
    assert served.server.wait(60) == 0, "the server ends with dvc"
    assert not (tmp_path / "server").exists()


def test_a_fork_inherits_arguments_environment_and_streams(served: Served) -> None:
    served.write("echo", STAGE + "print(sys.stdin.read()); sys.exit('a reason')")
    process = served.work("stages.echo", "project=x", "a b", WORD="here")
    out, err = process.communicate("from outside", timeout=60)
    assert out.split("\n")[:2] == ["forked project=x a b here", "from outside"]
    assert (process.returncode, err) == (1, "a reason\n")


def test_a_fork_has_the_servers_imports(served: Served) -> None:
    served.write("imported", "import sys\nprint('colorsys' in sys.modules)")  # it imports while idle
    until(lambda: served.work("stages.imported").communicate(timeout=60)[0] == "True\n")


@pytest.mark.parametrize(
    ("code", "status"), [("sys.exit(75)", 75), ("1 / 0", 1), ("os.kill(os.getpid(), 9)", -9), ("", 0)]
)
def test_a_stage_exits_like_its_fork(served: Served, code: str, status: int) -> None:
    served.write("end", f"import os, sys\n{code}")
    process = served.work("stages.end")
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert ("ZeroDivisionError" in err) == (code == "1 / 0")


def test_signals_reach_the_fork(served: Served) -> None:
    served.write("wait", "try:\n  print('ready', flush=True)\n  input()\nexcept KeyboardInterrupt:\n  print('stopped')")
    process = served.work("stages.wait")
    assert process.stdout and process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "stopped\n"
    assert process.wait(60) == 0


@pytest.mark.parametrize("victim", ["stage", "server"])
def test_a_fork_does_not_outlive_its_client(tmp_path: Path, victim: str) -> None:
    served = Served(tmp_path)
    served.write("wait", "import os\nprint(os.getpid(), flush=True)\ninput()")
    process = served.work("stages.wait")
    assert process.stdout
    fork = psutil.Process(int(process.stdout.readline()))
    (process if victim == "stage" else served.server).kill()
    until(lambda: not fork.is_running() or fork.status() == psutil.STATUS_ZOMBIE)
    _, err = process.communicate(timeout=60)
    assert victim == "stage" or (process.returncode == 1 and "run it again" in err)
    served.dvc.kill()
    served.server.wait(60)


@pytest.fixture
def short() -> Iterator[Path]:
    """A short folder for temporary files: a socket's path has at most 107 bytes."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def test_only_the_stages_of_one_repro_are_forked(stages: Stages, short: Path) -> None:
    dvc = stages.folder / "dvc"
    dvc.write_text("import subprocess, sys\nfor _ in range(3): subprocess.run([sys.executable, '-m', 'stages.work'])")
    environment = {"DVC_STAGE": "work", "TMPDIR": str(short)}
    assert stages.run(str(dvc), "repro", "--single-item", **environment)[1].count("alone") == 3
    assert stages.run(str(dvc), "repro", TMPDIR=str(short))[1].count("alone") == 3, "the process is not named dvc"
    assert stages.run("-m", "stages.work", **environment)[1].startswith("alone")
    assert stages.run(str(dvc), "repro", FORK_SERVER="off", **environment)[1].count("alone") == 3
    assert not list(short.iterdir())
    out = stages.run(str(dvc), "repro", **environment)[1]
    assert out.split("\n")[:2] == ["alone None"] * 2, "the second stage launches it"
    (servers,) = short.iterdir()
    until(lambda: not list(servers.iterdir()))
    servers.chmod(0o777)
    assert stages.run(str(dvc), "repro", **environment)[1].count("alone") == 3, (
        "other users could create a socket there"
    )
    assert not list(servers.iterdir())


def test_without_a_server_the_stage_runs_by_itself(stages: Stages) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(stages.folder / "socket"))
    assert stages.run("-m", "stages.work", FORK_SERVER="socket")[1].startswith("alone")
