"""Error rates of the gate: python -m benchmarks.simulations.simulate_gate

Applies `roadmap.promotion.gate.evaluate_gate` to pairs of models with a known true difference, on random rows: how
often a worse or equal one is promoted and a better one rejected, by difference and number of rows. Then the slices: a
model that is better overall and worse on a tenth of the rows.

accuracy   the two models disagree in 10% of the rows; McNemar
R2         the errors correlate at 0.9 and have heavy tails (Student's t, 5 degrees of freedom); bootstrap,
           of 200 resamples here, so that it takes minutes
pinball    losses of forecasts 20 days ahead, each day overlapping with the next 19, of 8 symbols; Diebold-Mariano
two sets   accuracy, as above, on `test` and on half as many `recent` rows; the difference is that of both

Prints two tables in Markdown and draws docs/assets/gate.png. No model is trained; NumPy's generator, seed 0.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from benchmarks import machine
from roadmap.config.limits import GateSettings
from roadmap.evaluation import scores as score
from roadmap.evaluation.scores import Score
from roadmap.evaluation.slices import Masks
from roadmap.promotion.gate import Candidate, Champion, Scores, evaluate_gate

RUNS = 400
SETTINGS = GateSettings(floor=0, maximum_regression=0.02, latency_ms=1, size_mb=1)  # the floor is not tested here
PICTURE = Path("docs/assets/gate.png")
DAYS, SYMBOLS = 20, 8  # of the forecasts

Draw = Callable[[np.random.Generator, int, float], tuple[Scores, Scores]]  # rows, true gain -> candidate, champion


def accuracy(rng: np.random.Generator, rows: int, gain: float, apart: float = 0.1) -> tuple[Score, Score]:
    """gain: in accuracy; the models disagree in a share `apart` of the rows, or in as many as the gain needs."""
    apart = max(apart, abs(gain))
    kind = rng.choice(3, rows, p=[(apart + gain) / 2, (apart - gain) / 2, 1 - apart])
    both = rng.random(rows) < 0.85
    new, old = np.where(kind == 2, both, kind == 0), np.where(kind == 2, both, kind == 1)
    return tuple(Score("accuracy", True, each.astype(float), {}) for each in (new, old))  # type: ignore[return-value]


def r2(rng: np.random.Generator, rows: int, gain: float) -> tuple[Score, Score]:
    """gain: in R2; the champion's is 0.8."""
    shared, own = rng.standard_t(5, rows), rng.standard_t(5, (2, rows))
    unit = np.sqrt(3 / 5)  # of variance 1
    errors = [unit * (np.sqrt(0.9) * shared + np.sqrt(0.1) * each) for each in own]
    parts = [0.2 - gain, 0.2]
    return tuple(  # type: ignore[return-value]
        Score("r2", True, part * error**2, {}, lambda mse: 1 - mse) for part, error in zip(parts, errors, strict=True)
    )


def pinball(rng: np.random.Generator, rows: int, gain: float) -> tuple[Score, Score]:
    """gain: in the daily standard deviation of the difference; days with one row per symbol."""
    days = rows // SYMBOLS
    noise = rng.normal(size=(days + DAYS - 1, 1)) + rng.normal(size=(days + DAYS - 1, SYMBOLS))
    window = np.cumsum(np.concatenate([np.zeros((1, SYMBOLS)), noise]), axis=0)
    difference = (window[DAYS:] - window[:-DAYS]) / np.sqrt(2 * DAYS)
    losses = 10 + rng.normal(size=difference.shape)
    block = DAYS * SYMBOLS
    new, old = losses - difference - gain, losses
    return tuple(Score("pinball", False, each.ravel(), {}, block=block) for each in (new, old))  # type: ignore[return-value]


def one_set(draw: Callable[..., tuple[Score, Score]]) -> Draw:
    def drawn(rng: np.random.Generator, rows: int, gain: float) -> tuple[Scores, Scores]:
        new, old = draw(rng, rows, gain)
        return {"test": new}, {"test": old}

    return drawn


