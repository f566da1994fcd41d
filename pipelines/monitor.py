"""Monitors the champion's recent requests and predictions for drift: python -m pipelines.monitor project=titanic

    artifacts/<project>/monitoring/verdict.json    quiet or drift, the columns, and whether to retrain
    artifacts/<project>/monitoring/report.html     the same as a report

SERVING_PREDICTIONS names the prediction log, as for the server. Labels added by `pipelines.label` give the live score.
`monitor:` in params.yaml has the thresholds; `enabled: false` disables it. The exit code is 0 for any verdict, which
also goes to MLflow (experiment <project>-monitor) and to the Pushgateway at PROMETHEUS_PUSHGATEWAY.
"""

import json
import os
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roadmap.bundle import Bundle, load_predictor
from roadmap.config.schema import Run
from roadmap.config.stage import stage
from roadmap.evaluation.labelled import LabelScorer
from roadmap.io.documents import read_json
from roadmap.io.errors import Unavailable, UsageError
from roadmap.io.json import JsonObject
from roadmap.monitoring import export
from roadmap.monitoring.drift import compare
from roadmap.monitoring.live import live_score, score_labelled
from roadmap.monitoring.reference import FILE, Reference
from roadmap.monitoring.reference.columns import monitored_columns
from roadmap.monitoring.verdict import DriftReport, as_json, assess_drift, retraining_allowed
from roadmap.monitoring.window import window
from roadmap.prediction_log import labels
from roadmap.prediction_log import log as recording
from roadmap.project import load_project
from roadmap.promotion import registry
from roadmap.tracking.mlflow import connect, find_run

if TYPE_CHECKING:
    from mlflow import MlflowClient


@stage
def main(run: Run) -> None:
    settings, until = run.settings.monitor, datetime.now(UTC)
    since = until - timedelta(days=settings.window_days)
    about: JsonObject = {
        "at": until.isoformat(timespec="seconds"),
        "project": run.name,
        "since": since.isoformat(timespec="seconds"),
        "until": until.isoformat(timespec="seconds"),
        "rows": 0,
        "retrain": False,
    }
    if not settings.enabled:
        summary = f"{run.name}: not monitored, projects.{run.name}.monitor.enabled is false in params.yaml."
        say(run, DriftReport("off", summary), about)
        return
    log = os.environ.get("SERVING_PREDICTIONS")
    if not log:
        raise UsageError("SERVING_PREDICTIONS: not set; set it to the prediction log, as for `python -m serving`")
    client = connect() if run.tracking.mlflow else None
    bundle = champion(run, client)
    about["bundle"] = bundle.manifest.version
    predictor = load_predictor(bundle)
    try:
        rows = recording.read(log, run.name, since, until)
        found = window(rows, bundle.manifest.version, predictor, settings.max_rows, since, until)
        known = list(labels.labelled(log, run.name, since, until))
    except labels.store_errors(log) as error:  # only the type: a database's message may contain its password
        raise Unavailable(f"SERVING_PREDICTIONS: unreadable ({type(error).__name__})") from None
    about["rows"] = found.rows
    if found.rows < settings.min_rows:
        where = "" if "://" in log or Path(log).is_dir() else f" (folder {log} does not exist)"
        summary = (
            f"{run.name}: {found.rows:,} predictions of version {bundle.manifest.version} since {since:%Y-%m-%d}{where}"
        )
        say(run, DriftReport("too few rows", f"{summary}, expected at least {settings.min_rows:,}."), about)
        return
    project = load_project(run.name)
    reference = Reference.model_validate(bundle.json(FILE))
    columns = monitored_columns(project.monitoring.inputs(found.requests), project.monitoring.answers(found.answers))
    findings = compare(reference, columns, settings.alpha, settings.gap)
    score = score_labelled(LabelScorer(project, bundle.json("schema.json")), bundle.manifest.version, known)
    figures = tested(run, client, bundle)
    verdict = assess_drift(run.name, found, findings, live_score(score, figures, run.seed), settings)
    about["retrain"], about["why"] = allowed(run, client, verdict, until)
    about["report"] = "report.html"
    from roadmap.monitoring import page  # imports matplotlib, only if there is something to draw

    with tempfile.TemporaryDirectory() as scratch:
        draft = Path(scratch)
        page.write(draft / "report.html", run.name, verdict, reference, reference.count(columns), found, settings)
        (draft / "verdict.json").write_text(json.dumps(as_json(verdict, **about), indent=2) + "\n")
        if client is not None:
            export.log_run(client, run.name, verdict, about, draft)
        keep(run, draft)
    export.push(run.name, verdict, about, bundle.manifest, figures)
    print(verdict.summary, f"Retraining: {about['why']}." if verdict.verdict == "drift" else "")


def champion(run: Run, client: "MlflowClient | None") -> Bundle:
    """The champion in the registry, or without one the local bundle.

    Raises:
        UsageError: there is none, or it has no reference.
    """
    if client is None:
        bundle = Bundle(run.artifacts / "bundle")
    else:
        found = registry.champion(client, run.name)
        if found is None:
            raise UsageError(f"{run.name}: found no champion; run `dvc repro register@{run.name}`")
        bundle = registry.bundle_of(run.name, found.version)
    if FILE not in bundle.manifest.files:
        raise UsageError(f"{run.name}: version {bundle.manifest.version} has no {FILE}; train again")
    return bundle


def tested(run: Run, client: "MlflowClient | None", bundle: Bundle) -> JsonObject:
    """The champion's headline metric on the test rows, from its run, because artifacts/ may have a challenger's."""
    path = run.artifacts / "metrics.json"
    if client is not None:
        from mlflow.exceptions import MlflowException

        training = find_run(client, run.name, bundle.manifest.run)
        try:
            path = Path(client.download_artifacts(training.info.run_id, "metrics.json")) if training else path
        except (MlflowException, OSError):
            return {}  # registered before it was evaluated
    remedy = f"run `dvc repro evaluate@{run.name}`"
    found: JsonObject = read_json(path, dict[str, Any], remedy) if path.exists() else {}
    headline: JsonObject = found.get("headline", {})
    return headline if found.get("bundle_version") == bundle.manifest.version else {}


def allowed(run: Run, client: "MlflowClient | None", verdict: DriftReport, now: datetime) -> tuple[bool, str]:
    if verdict.verdict != "drift":
        return False, "no drift"
    if client is None:
        return False, "tracking=none: without the registry no model can be promoted"
    return retraining_allowed(export.retrainings(client, run.name, now), now, run.settings.monitor)


def say(run: Run, verdict: DriftReport, about: JsonObject) -> None:
    """Writes a verdict without a report."""
    with tempfile.TemporaryDirectory() as draft:
        (Path(draft) / "verdict.json").write_text(json.dumps(as_json(verdict, **about), indent=2) + "\n")
        keep(run, Path(draft))
    print(verdict.summary)


def keep(run: Run, draft: Path) -> None:
    """Replaces the previous files, the verdict last because it refers to the report."""
    folder = run.artifacts / "monitoring"
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(draft.iterdir()):  # report.html, verdict.json
        part = folder / f".{path.name}"
        shutil.copyfile(path, part)
        part.replace(folder / path.name)


if __name__ == "__main__":
    main()
