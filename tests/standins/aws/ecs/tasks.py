"""A service's deployment, its tasks and the load balancer in front of them, for tests/standins/aws/ecs/server.py."""

import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import boto3

from tests.standins.protocol_server import Reply, Request

ROOT = Path(__file__).parents[4]
TRIES = 3  # tasks that do not become healthy, before the circuit breaker opens: ECS's least
PATIENCE = 20.0  # seconds for a task to become healthy


class Failed(Exception):
    """The reason for a rollback."""


class Task:
    """The container `serving` of a task definition, as a process."""

    def __init__(self, definition: dict[str, Any], cache: Path) -> None:
        [container] = [one for one in definition["containerDefinitions"] if one["name"] == "serving"]
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        environment = {one["name"]: one["value"] for one in container["environment"] if one["value"]}
        here = {"HOST": "127.0.0.1", "PORT": port, "SERVING_CACHE": str(cache)}
        kept = {key: one for key, one in os.environ.items() if not key.startswith("SERVING_")}
        self.address = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "serving"],
            cwd=ROOT, env={**kept, **environment, **here}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def ask(self, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        request = urllib.request.Request(self.address + path, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 502, b"{}"

    def healthy(self, stop: threading.Event, patience: float) -> bool:
        until = time.monotonic() + patience
        while time.monotonic() < until and self.process.poll() is None and not stop.is_set():
            if self.ask("/ready")[0] == 200:
                return True
            time.sleep(0.05)
        return False

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(30)


class Balancer:
    """Forwards requests to tasks by the current weights."""

    def __init__(self) -> None:
        self.outages = 0
        self.routed: list[dict[str, float]] = []
        self.tasks: dict[str, Task] = {}  # by task definition
        self.newest: str | None = None  # the target of rehearsal requests

    def route(self, **shares: float) -> None:
        self.routed.append({arn: share for arn, share in shares.items() if share})

    def forget(self) -> None:
        self.tasks, self.newest = {}, None
        self.routed.append({})

    def pass_on(self, request: Request, path: str) -> Reply:
        rehearsal = request.headers.get("X-Roadmap-Rehearsal") == "true"
        if self.outages and not rehearsal:
            self.outages -= 1
            return Reply(503, {"detail": "the test says so"})
        shares = self.routed[-1] if self.routed else {}
        if not shares:
            return Reply(503, {"detail": "no target"})
        arn = self.newest if rehearsal and self.newest else random.choices([*shares], [*shares.values()])[0]
        status, body = self.tasks[arn].ask(path, request.body or None)
        return Reply(status, body)


class Deployment(threading.Thread):
    """A canary deployment: new tasks, the canary's share, all requests; or a rollback."""

    def __init__(
        self, about: dict[str, Any], ecs: Any, service: dict[str, Any], before: str | None, after: str
    ) -> None:
        super().__init__(daemon=True)
        self.about, self.ecs, self.service, self.before, self.after = about, ecs, service, before, after
        self.front, self.stop = ecs.front, threading.Event()
        about["status"] = "PENDING"

    def run(self) -> None:
        config = self.about["deploymentConfiguration"]
        self.about["status"] = "IN_PROGRESS"
        try:
            self.stage("SCALE_UP")
            self.front.tasks[self.after] = self.task()
            self.front.newest = self.after
            self.stage("POST_TEST_TRAFFIC_SHIFT")
            self.stage("PRODUCTION_TRAFFIC_SHIFT")
            canary = config["canaryConfiguration"]
            if self.before:
                share = canary["canaryPercent"] / 100
                self.front.route(**{self.before: 1 - share, self.after: share})
                self.watch(canary["canaryBakeTimeInMinutes"])
            self.front.route(**{self.after: 1.0})
            self.stage("BAKE_TIME")
            self.watch(config["bakeTimeInMinutes"] if self.before else 0)
            self.stage("CLEAN_UP")
            self.about["status"] = "SUCCESSFUL"
            self.end(self.before)
        except Failed as failure:
            self.back(str(failure))

    def back(self, reason: str) -> None:
        self.about["status"] = "ROLLBACK_IN_PROGRESS" if self.before else "STOPPED"
        self.front.newest = self.before
        self.front.route(**({self.before: 1.0} if self.before else {}))
        self.end(self.after)
        if self.before:
            self.service["taskDefinition"] = self.before
            self.about["status"] = "ROLLBACK_SUCCESSFUL"
        self.about["statusReason"] = reason

    def stage(self, name: str) -> None:
        self.about["lifecycleStage"] = name
        self.watch(0)

    def task(self) -> Task:
        definition, patience = self.ecs.definitions[self.after], PATIENCE
        for _ in range(TRIES):
            task = Task(definition, Path(tempfile.mkdtemp(dir=self.ecs.scratch)))
            if task.healthy(self.stop, patience):
                return task
            task.end()
            self.watch(0)
            patience = 2.0  # no long wait for a task that failed to start before
        raise Failed("Service deployment rolled back because the circuit breaker threshold was exceeded.")

    def watch(self, minutes: float) -> None:
        """Waits; raises if an alarm fires or the deployment is stopped."""
        alarms = self.about["deploymentConfiguration"].get("alarms", {})
        names = alarms.get("alarmNames", []) if alarms.get("enable") else []
        cloudwatch = boto3.client("cloudwatch", endpoint_url=self.ecs.moto, region_name="us-east-1")
        until = time.monotonic() + minutes * 60 * self.ecs.scale
        while True:
            if self.stop.is_set():
                raise Failed("Service deployment rolled back because it was stopped.")
            found = cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"] if names and minutes else []
            if loud := [one["AlarmName"] for one in found if one["StateValue"] == "ALARM"]:
                raise Failed(f"Service deployment rolled back because alarm(s) went off: {', '.join(loud)}")
            if time.monotonic() >= until:
                return
            self.stop.wait(min(0.05, max(0.0, until - time.monotonic())))

    def end(self, revision: str | None) -> None:
        if revision and (task := self.front.tasks.pop(revision, None)):
            task.end()

    def close(self) -> None:
        self.stop.set()
        self.join(60)
        self.end(self.after)
