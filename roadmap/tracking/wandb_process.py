"""The process that writes to Weights & Biases: the curves, tables, plots and files that MLflow gets.

Offline unless WANDB_MODE says otherwise: the runs wait in wandb/ for `wandb sync`. Evaluation resumes the run of the
training; `wandb sync` puts the two together.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import wandb

from roadmap.bundle import read_manifest
from roadmap.config.params import flat
from roadmap.config.schema import SHIPPED, Run
from roadmap.config.stage import stage
from roadmap.io.documents import read_json
from roadmap.io.json import JsonObject
from roadmap.tracking.mlflow import LINEAGE, root
from roadmap.tracking.tracker import copy_events

TABLES = ("baselines", "slices", "behaviour", "fairness")  # of metrics.json, by the name of a row


class WandbWriter:
    """One run per training, whose id is the training's; one project per project."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.copy: wandb.Run | None = None
        self.curves: set[str] = set()

    def start(self, key: str, lineage: JsonObject) -> None:
        copy = self._open(key)
        copy.config.update(
            {**flat(self.run.params()), **{name: lineage[name] for name in LINEAGE}}, allow_val_change=True
        )

    def row(self, variant: str, row: dict[str, float]) -> None:
        assert self.copy
        prefix = "" if variant == SHIPPED else f"{variant}/"
        named = {prefix + name: value for name, value in row.items() if name != "time"}
        for name in named.keys() - self.curves - {f"{prefix}epoch"}:
            self.copy.define_metric(name, step_metric=f"{prefix}epoch")  # a variant starts at epoch 0 again
        self.curves |= named.keys()
        self.copy.log(named)

    def publish(self) -> None:
        artifacts = self.run.artifacts
        manifest = read_manifest(artifacts / "bundle")
        copy = self.copy or self._open(manifest.run)
        results = wandb.Artifact(f"{self.run.name}-results", type="results")
        results.add_file(str(artifacts / "history.csv"))
        for path in (artifacts / "train.json", artifacts / "metrics.json"):
            found = read_json(path, JsonObject, f"run `dvc repro evaluate@{self.run.name}`") if path.exists() else {}
            if found.get("bundle_version") != manifest.version:
                continue  # missing, or of an earlier bundle
            numbers = {name: value for name, value in flat(found).items() if isinstance(value, int | float)}
            copy.summary.update({f"{path.stem}/{name}": value for name, value in numbers.items()})
            results.add_file(str(path))
            if path.stem == "metrics":
                copy.log({name: table(found[name]) for name in TABLES if found.get(name)} | plots(artifacts / "plots"))
        bundle = wandb.Artifact(self.run.name, type="model", metadata={"version": manifest.version})
        for path in sorted((artifacts / "bundle").rglob("*")):
            if path.is_file():
                bundle.add_file(str(path), str(path.relative_to(artifacts / "bundle")))
        copy.log_artifact(results)
        copy.log_artifact(bundle)

    def close(self) -> None:
        if self.copy:
            offline, folder = self.copy.offline, Path(self.copy.dir).parent
            self.copy.finish()
            wandb.teardown()  # only now is the file complete
            if offline:
                print(f"Weights & Biases, offline: `wandb sync {os.path.relpath(folder)}` uploads this run", flush=True)

    def _open(self, key: str) -> "wandb.Run":
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        os.environ.setdefault("WANDB_DATA_DIR", str(root() / "wandb"))  # what a later `wandb sync` reads
        self.copy = wandb.init(
            project=os.environ.get("WANDB_PROJECT", self.run.name),
            id=key,
            name=f"{self.run.name}-{key[:8]}",
            resume="allow",  # a resumed training, or the evaluation of a trained bundle
            mode=os.environ.get("WANDB_MODE", "offline"),  # type: ignore[arg-type]
            dir=root(),
            tags=[self.run.profile],
            settings=wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True),
        )
        return self.copy


def table(rows: dict[str, JsonObject]) -> "wandb.Table":
    """Rows by name, with every column that one of them has."""
    columns = list(dict.fromkeys(name for row in rows.values() for name in flat(row)))
    data: list[Iterable[object]] = [
        [name, *(flat(row).get(column) for column in columns)] for name, row in rows.items()
    ]
    names: list[str | int] = ["name", *columns]
    return wandb.Table(columns=names, data=data, allow_mixed_types=True)


def plots(folder: Path) -> dict[str, "wandb.Image"]:
    return {f"plots/{path.stem}": wandb.Image(str(path)) for path in sorted(folder.glob("*.png"))}


@stage
def main(run: Run) -> None:
    copy_events(lambda: WandbWriter(run), "MLflow has this run")


if __name__ == "__main__":
    main()
