"""Forecasts of prices: against a known ground truth, and without look-ahead."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.stocks import LSTM, TCN, Forecaster, Quantiles, pinball
from pipelines.stocks import data
from pipelines.stocks.data import origins, targets
from pipelines.stocks.data.garch import Garch, generate
from pipelines.stocks.evaluate import baselines, forecasts
from pipelines.stocks.predict import features
from pipelines.stocks.predict.features import HISTORY, HORIZONS, QUANTILES
from pipelines.stocks.settings import Data
from roadmap.data import splits
from roadmap.data.training_set import TrainingSet
from roadmap.io.errors import UsageError
from roadmap.training.export import export

LEVELS = np.array(QUANTILES)
KEYS = {"path": None, "live": None, "until": None, "symbols": 2, "days": 1400, "split": (0.6, 0.15, 0.25)}
NETWORK: dict[str, Any] = {"hidden": 8, "dropout": 0.1, "direction": False, "lr": 0.01, "weight_decay": 0.0}


def settings_of(**changes: Any) -> Data:
    return Data.model_validate({**KEYS, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "stocks"
    splits.write(folder, data.Data().prepare(settings_of(), "sample", 1), "sample")
    return folder


@pytest.fixture(scope="module")
def training_set(folder: Path) -> TrainingSet:
    return data.Data().training(folder)


def moved(network: Forecaster, by: float = 0.3) -> Forecaster:
    """A network with weights far from their initial values, as after training."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(by * torch.randn_like(parameter))
    return network.eval()


# ---------------------------------------------------------------- the generator's truth


def test_one_day_quantiles_match_the_simulation() -> None:
    h = np.array([0.5, 1.0, 3.0])
    exact = Garch().quantiles(h, 1, LEVELS)
    simulated = Garch().simulated(h, 1, LEVELS, seed=3)
    assert np.all(np.abs(simulated - exact) < 0.06 * np.sqrt(h)[:, None])
    assert exact[2] == pytest.approx(exact[1] * np.sqrt(3))


def test_generated_returns_are_calibrated() -> None:
    """Each day against the distribution known the evening before; bounds are four binomial standard errors."""
    [one] = generate(1, 12_000, seed=4)
    logs = np.log(one.columns["close"])
    for days in HORIZONS:
        known = Garch().quantiles(one.variance[:-days], days, LEVELS) * one.volatility + days * one.drift
        below = (logs[days:] - logs[:-days])[:, None] < known
        error = np.sqrt(LEVELS * (1 - LEVELS) / (len(below) / days))
        assert np.all(np.abs(below.mean(axis=0) - LEVELS) < 4 * error), days


def test_volatility_clusters_and_candles_contain_their_prices() -> None:
    [one] = generate(1, 6000, seed=5)
    returns = np.diff(np.log(one.columns["close"]))
    assert (
        np.corrcoef(returns[1:] ** 2, returns[:-1] ** 2)[0, 1]
        > 0.05
        > abs(np.corrcoef(returns[1:], returns[:-1])[0, 1])
    )
    low, high = one.columns["low"], one.columns["high"]
    for name in ("open", "close"):
        assert np.all((low <= one.columns[name]) & (one.columns[name] <= high))


def test_prices_do_not_depend_on_the_number_of_symbols() -> None:
    one, two = generate(1, 1000, seed=6)[0], generate(2, 1000, seed=6)[0]
    assert np.array_equal(one.columns["close"], two.columns["close"])


# ---------------------------------------------------------------- the network


def test_pinball_loss_is_minimal_at_the_true_quantile() -> None:
    y = torch.from_numpy(np.random.default_rng(0).normal(size=(200_000, 1)))
    grid = torch.linspace(-3, 3, 121, dtype=torch.float64)
    for level, truth in ((0.025, -1.96), (0.5, 0.0), (0.9, 1.2816)):
        losses = [float(pinball(q.expand(len(y), 1, 1), y, torch.tensor([level])).mean()) for q in grid]
        assert float(grid[int(np.argmin(losses))]) == pytest.approx(truth, abs=0.06)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.floats(0.01, 30), st.booleans())
