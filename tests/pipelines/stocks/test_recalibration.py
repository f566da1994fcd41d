"""Intervals are recalibrated by the outcomes that are known."""

import numpy as np
import pytest

from pipelines.stocks.data.garch import generate
from pipelines.stocks.predict import STEP
from pipelines.stocks.predict.features import HORIZONS, QUANTILES
from pipelines.stocks.predict.recalibration import outcomes, recalibrated

NORMAL = np.array([-1.96, -1.2816, -0.6745, 0, 0.6745, 1.2816, 1.96])
CLOSE = generate(1, 30, seed=8)[0].columns["close"].tolist()


def textbook(quantiles: np.ndarray, came: np.ndarray) -> np.ndarray:
    """The algorithm of Gibbs and Candes for one history, day by day: [k + 1, h, q], [k, h] -> [h, q]"""
    found = quantiles[-1].copy()
    for h, days in enumerate(HORIZONS):
        for low, high in ((0, 6), (1, 5), (2, 4)):
            width = 0.0
            missed: list[float] = []
            for day in range(len(quantiles)):
                if day >= days and np.isfinite(came[day - days, h]):
                    width += STEP * (missed[day - days] - 2 * QUANTILES[low])
                middle = quantiles[day, h, 3]
                ends = [middle + np.exp(width) * (quantiles[day, h, end] - middle) for end in (low, high)]
                if day < len(came):
                    missed.append(float(came[day, h] < ends[0] or came[day, h] > ends[1]))
            found[h, [low, high]] = ends
    return np.sort(found, axis=-1)


def test_vectorised_recalibration_matches_the_textbook() -> None:
    rng = np.random.default_rng(0)
    quantiles = np.sort(rng.normal(size=(6, 101, 3, 7)), axis=-1)
    quantiles[1, :, :, 4:] = quantiles[1, :, :, 3:4]  # no width above the median
    came = rng.normal(size=(6, 100, 3))
    came[1, ::3] = quantiles[1, :100:3, :, 3]  # on it
    came[2, :60] = np.nan  # a shorter history
    found = recalibrated(quantiles, came, HORIZONS, QUANTILES, STEP)
    assert found == pytest.approx(np.stack([textbook(*one) for one in zip(quantiles, came, strict=True)]), abs=1e-12)


def test_wrong_interval_widths_are_corrected_within_a_year() -> None:
    came = np.random.default_rng(1).normal(size=(4000, 253, 3))
    for width in (0.7, 1.0, 1.3):  # of 80%: 63%, 80%, 90%
        quantiles = np.broadcast_to(width * NORMAL, (4000, 253, 3, 7))
        found = recalibrated(quantiles, came[:, :-1], HORIZONS, QUANTILES, STEP)
        inside = (found[..., 1] <= came[:, -1]) & (came[:, -1] <= found[..., 5])
        assert inside.mean(axis=0) == pytest.approx(0.8, abs=0.03), width
        assert np.all(found[..., 3] == 0)


def test_outcomes_count_only_once_known() -> None:
    rng = np.random.default_rng(2)
    quantiles = np.broadcast_to(NORMAL, (1, 253, 3, 7))
    came = rng.normal(size=(1, 252, 3))
    found = recalibrated(quantiles, came, HORIZONS, QUANTILES, STEP)
    for h, days in enumerate(HORIZONS):
        for day, counts in ((252 - days, True), (253 - days, False)):  # today is day 252
            if day < 252:
                other = came.copy()
                other[0, day, h] = 0.0 if abs(came[0, day, h]) > 0.6 else 9.0
                changed = recalibrated(quantiles, other, HORIZONS, QUANTILES, STEP)
                assert np.array_equal(changed, found) != counts, (days, day)


def test_outcomes_are_future_returns() -> None:
    found = outcomes(np.array(CLOSE), HORIZONS)
    assert found[3] == pytest.approx([np.log(CLOSE[3 + days] / CLOSE[3]) for days in HORIZONS])
    assert np.isfinite(found).sum(axis=0).tolist() == [29, 25, 10]
