"""The process that writes to MLflow; roadmap/tracking/tracker.py starts it. It reads JSON lines from standard input:

{"start": key, "lineage": {...}}    a training begins
{"variant": name, "row": {...}}     an epoch has ended
{"publish": true}                   the artifacts are complete
"""

import json
import signal
import sys
import time
from typing import Any

from roadmap.config.schema import Run
from roadmap.config.stage import stage
from roadmap.io.json import JsonObject
from roadmap.tracking.mlflow import connect, ensure_run, log_rows, publish

FLUSH_SECONDS = 2.0


class TrackingWriter:
    """Batches rows, and records MLflow's system metrics during training."""

    def __init__(self, run: Run) -> None:
        self.run, self.client = run, connect()
        self.run_id: str | None = None
        self.monitor: Any = None
        self.rows: list[tuple[str, dict[str, float]]] = []
        self.flushed = time.monotonic()

    def take(self, message: JsonObject) -> None:
        if "start" in message:
            self.start(message["start"], message["lineage"])
        elif "row" in message:
            self.rows.append((message["variant"], message["row"]))
            if time.monotonic() - self.flushed > FLUSH_SECONDS:
                self.flush()
        else:
            self.close("FINISHED")
            publish(self.client, self.run)

    def start(self, key: str, lineage: JsonObject) -> None:
        self.run_id = ensure_run(self.client, self.run, key, lineage)  # a resumed training continues its run
        self.client.update_run(self.run_id, status="RUNNING")
        if self.run.tracking["system_metrics"]:
            from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

            self.monitor = SystemMetricsMonitor(self.run_id, sampling_interval=1, samples_before_logging=1)
            self.monitor.start()

    def flush(self) -> None:
        if self.run_id:
            log_rows(self.client, self.run_id, self.rows)
        self.rows, self.flushed = [], time.monotonic()

    def close(self, status: str) -> None:
        self.flush()
        if self.monitor:
            self.monitor.finish()
            self.monitor = None
        if self.run_id:
            self.client.set_terminated(self.run_id, status)
            self.run_id = None


@stage
def main(run: Run) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the stage, whose end closes our input
    try:
        recorder = TrackingWriter(run)
        for line in sys.stdin:
            recorder.take(json.loads(line))
        recorder.close("KILLED")  # a no-op if the stage completed
    except Exception as error:  # requests, SQLAlchemy and MLflow each raise their own
        print(
            f"warning: {str(error).splitlines()[0]}; the stage continues and nothing is lost: "
            f"`python -m pipelines.register project={run.name}` logs this run once MLflow is reachable",
            flush=True,
        )


if __name__ == "__main__":
    main()
