"""Distributed training at length: four processes, other precisions, checkpoints of other layouts, the stage itself."""

import csv
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from benchmarks.training.distributed.cases import TRAIN, WAYS
from benchmarks.training.distributed.formulas import Share
from benchmarks.training.distributed.launch import together
from benchmarks.training.distributed.proof import LIMITS, distance
from benchmarks.training.distributed.training import SHAPES, Training, train, train_all
from tests.support.checkouts import Checkout

STEPS = 3
FOUR = [way for way, trainer in WAYS.items() if trainer["devices"] == 4]


def test_four_processes_equal_one_and_keep_and_send_what_the_formulas_say() -> None:
    one = together(1, partial(train_all, [Training(shape, train=TRAIN, steps=STEPS) for shape in SHAPES]))[0]
    trainings = [Training(shape, WAYS[way], train=TRAIN, steps=STEPS) for shape in SHAPES for way in FOUR]
    for rank, outcomes in enumerate(together(4, partial(train_all, trainings))):
        for training, outcome in zip(trainings, outcomes, strict=True):
            expected, share = one[list(SHAPES).index(training.shape)], Share(training, rank)
            found = distance(expected, outcome)
            assert found.within(LIMITS["64-true"]), (training, rank, found)
            assert (outcome.kept[0], outcome.sent.total()) == (share.kept(), share.sent()), (training, rank)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_two_processes_equal_one_in_other_precisions(precision: str) -> None:
    ways = ["ddp", "fsdp, ZeRO-2", "fsdp, ZeRO-3", "tensor", "pipeline, GPipe", "pipeline, 1F1B"]
    whole = [Training(shape, {}, precision, TRAIN, steps=STEPS) for shape in SHAPES]
    one = dict(zip(SHAPES, together(1, partial(train_all, whole))[0], strict=True))
    trainings = [Training(shape, WAYS[way], precision, TRAIN, steps=STEPS) for shape in SHAPES for way in ways]
    for outcomes in together(2, partial(train_all, trainings)):
        for training, outcome in zip(trainings, outcomes, strict=True):
            found = distance(one[training.shape], outcome)
            assert found.within(LIMITS[precision]), (training, found)


@pytest.mark.parametrize("shape", SHAPES)
def test_any_layout_goes_on_from_the_checkpoint_of_any_other(shape: str, tmp_path: Path) -> None:
    """Each trains one epoch more; the last has the weights of a run that one process did without a break."""
    relay = [WAYS["fsdp, ZeRO-3"], WAYS["tensor"], {}, WAYS["pipeline x2, tensor x2"], WAYS["pipeline, 1F1B"]]
    whole = Training(shape, {}, "32-true", TRAIN, steps=STEPS, epochs=len(relay))
    expected = together(1, partial(train, whole))[0]
    for place, trainer in enumerate(relay):
        leg = replace(whole, trainer=trainer, folder=tmp_path, stops=place < len(relay) - 1)
        found = together(trainer.get("devices", 1), partial(train, leg))[0]
    found.losses = expected.losses[: -len(found.losses)] + found.losses  # of the last epoch
    found.gradients = expected.gradients  # which are those of the first step
    apart = distance(expected, found)
    assert apart.within(LIMITS["32-true"]), apart


def test_the_stage_trains_a_decoder_to_the_curve_of_one_process(clone: Checkout) -> None:
    block = "projects.mini_gpt"
    overrides = ["project=mini_gpt", f"{block}.data.rows=256", f"{block}.train.epochs=1"]
    overrides += [f"{block}.model.{change}" for change in ("muon=null", "width=32")]
    clone.stage("prepare", *overrides)

    def curve(trainer: str) -> list[list[float]]:
        clone.stage("train", f"trainer={trainer}", *overrides, TRACKING="none")
        with clone.path("artifacts", "mini_gpt", "history.csv").open() as file:
            return [[float(row[name]) for name in ("train_loss", "val_loss")] for row in csv.DictReader(file)]

    expected = curve("cpu")
    for trainer in ("fsdp", "tensor", "pipeline", "hybrid"):
        assert curve(trainer) == [pytest.approx(row, rel=1e-4) for row in expected], trainer
