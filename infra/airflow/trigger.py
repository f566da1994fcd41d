"""Triggers a DAG of this checkout's Airflow and waits for it: `python -m infra.airflow.trigger mnist profile=full`.

The arguments after the DAG are the values of its trigger form; `overrides` may be repeated, for instance
overrides=projects.mnist.model.lr=0.01. Exit code 1 if the run fails. AIRFLOW_URL, AIRFLOW_USER and AIRFLOW_PASSWORD
select another server; the default is that of `make airflow`.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from roadmap.io import command_line, http
from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject

ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")


class TriggerError(UsageError):
    """Triggering failed; the message is Airflow's."""


class Client:
    """A client of Airflow's REST API, which gets its own token."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url.rstrip("/")
        self.token = ""
        self.token = self.ask("/auth/token", {"username": user, "password": password})["access_token"]

    @classmethod
    def here(cls) -> "Client":
        """The client of this checkout's Airflow, or of the one in AIRFLOW_URL.

        Raises:
            TriggerError: there is no password, or Airflow is unreachable or rejects it.
        """
        port, home = os.environ.get("AIRFLOW_PORT", "8080"), Path(os.environ.get("AIRFLOW_HOME", ".airflow"))
        password = os.environ.get("AIRFLOW_PASSWORD")
        if password is None:
            try:
                password = json.loads((home / "passwords.json").read_bytes())["admin"]
            except OSError:
                raise TriggerError(f"{home / 'passwords.json'}: missing; start Airflow with `make airflow`") from None
        url = os.environ.get("AIRFLOW_URL", f"http://localhost:{port}")
        return cls(url, os.environ.get("AIRFLOW_USER", "admin"), password)

    def ask(self, path: str, body: object = None, method: str | None = None) -> JsonObject:
        """The response to `path`; to a POST of the body as JSON, if there is one.

        Raises:
            TriggerError: Airflow is unreachable or rejects the request.
        """
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            return http.ask(self.url + path, body, method=method, headers=headers, seconds=60).json()
        except http.HttpError as error:
            if error.status is None:
                raise TriggerError(f"{error}; start it with `make airflow`") from None
            detail = error.detail
            with contextlib.suppress(ValueError, KeyError, TypeError):
                detail = json.loads(detail)["detail"]
            raise TriggerError(f"{error.status} {path}: {detail}") from None

    def trigger(self, dag: str, conf: Mapping[str, object] | None = None, logical_date: str | None = None) -> str:
        """Starts a run and returns its id."""
        body = {"logical_date": logical_date, "conf": conf or {}}
        return self.ask(f"/api/v2/dags/{dag}/dagRuns", body)["dag_run_id"]

    def state(self, dag: str, run: str) -> str:
        return self.ask(f"/api/v2/dags/{dag}/dagRuns/{run}")["state"]

    def tasks(self, dag: str, run: str) -> list[JsonObject]:
        return self.ask(f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances?limit=1000")["task_instances"]

    def result(self, dag: str, run: str, task: str) -> JsonObject | list[JsonObject]:
        """The return value of a task, its XCom: an object, or a list of them."""
        path = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}/xcomEntries/return_value"
        return self.ask(path)["value"]

    def log(self, dag: str, run: str, task: str, number: int = 1) -> list[str]:
        """The lines of a task's log."""
        content = self.ask(f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}/logs/{number}?full_content=true")
        return [line["event"] if isinstance(line, dict) else str(line) for line in content["content"]]


def conf(arguments: list[str]) -> JsonObject:
    """`key=value` as values of the trigger form.

    Raises:
        TriggerError: an argument has no value.
    """
    found: JsonObject = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals:
            raise TriggerError(f"{argument!r}: expected key=value, such as profile=full")
        if key == "overrides":
            found.setdefault(key, []).append(value)
        else:
            found[key] = {"true": True, "false": False}.get(value, value)
    return found


def follow(client: Client, dag: str, run: str) -> str:
    """Prints each finished task, and returns the state of the run."""
    seen: set[str] = set()
    while True:
        state = client.state(dag, run)
        for task in client.tasks(dag, run):
            if task["state"] in ENDED and task["task_id"] not in seen:
                seen.add(task["task_id"])
                print(f"  {task['task_id']:<28} {task['state']:<8} {task['duration'] or 0:6.1f} s", flush=True)
        if state in ("success", "failed"):
            return state
        time.sleep(1)


class Options(command_line.OpenOptions):
    dag: str = command_line.positional("which")
    overrides: list[str] = Field(default=[], description="of params.yaml; may be repeated")


def trigger(options: Options) -> int:
    client = Client.here()
    started = time.monotonic()
    given = [f"{key}={value}" for key, value in (options.model_extra or {}).items()]
    run = client.trigger(options.dag, conf([*given, *(f"overrides={one}" for one in options.overrides)]))
    print(f"{client.url}/dags/{options.dag}/runs/{run}")
    state = follow(client, options.dag, run)
    print(f"{options.dag}: {state} after {time.monotonic() - started:.0f} s")
    return 0 if state == "success" else 1


if __name__ == "__main__":
    sys.exit(command_line.run({"": (Options, trigger)}, __doc__, sys.argv[1:]))
