"""Every way to train by several processes against one: differences, values kept, bytes sent.

    python -m benchmarks.training.bench_distributed [--precision 64-true] [--processes 2 4] [--steps 20]

Two small networks, GPT-2's shape with tied embeddings and LLaMA's with grouped queries, no dropout, two batches per
step, gradients clipped by their global norm. The last table is of faults planted in the communication: each must be
found. Ends with exit code 1 if anything is not as it should be.
"""

import argparse
import sys
from functools import partial

from benchmarks import machine
from benchmarks.training.distributed.cases import MISTAKES, TRAIN, WAYS
from benchmarks.training.distributed.formulas import Share
from benchmarks.training.distributed.launch import together
from benchmarks.training.distributed.proof import LIMITS, distance
from benchmarks.training.distributed.training import SHAPES, Outcome, Training, train_all


def prove(precision: str, processes: int, steps: int, one: dict[str, Outcome]) -> bool:
    """Prints a row per network and way; true if all is as it should be."""
    ways = [way for way, trainer in WAYS.items() if trainer["devices"] == processes]
    trainings = [Training(shape, WAYS[way], precision, TRAIN, steps=steps) for shape in SHAPES for way in ways]
    ranks = together(processes, partial(train_all, trainings))
    fine = True
    for index, training in enumerate(trainings):
        outcomes = [outcomes[index] for outcomes in ranks]
        shares = [Share(training, rank) for rank in range(processes)]
        found = [distance(one[training.shape], outcome) for outcome in outcomes]
        equal = all(each.within(LIMITS[precision]) for each in found)
        counted = [
            outcome.kept == (share.kept(), 2 * share.kept())
            and (precision == "bf16-mixed" or outcome.sent.total() == share.sent())
            for outcome, share in zip(outcomes, shares, strict=True)
        ]
        fine &= equal and all(counted)
        worst = [max(values) for values in zip(*found, strict=True)]
        kept, sent = max(outcome.kept[0] for outcome in outcomes), max(outcome.sent.total() for outcome in outcomes)
        differences = " | ".join(f"{value:.0e}" for value in worst)
        verdict = "yes" if equal and all(counted) else "NO"
        row = f"{training.shape} | {ways[index % len(ways)]} | {differences} | {kept:,} | {sent:,} | {verdict}"
        print(f"| {row} |", flush=True)
    return fine


def find_faults(steps: int, one: dict[str, Outcome]) -> bool:
    """Prints a row per fault; true if all are found."""
    trainings = [Training(shape, WAYS[way], train=TRAIN, steps=steps, fault=fault) for fault, shape, way in MISTAKES]
    ranks = together(2, partial(train_all, trainings))
    fine = True
    for index, training in enumerate(trainings):
        found = [distance(one[training.shape], outcomes[index]) for outcomes in ranks]
        seen = not all(each.within(LIMITS["64-true"]) for each in found)
        fine &= seen
        worst = " | ".join(f"{max(values):.0e}" for values in zip(*found, strict=True))
        print(f"| {training.fault} | {MISTAKES[index][2]} | {worst} | {'found' if seen else 'MISSED'} |", flush=True)
    return fine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", choices=LIMITS, default="64-true")
    parser.add_argument("--processes", type=int, nargs="+", choices=(2, 4), default=(2, 4))
    parser.add_argument("--steps", type=int, default=20, help="at least 3; DDP arranges its buckets in the second")
    args = parser.parse_args()
    print(f"{machine.line()}, {args.precision}, {args.steps} steps, limits {LIMITS[args.precision]}\n", flush=True)
    one = {}
    for precision in dict.fromkeys((args.precision, "64-true")):
        whole = [Training(shape, precision=precision, train=TRAIN, steps=args.steps) for shape in SHAPES]
        one[precision] = dict(zip(SHAPES, together(1, partial(train_all, whole))[0], strict=True))
    print("| network | way | losses | gradients | weights | values kept | bytes sent | as expected |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for shape, outcome in one[args.precision].items():
        print(f"| {shape} | one process | | | | {outcome.kept[0]:,} | 0 | |")
    fine = True
    for processes in args.processes:
        fine &= prove(args.precision, processes, args.steps, one[args.precision])
    print("\n| fault | way | losses | gradients | weights | |\n| --- | --- | --- | --- | --- | --- |")
    fine &= find_faults(args.steps, one["64-true"])
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
