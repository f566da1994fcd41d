"""Daily prices: seeded GARCH paths (sample), four large companies 2006 to 2017 (full), your own CSVs, or live."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.stocks import settings
from pipelines.stocks.data import leaks, prices, targets
from pipelines.stocks.data.garch import generate
from pipelines.stocks.data.origins import EMBARGO, Origins, history, known, rolling_origins
from pipelines.stocks.predict import COUNT
from pipelines.stocks.predict.features import CHANNELS, HISTORY, HORIZONS, QUANTILES
from roadmap import project
from roadmap.data import splits
from roadmap.data.download import fetch
from roadmap.data.splits import SPLITS, PreparedData
from roadmap.data.training_set import TrainingSet
from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject
from roadmap.project import Request

URL = "https://raw.githubusercontent.com/szrlee/Stock-Time-Series-Analysis/master/data/"
SHA256 = {
    "AAPL_2006-01-01_to_2018-01-01.csv": "9a4d1d99d708b3a213fe4e709ba2e214fa67aed127972636d61823b87a843f5f",
    "AMZN_2006-01-01_to_2018-01-01.csv": "640b5fff5fe6d0bbc523b6d893d6fa4758cb9c5ebf2d43ccda4adf0683cd1fba",
    "IBM_2006-01-01_to_2018-01-01.csv": "91cbf31153bc397720a79bb4fb516f7ecc2e6440bc6b6591cfff6f02799ab169",
    "MSFT_2006-01-01_to_2018-01-01.csv": "1f1c9b6e9b78c16c5ff03411581c92f62662adb86b8eaf3590ea68cbf3f245da",
}


class Data(project.Data[settings.Data]):
    def prepare(self, data: settings.Data, profile: str, seed: int) -> PreparedData:
        frames, notes, source, licence = _frames(data, profile, seed)
        days = pd.concat([frame.assign(symbol=symbol) for symbol, frame in frames.items()], ignore_index=True)
        days = days.sort_values(["date", "symbol"], kind="stable", ignore_index=True)
        if data.until is not None:
            days = days[days["date"] <= pd.Timestamp(data.until)].reset_index(drop=True)
        parts = by_time(days, data.split, source)
        for name in ("train", "val", "test"):
            rolling_origins(
                {key: parts[key] for key in SPLITS[: SPLITS.index(name) + 1]}, name
            )  # raises if there are none
        for note in notes:
            print(f"  {note}")
        schema = {"task": "series", "symbols": sorted(frames), "horizons": list(HORIZONS), "quantiles": list(QUANTILES)}
        periods = {name: [str(part["date"].min())[:10], str(part["date"].max())[:10]] for name, part in parts.items()}
        return PreparedData(parts, source, licence, schema, notes={"periods": periods, "cleaning": notes})

    def training(self, folder: Path) -> TrainingSet:
        """Windows of the training and the validation period; the test period is not read.

        Raises:
            UsageError: a feature, a scaler or a past target depends on later prices.
        """
        days = history(folder, ("train", "val"))
        train, val, model = assemble(days)
        check_past(days, train, val)
        example = [
            {"symbol": str(train.symbol[i]), "close": known({"train": days["train"]}, train, most)[i].tolist()}
            for i, most in ((0, HISTORY), (-1, COUNT))
        ]
        return TrainingSet(
            train=(train.x, train.scale, train.y),
            val=(val.x, val.scale, val.y),
            model=model,
            assets={"example.json": example, "schema.json": splits.read_card(folder)["schema"]},
        )

    def test_rows(self, folder: Path, split: str = "test") -> tuple[list[Request], np.ndarray]:
        """Requests, and a TARGET (targets.py) for each, [n]."""
        return targets.rows(folder, split)


def _frames(data: settings.Data, profile: str, seed: int) -> tuple[dict[str, pd.DataFrame], list[str], str, str]:
    """-> frame by symbol, notes on cleaning, source, licence"""
    if data.path is not None:
        frames, notes = prices.read_folder(data.path)
        digest = hashlib.sha256(pd.util.hash_pandas_object(pd.concat(frames)).to_numpy().tobytes()).hexdigest()[:8]
        return frames, notes, f"csv:{Path(data.path).name} ({digest})", "yours"
    if data.live is not None:
        return *prices.live(data.live), "Yahoo Finance", "personal use, says the publisher"
    if profile == "sample":
        return sample(data.symbols, data.days, seed), [], "GARCH generator", "Apache-2.0"
    files = [fetch("stocks", URL + name, f"sha256:{sha256}") for name, sha256 in SHA256.items()]
    return *prices.read_files(files), "AAPL, AMZN, IBM, MSFT 2006-2017", "CC0 claimed"


def sample(symbols: int, days: int, seed: int) -> dict[str, pd.DataFrame]:
    """Adds the generator's truth to each day: the next day's variance, the symbol's volatility and drift."""
    return {
        one.symbol: pd.DataFrame(
            {
                "date": pd.to_datetime(one.dates),
                **one.columns,
                "true_variance": one.variance,
                "true_volatility": one.volatility,
                "true_drift": one.drift,
            }
        )
        for one in generate(symbols, days, seed)
    }


