"""Stocks: evaluation of the shipped forecaster and the classical ones on rolling origins of the test period."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.stocks.data.origins import EMBARGO
from pipelines.stocks.data.targets import walked
from pipelines.stocks.evaluate import forecasts
from pipelines.stocks.evaluate.baselines import BASELINES, timed
from pipelines.stocks.evaluate.forecasts import MEDIAN, by_date, diebold_mariano, inside, named, pinball
from pipelines.stocks.predict import Response
from pipelines.stocks.predict.features import HORIZONS, QUANTILES
from roadmap import project
from roadmap.evaluation.evaluated import EvaluatedModel
from roadmap.evaluation.scores import Score, block_means
from roadmap.io.json import JsonObject
from roadmap.project import Figures, Request

SEED = 0  # for the metrics' intervals


class Evaluation(project.Evaluation[Response]):
    def score(self, targets: np.ndarray, outputs: Sequence[Response]) -> Score:
        """Headline: the pinball loss, mean over levels and horizons, in percent of the price."""
        quantiles = log_returns(targets, outputs)
        symbols = len(np.unique(targets["symbol"]))
        return Score(
            headline="pinball_percent",
            higher_is_better=False,
            per_item=pinball(targets["y"], quantiles).mean(axis=1),
            metrics=metrics(targets, quantiles),
            block=EMBARGO * symbols,  # forecasts of one month are correlated, across symbols too
        )

    def slices(self, requests: list[Request], targets: np.ndarray) -> dict[str, np.ndarray]:
        """By symbol, and by recent volatility."""
        moves = np.array([np.std(np.diff(np.log(request["close"][-EMBARGO - 1 :]))) for request in requests])
        stormy = moves > np.median(moves)
        symbols = {f"symbol={symbol}": targets["symbol"] == symbol for symbol in np.unique(targets["symbol"])}
        return {**symbols, "calm": ~stormy, "stormy": stormy}

    def baselines(self, folder: Path, seed: int) -> list[JsonObject]:
        """Walk-forward over the same origins; parameters are refitted on the way, on past data only."""
        _, test, series = walked(folder, "test")
        rows = []
        for name, baseline in BASELINES.items():
            quantiles, seconds = timed(baseline, series, len(test))
            losses = pinball(test.y, quantiles).mean(axis=0)
            covered = inside(test.y, quantiles, 80).mean(axis=0), inside(test.y, quantiles, 95).mean(axis=0)
            row = {
                "name": name,
                "metric": "pinball_percent",
                "test": float(losses.mean()),
                "seconds": round(seconds, 2),
            }
            row |= named(losses, "pinball") | named(covered[0], "coverage80") | named(covered[1], "coverage95")
            print(f"  {name:24s} pinball {row['test']:.4f}  " + "  ".join(f"{loss:.4f}" for loss in losses))
            rows.append(row)
        return rows

    def figures(self, evaluated: EvaluatedModel) -> Figures:
        from pipelines.stocks.evaluate import figures as draw

        targets = evaluated.targets
        quantiles = log_returns(targets, evaluated.outputs)
        return {
            "fans": draw.fans(targets, quantiles),
            "coverage": draw.coverage(metrics(targets, quantiles), evaluated.baselines),
            "pinball_by_horizon": draw.pinball_by_horizon(
                pinball(targets["y"], quantiles).mean(axis=0), evaluated.baselines
            ),
            "calibration": draw.probability(targets, quantiles),
        }


def log_returns(targets: np.ndarray, outputs: Sequence[Response]) -> np.ndarray:
    """Predicted prices as log-returns: [n, h, q]"""
    prices = np.array([[list(horizon.quantiles.values()) for horizon in output.horizons] for output in outputs])
    return np.log(prices / targets["last"][:, None, None])


def metrics(targets: np.ndarray, quantiles: np.ndarray) -> dict[str, float]:
    """Metrics per horizon; intervals by bootstrap of blocks of EMBARGO dates.

    targets: TARGET [n], quantiles: log-returns [n, h, q]
    """
    y, date, median = targets["y"], targets["date"], quantiles[..., MEDIAN]
    losses, reference = pinball(y, quantiles), pinball(y, targets["naive"])
    found = named(losses.mean(axis=0), "pinball") | named(reference.mean(axis=0), "pinball_naive")
    measured = {
        "coverage80": inside(y, quantiles, 80),
        "coverage95": inside(y, quantiles, 95),
        "mase": np.abs(median - y) / targets["unit"],
        "direction": (np.sign(median) == np.sign(y)).astype(np.float64),
    }
    for name, values in measured.items():
        low, high = np.percentile(block_means(by_date(values, date), EMBARGO, SEED), [2.5, 97.5], axis=0)
        found |= named(values.mean(axis=0), name) | named(low, f"{name}_low") | named(high, f"{name}_high")
    found |= named((y > 0).mean(axis=0), "share_up")
    daily = by_date(reference, date), by_date(losses, date)
    tests = [diebold_mariano(daily[0][:, h], daily[1][:, h], days) for h, days in enumerate(HORIZONS)]
    for name, values in zip(("dm", "dm_p"), np.array(tests).T, strict=True):
        found |= named(values, name)
    if np.isfinite(targets["truth"]).all():
        found |= against_truth(targets["truth"], quantiles) | named(
            pinball(y, targets["truth"]).mean(axis=0), "pinball_truth"
        )
    return found


def against_truth(truth: np.ndarray, quantiles: np.ndarray) -> dict[str, float]:
    """Against the generator's distribution: true coverage of the intervals, and errors of the quantiles in widths of
    its 80% interval. truth, quantiles: log-returns [n, h, q]"""
    found: dict[str, float] = {}
    for interval, (low, high) in forecasts.INTERVALS.items():
        mass = [
            _mass(truth[:, h], quantiles[:, h, high]) - _mass(truth[:, h], quantiles[:, h, low])
            for h in range(len(HORIZONS))
        ]
        found |= named(np.array(mass), f"true_coverage{interval}")
    width = truth[..., QUANTILES.index(0.9)] - truth[..., QUANTILES.index(0.1)]
    error = np.abs(quantiles - truth).mean(axis=2) / width
    return found | named(error.mean(axis=0), "quantile_error")


def _mass(truth: np.ndarray, bound: np.ndarray) -> float:
    """The mean true probability of an outcome below `bound`, interpolated between known levels on the normal scale."""
    from scipy import stats

    scores = stats.norm.ppf(QUANTILES)
    left = np.clip((bound > truth).sum(axis=1) - 1, 0, len(QUANTILES) - 2)  # extrapolates beyond the outer levels
    rows = np.arange(len(truth))
    low, high = truth[rows, left], truth[rows, left + 1]
    place = (bound[:, 0] - low) / (high - low)
    return float(stats.norm.cdf(scores[left] + place * (scores[left + 1] - scores[left])).mean())
