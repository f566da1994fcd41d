"""Stage 4, train: data/<project>/ -> artifacts/<project>/bundle/, history.csv, train.json.

Only this stage imports Lightning. A killed run resumes from its last checkpoint and ends with the same weights.
"""

import importlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from roadmap.bundle import Bundle, Manifest
from roadmap.config.schema import SHIPPED, Run
from roadmap.config.stage import stage
from roadmap.data import splits
from roadmap.data.training_set import MODEL, fits_of
from roadmap.dependencies import code_sha256
from roadmap.io.atomic import atomic_folder
from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject
from roadmap.monitoring.reference import FILE
from roadmap.monitoring.reference.observe import build_reference
from roadmap.project import Project, load_project
from roadmap.tracking.tracker import Tracker
from roadmap.training.history import write_history
from roadmap.training.lineage import lineage
from roadmap.training.memory import keep_freed_memory
from roadmap.training.resume import resume_or_start, sole_training


@stage
def main(run: Run) -> None:
    check_strategy(run)
    card = splits.read_card(run.data)
    if card["profile"] != run.profile:
        raise UsageError(
            f"{run.data}: found data of profile {card['profile']}; expected {run.profile}; "
            f"run `dvc repro prepare@{run.name}`"
        )
    splits.verify(run.data)  # before the work, not after it, when the reference needs the test rows
    if run.settings.runner != "local":
        importlib.import_module(f"roadmap.runners.{run.settings.runner}").train(run)  # downloads the outputs
        return
    main_process = os.environ.get("LOCAL_RANK", "0") == "0"  # set by Lightning in further processes
    with sole_training(run.name, run.artifacts) if main_process else nullcontext():
        train(run, card, main_process)


def check_strategy(run: Run) -> None:
    """
    Raises:
        UsageError: a network of the project can't be trained by the trainer.
    """
    for model in run.models.values():
        for network in (model, *model.earlier().values()):
            if reason := network.refuses(run.trainer):
                raise UsageError(f"trainer: found {run.trainer.way!r} for {run.name}; {reason}")


def train(run: Run, card: JsonObject, main_process: bool) -> None:
    """On this machine."""
    project = load_project(run.name)
    fits, origin = fits_of(project.data.training(run.data)), lineage(run, card)
    checkpoints = Path(os.environ.get("CHECKPOINTS") or run.artifacts / "checkpoints")  # set on SageMaker
    tracker = None
    if main_process:
        code = code_sha256("train", run.name, run.settings.network)
        key = resume_or_start(checkpoints, {**origin, "code": code})
        tracker = Tracker(run)
        tracker.start(key, origin)
    keep_freed_memory()
    from roadmap.training.bundling import (
        write_bundle,
    )  # after the tracker's start: Lightning and MLflow import in parallel
    from roadmap.training.fitting import curve_of, fit_all

    report = tracker.row if tracker else lambda curve, row: None
    fitted = {name: fit_all(run, name, fits, checkpoints / name, report) for name in run.models}
    if not tracker:
        return

    def observe(bundle: Bundle) -> dict[str, str]:
        return {FILE: build_reference(project, run.data, bundle).model_dump_json() + "\n"}

    shipped = fitted[SHIPPED]
    manifest = write_bundle(run, shipped, {"run": key, **origin}, observe)
    if run.settings.export.precision != "fp32":
        manifest = quantise_bundle(run, project, observe)
    curves = {curve_of(name, each): one.history.rows for name, all_ in fitted.items() for each, one in all_.items()}
    write_history(run.artifacts, curves)
    summary = {
        "seconds": sum(one.history.spent for one in shipped.values()),
        "epochs": len(shipped[MODEL].history.rows),
        "parameters": sum(one.parameters for one in shipped.values()),
        "bundle_version": manifest.version,
    }
    (run.artifacts / "train.json").write_text(json.dumps(summary, indent=2) + "\n")
    tracker.publish()
    shutil.rmtree(checkpoints)
    print(f"{run.artifacts}/bundle: version {manifest.version}, trained in {summary['seconds']:.1f} s")


def quantise_bundle(run: Run, project: Project, observe: Callable[[Bundle], dict[str, str]]) -> Manifest:
    """Replaces the fp32 bundle by one in the precision of `export:`."""
    from roadmap.quantisation.bundles import quantised
    from roadmap.quantisation.calibration import training_requests

    export, bundle = run.settings.export, Bundle(run.artifacts / "bundle")
    requests = training_requests(project, run.data, export.rows, run.seed)
    with atomic_folder(bundle.folder) as draft:
        return quantised(bundle, draft, export, requests, observe)


if __name__ == "__main__":
    main()
