"""A stage's tracker: sends to MLflow through a separate process (roadmap/tracking/process.py).

Importing MLflow takes seconds and its server may be slow or down; the stage never waits for either.
"""

import contextlib
import json
import subprocess
import sys
from typing import Any

from roadmap.config.schema import Run
from roadmap.io.json import JsonObject

PATIENCE = 300.0  # seconds to wait for the process at the end


class Tracker:
    """Sends events as JSON lines. Does nothing under tracking=none."""

    def __init__(self, run: Run) -> None:
        self.process: subprocess.Popen[str] | None = None
        if run.tracking["enabled"]:
            # The same overrides compose the same Run there.
            command = [sys.executable, "-m", "roadmap.tracking.process", *sys.argv[1:]]
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)

    def start(self, key: str, lineage: JsonObject) -> None:
        """A training begins or resumes: its run appears in MLflow."""
        self._send(start=key, lineage=lineage)

    def row(self, variant: str, row: dict[str, float]) -> None:
        self._send(variant=variant, row=row)

    def publish(self) -> None:
        """Completes the run from artifacts/<project>/ and waits for it."""
        self._send(publish=True)
        if self.process and self.process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                print(f"warning: MLflow took more than {PATIENCE:.0f} s; `register` will complete the run", flush=True)

    def _send(self, **message: Any) -> None:
        if self.process and self.process.stdin:
            with contextlib.suppress(BrokenPipeError):  # the process has printed why it ended
                self.process.stdin.write(json.dumps(message) + "\n")
                self.process.stdin.flush()
