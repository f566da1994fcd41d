"""Prices: users' files, Yahoo Finance, and the official data in the mirror."""

import json
import os
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines.stocks import data
from pipelines.stocks.data import prices
from pipelines.stocks.settings import Data
from roadmap.io.errors import UsageError
from tests.support.checkouts import Checkout, checkout

HEADER = "Date,Open,High,Low,Close,Volume\n"
KEYS = {"path": None, "live": None, "until": None, "symbols": 2, "days": 1400, "split": (0.6, 0.15, 0.25)}


def line(day: str, close: object = 10, opened: object = 10) -> str:
    return f"{day},{opened},11,9,{close},1000\n"


def cleaned(folder: Path, text: str, name: str = "ACME.csv") -> tuple[pd.DataFrame, list[str]]:
    (folder / name).write_text(text, encoding="utf-8")
    frames, notes = prices.read_folder(str(folder))
    return frames["ACME"], notes


def test_columns_in_any_case_and_order_with_extra_ones(tmp_path: Path) -> None:
    text = "\ufeffClose, Adj Close,DATE,volume\n10,1,2020-01-02,5\n11,1,2020-01-03,6\n"
    frame, notes = cleaned(tmp_path, text, "ACME_2020 daily.csv")
    assert frame["close"].tolist() == [10, 11] and frame["volume"].tolist() == [5, 6] and notes == []
    assert frame["open"].isna().all()


def test_repairable_prices_are_repaired_and_noted(tmp_path: Path) -> None:
    days = [
        line("2020-01-03"),
        line("2020-01-02", opened=""),
        line("2020-01-06", close="null"),
        line("2020-01-03"),
        "\n",
        line("2020-02-20"),
    ]
    frame, notes = cleaned(tmp_path, HEADER + "".join(days))
    assert [str(day)[:10] for day in frame["date"]] == ["2020-01-02", "2020-01-03", "2020-02-20"]
    message = " / ".join(notes)
    for words in (
        "without a close",
        "without open, high or low",
        "sorted by date",
        "1 duplicate",
        "no price for 48 days",
    ):
        assert words in message, words
    assert str(tmp_path) not in message, "the card does not depend on the files' location"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "No columns"),
        ("Date,Close\n", "found no price"),
        ("Date,Open\n2020-01-02,1\n", "line 1: found no column 'close'"),
        ("Date,Close,close\n2020-01-02,1,1\n", "'close' appears more than once"),
        (HEADER + line("2020-01-02") + line("tomorrow"), "row 3: date found 'tomorrow'; expected a date"),
        (HEADER + line("2020-01-02") + line(""), "row 3: date is missing"),
        (HEADER + line("2020-01-02", "ten"), "row 2: close found 'ten'; expected a number"),
        (HEADER + line("2020-01-02", "inf"), "row 2: close found 'inf'; expected a number"),
        (HEADER + line("2020-01-02", 0), "row 2: close is 0; expected a positive price"),
        (HEADER + line("2020-01-02", 5, -1), "row 2: open is -1; expected a positive price"),
        (HEADER + line("2020-01-02", 5) + line("2020-01-02", 6), "rows 2 and 3 give 2020-01-02 the closes 5 and 6"),
        (HEADER + line("2020-01-02", "1e-7"), "row 2: close is 1e-07; expected 1e-06 to 1e+09, as of a request"),
        (HEADER + '2020-01-02,"open', "line 2: is not CSV: a quote that opens in line 2 never closes"),
        (HEADER + line("2020-01-02 05:00:00+00:00"), "row 2: date found '2020-01-02 05:00:00+00:00'; expected the"),
        (
            HEADER + line("2020-01-02 00:00:00-05:00") + line("2020-01-03T21:00:00Z"),
            "row 3: date found '2020-01-03T21:00:00Z'; expected the exchange's own day",
        ),
        (HEADER + line("2020-01-02", 700) + line("2020-01-03", 100), "row 3: the close goes from 700 to 100"),
    ],
)
def test_other_faults_are_rejected_by_file_and_row(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=r"ACME\.csv") as refused:
        cleaned(tmp_path, text)
    assert message in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "days",
    [
        ["2024-03-08 00:00:00-05:00", "2024-03-11 00:00:00-04:00"],
        ["2024-03-08T16:00:00-05:00", "2024-03-11T16:00:00-04:00"],
        ["2024-03-08 00:00:00+00:00", "2024-03-11 00:00:00+01:00"],
        ["2024-03-08 00:00:00+0800", "2024-03-11"],
        ["2024-03-08 00:00:00+11:00", "2024-03-11 00:00:00-05:00"],
        ["2024-03-08T00:00:00Z", "2024-03-11T00:00:00.000Z"],
        ["20240308T093000-0500", "2024-03-11 09:30:00-04:00[America/New_York]"],
    ],
)
def test_dates_with_offsets_are_exchange_days(tmp_path: Path, days: list[str]) -> None:
    """What `yfinance` writes: offsets that change in summer."""
    frame, notes = cleaned(tmp_path, HEADER + "".join(map(line, days)))
    assert [str(day) for day in frame["date"]] == ["2024-03-08 00:00:00", "2024-03-11 00:00:00"] and notes == []


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_semicolons_and_decimal_commas_are_read(tmp_path: Path, end: str) -> None:
    rows = ["Date;Close;Volume", "2024-03-08;10,5;1000", " 2024-03-11 ; 11,25 ;n/a"]
    frame, _ = cleaned(tmp_path, end.join(rows))
    assert frame["close"].tolist() == [10.5, 11.25] and frame["volume"].isna().tolist() == [False, True]


