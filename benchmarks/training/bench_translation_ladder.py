"""The ladder from recurrence to attention: each network on the same sentence pairs, in the same batches.

    python -m benchmarks.training.bench_translation_ladder [--rungs transformer ...] [--profile sample] [--epochs 3]

A rung is the model of params.yaml with what LADDER changes. It is trained and exported as the stage `train` does, and
scored on the test split as `evaluate` does: the headline of what the beam writes, with its 95% interval over the test
rows, and that of greedy decoding. Recurrent states are as wide as gives a network the Transformer's parameters.
"""

import argparse
import tempfile
import time
from contextlib import chdir
from pathlib import Path

import yaml

from benchmarks import machine
from pipelines.translation.evaluate import score
from roadmap.bundle import Bundle, load_predictor
from roadmap.bundle.answers import predict_in_batches
from roadmap.config.check import check
from roadmap.config.schema import SHIPPED, Run
from roadmap.data import splits
from roadmap.data.training_set import MODEL, fits_of
from roadmap.io.json import JsonObject
from roadmap.project import load_project
from roadmap.training.bundling import write_bundle
from roadmap.training.fitting import fit_all
from roadmap.training.lineage import lineage

GRU = "models.translation.gru."
LADDER: dict[str, JsonObject] = {
    "gru": {"_target_": f"{GRU}GRU", "hidden": {"sample": 98, "full": 496}},
    "gru with attention": {"_target_": f"{GRU}AttentionGRU", "hidden": {"sample": 69, "full": 352}},
    "transformer": {"positions": "sinusoidal", "pre_norm": False},
    "pre-norm": {"positions": "sinusoidal", "pre_norm": True},
    "rotary": {"positions": "rotary", "pre_norm": True},
}
RECURRENT = ("layers", "heads", "positions", "pre_norm")  # keys that recurrent networks have not
ROW = "| {:18} | {:>10} | {:>7} | {:>8} | {:>24} | {:>7} |"
TRAINER = {"accelerator": "cpu", "devices": 1, "precision": "32-true"}


def run_of(rung: str, params: JsonObject, profile: str, epochs: int | None) -> Run:
    """The project's run, with the rung's model."""
    block = params["projects"]["translation"]
    model = {**block["model"], **LADDER[rung]}
    if model["_target_"].startswith(GRU):
        model = {name: value for name, value in model.items() if name not in RECURRENT}
    train = {**block["train"], **({"epochs": epochs} if epochs else {})}
    projects = {"translation": {**block, "model": model, "train": train, "variants": {}}}
    about = {"project": "translation", "profile": profile, "seed": params["seed"], "trainer": TRAINER, "tracking": {}}
    return check({"projects": projects, **about})


def climb(rung: str, run: Run) -> None:
    """Trains, exports and scores a rung, in the working directory, and prints its row."""
    project = load_project(run.name)
    started = time.process_time()
    fits = fits_of(project.data.training(run.data))
    fitted = fit_all(run, SHIPPED, fits, Path("checkpoints", rung), lambda curve, row: None)
    seconds = time.process_time() - started
    write_bundle(run, fitted, {"run": "ladder", **lineage(run, splits.read_card(run.data))}, lambda bundle: {})
    predictor = load_predictor(Bundle(run.artifacts / "bundle"))
    requests, targets = project.data.test_rows(run.data)
    beam, greedy = (
        score(targets, [one.translation for one in predict_in_batches(predictor, [{**r, **how} for r in requests])])
        for how in ({}, {"beam": 1})
    )
    low, high = beam.interval(run.seed)
    last = fitted[MODEL].history.rows[-1]["val_loss"]
    size, shown = f"{fitted[MODEL].parameters:,}", f"{beam.value:.4g} ({low:.4g} to {high:.4g})"
    print(ROW.format(rung, size, f"{seconds:.0f}", f"{last:.4f}", shown, f"{greedy.value:.4g}"), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rungs", nargs="+", choices=LADDER, default=list(LADDER))
    parser.add_argument("--profile", choices=("sample", "full"), default="sample")
    parser.add_argument("--epochs", type=int, help="by default those of params.yaml")
    args = parser.parse_args()
    params = yaml.safe_load(Path("params.yaml").read_text())
    runs = {rung: run_of(rung, params, args.profile, args.epochs) for rung in args.rungs}
    first = runs[args.rungs[0]]
    print(f"{machine.line()}; {args.profile}, {first.settings.train.epochs} epochs")
    print(ROW.format("network", "parameters", "CPU s", "val loss", "test, beam", "greedy"))
    print(ROW.format(*["---"] * 6))
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        data = load_project("translation").data.prepare(first.settings.data, first.profile, first.seed)
        splits.write(first.data, data, first.profile)
        for rung, run in runs.items():
            climb(rung, run)


if __name__ == "__main__":
    main()
