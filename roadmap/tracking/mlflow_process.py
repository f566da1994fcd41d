"""The process that writes to MLflow."""

import time
from typing import Any

from roadmap.config.schema import Run
from roadmap.config.stage import stage
from roadmap.io.json import JsonObject
from roadmap.tracking.mlflow import connect, ensure_run, log_rows, publish
from roadmap.tracking.tracker import copy_events

FLUSH_SECONDS = 2.0


class MlflowWriter:
    """Batches rows, and records MLflow's system metrics during training."""

    def __init__(self, run: Run) -> None:
        self.run, self.client = run, connect()
        self.run_id: str | None = None
        self.monitor: Any = None
        self.rows: list[tuple[str, dict[str, float]]] = []
        self.flushed = time.monotonic()

    def start(self, key: str, lineage: JsonObject) -> None:
        self.run_id = ensure_run(self.client, self.run, key, lineage)  # a resumed training continues its run
        self.client.update_run(self.run_id, status="RUNNING")
        if self.run.tracking.system_metrics:
            from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

            self.monitor = SystemMetricsMonitor(self.run_id, sampling_interval=1, samples_before_logging=1)
            self.monitor.start()

    def row(self, variant: str, row: dict[str, float]) -> None:
        self.rows.append((variant, row))
        if time.monotonic() - self.flushed > FLUSH_SECONDS:
            self.flush()

    def publish(self) -> None:
        self._close("FINISHED")
        publish(self.client, self.run)

    def close(self) -> None:
        self._close("KILLED")  # a no-op if the stage completed

    def flush(self) -> None:
        if self.run_id:
            log_rows(self.client, self.run_id, self.rows)
        self.rows, self.flushed = [], time.monotonic()

    def _close(self, status: str) -> None:
        self.flush()
        if self.monitor:
            self.monitor.finish()
            self.monitor = None
        if self.run_id:
            self.client.set_terminated(self.run_id, status)
            self.run_id = None


@stage
def main(run: Run) -> None:
    copy_events(
        lambda: MlflowWriter(run),
        f"`python -m pipelines.register project={run.name}` logs this run once MLflow is reachable",
    )


if __name__ == "__main__":
    main()