def test_invalid_folders_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        prices.read_folder(str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match=r"found no \.csv file"):
        prices.read_folder(str(tmp_path))
    for name in ("ACME.csv", "ACME_2.csv"):
        (tmp_path / name).write_text(HEADER + line("2020-01-02"))
    with pytest.raises(UsageError, match="found a second file of ACME"):
        prices.read_folder(str(tmp_path))
    (tmp_path / "ACME_2.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"ACME_2\.csv: not UTF-8|found a second file"):
        prices.read_folder(str(tmp_path))


def own_files(folder: Path, symbols: int = 2, days: int = 1200) -> Path:
    for number, frame in enumerate(data.sample(symbols, days, 3).values()):
        start = 300 * number  # a younger company
        frame.iloc[start:, :6].to_csv(folder / f"OWN{number}.csv", index=False)
    return folder


def test_users_own_files_are_split_at_common_dates(tmp_path: Path) -> None:
    settings = Data.model_validate({**KEYS, "path": str(own_files(tmp_path))})
    found = data.Data().prepare(settings, "full", 1)
    assert found.source.startswith("csv:") and found.schema["symbols"] == ["OWN0", "OWN1"]
    train, val, test = found.splits.values()
    assert train["date"].max() < val["date"].min() and val["date"].max() < test["date"].min()
    assert sum(map(len, found.splits.values())) == 1200 + 900
    shares = [part["date"].nunique() / 1200 for part in (train, val, test)]
    assert shares == pytest.approx([0.6, 0.15, 0.25], abs=0.001)


def test_too_few_days_are_rejected_with_the_number_needed(tmp_path: Path) -> None:
    settings = Data.model_validate({**KEYS, "path": str(own_files(tmp_path, symbols=1, days=300))})
    with pytest.raises(UsageError, match=r"300 days leave 180 for train; expected at least 273"):
        data.Data().prepare(settings, "full", 1)


def test_live_prices_name_the_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yfinance", None)
    with pytest.raises(UsageError, match="pip install yfinance"):
        prices.live(["AAPL"])


def test_live_prices_are_cleaned_like_files(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ticker:
        def __init__(self, symbol: str) -> None:
            self.symbol = symbol

        def history(self, period: str, auto_adjust: bool) -> Any:
            assert period == "max" and auto_adjust
            if self.symbol == "DOWN":
                raise ConnectionError("no route\nto host")
            dates = pd.date_range("2020-01-02", periods=0 if self.symbol == "NONE" else 3, tz="America/New_York")
            close = np.array([10.0, np.nan, 11.0])[: len(dates)]
            return pd.DataFrame({"Open": close, "Close": close, "Dividends": 0.0}, index=pd.Index(dates, name="Date"))

    module = types.ModuleType("yfinance")
    module.__dict__["Ticker"] = Ticker
    monkeypatch.setitem(sys.modules, "yfinance", module)
    frames, notes = prices.live(["GOOD"])
    assert frames["GOOD"]["close"].tolist() == [10, 11] and "without a close" in notes[0]
    assert str(frames["GOOD"]["date"][0]) == "2020-01-02 00:00:00"
    for symbol, message in (("NONE", "check the symbol"), ("DOWN", "ConnectionError: no route")):
        with pytest.raises(UsageError, match=message):
            prices.live([symbol])


@pytest.mark.parametrize("keys", [{"path": "x", "live": ["A"]}, {"live": []}, {"live": ["A", "A"]}])
def test_only_one_source_can_be_set(keys: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"mutually exclusive|distinct symbols"):
        Data.model_validate({**KEYS, **keys})


# ---------------------------------------------------------------- end to end


@pytest.mark.slow
def test_the_sample_forecaster_learns_the_generators_quantiles(reproduced: Checkout) -> None:
    """The share of the true conditional distribution inside its intervals, at every horizon."""
    found = json.loads(reproduced.path("artifacts", "stocks", "metrics.json").read_text())["metrics"]
    for days in (1, 5, 20):
        assert 0.78 <= found[f"true_coverage80_{days}d"] <= 0.82, days
        assert 0.935 <= found[f"true_coverage95_{days}d"] <= 0.965, days
        assert 0.78 <= found[f"coverage80_{days}d"] <= 0.82, days
    # Twelve 20-day outcomes a year say little: there the correction costs more than it gains.
    for days, error, loss in ((1, 0.06, 1.02), (5, 0.08, 1.02), (20, 0.14, 1.05)):
        assert found[f"quantile_error_{days}d"] < error, "widths of the 80% interval"
        assert found[f"pinball_{days}d"] < loss * found[f"pinball_truth_{days}d"]


MIRROR = [
    pytest.mark.slow,
    pytest.mark.mirror,
    pytest.mark.skipif(not os.environ.get("DATA_MIRROR"), reason="DATA_MIRROR names no folder with the official files"),
]


@pytest.mark.usefixtures("no_cache")
class TestOfficialPrices:
    pytestmark = MIRROR

    @pytest.fixture
    def no_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATA_CACHE", str(tmp_path))

    def test_the_official_data_has_four_symbols_and_a_note_on_ibm(self) -> None:
        found = data.Data().prepare(Data.model_validate(KEYS), "full", 1)
        assert found.schema["symbols"] == ["AAPL", "AMZN", "IBM", "MSFT"]
        days = pd.concat(found.splits.values())
        assert days.groupby("symbol").size().to_dict() == {"AAPL": 3019, "AMZN": 3019, "IBM": 3020, "MSFT": 3019}
        [note] = found.notes["cleaning"]
        assert note.startswith("IBM_2006") and "2017-07-31" in note


class TestFullTraining:
    pytestmark = MIRROR

    def test_no_baseline_wins_and_intervals_are_calibrated_at_every_horizon(self, tmp_path: Path) -> None:
        """The forecasts as served; two seeds, without the variants."""
        clone = Checkout(checkout(tmp_path / "clone"))
        options = ("project=stocks", "profile=full", "projects.stocks.variants={}")
        clone.stage("prepare", *options)
        clone.stage("baselines", *options, OMP_NUM_THREADS="1")
        for seed in (42, 7):
            for stage in ("train", "evaluate"):
                clone.stage(stage, *options, f"seed={seed}", TRACKING="none")
            metrics = json.loads(clone.path("artifacts", "stocks", "metrics.json").read_text())
            found, baselines = metrics["metrics"], metrics["baselines"].values()
            for days in (1, 5, 20):
                best = min(row[f"pinball_{days}d"] for row in baselines)
                assert found[f"pinball_{days}d"] < best, (seed, days)
                assert abs(found[f"coverage80_{days}d"] - 0.80) <= 0.02, (seed, days)
                assert abs(found[f"coverage95_{days}d"] - 0.95) <= 0.02, (seed, days)
