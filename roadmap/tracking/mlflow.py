"""MLflow tracking as a copy of the files in artifacts/.

All results of a run are in artifacts/<project>/ first: bundle/, history.csv, train.json, metrics.json and plots/.
`publish` completes the MLflow run from those files: after training, after evaluation, or in `register` if the store
was down or lost. process.py sends the live curves.
"""

import json
import logging
import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from roadmap.bundle import read_manifest
from roadmap.config.params import flat
from roadmap.config.schema import SHIPPED, Run
from roadmap.io.documents import read_json
from roadmap.io.errors import Unavailable, UsageError
from roadmap.io.json import JsonObject
from roadmap.tracking import local_store
from roadmap.training.history import read_history

if TYPE_CHECKING:
    import mlflow.entities
    from mlflow import MlflowClient

LINEAGE = ("source", "git_commit", "data_sha256", "params_sha256")


def store_uri() -> str:
    """MLFLOW_TRACKING_URI, or SQLite at the root of the checkout, also from DVC's temporary workspaces."""
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        return uri
    return local_store.address(root())


def root() -> Path:
    """The checkout; `dvc exp run --queue` works in <root>/.dvc/tmp/exps/..., which is removed afterwards."""
    here = Path.cwd()
    return next((p.parents[2] for p in here.parents if p.parts[-3:] == (".dvc", "tmp", "exps")), here)


def connect() -> "MlflowClient":
    """An MLflow client for `store_uri`, which fails within seconds if the store is down.

    Raises:
        Unavailable: the store is unreachable; the message has its address.
        UsageError: the store's file is none of MLflow's.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    mlflow.set_tracking_uri(store_uri())
    store = local_store.file_of(store_uri())
    new = store is not None and not store.exists() and not local_store.copy_empty(store)
    if store:
        local_store.require_database(store)
        local_store.follow_move(store)
    client = mlflow.MlflowClient()
    try:
        client.search_experiments(max_results=1)
    except Exception as error:  # requests, SQLAlchemy and MLflow each raise their own
        raise Unavailable(f"MLflow at {store_uri()} cannot be reached ({str(error).splitlines()[0][:200]})") from None
    if store and new:
        local_store.keep_empty(store)
    return client


def experiment_id(client: "MlflowClient", project: str) -> str:
    """One experiment per project, created on first use.

    Raises:
        UsageError: it has been deleted in MLflow, which keeps its name.
    """
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(project)
    if experiment is None:
        store = local_store.file_of(store_uri())
        try:
            place = local_store.artifacts(store, project) if store else None
            return client.create_experiment(project, artifact_location=place)
        except MlflowException:  # another process created it first
            experiment = client.get_experiment_by_name(project)
            assert experiment is not None
    if experiment.lifecycle_stage == "deleted":
        there = f"MLFLOW_TRACKING_URI={shlex.quote(store_uri())} mlflow"
        raise UsageError(
            f"MLflow: the experiment {project!r} (id {experiment.experiment_id}) has been deleted; bring it back with "
            f"`{there} experiments restore --experiment-id {experiment.experiment_id}`; rename it then to start anew"
        )
    return experiment.experiment_id


def find_run(client: "MlflowClient", project: str, key: str) -> "mlflow.entities.Run | None":
    """The MLflow run of a training, by the training's own id, which exists even if MLflow was down."""
    runs = client.search_runs([experiment_id(client, project)], f"tags.run = '{key}'", max_results=1)
    return runs[0] if runs else None


def ensure_run(client: "MlflowClient", run: Run, key: str, lineage: JsonObject) -> str:
    """The id of the MLflow run of a training, created if the store has none."""
    if (found := find_run(client, run.name, key)) is not None:
        return found.info.run_id
    lineage = {name: lineage[name] for name in LINEAGE}
    tags = {"run": key, "profile": run.profile, **{name: str(value) for name, value in lineage.items()}}
    run_id = client.create_run(experiment_id(client, run.name), run_name=f"{run.name}-{key[:8]}", tags=tags).info.run_id
    from mlflow.entities import Dataset, DatasetInput, Param

    if lineage["params_sha256"] == run.params_sha256():  # differs if an older bundle is restored
        client.log_batch(run_id, params=[Param(name, str(value)[:6000]) for name, value in flat(run.params()).items()])
    data = Dataset(run.name, lineage["data_sha256"][:32], "local", json.dumps({"source": lineage["source"]}))
    client.log_inputs(run_id, [DatasetInput(data)])
    return run_id


def metric_name(text: str) -> str:
    """MLflow allows letters, digits and a few symbols."""
    return re.sub(r"[^\w\-. :/]", "_", text)


def log_rows(client: "MlflowClient", run_id: str, rows: list[tuple[str, dict[str, float]]]) -> None:
    """Metrics by epoch. Timestamps are fixed, so a row that is sent twice is stored once."""
    from mlflow.entities import Metric

    metrics = []
    for variant, row in rows:
        prefix = "" if variant == SHIPPED else f"{variant}/"
        at, step = int(row["time"] * 1000), int(row["epoch"])
        metrics += [
            Metric(prefix + name, value, at, step) for name, value in row.items() if name not in ("epoch", "time")
        ]
    for start in range(0, len(metrics), 1000):
        client.log_batch(run_id, metrics=metrics[start : start + 1000])


def publish(client: "MlflowClient", run: Run) -> str:
    """Completes the MLflow run of the current bundle from artifacts/<project>/; returns its run id."""
    from mlflow.entities import Metric

    manifest = read_manifest(run.artifacts / "bundle")
    run_id = ensure_run(client, run, manifest.run, manifest.model_dump())
    log_rows(client, run_id, read_history(run.artifacts))
    client.log_artifact(run_id, str(run.artifacts / "history.csv"))
    for path in (run.artifacts / "train.json", run.artifacts / "metrics.json"):
        found = read_json(path, JsonObject, f"run `dvc repro evaluate@{run.name}`") if path.exists() else {}
        if found.get("bundle_version") != manifest.version:
            continue  # missing, or of an earlier bundle
        at = int(path.stat().st_mtime * 1000)
        numbers = {k: v for k, v in flat(found).items() if isinstance(v, int | float)}
        # MLflow treats a slash in the name of a slice as a folder.
        names = {k: metric_name(f"{path.stem}/{k.replace('/', '_')}") for k in numbers}
        metrics = [Metric(names[k], float(v), at, 0) for k, v in numbers.items()]
        client.log_batch(run_id, metrics=metrics)
        client.log_artifact(run_id, str(path))
        if path.stem == "metrics":
            client.log_artifacts(run_id, str(run.artifacts / "plots"), "plots")
    client.set_terminated(run_id, "FINISHED")
    return run_id
