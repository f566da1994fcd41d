"""Stage 4, train: data/<project>/ -> artifacts/<project>/bundle/, history.csv, train.json.

Only this stage imports Lightning. A killed run goes on from its last checkpoint and ends with the same weights.
"""

import contextlib
import ctypes
import importlib
import json
import logging
import os
import shutil
import sys
import uuid
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from roadmap.bundle import Bundle, Manifest, seal, sha256
from roadmap.bundle.code import git_commit
from roadmap.config.errors import UsageError
from roadmap.config.schema import SHIPPED, ModelSettings, Run
from roadmap.config.stage import stage
from roadmap.data import splits
from roadmap.data.training_set import TrainingSet
from roadmap.monitoring.reference import FILE
from roadmap.monitoring.reference.observe import observed
from roadmap.tracking.tracker import Tracker
from roadmap.training.history import write_history


@stage
def main(run: Run) -> None:
    first = os.environ.get("LOCAL_RANK", "0") == "0"  # Lightning starts the other processes with this set
    card = splits.read_card(run.data)
    if card["profile"] != run.profile:
        raise UsageError(
            f"{run.data} holds the {card['profile']} data; run `dvc repro prepare@{run.name}` for {run.profile}"
        )
    if run.project.runner != "local":
        importlib.import_module(f"roadmap.runners.{run.project.runner}").train(run)  # brings the outputs here
        return
    training_set: TrainingSet = run.module("data").training_set(run.data)
    lineage = {
        "source": card["source"],
        "git_commit": git_commit(),
        "data_sha256": card["sha256"],
        "params_sha256": run.params_sha256(),
    }
    checkpoints = Path(os.environ.get("CHECKPOINTS") or run.artifacts / "checkpoints")  # SageMaker has a place for them
    tracker = None
    if first:
        key = resume_or_start(checkpoints, {**lineage, "network": sha256(Path(f"models/{run.project.network}.py"))})
        tracker = Tracker(run)
        tracker.start(key, lineage)
    keep_freed_memory()
    fits: dict[str, Any] = {}
    for name, settings in run.models.items():
        fits[name] = fit(run, name, settings, training_set, checkpoints / name, tracker)
    if not tracker:
        return
    manifest = write_bundle(run, fits[SHIPPED][0], training_set, {"run": key, **lineage})
    write_history(run.artifacts, {name: history.rows for name, (_, history) in fits.items()})
    _, history = fits[SHIPPED]
    summary = {"seconds": history.spent, "epochs": len(history.rows), "parameters": count(fits[SHIPPED][0])}
    summary["bundle_version"] = manifest.version
    (run.artifacts / "train.json").write_text(json.dumps(summary, indent=2) + "\n")
    tracker.publish()
    shutil.rmtree(checkpoints)
    print(f"{run.artifacts}/bundle: version {manifest.version}, trained in {history.spent:.1f} s")


def resume_or_start(folder: Path, fingerprint: dict[str, Any]) -> str:
    """The id of the run whose checkpoints lie in `folder` if they are of this very training, else of a new one."""
    path = folder / "fingerprint.json"
    fingerprint = {name: value for name, value in fingerprint.items() if name != "git_commit"}
    if path.exists() and (found := json.loads(path.read_text())).get("of") == fingerprint:
        print(f"resuming run {found['run'][:8]} from {folder}")
        return found["run"]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    key = uuid.uuid4().hex
    path.write_text(json.dumps({"run": key, "of": fingerprint}))
    return key


def fit(
    run: Run, name: str, settings: ModelSettings, training_set: TrainingSet, folder: Path, tracker: Any
) -> tuple[Any, Any]:
    """Trains one model; returns it with its history."""
    import torch

    from roadmap.training.lightning import pl  # before all that imports Lightning

    quieten()
    from roadmap.training.batches import TensorData
    from roadmap.training.callbacks import History, LocalFiles, Resumable

    if run.project.train.threads:
        torch.set_num_threads(run.project.train.threads)
    pl.seed_everything(run.seed, verbose=False)
    module, _, cls = settings.target_.rpartition(".")
    model = getattr(importlib.import_module(module), cls)(**training_set.model, **settings.kwargs())
    data = TensorData(training_set, run.project.train, run.seed)
    history = History(run.name if name == SHIPPED else f"{run.name}/{name}", lambda row: tracker.row(name, row))
    resumable = Resumable(folder, run.seed)
    trainer = pl.Trainer(
        **{**run.trainer, "precision": precision_for(run.trainer, run.project.train.bf16)},
        max_epochs=run.project.train.epochs,
        accumulate_grad_batches=run.project.train.accumulate,
        gradient_clip_val=run.project.train.clip,
        callbacks=[history, resumable],
        plugins=[LocalFiles()],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
    trainer.fit(model, data, ckpt_path=resumable.checkpoint, weights_only=True)
    return model.eval().cpu(), history


def precision_for(trainer: dict[str, Any], bf16: bool) -> str:
    """The trainer's precision, or bfloat16 autocast where it is wanted and the CPU is quicker with it."""
    import torch

    if not bf16 or trainer.get("accelerator", "cpu") != "cpu":
        return trainer["precision"]
    cpu = torch.cpu.get_capabilities()
    return "bf16-mixed" if cpu.get("avx512_bf16") or cpu.get("amx_bf16") else trainer["precision"]


def write_bundle(run: Run, model: Any, training_set: TrainingSet, lineage: dict[str, Any]) -> Manifest:
    from roadmap.training.export import export

    with splits.replacing(run.artifacts / "bundle") as draft:
        export(model, tuple(array[:2] for array in training_set.val[:-1]), draft)
        for name, content in training_set.assets.items():
            (draft / name).write_text(json.dumps(content, ensure_ascii=False) + "\n")
        about = {
            "project": run.name,
            "predictor": f"pipelines.{run.name}.predict",
            "profile": run.profile,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            **lineage,
        }
        seal(draft, **about)
        reference = observed(run, Bundle(draft))  # by the predictor that will answer, which takes a sealed bundle
        (draft / FILE).write_text(reference.model_dump_json() + "\n")
        return seal(draft, **about)


def count(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def keep_freed_memory() -> None:
    """Tells glibc to keep what is freed for the next step.

    By default it hands every large tensor back to the kernel, and a step of mnist then begins with some 3,000 page
    faults: a fifth of its time. Other C libraries have no such switch and are left as they are.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def quieten() -> None:
    """Lightning's hints are not news to whoever runs this stage."""
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    warnings.filterwarnings("ignore", module="torch")
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)


if __name__ == "__main__":
    main()
