"""A stage's tracker: sends to MLflow and Weights & Biases through a process each.

Importing them takes seconds and their servers may be slow or down; the stage never waits for either. It writes JSON
lines to their standard input:

{"start": key, "lineage": {...}}    a training begins
{"variant": name, "row": {...}}     an epoch has ended
{"publish": true}                   the artifacts are complete
"""

import contextlib
import importlib.util
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Protocol

from roadmap.config.schema import Run
from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject

PATIENCE = 300.0  # seconds to wait for the processes at the end


class Tracker:
    """Does nothing under tracking=none.

    Raises:
        UsageError: tracking=wandb, and its package is not installed.
    """

    def __init__(self, run: Run) -> None:
        if run.tracking.wandb and importlib.util.find_spec("wandb") is None:
            raise UsageError(
                "tracking=wandb: the package wandb is not installed; `pip install -e '.[wandb]'`, or tracking=mlflow"
            )
        self.processes: dict[str, subprocess.Popen[str]] = {}
        for name, title in (("mlflow", "MLflow"), ("wandb", "Weights & Biases")):
            if getattr(run.tracking, name):
                # The same overrides compose the same Run there.
                command = [sys.executable, "-m", f"roadmap.tracking.{name}_process", *sys.argv[1:]]
                self.processes[title] = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)

    def start(self, key: str, lineage: JsonObject) -> None:
        """A training begins or resumes: its run appears."""
        self._send(start=key, lineage=lineage)

    def row(self, variant: str, row: dict[str, float]) -> None:
        self._send(variant=variant, row=row)

    def publish(self) -> None:
        """Completes the run from artifacts/<project>/ and waits for it."""
        self._send(publish=True)
        for process in self.processes.values():
            if process.stdin:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
        for title, process in self.processes.items():
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                print(f"warning: {title} took more than {PATIENCE:.0f} s and has been stopped", flush=True)

    def _send(self, **message: Any) -> None:
        for process in self.processes.values():
            if process.stdin:
                with contextlib.suppress(BrokenPipeError):  # the process has printed why it ended
                    process.stdin.write(json.dumps(message) + "\n")
                    process.stdin.flush()


class Writer(Protocol):
    """What a tracking process does with the events of a stage."""

    def start(self, key: str, lineage: JsonObject) -> None: ...
    def row(self, variant: str, row: dict[str, float]) -> None: ...
    def publish(self) -> None: ...

    def close(self) -> None:
        """The stage has ended; without `publish`, it was stopped."""


def copy_events(writer: Callable[[], Writer], remedy: str) -> None:
    """The main loop of a tracking process; what goes wrong is one line with the remedy and never stops the stage."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the stage, whose end closes our input
    try:
        copy = writer()
        for line in sys.stdin:
            message = json.loads(line)
            if "start" in message:
                copy.start(message["start"], message["lineage"])
            elif "row" in message:
                copy.row(message["variant"], message["row"])
            else:
                copy.publish()
        copy.close()
    except Exception as error:  # requests, SQLAlchemy, MLflow and wandb each raise their own
        print(
            f"warning: {str(error).splitlines()[0]}; the stage continues and nothing is lost: {remedy}",
            flush=True,
        )
