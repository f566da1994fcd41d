"""Exports a monitoring run: to MLflow, and as gauges for Prometheus."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from roadmap.io.json import JsonObject
from roadmap.monitoring.verdict import BUDGET_DAYS, DriftReport
from roadmap.tracking.mlflow import experiment_id, metric_name

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from roadmap.bundle import Manifest

RETRAIN = "retrain"  # tag of monitoring runs that requested a retraining


def experiment(project: str) -> str:
    return f"{project}-monitor"


def retrainings(client: "MlflowClient", project: str, now: datetime) -> list[datetime]:
    """Times of the retrainings requested within the budget's period."""
    since = int((now - timedelta(days=BUDGET_DAYS)).timestamp() * 1000)
    query = f"tags.{RETRAIN} = 'yes' and attributes.start_time > {since}"
    runs = client.search_runs([experiment_id(client, experiment(project))], query, max_results=1000)
    return [datetime.fromtimestamp(run.info.start_time / 1000, UTC) for run in runs]


def log_run(client: "MlflowClient", project: str, verdict: DriftReport, about: JsonObject, folder: Path) -> None:
    """One MLflow run per monitoring run, with the gap of every column, so that MLflow charts them over time."""
    tags = {"verdict": verdict.verdict, "bundle": about["bundle"], RETRAIN: "yes" if about["retrain"] else "no"}
    run = client.create_run(experiment_id(client, experiment(project)), run_name=about["at"][:16], tags=tags)
    from mlflow.entities import Metric

    at = int(datetime.fromisoformat(about["at"]).timestamp() * 1000)
    values = {f"gap/{one.column}": one.gap for one in verdict.findings if one.kind == "values"}
    values |= {f"missing/{one.column}": one.gap for one in verdict.findings if one.kind == "missing"}
    values |= {"rows": about["rows"], "drifted": float(verdict.verdict == "drift")}
    if verdict.live is not None:
        values[f"live/{verdict.live.metric}"] = verdict.live.value
    metrics = [Metric(metric_name(name), float(value), at, 0) for name, value in values.items()]
    client.log_batch(run.info.run_id, metrics=metrics)
    client.log_artifacts(run.info.run_id, str(folder))
    client.set_terminated(run.info.run_id, "FINISHED")


def push(project: str, verdict: DriftReport, about: JsonObject, manifest: "Manifest", test: JsonObject) -> None:
    """Pushes to the Pushgateway in PROMETHEUS_PUSHGATEWAY: Prometheus can't scrape a job that ends.

    If it is unreachable, there is a warning; the result stands.
    """
    gateway = os.environ.get("PROMETHEUS_PUSHGATEWAY")
    if not gateway:
        return
    from prometheus_client import CollectorRegistry, Gauge, push_to_gateway

    registry = CollectorRegistry()
    for name, description, labels, value in gauges(project, verdict, about, manifest, test):
        known = registry._names_to_collectors.get(name)
        gauge = known if isinstance(known, Gauge) else Gauge(name, description, list(labels), registry=registry)
        gauge.labels(**labels).set(value)
    try:
        push_to_gateway(gateway, "roadmap_monitor", registry, {"project": project}, timeout=10)
    except OSError as error:
        print(f"warning: the Pushgateway at {gateway} rejected the metrics ({error})")


def gauges(
    project: str, verdict: DriftReport, about: JsonObject, manifest: "Manifest", test: JsonObject
) -> Iterator[tuple[str, str, dict[str, str], float]]:
    """Name, help, labels and value of each.

    about, test: verdict.json without the verdict, and the headline of metrics.json or nothing
    """
    labels = {"project": project}
    yield (
        "roadmap_drift_detected",
        "1 if the last monitoring run found drift",
        labels,
        float(verdict.verdict == "drift"),
    )
    yield "roadmap_monitor_rows", "predictions in the monitored window", labels, about["rows"]
    now = datetime.fromisoformat(about["at"]).timestamp()
    yield "roadmap_monitor_last_run_timestamp_seconds", "time of the last monitoring run", labels, now
    for one in verdict.findings:
        column = {**labels, "column": one.column if one.kind == "values" else f"{one.column} (missing)"}
        yield "roadmap_drift_statistic", "distance of a column to its reference, 0 to 1", column, one.gap
        yield "roadmap_drift_p_value", "p-value of a column's drift, corrected for all columns", column, one.p
    if verdict.live is not None:
        metric = {**labels, "metric": verdict.live.metric}
        yield "roadmap_live_score", "headline metric of labelled predictions", metric, verdict.live.value
    created = datetime.fromisoformat(manifest.created).timestamp()
    version = {**labels, "version": manifest.version}
    yield "roadmap_champion_created_timestamp_seconds", "time of the champion's training", version, created
    if test:
        labels = {**labels, "metric": test["name"], "profile": manifest.profile}
        yield "roadmap_test_score", "headline metric of the champion on the test rows", labels, test["value"]
