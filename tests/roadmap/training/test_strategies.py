"""Two processes train as one does, whatever they divide; faults planted in the communication are found."""

from functools import partial

import pytest

from benchmarks.training.distributed.cases import MISTAKES, TRAIN, WAYS
from benchmarks.training.distributed.formulas import Share
from benchmarks.training.distributed.launch import together
from benchmarks.training.distributed.proof import LIMITS, distance
from benchmarks.training.distributed.training import SHAPES, Outcome, Training, train_all

STEPS = 3  # in the second, DDP still arranges its buckets
QUICK = ["ddp", "fsdp, ZeRO-3", "tensor", "pipeline, 1F1B"]
CASES = [(shape, way) for shape in SHAPES for way in QUICK]


@pytest.fixture(scope="module")
def one() -> dict[str, Outcome]:
    found = together(1, partial(train_all, [Training(shape, train=TRAIN, steps=STEPS) for shape in SHAPES]))[0]
    return dict(zip(SHAPES, found, strict=True))


@pytest.fixture(scope="module")
def two() -> dict[object, list[Outcome]]:
    """Of each case and fault: outcomes by rank."""
    trainings = [Training(shape, WAYS[way], train=TRAIN, steps=STEPS) for shape, way in CASES]
    trainings += [Training(shape, WAYS[way], train=TRAIN, steps=STEPS, fault=fault) for fault, shape, way in MISTAKES]
    ranks = together(2, partial(train_all, trainings))
    names = [*CASES, *(fault for fault, _, _ in MISTAKES)]
    return dict(zip(names, map(list, zip(*ranks, strict=True)), strict=True))


@pytest.mark.parametrize(("shape", "way"), CASES)
def test_losses_gradients_and_weights_equal_those_of_one_process(
    one: dict[str, Outcome], two: dict[object, list[Outcome]], shape: str, way: str
) -> None:
    for outcome in two[shape, way]:
        found = distance(one[shape], outcome)
        assert found.within(LIMITS["64-true"]), found


@pytest.mark.parametrize(("shape", "way"), CASES)
def test_each_process_keeps_and_sends_what_the_formulas_say(
    two: dict[object, list[Outcome]], shape: str, way: str
) -> None:
    for rank, outcome in enumerate(two[shape, way]):
        share = Share(Training(shape, WAYS[way], train=TRAIN), rank)
        assert outcome.kept == (share.kept(), 2 * share.kept())
        assert outcome.sent.total() == share.sent(), outcome.sent


@pytest.mark.parametrize(("fault", "shape"), [(fault, shape) for fault, shape, _ in MISTAKES])
def test_a_planted_fault_is_found(
    one: dict[str, Outcome], two: dict[object, list[Outcome]], fault: str, shape: str
) -> None:
    found = [distance(one[shape], outcome) for outcome in two[fault]]
    assert not all(each.within(LIMITS["64-true"]) for each in found), found
