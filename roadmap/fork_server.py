"""The stages of one `dvc repro` are forked from a process that has PyTorch, scikit-learn and MLflow imported already.

Each stage is a process of its own, and imports are most of what a small project costs. The second stage that a
`dvc repro` starts launches the fork server beside it. From then on a stage hands over its command line, its environment
and its standard streams, waits, and ends the way its fork ends. The server imports other people's packages (and what
makes Lightning's import quick), so no stage runs stale code of ours, and it ends with the `dvc` it serves.

A stage that is started by hand, by Airflow (`dvc repro --single-item`) or on anything but Linux never gets here.
FORK_SERVER=off switches it off.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

SWITCH = "FORK_SERVER"  # off, or the socket of the server that the process was forked from
PRELOAD = (  # in the order in which the stages of a first project need them
    *("hydra", "numpy", "pandas", "torch", "torch._dynamo", "roadmap.training.lightning", "torch.export._trace"),
    *("onnxscript.function_libs.torch_lib", "torch.onnx._internal.exporter._core", "mlflow"),
    *("mlflow.store.tracking.sqlalchemy_store", "scipy.stats", "sklearn.ensemble", "sklearn.linear_model"),
    *("matplotlib.backends.backend_agg", "pyarrow.dataset", "git", "seaborn"),
)
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 2.0  # seconds to wait for a server that is busy importing; the longest import takes about as long


class Fork(NamedTuple):
    pid: int
    connection: socket.socket  # to the stage that waits


class StageJob(NamedTuple):
    module: str
    arguments: list[str]
    environment: dict[str, str]


def hand_over() -> None:
    """Ends this process, `python -m <a stage>`, when a fork has run the stage; returns where there is no server."""
    switch, spec, command = os.environ.get(SWITCH, ""), sys.modules["__main__"].__spec__, sys.orig_argv
    if switch == "off" or sys.platform != "linux" or not spec or ["-m", spec.name] != command[1:3]:  # not in a fork
        return
    address = switch
    with contextlib.suppress(OSError):  # a read-only or full disk, a `dvc` that has just been killed
        address = address or _address(os.getppid())
    if address and (connection := _connect(address)):
        _delegate(connection, StageJob(spec.name, command[3:], dict(os.environ)))


def _address(dvc: int) -> str:
    """The socket of the server for this `dvc repro`, which its second stage launches; before, there is none.

    Raises:
        OSError: `dvc` is gone, or the folder of the sockets is not ours alone.
    """
    if not _runs_many(dvc):
        return ""
    servers = Path(tempfile.gettempdir()) / f"roadmap-{os.getuid()}"
    servers.mkdir(mode=0o700, exist_ok=True)
    if servers.is_symlink() or servers.stat().st_uid != os.getuid() or servers.stat().st_mode & 0o077:
        raise PermissionError(servers)
    started = Path(f"/proc/{dvc}/stat").read_text().rpartition(")")[2].split()[19]  # process ids are used again
    folder = servers / f"{dvc}-{started}"
    if (address := folder / "socket").exists():
        return str(address)
    if folder.exists():
        _launch(dvc, str(address))
    else:
        for old in servers.glob("*-*"):
            if not Path("/proc", old.name.partition("-")[0]).exists():
                shutil.rmtree(old, ignore_errors=True)
        folder.mkdir()
    return ""


def _runs_many(process: int) -> bool:
    """Whether it is a `dvc` that may run more than one stage."""
    words = Path(f"/proc/{process}/cmdline").read_text().split("\0")
    many = {"repro", "exp"} & set(words) and not {"-s", "--single-item"} & set(words)
    return bool(many) and "DVC_STAGE" in os.environ and "dvc" in [Path(word).name for word in words]


def _launch(dvc: int, address: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        command = [sys.executable, "-m", "roadmap.fork_server", str(dvc), str(listener.fileno())]
        silent: Any = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        subprocess.Popen(command, pass_fds=[listener.fileno()], start_new_session=True, **silent)


def _connect(address: str) -> socket.socket | None:
    """A connection to a server that has said that it is there."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(PATIENCE)
        connection.connect(address)
        if connection.recv(1):
            connection.settimeout(None)
            return connection
    except OSError:  # it is busy, or gone
        pass
    connection.close()
    return None