def test_quantiles_never_cross(seed: int, size: float, direction: bool) -> None:
    torch.manual_seed(seed)
    head = Quantiles(6, torch.randn(3, 7).sort(dim=1).values, direction)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(size * torch.randn_like(parameter))
    assert torch.all(head(torch.randn(40, 6)).diff(dim=-1) >= 0)


@pytest.mark.parametrize("network", [LSTM, TCN])
def test_the_untrained_network_predicts_past_quantiles(network: Any, training_set: TrainingSet) -> None:
    model = network(**training_set.model, **NETWORK).eval()
    x, scale, y = training_set.train
    with torch.no_grad():
        found = model(torch.from_numpy(x), torch.from_numpy(scale)).numpy()
    below = (y[..., None] < found).mean(axis=0)
    assert below == pytest.approx(np.broadcast_to(LEVELS, below.shape), abs=0.01)


def test_without_direction_the_median_does_not_depend_on_history(training_set: TrainingSet) -> None:
    x = torch.from_numpy(training_set.train[0][:200])
    for direction in (False, True):
        model = moved(LSTM(**training_set.model, **{**NETWORK, "direction": direction}))
        medians = model.multiples(x)[..., QUANTILES.index(0.5)]
        assert bool(medians.std(dim=0).max() < 1e-6) != direction


