"""python -m infra.smoke [project]: tests the four entry points of a running `make up`.

    dvc      a stage of the project in a worker's environment, pushed to the object store
    airflow  its DAG, triggered over REST and followed to success
    deploy   the champion is served in its registered version
    http     prediction of the bundle's example through the proxy

The default project is house_prices, the fastest. Prints a row for each; exit code 1 if one fails, with the reason.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable

from infra.airflow.trigger import Client, TriggerError
from infra.compose.stack import ComposeError, Stack
from roadmap.io import command_line
from roadmap.io.errors import USAGE, CommandError
from roadmap.io.http import HttpError, ask, basic

WORKER = "airflow-worker"
SECONDS = 600.0  # timeout per entry point


class DoorClosed(CommandError):
    """An entry point failed; the message has the reason."""


class Doors:
    def __init__(self, stack: Stack, project: str) -> None:
        self.stack, self.project = stack, project
        self.bundle = ""  # the registered version

    def dvc(self) -> str:
        """The stage runs and its outputs are in the remote.

        Raises:
            DoorClosed: it does not.
        """
        stage = f"prepare@{self.project}"
        self.worker("dvc", "repro", stage)  # with its upstream stages
        self.worker("dvc", "push", stage)
        output = self.worker("dvc", "status", "--cloud", stage)
        if "in sync" not in output:
            raise DoorClosed(f"{stage}: not in the remote:  {output.strip()[:300]}")
        return f"{stage} ran, and the remote has it"

    def airflow(self) -> str:
        """The project's DAG runs to success.

        Raises:
            DoorClosed: it does not.
        """
        client = Client(f"{self.stack.url}/airflow", "admin", self.stack.env["AIRFLOW_PASSWORD"])
        until = time.monotonic() + SECONDS
        while True:  # a fresh Airflow takes a moment to parse the DAGs
            try:
                run = client.trigger(self.project, {"deploy": "none"})
                break
            except TriggerError as error:
                if "404" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(2)
        while (state := client.state(self.project, run)) not in ("success", "failed"):
            if time.monotonic() > until:
                raise DoorClosed(f"{self.project} is {state} after {SECONDS:.0f} s")
            time.sleep(1)
        tasks = {task["task_id"]: task for task in client.tasks(self.project, run)}
        if failed := [name for name, task in tasks.items() if task["state"] == "failed"]:
            lines = client.log(self.project, run, failed[0], tasks[failed[0]]["try_number"])
            raise DoorClosed("\n".join([f"{failed[0]} failed; its last lines:", *(f"  {line}" for line in lines[-8:])]))
        if state == "failed":
            raise DoorClosed(f"{run} failed")
        return f"{len(tasks)} tasks"

    def deploy(self) -> str:
        """`serving` has the champion: by polling, or by a deployment if it follows a stage.

        Raises:
            DoorClosed: it has not.
        """
        path = f"/mlflow/api/2.0/mlflow/registered-models/alias?name={self.project}&alias=champion"
        version = json.loads(self.get(path, login=True))["model_version"]
        self.bundle = {tag["key"]: tag["value"] for tag in version.get("tags", ())}["bundle"]
        alias = self.stack.env.get("SERVING_ALIAS", "champion")
        if alias == "champion":
            what = ["target=server", f"project={self.project}", f"bundle={self.bundle}"]
            return last(self.worker("python", "-m", "infra.deploy", *what))
        what = ["target=compose", f"project={self.project}", f"stage={alias}", "bake=2"]
        done = subprocess.run([sys.executable, "-m", "infra.deploy", *what], capture_output=True, text=True)
        if done.returncode:
            raise DoorClosed(last(done.stderr))
        return last(done.stdout)

    def http(self) -> str:
        """The prediction of the example through the proxy.

        Raises:
            DoorClosed: it fails, or is of another version.
        """
        example = json.loads(self.worker("cat", f"artifacts/{self.project}/bundle/example.json"))
        answer = json.loads(self.get(f"/models/{self.project}/predict", {"inputs": example}))
        if len(answer["outputs"]) != len(example) or answer["model"]["version"] != self.bundle:
            raise DoorClosed(f"{len(example)} inputs for version {self.bundle}: found {str(answer)[:300]}")
        return f"{len(example)} inputs, version {answer['model']['version']}"

    # ---------------------------------------------------------------- helpers

    def worker(self, *command: str) -> str:
        """The output of a command in the worker's checkout and environment."""
        program = "/repository/infra/compose/airflow.sh"
        return self.stack.run("exec", "-T", WORKER, program, "run", *command, seconds=SECONDS)

    def get(self, path: str, body: object = None, login: bool = False) -> bytes:
        """The content of a response of the proxy; to a POST if there is a body.

        Raises:
            DoorClosed: it is unreachable, or answers with an error.
        """
        headers = basic("admin", self.stack.env["WEB_PASSWORD"]) if login else {}
        try:
            return ask(self.stack.url + path, body, headers=headers, seconds=60).content
        except HttpError as error:
            hint = "; start it with `make up`" if error.status is None else ""
            raise DoorClosed(f"{error}{hint}") from None


def last(output: str) -> str:
    return (output.strip().splitlines() or [""])[-1]


def targets(doors: Doors) -> list[str]:
    """The scrape targets of Prometheus and their health."""
    found = json.loads(doors.get("/prometheus/api/v1/targets?state=active", login=True))["data"]["activeTargets"]
    return [f"  {one['labels']['job']:<12} {one['health']:<6} {one['scrapeUrl']}  {one['lastError']}" for one in found]


class Options(command_line.Options):
    project: str = command_line.positional("the quickest", default="house_prices")


def smoke(options: Options) -> int:
    """Tests every entry point; returns the exit code.

    Raises:
        ComposeError: the worker is not running.
    """
    shut = 0
    doors = Doors(Stack(), options.project)
    opened: list[Callable[[], str]] = [doors.dvc, doors.airflow, doors.deploy, doors.http]
    if WORKER not in {one.service for one in doors.stack.states() if one.state == "running"}:
        raise ComposeError(f"{WORKER} is not running; start it with `make up`", USAGE)
    for door in opened:
        started = time.monotonic()
        try:
            mark, output = "✓", door()
        except (DoorClosed, TriggerError, ComposeError, KeyError) as error:
            mark, output, shut = "✗", f"{type(error).__name__}: {error}", shut + 1
        print(f"{mark} {door.__name__:<8} {time.monotonic() - started:6.1f} s  {output}", flush=True)
    print("\n".join(["Prometheus asks:", *targets(doors)]))
    return 1 if shut else 0


def main(argv: list[str]) -> int:
    return command_line.run({"": (Options, smoke)}, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
