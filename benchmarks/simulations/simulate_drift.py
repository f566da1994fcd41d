"""The monitor's false-alarm rate, and the shifts that it detects: simulated weeks of house_prices.

    python -m benchmarks.simulations.simulate_drift [--weeks 200]

Needs artifacts/house_prices/bundle (`dvc repro train@house_prices`). Every week has its own reference, 1,000 rows of
the generator, and a window of 500 other rows, predicted by the bundle and tested with the settings of params.yaml.
Writes the picture docs/assets/drift.png.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tqdm import tqdm

from benchmarks import machine
from pipelines.house_prices.data import hedonic
from pipelines.house_prices.monitoring import Monitoring
from roadmap.bundle import Bundle, load_predictor
from roadmap.config.limits import MonitorSettings
from roadmap.io.json import JsonObject
from roadmap.monitoring.drift import compare
from roadmap.monitoring.reference import Reference, reference
from roadmap.monitoring.reference.columns import Columns, monitored_columns

REFERENCE, WINDOW, LOOK, STREAMS = 1_000, 500, 50, 50
PICTURE = Path("docs/assets/drift.png")
Rows = list[JsonObject]
Shift = Callable[[Rows, float, np.random.Generator], Rows]


def moved(rows: Rows, size: float, rng: np.random.Generator) -> Rows:
    """Shifts the living area by `size` standard deviations."""
    spread = float(np.std([row["area_m2"] for row in rows]))
    return [{**row, "area_m2": row["area_m2"] + size * spread} for row in rows]


def elsewhere(rows: Rows, size: float, rng: np.random.Generator) -> Rows:
    """Moves this share of the rows to one district."""
    return [{**row, "district": "harbour"} if rng.random() < size else row for row in rows]


def lost(rows: Rows, size: float, rng: np.random.Generator) -> Rows:
    """Removes the number of rooms from this share of the rows."""
    return [{**row, "rooms": None} if rng.random() < size else row for row in rows]


SHIFTS: dict[str, tuple[Shift, tuple[float, ...]]] = {
    "area moved, standard deviations": (moved, (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)),
    "rows sent to one district, share": (elsewhere, (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)),
    "rooms missing, share": (lost, (0.02, 0.05, 0.1, 0.12, 0.15, 0.2)),
}


class World:
    """The generator, and the model."""

    def __init__(self, settings: MonitorSettings) -> None:
        self.predictor: Any = load_predictor(Bundle("artifacts/house_prices/bundle"))
        self.columns_of, self.settings = list(self.predictor.Request.model_json_schema()["properties"]), settings
        self.seed = 1_000

    def rows(self, count: int) -> Rows:
        self.seed += 1
        frame = hedonic(count, self.seed)[self.columns_of].astype(object)
        records: list[Any] = frame.where(frame.notna(), None).to_dict("records")
        return records

    def columns(self, rows: Rows) -> Columns:
        requests = [self.predictor.Request.model_validate(row) for row in rows]
        monitoring = Monitoring()
        return monitored_columns(monitoring.inputs(requests), monitoring.answers(self.predictor.predict(requests)))

    def drifted(self, then: Reference, rows: Rows) -> bool:
        return any(one.drifted for one in compare(then, self.columns(rows), self.settings.alpha, self.settings.gap))

    def share(self, weeks: int, change: Callable[[Rows], Rows], what: str) -> float:
        """The share of weeks with detected drift."""
        found = 0
        for _ in tqdm(range(weeks), desc=what, leave=False):
            then = reference(self.columns(self.rows(REFERENCE)))
            found += self.drifted(then, change(self.rows(WINDOW)))
        return found / weeks

    def delay(self, change: Callable[[Rows], Rows]) -> int | None:
        """Requests after a shift until a check finds it; the window is the latest `max_rows`, without drift before."""
        then = reference(self.columns(self.rows(REFERENCE)))
        most = self.settings.max_rows
        rows = self.rows(most)
        for after in range(LOOK, 2 * most + 1, LOOK):
            rows = [*rows, *change(self.rows(LOOK))][-most:]
            if self.drifted(then, rows):
                return after
        return None


def draw(curves: dict[str, dict[float, float]], quiet: float) -> None:
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    for axes, (title, curve) in zip(figure.subplots(1, len(curves), sharey=True), curves.items(), strict=True):
        axes.plot([0, *curve], [quiet, *curve.values()], marker="o")
        axes.axhline(0.05, color="tab:red", linewidth=0.8)
        axes.set(xlabel=title, ylim=(-0.02, 1.02))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("weeks called drifted")
    figure.savefig(PICTURE, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weeks", type=int, default=200)
    weeks = parser.parse_args().weeks
    block = yaml.safe_load(Path("params.yaml").read_text())["projects"]["house_prices"]["monitor"]
    world = World(MonitorSettings.model_validate(block))
    rng = np.random.default_rng(0)
    print(f"{machine.line()}; {weeks} weeks each, reference {REFERENCE:,} rows, window {WINDOW}")
    quiet = world.share(weeks, lambda rows: rows, "quiet")
    print(f"weeks without a shift reported as drifted: {quiet:.1%} (goal: at most 5%)")
    curves: dict[str, dict[float, float]] = {}
    for title, (shift, sizes) in SHIFTS.items():
        curves[title] = {}
        for size in sizes:
            found = world.share(weeks, lambda rows, s=shift, z=size: s(rows, z, rng), f"{title} {size}")  # type: ignore[misc]
            curves[title][size] = found
            print(f"{title} {size:<4}: detected in {found:.1%}")
    draw(curves, quiet)
    print(f"{PICTURE} is written\n\nrequests until a shift is found, a check every {LOOK}: median, and 90% within")
    for size in (0.3, 0.5, 1.0):
        runs = [world.delay(lambda rows, z=size: moved(rows, z, rng)) for _ in tqdm(range(STREAMS), leave=False)]  # type: ignore[misc]
        delays = [np.inf if run is None else run for run in runs]
        median, most = np.quantile(delays, [0.5, 0.9], method="higher")
        print(f"area moved by {size} standard deviations: {median:g}, {most:g}")


if __name__ == "__main__":
    main()
