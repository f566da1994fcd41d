"""Stocks over HTTP: requests and responses, and intervals that a longer history corrects."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from pipelines.stocks import data
from pipelines.stocks.data import origins
from pipelines.stocks.data.garch import generate
from pipelines.stocks.predict import COUNT, DAYS, MOST, Predictor
from pipelines.stocks.predict.features import CHANNELS, HISTORY, HORIZONS, QUANTILES, STEPS
from pipelines.stocks.settings import Data
from roadmap.bundle import Bundle, load_predictor
from roadmap.bundle.answers import predict_in_batches
from roadmap.data import splits
from serving.http.app import create_app
from serving.settings import Settings
from tests.support import bundles

NORMAL = np.array([-1.96, -1.2816, -0.6745, 0, 0.6745, 1.2816, 1.96])
CLOSE = generate(1, 1000, seed=8)[0].columns["close"].tolist()


def forecaster(folder: Path, width: float) -> Path:
    """A bundle that predicts normal quantiles, `width` times as wide as recent volatility implies."""
    shape = (1, len(HORIZONS), len(QUANTILES))
    table = (width * NORMAL * np.sqrt(HORIZONS)[:, None]).astype(np.float32).reshape(shape)
    nodes = [
        helper.make_node("Unsqueeze", ["scale", "axes"], ["deep"]),
        helper.make_node("Mul", ["deep", "table"], ["y"]),
    ]
    inputs: list[tuple[str, list[str | int]]] = [("x", ["n", STEPS, len(CHANNELS)]), ("scale", ["n"])]
    graph = helper.make_graph(
        nodes,
        "hand_made",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes) for name, sizes in inputs],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", *shape[1:]])],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([1, 2]), "axes")],
    )
    schema = {"task": "series", "horizons": list(HORIZONS), "quantiles": list(QUANTILES)}
    example = [{"symbol": "SYM00", "close": CLOSE[:count]} for count in (HISTORY, COUNT)]
    bundles.write(folder, "stocks", graph, {"schema.json": schema, "example.json": example}, source="normal")
    return folder


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    artifacts = tmp_path_factory.mktemp("artifacts")
    forecaster(artifacts / "stocks" / "bundle", 1.0)
    return artifacts


@pytest.fixture(scope="module")
def predictor(artifacts: Path) -> Any:
    return load_predictor(Bundle(artifacts / "stocks" / "bundle"))


@pytest.fixture(scope="module")
def client(artifacts: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(bundles=str(artifacts))), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "stocks"
    keys = {"path": None, "live": None, "until": None, "symbols": 2, "days": 1400, "split": (0.6, 0.15, 0.25)}
    splits.write(folder, data.Data().prepare(Data.model_validate(keys), "sample", 1), "sample")
    return folder


def post(client: TestClient, **request: Any) -> Any:
    return client.post("/models/stocks/predict", json={"inputs": [request]})


def widths(output: Any) -> np.ndarray:
    """The widths of the 80% intervals, in log prices. -> [h]"""
    return np.array([np.log(high / low) for low, high in (horizon["interval_80"] for horizon in output["horizons"])])


def test_a_forecast_is_ordered_prices_around_the_last_close(client: TestClient) -> None:
    response = post(client, symbol="ACME", close=CLOSE)
    assert response.status_code == 200, response.text
    [output] = response.json()["outputs"]
    assert (output["symbol"], output["last"]) == ("ACME", CLOSE[-1])
    assert [horizon["days"] for horizon in output["horizons"]] == list(HORIZONS)
    for horizon in output["horizons"]:
        prices = [horizon["quantiles"][str(level)] for level in QUANTILES]
        assert prices == sorted(prices) and prices[0] < CLOSE[-1] < prices[-1]
        assert horizon["interval_80"] == [prices[1], prices[5]] and horizon["interval_95"] == [prices[0], prices[6]]
        assert horizon["median"] == prices[3] and 0.3 < horizon["up"] < 0.7
    assert list(widths(output)) == sorted(widths(output))


def test_recalibration_starts_after_one_year_and_uses_two(client: TestClient, predictor: Any) -> None:
    short, two, long = (
        post(client, close=CLOSE[-count:]).json()["outputs"][0] for count in (HISTORY, COUNT, len(CLOSE))
    )
    forecast = predictor.returns(np.array([CLOSE[-HISTORY:]]))[0]
    assert widths(short) == pytest.approx(forecast[:, 5] - forecast[:, 1])
    assert two == long != short
    assert [horizon["median"] for horizon in two["horizons"]] == [horizon["median"] for horizon in short["horizons"]]


def test_forecasts_are_scale_free(client: TestClient) -> None:
    one, cents = (post(client, close=[unit * price for price in CLOSE]).json()["outputs"][0] for unit in (1, 100))
    assert widths(cents) == pytest.approx(widths(one), rel=1e-5)
    assert cents["horizons"][2]["median"] == pytest.approx(100 * one["horizons"][2]["median"], rel=1e-5)


@pytest.mark.parametrize(("width", "wider"), [(0.5, True), (2.0, False)])
def test_a_longer_history_corrects_a_wrong_forecaster(tmp_path: Path, width: float, wider: bool) -> None:
    wrong = load_predictor(Bundle(forecaster(tmp_path / "stocks", width)))
    short, long = predict_in_batches(wrong, [{"close": CLOSE[-count:]} for count in (HISTORY, COUNT)])
    ratio = widths(long.model_dump()) / widths(short.model_dump())
    assert np.all(ratio > 1.3) if wider else np.all(ratio < 0.75)


def test_a_batch_matches_single_requests(predictor: Any) -> None:
    lengths = [*range(HISTORY, COUNT + 60, 23), HISTORY, HISTORY + 1, COUNT - 1, COUNT, COUNT + 1]
    other = generate(1, 1000, seed=9)[0].columns["close"].tolist()
    requests = [
        {"close": closes[-length - n :][:length]} for n, length in enumerate(lengths) for closes in (CLOSE, other)
    ]
    together = predict_in_batches(predictor, requests)
    for request, output in zip(requests, together, strict=True):
        [alone] = predict_in_batches(predictor, [request])
        for one, two in zip(alone.horizons, output.horizons, strict=True):
            assert list(two.quantiles.values()) == pytest.approx(list(one.quantiles.values()), rel=1e-6)


def test_shared_windows_are_computed_once(predictor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    honest = Predictor.returns

    def counted(self: Predictor, closes: Any) -> Any:
        seen.append(len(closes))
        return honest(self, closes)

    monkeypatch.setattr(Predictor, "returns", counted)
    predict_in_batches(predictor, [{"close": CLOSE[day : day + COUNT]} for day in range(200)])
    assert sum(seen) == DAYS + 200


def test_the_server_matches_evaluation(client: TestClient, predictor: Any, folder: Path) -> None:
    requests, targets = data.Data().test_rows(folder)
    online = client.post("/models/stocks/predict", json={"inputs": requests[:60]}).json()["outputs"]
    assert [output.model_dump() for output in predict_in_batches(predictor, requests[:60])] == online
    assert len(requests) == len(targets) and np.isfinite(targets["y"]).all()


def test_evaluation_uses_the_full_history(folder: Path) -> None:
    requests, targets = data.Data().test_rows(folder)
    days = origins.history(folder, splits.SPLITS)
    for n in (0, 1, len(requests) - 1):
        of = [part[part["symbol"] == requests[n]["symbol"]] for part in days.values()]
        closes = [float(close) for part in of for close in part["close"][part["date"] <= targets["date"][n]]]
        assert requests[n]["close"] == closes[-COUNT:] and targets["last"][n] == closes[-1]


@pytest.mark.parametrize("price", [42.0, 1e-6, 1e9])
@pytest.mark.parametrize("count", [HISTORY, HISTORY + 1, COUNT])
def test_constant_prices_get_a_narrow_forecast(client: TestClient, price: float, count: int) -> None:
    response = post(client, close=[price] * count)
    assert response.status_code == 200
    for horizon in response.json()["outputs"][0]["horizons"]:
        low, high = horizon["interval_95"]
        assert 0.998 * price < low <= price <= high < 1.002 * price


def test_more_requests_than_memory_allows_are_rejected(client: TestClient) -> None:
    response = client.post("/models/stocks/predict", json={"inputs": [{"close": CLOSE[:HISTORY]}] * 257})
    assert response.status_code == 422 and "256" in response.json()["detail"]


@pytest.mark.parametrize(
    ("close", "message"),
    [
        (CLOSE[: HISTORY - 1], f"at least {HISTORY} items"),
        ([], f"at least {HISTORY} items"),
        (CLOSE * 3, f"at most {MOST} items"),
        ([*CLOSE[:-1], 0.0], "greater than or equal to 0.000001"),
        ([*CLOSE[:-1], -3.0], "greater than or equal to 0.000001"),
        ([*CLOSE[:-1], 1e300], "less than or equal to"),
        ([*CLOSE[:-1], "12.5"], "valid number"),
        ([*CLOSE[:-1], None], "valid number"),
        ([*CLOSE[:-1], True], "valid number"),
        ([*CLOSE[:-1], CLOSE[-2] / 7], "too far apart for one day; send split-adjusted prices"),
        ("100, 101", "valid array"),
        ({"0": 100}, "valid array"),
        (None, "valid array"),
    ],
)
def test_invalid_closes_are_explained(client: TestClient, close: Any, message: str) -> None:
    response = post(client, close=close)
    assert response.status_code == 422
    assert message in response.json()["detail"] and response.json()["detail"].startswith("inputs/0/close")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e400"])
def test_nan_and_infinite_closes_are_rejected(client: TestClient, number: str) -> None:
    closes = ", ".join(map(str, CLOSE[:-1])) + f", {number}"
    body = f'{{"inputs": [{{"close": [{closes}]}}]}}'
    response = client.post("/models/stocks/predict", content=body, headers={"content-type": "application/json"})
    assert response.status_code in (400, 422) and "Traceback" not in response.text


@pytest.mark.parametrize(
    "request_",
    [{}, {"close": CLOSE, "open": CLOSE}, {"close": CLOSE, "symbol": "x" * 33}, {"close": CLOSE, "symbol": 7}],
)
def test_other_errors_are_rejected_too(client: TestClient, request_: dict[str, Any]) -> None:
    assert post(client, **request_).status_code == 422


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**31),
    st.sampled_from([1e-6, 1e-4, 0.01, 0.1, 0.2]),
    st.floats(1e-4, 1e6),
    st.integers(HISTORY, COUNT + 10),
    st.floats(0.98, 1.03),
)
def test_any_valid_history_gets_finite_ordered_prices(
    client: TestClient, seed: int, volatility: float, price: float, count: int, growth: float
) -> None:
    """Even if volatility rises every day, so that outcomes keep leaving the intervals."""
    steps = volatility * growth ** np.arange(count) * np.random.default_rng(seed).standard_t(3, count)
    steps = np.clip(steps - steps.mean(), -0.6, 0.6)
    close = np.clip(price * np.exp(np.cumsum(steps)), 1e-6, 1e9).tolist()
    response = post(client, close=close)
    assert response.status_code == 200, response.text
    for horizon in response.json()["outputs"][0]["horizons"]:
        prices = list(horizon["quantiles"].values())
        assert np.isfinite(prices).all() and prices == sorted(prices) and prices[0] >= 0
