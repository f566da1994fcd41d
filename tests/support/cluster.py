"""Airflow on more than one machine: PostgreSQL, Redis, an S3 server as DVC's remote, an MLflow server, two workers.

Each worker has its own checkout; they start empty, and share only those servers.
"""

import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from infra.airflow.trigger import Client
from tests.support.checkouts import BIN, ROOT, Checkout, checkout, environment
from tests.support.servers import free_port

AIRFLOW = ROOT / ".venv-airflow"
POSTGRES = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/usr/lib/postgresql"))
MISSING = [
    str(path)
    for path in (
        AIRFLOW / "bin" / "airflow",
        POSTGRES / "postgres",
        Path(shutil.which("redis-server") or "redis-server"),
    )
    if not path.exists()
]
PROJECT = "titanic"  # the quickest project stands for all
OWNER = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
PATIENCE = 600.0  # seconds


def wait_for(what: str, ready: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    until = time.monotonic() + seconds
    while True:
        with contextlib.suppress(Exception):
            if found := ready():
                return found
        if time.monotonic() > until:
            pytest.fail(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.5)


def end(process: "subprocess.Popen[bytes]", number: int = signal.SIGTERM) -> None:
    """Ends the process and its descendants, in any process group."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(number)
        for one in psutil.wait_procs(family, 15)[1]:
            one.kill()
    process.wait(15)


@dataclass
class Cluster:
    client: Client
    workers: dict[str, "subprocess.Popen[bytes]"]
    folders: dict[str, Path]
    origin: Checkout

    def start(self, dag: str, **conf: Any) -> str:
        return self.client.trigger(dag, conf)

    def succeeds(self, dag: str, run: str) -> dict[str, Any]:
        """The results of a successful run, by task."""
        state = wait_for(
            f"{dag} {run}", lambda: self.client.state(dag, run) in ("success", "failed") and self.client.state(dag, run)
        )
        tasks = {task["task_id"]: task for task in self.client.tasks(dag, run)}
        bad = {name: task["state"] for name, task in tasks.items() if task["state"] != "success"}
        assert state == "success" and not bad, self.complaint(dag, run, bad)
        return {name: self.client.result(dag, run, name) for name in tasks}

    def complaint(self, dag: str, run: str, bad: dict[str, str]) -> str:
        first = next((name for name, state in bad.items() if state == "failed"), "")
        log = self.client.log(dag, run, first, self.tries(dag, run, first)) if first else []
        return "\n".join([f"{dag} {run}: {bad}", *log[-40:]])

    def tries(self, dag: str, run: str, task: str) -> int:
        return next(found["try_number"] for found in self.client.tasks(dag, run) if found["task_id"] == task)

    def worker(self, result: dict[str, Any]) -> str:
        """The worker in whose checkout, or clone, a task ran."""
        folder = Path(result["where"].partition(":")[2])
        return next(name for name, root in self.folders.items() if root == folder or root in folder.parents)


@contextlib.contextmanager
def started(base: Path, s3_server: str) -> Iterator[Cluster]:
    """A cluster in the folder `base`, until the block ends."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # the S3 server's log would bury a test's output
    database = Path(tempfile.mkdtemp(prefix="postgres-"))
    ports = {name: free_port() for name in ("postgres", "redis", "mlflow", "airflow", "logs", "other logs")}
    running: list[subprocess.Popen[bytes]] = []

    def run(name: str, *command: str, cwd: Path = base, **options: Any) -> "subprocess.Popen[bytes]":
        with (base / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **options
            )
        running.append(process)
        return process

    try:
        # the servers
        shutil.chown(database, OWNER) if OWNER else None
        subprocess.run(
            [str(POSTGRES / "initdb"), "-D", str(database / "data"), "-U", "airflow", "--auth=trust", "--no-sync"],
            cwd=database, user=OWNER, check=True, capture_output=True,
        )  # fmt: skip
        run(
            "postgres", str(POSTGRES / "postgres"), "-D", "data", "-p", str(ports["postgres"]), "-k", str(database),
            "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", cwd=database, user=OWNER,
        )  # fmt: skip
        run("redis", "redis-server", "--bind", "127.0.0.1", "--port", str(ports["redis"]), "--save", "")
        mlflow = f"http://127.0.0.1:{ports['mlflow']}"
        run(
            "mlflow", str(BIN / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(ports["mlflow"]),
            "--workers", "1", "--backend-store-uri", f"sqlite:///{base}/mlflow.db",
            "--artifacts-destination", str(base / "mlruns"),
            env=environment(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"),
        )  # fmt: skip
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
        bucket = urllib.request.Request(f"{s3_server}/airflow", method="PUT")
        urllib.request.urlopen(bucket, timeout=30).close()

        # the checkouts: the origin, the scheduler's, and one for each worker
        origin = Checkout(checkout(base / "origin"))
        params = yaml.safe_load(origin.path("params.yaml").read_text())
        params["projects"] = {PROJECT: params["projects"][PROJECT]}
        origin.path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
        origin.run("git", "commit", "-q", "-a", "-m", "one project")
        folders = {name: base / name for name in ("scheduler", "ada", "ben")}
        for folder in folders.values():
            origin.run("git", "clone", "-q", str(origin.folder), str(folder))
            (folder / ".venv").symlink_to(BIN.parent)
            (folder / ".venv-airflow").symlink_to(AIRFLOW)
            clone = Checkout(folder)
            for key, value in (("user.name", "test"), ("user.email", "test@example.org")):
                clone.run("git", "config", key, value)
            clone.run("dvc", "remote", "add", "-q", "--local", "--default", "shared", "s3://airflow/dvc")
            clone.run("dvc", "remote", "modify", "-q", "--local", "shared", "endpointurl", s3_server)

        # Airflow
        wait_for("postgres", lambda: socket.create_connection(("127.0.0.1", ports["postgres"])))
        where = ["-h", "127.0.0.1", "-p", str(ports["postgres"]), "-U", "airflow"]
        create = [str(POSTGRES / "createdb"), *where, "airflow"]
        wait_for("createdb", lambda: subprocess.run(create, capture_output=True, check=True))
        address = f"http://localhost:{ports['airflow']}"
        settings = {
            **{key: value for key, value in environment(**keys).items() if not key.startswith("AIRFLOW")},
            "AIRFLOW_PORT": str(ports["airflow"]),
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://airflow@127.0.0.1:{ports['postgres']}/airflow",
            "AIRFLOW__CELERY__BROKER_URL": f"redis://127.0.0.1:{ports['redis']}/0",
            "AIRFLOW__API__SECRET_KEY": "a secret of this test, as long as a key of HS512 should be: 64 bytes",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(ports["logs"]),
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
            "MLFLOW_TRACKING_URI": mlflow,
            "DVC_EXP_AUTO_PUSH": "true",
            "DVC_EXP_GIT_REMOTE": str(origin.folder),
        }
        run("up", "infra/airflow/up.sh", cwd=folders["scheduler"], env=settings)
        passwords = folders["scheduler"] / ".airflow" / "passwords.json"
        wait_for("up.sh", lambda: urllib.request.urlopen(f"{address}/api/v2/version", timeout=5).status == 200)
        wait_for("mlflow", lambda: urllib.request.urlopen(f"{mlflow}/health", timeout=5).status == 200)
        workers = {
            "ada": run(
                "ada", "infra/airflow/worker.sh", "--celery-hostname", "ada", cwd=folders["ada"], env=settings,
            ),
            "ben": run(
                "ben", "infra/airflow/worker.sh", "--celery-hostname", "ben", cwd=folders["ben"],
                env={**settings, "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(ports["other logs"])},
            ),
        }  # fmt: skip
        client = Client(address, "admin", json.loads(passwords.read_bytes())["admin"])
        wait_for("the DAGs", lambda: client.ask("/api/v2/dags/roadmap"))
        yield Cluster(client, workers, folders, origin)
    finally:
        for process in reversed(running):
            end(process)
        shutil.rmtree(database, ignore_errors=True)
