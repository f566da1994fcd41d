"""Shared by the tests of dags/: Airflow's environment, a running Airflow, and a receiver of alerts."""

import contextlib
import hashlib
import http.server
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from infra.airflow.trigger import Client, TriggerError
from tests.support.checkouts import BIN, ROOT
from tests.support.checkouts import environment as project_environment
from tests.support.servers import Running, free_port

VENV = ROOT / ".venv-airflow"
needed = pytest.mark.skipif(
    not (VENV / "ready").exists(), reason="needs .venv-airflow: run `make test-all`, which makes it"
)


def environment(home: Path, **changes: str) -> dict[str, str]:
    kept = {key: value for key, value in project_environment().items() if not key.startswith("AIRFLOW")}
    return {**kept, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", **changes}


def python(code: str, folder: Path, home: Path, *arguments: str, **env: str) -> str:
    """The last line that `code` prints, run by Airflow's Python in `folder`."""
    done = subprocess.run(
        [str(VENV / "bin" / "python"), "-c", code, *arguments],
        cwd=folder, env=environment(home, **env), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().splitlines()[-1]


class Listener(http.server.ThreadingHTTPServer):
    """Responds with `status`, and records each request's type and body."""

    daemon_threads = True

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = status
        self.received: list[tuple[str | None, bytes]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Listener

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.received.append((self.headers.get("Content-Type"), body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD = do_POST = do_PUT = answer

    def log_message(self, *_: Any) -> None:
        """Keeps requests out of the tests' output."""


@contextmanager
def listening(status: int = 200) -> Iterator[Listener]:
    listener = Listener(status)
    threading.Thread(target=listener.serve_forever).start()
    try:
        yield listener
    finally:
        listener.shutdown()
        listener.server_close()


def moved(source: Path, target: Path) -> None:
    """MLflow's store has absolute paths: rewrites them for the copy of a checkout."""
    with contextlib.closing(sqlite3.connect(target / "mlflow.db")) as database, database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for _, column, kind, *_ in database.execute(f"PRAGMA table_info({table})").fetchall():
                if kind.startswith(("VARCHAR", "TEXT")):
                    words = {"old": f"{source}/", "new": f"{target}/"}
                    database.execute(
                        f"UPDATE {table} SET {column} = replace({column}, :old, :new) WHERE instr({column}, :old)",
                        words,
                    )


class Airflow:
    """What `make airflow` starts, in a checkout and with its own home."""

    def __init__(self, folder: Path, home: Path, **env: str) -> None:
        self.folder, self.home, self.port = folder, home, free_port()
        for name, venv in ((".venv", BIN.parent), (".venv-airflow", VENV)):
            (folder / name).symlink_to(venv)
        self.env = environment(
            home, AIRFLOW_PORT=str(self.port), AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT=str(free_port()),
            AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT=str(free_port()), **env,
        )  # fmt: skip
        self.log = home.with_suffix(".log")
        self.restarted: subprocess.Popen[bytes] | None = None
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [str(folder / "infra" / "airflow" / "up.sh")],
                cwd=folder, env=self.env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def connect(self, seconds: float = 600) -> Client:
        """Waits until it responds, its scheduler is alive and its DAGs are parsed."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                password = json.loads((self.home / "passwords.json").read_text())["admin"]
                client = Client(f"http://localhost:{self.port}", "admin", password)
                health = client.ask("/api/v2/monitor/health")
                known = client.ask("/api/v2/dags?limit=100")["total_entries"]
                if known and {health[name]["status"] for name in ("scheduler", "dag_processor")} == {"healthy"}:
                    self.client = client
                    return client
            except (OSError, ValueError, TriggerError):
                pass
            if time.monotonic() > deadline or self.process.poll() is not None:
                pytest.fail(f"Airflow did not start: {self.log.read_text()[-3000:]}")
            time.sleep(0.5)

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGINT)  # like Ctrl-C
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        for one in self.family():
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        for process in filter(None, (self.process, self.restarted)):
            process.wait(20)

    def family(self) -> list[psutil.Process]:
        """All processes that run in the checkout."""
        found = []
        for one in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if Path(one.cwd()).is_relative_to(self.folder) and one.pid != os.getpid():
                    found.append(one)
        return found

    def scheduler(self) -> psutil.Process:
        if self.restarted is not None:
            return psutil.Process(self.restarted.pid)
        found = psutil.Process(self.process.pid).children(recursive=True)
        return next(one for one in found if "scheduler" in one.cmdline()[-1:])

    def kill_scheduler(self, everything: bool) -> Callable[[], None]:
        """Kills it, and optionally its children; returns a function that restarts it."""
        scheduler = self.scheduler()
        command, env = scheduler.cmdline(), scheduler.environ()
        children = scheduler.children(recursive=True)
        for one in [scheduler, *(children if everything else [])]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        if self.restarted is not None:
            self.restarted.wait()

        def start() -> None:
            with self.log.open("a") as log:
                self.restarted = subprocess.Popen(
                    command, cwd=self.folder, env=env, stdout=log, stderr=subprocess.STDOUT
                )

        return start

    # ---------------------------------------------------------------- runs

    def wait(self, dag: str, run: str, seconds: float = 900) -> str:
        """The final state of the run."""
        deadline = time.monotonic() + seconds
        while (state := self.client.state(dag, run)) not in ("success", "failed"):
            if time.monotonic() > deadline:
                states = {task["task_id"]: task["state"] for task in self.client.tasks(dag, run)}
                pytest.fail(f"{dag} {run} is {state} after {seconds:.0f} s: {states}")
            time.sleep(0.5)
        return state

    def succeeds(self, dag: str, run: str, seconds: float = 900) -> dict[str, Any]:
        """Waits for the run to succeed; returns each task's result."""
        if self.wait(dag, run, seconds) != "success":
            failed = [task["task_id"] for task in self.client.tasks(dag, run) if task["state"] == "failed"]
            pytest.fail(f"{dag}: {failed} failed: {self.client.log(dag, run, failed[0])[-30:] if failed else ''}")
        tasks = [task["task_id"] for task in self.client.tasks(dag, run)]
        return {task: self.client.result(dag, run, task) for task in tasks}

    def runs(self, dag: str, kind: str, seconds: float = 600) -> list[str]:
        """The runs of a DAG with this trigger; waits for the first."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.client.ask(f"/api/v2/dags/{dag}/dagRuns?limit=100")["dag_runs"]
            if ids := [run["dag_run_id"] for run in found if run["run_type"] == kind]:
                return ids
            assert time.monotonic() < deadline, f"no {kind} run of {dag}"
            time.sleep(0.5)

    def deployment(self, champion: dict[str, str], seconds: float = 600) -> str:
        """The run of `deploy` that this champion triggered."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for run in self.runs("deploy", "asset_triggered"):
                state = {task["task_id"]: task["state"] for task in self.client.tasks("deploy", run)}
                if state.get("champions") == "success" and champion in self.client.result("deploy", run, "champions"):
                    return run
            time.sleep(1)
        pytest.fail(f"{champion} was not deployed")

    def event(self, asset: str, **extra: Any) -> None:
        """Creates an external asset event."""
        found = self.client.ask(f"/api/v2/assets?name_pattern={asset}")["assets"]
        (number,) = [one["id"] for one in found if one["name"] == asset]
        self.client.ask("/api/v2/assets/events", {"asset_id": number, "extra": extra})

    # ---------------------------------------------------------------- the checkout

    def run(self, *command: str) -> str:
        done = subprocess.run(command, cwd=self.folder, env=project_environment(), capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def lock(self, address: str, text: str | None = None) -> str:
        """The hash of a stage's entry in dvc.lock, as in the tasks' results."""
        entry = yaml.safe_load(text or (self.folder / "dvc.lock").read_text())["stages"][address]
        return hashlib.md5(json.dumps(entry, sort_keys=True).encode()).hexdigest()

    def experiments(self) -> dict[str, Any]:
        """What `dvc exp show` has on each experiment."""
        shown = json.loads(self.run("dvc", "exp", "show", "--json"))
        return {one["name"]: one["revs"][0]["data"] for base in shown for one in base.get("experiments") or []}

    def card(self, experiment: str, project: str) -> dict[str, Any]:
        """The data card of an experiment, from DVC's cache."""
        references = self.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
        (reference,) = [one for one in references if one.endswith(f"/{experiment}")]
        lock = yaml.safe_load(self.run("git", "show", f"{reference}:dvc.lock"))
        (folder,) = [out["md5"] for out in lock["stages"][f"prepare@{project}"]["outs"]]
        cache = self.folder / ".dvc" / "cache" / "files" / "md5"
        files = {one["relpath"]: one["md5"] for one in json.loads((cache / folder[:2] / folder[2:]).read_text())}
        card = files["card.json"]
        return dict(json.loads((cache / card[:2] / card[2:]).read_text()))


@contextmanager
def serving(airflow: Airflow) -> Iterator[Running]:
    """The server of the checkout's bundles at the address that Airflow deploys to."""
    address = airflow.env["SERVING_URL"]
    log = airflow.home.with_name("serving.log")
    command = [sys.executable, "-m", "serving", "--port", address.rpartition(":")[2], "--bundles", "artifacts"]
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=airflow.folder, env=project_environment(), stdout=file, stderr=file)
    try:
        running = Running(process, address, log)  # type: ignore[arg-type]
        running.post("/health", None, patience=60)
        yield running
    finally:
        process.terminate()
        process.wait(30)