def _delegate(connection: socket.socket, job: StageJob) -> None:
    """Never returns."""
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)  # until there is a fork that they can be for
    socket.send_fds(connection, [b"\n"], [0, 1, 2])
    answers = connection.makefile("rw")
    print(json.dumps(job), file=answers, flush=True)
    fork = int(answers.readline() or -1)

    def forward(signum: int, frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(fork, signum)

    for signum in FORWARDED:
        signal.signal(signum, forward)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
    status = answers.readline()
    if not status:
        print("error: the fork server has gone, and the stage with it; run it again", file=sys.stderr)
        os._exit(1)
    if (code := os.waitstatus_to_exitcode(int(status))) < 0:
        if -code in FORWARDED:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


class ForkServer:
    """Forks for each connection to `listener` while the process `dvc` lives."""

    def __init__(self, dvc: int, listener: socket.socket) -> None:
        self.listener, self.address = listener, listener.getsockname()
        self.dvc = os.pidfd_open(dvc)
        self.forks: dict[int, Fork] = {}  # by the file descriptor that becomes readable when the fork ends
        self.selector = selectors.DefaultSelector()
        self.selector.register(listener, selectors.EVENT_READ)
        self.selector.register(self.dvc, selectors.EVENT_READ)

    def run(self) -> StageJob | None:
        """Returns the job in a fork, for the caller to do; and nothing in the server, at its end."""
        gc.disable()  # whatever is imported stays
        pending = list(PRELOAD)
        while self.dvc or self.forks:
            events = self.selector.select(0 if pending else None)
            if pending and not events:
                with contextlib.suppress(Exception):  # whoever needs it will say what is wrong with it
                    importlib.import_module(pending.pop(0))
            for key, _ in events:
                if key.fileobj is self.listener:
                    if job := self._accept():
                        return job
                elif key.fd == self.dvc:
                    self.selector.unregister(self.dvc)
                    self.dvc, pending = 0, []
                elif key.data in self.forks:
                    self._reap(key.data, abandoned=key.fd != key.data)
        shutil.rmtree(Path(self.address).parent, ignore_errors=True)
        return None

    def _accept(self) -> StageJob | None:
        connection, _ = self.listener.accept()
        connection.settimeout(PATIENCE)
        try:
            connection.sendall(b"\n")
            _, streams, _, _ = socket.recv_fds(connection, 1, 3)
            job = StageJob(*json.loads(connection.makefile().readline()))
        except (OSError, ValueError):  # it did not wait for us
            connection.close()
            return None
        gc.freeze()
        if not (pid := os.fork()):
            self.selector.close()
            _become(streams, {**job.environment, SWITCH: self.address})
            return job
        for stream in streams:
            os.close(stream)
        connection.sendall(f"{pid}\n".encode())
        pidfd = os.pidfd_open(pid)
        self.forks[pidfd] = Fork(pid, connection)
        self.selector.register(pidfd, selectors.EVENT_READ, pidfd)
        self.selector.register(connection, selectors.EVENT_READ, pidfd)
        return None

    def _reap(self, pidfd: int, abandoned: bool) -> None:
        pid, connection = self.forks.pop(pidfd)
        if abandoned:  # the stage that waited has been killed
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(OSError):
            connection.sendall(f"{status}\n".encode())
        self.selector.unregister(pidfd)
        self.selector.unregister(connection)
        os.close(pidfd)
        connection.close()


def _become(streams: list[int], environment: dict[str, str]) -> None:
    """Makes a fork look like a process that was started by whoever waits for it."""
    os.setpgid(0, 0)  # signals reach what it starts as well
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: never outlives the server, which alone can reap it
    for target, stream in enumerate(streams):
        os.dup2(stream, target)
        os.close(stream)
    os.environ.clear()
    os.environ.update(environment)
    gc.enable()


def main() -> None:
    dvc, listener = (int(word) for word in sys.argv[1:])
    if job := ForkServer(dvc, socket.socket(fileno=listener)).run():
        sys.argv[:] = [f"{job.module.replace('.', '/')}.py", *job.arguments]
        runpy.run_module(job.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