def two_sets(rng: np.random.Generator, rows: int, gain: float) -> tuple[Scores, Scores]:
    old, recent = accuracy(rng, rows, gain), accuracy(rng, rows // 2, gain)
    return {"test": old[0], "recent": recent[0]}, {"test": old[1], "recent": recent[1]}


# generator, numbers of rows, true gains
TASKS: dict[str, tuple[Draw, tuple[int, ...], tuple[float, ...]]] = {
    "accuracy": (one_set(accuracy), (300, 1000, 5000), (-0.05, -0.02, -0.01, 0, 0.01, 0.02, 0.03, 0.05)),
    "R2": (one_set(r2), (300, 1000, 2000), (-0.05, -0.02, -0.01, 0, 0.01, 0.02, 0.03, 0.05)),
    "pinball": (one_set(pinball), (2400, 4800, 9600), (-0.5, -0.2, -0.1, 0, 0.1, 0.2, 0.3, 0.5)),
    "two sets": (two_sets, (300, 1000, 5000), (-0.05, -0.02, -0.01, 0, 0.01, 0.02, 0.03, 0.05)),
}


def promoted(new: Scores, old: Scores, seed: int, slices: Mapping[str, Masks] | None = None) -> bool:
    """Whether the gate promotes the model with the scores `new`. slices: by set of rows, name -> bool [n]."""
    candidate = Candidate("sample", new, 0.1, 1, slices or {})
    checks = evaluate_gate(candidate, Champion("1", "sample", old), SETTINGS, seed)
    return all(check.passed for check in checks if check.name != "floor")


def share(draw: Draw, rows: int, gain: float, runs: int) -> float:
    """The share of promoted candidates."""
    rng = np.random.default_rng(0)
    return float(np.mean([promoted(*draw(rng, rows, gain), run) for run in range(runs)]))


def sliced(rows: int, loss: float, runs: int) -> float:
    """The share rejected with a gain of 0.05 overall, and `loss` in one of ten slices of equal size."""
    rng, rejected = np.random.default_rng(0), 0
    place = np.arange(rows) % 10
    masks = {"test": {str(part): place == part for part in range(10)}}
    for run in range(runs):
        new, old = accuracy(rng, rows, 0.05 + (0.05 + loss) / 9)
        worse = accuracy(rng, int(masks["test"]["0"].sum()), -loss)
        new.per_item[place == 0], old.per_item[place == 0] = worse[0].per_item, worse[1].per_item
        rejected += not promoted({"test": new}, {"test": old}, run, masks)
    return rejected / runs


def simulate(runs: int = RUNS) -> dict[str, dict[int, dict[float, float]]]:
    """Share promoted, by task, rows and true gain; `slices`: share rejected, by rows and loss in one slice."""
    from tqdm import tqdm

    found: dict[str, dict[int, dict[float, float]]] = {}
    cells = [(task, rows, gain) for task, (_, counts, gains) in TASKS.items() for rows in counts for gain in gains]
    cells += [("slices", rows, loss) for rows in (1000, 5000) for loss in (0.0, 0.02, 0.05, 0.1, 0.2, 0.3)]
    for task, rows, size in tqdm(cells, desc="simulate", disable=None):
        value = sliced(rows, size, runs) if task == "slices" else share(TASKS[task][0], rows, size, runs)
        found.setdefault(task, {}).setdefault(rows, {})[size] = value
    return found


def table(found: dict[int, dict[float, float]], first: str) -> str:
    sizes = list(next(iter(found.values())))
    lines = [[first, *(f"{size:+g}" if size else "0" for size in sizes)], ["---"] * (len(sizes) + 1)]
    lines += [[f"{rows:,} rows", *(f"{100 * one[size]:.1f}%" for size in sizes)] for rows, one in found.items()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def picture(found: dict[str, dict[int, dict[float, float]]]) -> None:
    from roadmap.evaluation.plots import GREY, plt, save

    figure, axes = plt.subplots(1, len(TASKS), figsize=(3.6 * len(TASKS), 3.6), sharey=True)
    for ax, task in zip(axes, TASKS, strict=True):
        for rows, each in found[task].items():
            ax.plot(each.keys(), each.values(), "o-", ms=4, label=f"{rows:,} rows")
        ax.axhline(0.05, color=GREY, ls="--", lw=1)
        ax.axvline(0, color=GREY, lw=1)
        ax.set(title=task, xlabel="true gain")
        ax.legend(fontsize=8)
    axes[0].set_ylabel("share promoted")
    save(figure, PICTURE)


def main() -> None:
    started = time.perf_counter()
    score.RESAMPLES = 200
    found = simulate()
    for task in TASKS:
        print(f"\n{table(found[task], f'{task}: promoted, by true gain')}")
    print(f"\n{table(found['slices'], 'rejected, by loss in one slice of ten')}")
    for words, wrong in (("truly worse", lambda gain: gain < 0), ("equal", lambda gain: gain == 0)):
        shares = [
            value for task in TASKS for each in found[task].values() for gain, value in each.items() if wrong(gain)
        ]
        mean, most = 100 * np.mean(shares), 100 * max(shares)
        print(f"\n{words} and promoted: {mean:.1f}% on average, {most:.1f}% at most, of {RUNS} runs each")
    picture(found)
    print(f"{machine.line()}; {time.perf_counter() - started:.0f} s; {PICTURE}")


if __name__ == "__main__":
    main()