@pytest.mark.parametrize("network", [LSTM, TCN])
def test_the_graph_matches_the_network(network: Any, training_set: TrainingSet, tmp_path: Path) -> None:
    import onnxruntime

    model = moved(network(**training_set.model, **NETWORK))
    export(model, tuple(array[:2] for array in training_set.val[:-1]), tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for rows in (1, 77):
        x, scale, _ = (array[:rows] for array in training_set.val)
        with torch.no_grad():
            expected = model(torch.from_numpy(x), torch.from_numpy(scale)).numpy()
        assert session.run(["y"], {"x": x, "scale": scale})[0] == pytest.approx(expected, rel=1e-4, abs=1e-5)


# ---------------------------------------------------------------- no look into the future


def test_window_features_are_independent_and_scale_free() -> None:
    closes = generate(1, 1000, seed=7)[0].columns["close"]
    x, scale = features.window_features(features.windows(closes))
    single = features.window_features(closes[None, 100 : 100 + HISTORY])
    assert x[100] == pytest.approx(single[0][0], abs=1e-5) and scale[100] == pytest.approx(single[1][0])
    dearer = features.window_features(1000 * features.windows(closes))
    assert x == pytest.approx(dearer[0], abs=1e-4) and scale == pytest.approx(dearer[1], rel=1e-4)


def test_outcomes_do_not_cross_splits(folder: Path) -> None:
    days = origins.history(folder, splits.SPLITS)
    ends = {}
    for number, name in enumerate(splits.SPLITS):
        found = origins.rolling_origins({key: days[key] for key in splits.SPLITS[: number + 1]}, name)
        assert found.date.min() >= days[name]["date"].min().to_datetime64()
        assert found.ends.max() == days[name]["date"].max().to_datetime64().astype("datetime64[D]")
        ends[name] = found
    assert ends["train"].ends.max() < ends["val"].date.min() and ends["val"].ends.max() < ends["test"].date.min()
    # The embargo costs a split its last days, and no more.
    last = np.busday_count(ends["train"].date.max(), ends["val"].date.min())
    assert last == max(HORIZONS) + 1


def test_the_leak_check_passes_without_a_leak(folder: Path) -> None:
    data.Data().training(folder)  # or it would raise


def test_a_feature_from_the_future_is_caught(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = features.windows

    def tomorrow(close: np.ndarray) -> np.ndarray:
        return np.concatenate([honest(close)[1:], honest(close)[-1:]])

    monkeypatch.setattr(origins, "windows", tomorrow)
    with pytest.raises(UsageError, match=r"channel 'surprise'.*depends on later prices"):
        data.Data().training(folder)


def test_volatility_of_the_whole_series_is_caught(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = origins.window_features

    def hindsight(closes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, scale = honest(closes)
        return x, np.full_like(scale, scale.mean())

    monkeypatch.setattr(origins, "window_features", hindsight)
    with pytest.raises(UsageError, match=r"scale: look-ahead leak: .* depends on later prices"):
        data.Data().training(folder)


def test_a_scaler_fitted_on_validation_is_caught(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = data.assemble

    def greedy(days: Any) -> Any:
        train, val, model = honest(days)
        return train, val, {**model, "mean": np.concatenate([train.x, val.x]).mean(axis=(0, 1)).tolist()}

    monkeypatch.setattr(data, "assemble", greedy)
    with pytest.raises(UsageError, match=r"scaler 'mean': look-ahead leak: .* depends on later prices"):
        data.Data().training(folder)


def test_a_training_outcome_in_validation_is_caught(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    days = origins.history(folder, ("train", "val"))
    train, val = origins.rolling_origins({"train": days["train"]}, "train"), origins.rolling_origins(days, "val")
    late = {**train.__dict__, "ends": train.ends + 1}
    with pytest.raises(UsageError, match="found a training outcome in the validation period"):
        data.check_past(days, origins.Origins(**late), val)


def test_baselines_do_not_see_past_an_origin(folder: Path) -> None:
    _, _, series = targets.walked(folder, "test")
    logs, at, _ = next(iter(series.values()))
    at, cut = at[:60], int(at[40])
    other = logs.copy()
    other[cut + 1 :] += np.cumsum(np.random.default_rng(0).normal(0, 0.1, len(logs) - cut - 1))
    for name, baseline in baselines.BASELINES.items():
        one, two = baseline(logs, at)[:41], baseline(other, at)[:41]
        assert one == pytest.approx(two, abs=1e-12), name


def test_a_run_for_a_past_date_sees_no_later_prices() -> None:
    now = data.Data().prepare(settings_of(until="2020-06-30"), "sample", 1)
    assert max(part["date"].max() for part in now.splits.values()) <= pd.Timestamp("2020-06-30")
    with pytest.raises(UsageError, match=r"days leave \d+ for"):
        data.Data().prepare(settings_of(until="2016-12-30"), "sample", 1)


# ---------------------------------------------------------------- metrics


def test_diebold_mariano_has_a_false_alarm_rate_of_five_percent() -> None:
    """2,000 pairs of equally good forecasts; for five days ahead errors overlap, like those of real forecasts."""
    rng = np.random.default_rng(1)
    for days in (1, 5):
        kernel = np.ones(days)
        p = []
        for _ in range(2000):
            one, two = (np.convolve(rng.normal(size=200 + days - 1), kernel, "valid") ** 2 for _ in range(2))
            p.append(forecasts.diebold_mariano(one, two, days)[1])
        assert 0.03 <= np.mean(np.array(p) < 0.05) <= 0.085, days


def test_diebold_mariano_finds_the_better_forecast() -> None:
    losses = np.random.default_rng(2).exponential(size=300)
    statistic, p = forecasts.diebold_mariano(losses + 0.2 * losses**2, losses, 5)
    assert statistic > 0 and p < 0.01
    assert forecasts.diebold_mariano(losses, losses, 5) == (0.0, 1.0)


def test_pinball_agrees_with_scikit_learn() -> None:
    from sklearn.metrics import mean_pinball_loss

    rng = np.random.default_rng(3)
    y, quantiles = rng.normal(size=(50, 3)), np.sort(rng.normal(size=(50, 3, 7)), axis=-1)
    expected = [
        np.mean([mean_pinball_loss(y[:, h], quantiles[:, h, k], alpha=p) for k, p in enumerate(QUANTILES)])
        for h in range(3)
    ]
    assert forecasts.pinball(y, quantiles).mean(axis=0) == pytest.approx(100 * np.array(expected))