def by_time(days: pd.DataFrame, shares: tuple[float, float, float], source: str) -> dict[str, pd.DataFrame]:
    """Consecutive periods, the same for all symbols, so that none reveals another's future.

    Raises:
        UsageError: too few days for a split.
    """
    dates = np.sort(days["date"].unique())
    cuts = np.round(np.cumsum(shares)[:2] * len(dates)).astype(int)
    needed = {"train": HISTORY + EMBARGO, "val": EMBARGO + 1, "test": EMBARGO + 1}
    for name, part in zip(SPLITS, np.split(dates, cuts), strict=True):
        if len(part) < needed[name]:
            raise UsageError(
                f"{source}: {len(dates)} days leave {len(part)} for {name}; expected at least {needed[name]}"
            )
    first, second = dates[cuts]
    late, later = days["date"] >= first, days["date"] >= second
    parts = {"train": days[~late], "val": days[late & ~later], "test": days[later]}
    return {name: part.reset_index(drop=True) for name, part in parts.items()}


def assemble(days: dict[str, pd.DataFrame]) -> tuple[Origins, Origins, JsonObject]:
    """-> training origins, validation origins, constants of the training period for the network"""
    train, val = rolling_origins({"train": days["train"]}, "train"), rolling_origins(days, "val")
    multiples = train.y / (train.scale[:, None] * np.sqrt(HORIZONS))
    model = {
        "mean": train.x.mean(axis=(0, 1), dtype=np.float64).tolist(),
        "std": np.maximum(train.x.std(axis=(0, 1), dtype=np.float64), 1e-3).tolist(),
        "start": np.quantile(multiples, QUANTILES, axis=0).T.tolist(),
        "horizons": list(HORIZONS),
        "levels": list(QUANTILES),
    }
    return train, val, model


def check_past(days: dict[str, pd.DataFrame], train: Origins, val: Origins) -> None:
    """Checks the embargo, that training data don't depend on validation prices, and that validation inputs don't depend
    on later prices.

    Raises:
        UsageError: with the values that depend on the future.
    """
    end, begin, middle = days["train"]["date"].max(), days["val"]["date"].min(), val.date[len(val) // 2]
    if not (train.ends.max() <= np.datetime64(end, "D") < np.datetime64(begin, "D") <= val.date.min()):
        raise UsageError(
            f"pipelines/stocks: found a training outcome in the validation period, which begins on {_day(begin)}"
        )
    both = pd.concat(days.values(), ignore_index=True)

    def parts(frame: pd.DataFrame) -> tuple[Origins, Origins, JsonObject]:
        late = frame["date"] > end
        return assemble({"train": frame[~late], "val": frame[late]})

    def after_training(frame: pd.DataFrame) -> dict[str, np.ndarray]:
        now, _, model = parts(frame)
        scalers = {f"scaler {name!r}": np.array(value) for name, value in model.items()}
        return {**scalers, **inputs(now, now.date <= end.to_datetime64()), "targets of training": now.y}

    def in_validation(frame: pd.DataFrame) -> dict[str, np.ndarray]:
        then = parts(frame)[1]
        return inputs(then, then.date <= middle)

    leaks.check(after_training, both, end)
    leaks.check(in_validation, both, middle)


def inputs(rows: Origins, seen: np.ndarray) -> dict[str, np.ndarray]:
    """The network's inputs at some origins, by name. seen: bool [n]"""
    channels = {f"channel {name!r}": rows.x[seen, :, n] for n, name in enumerate(CHANNELS)}
    return {**channels, "scale": rows.scale[seen]}


def _day(when: object) -> str:
    return str(when)[:10]
