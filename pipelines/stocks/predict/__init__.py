"""Stocks over HTTP: closes of one or two years in, quantiles of the prices to come out. No torch."""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from pipelines.stocks.predict.features import HISTORY, JUMP, window_features, windows
from pipelines.stocks.predict.recalibration import outcomes, recalibrated
from roadmap import bundle
from roadmap.bundle import Bundle

MOST = 10 * HISTORY  # closes of a request
DAYS = 252  # whose forecasts are made again to see how they did: half a year holds too few outcomes of 20 days
COUNT = HISTORY + DAYS  # closes that count
STEP = 0.02  # of the logarithm of a width; much more would follow chance, the README shows how much
CHUNK = 512  # windows of one run of the graph
SYMBOL = 32  # characters
LEAST, LARGEST = 1e-6, 1e9  # of a price

Price = Annotated[float, Field(ge=LEAST, le=LARGEST, strict=True, allow_inf_nan=False)]


class Request(BaseModel):
    symbol: Annotated[str, Field(max_length=SYMBOL, description="for your own books: comes back")] = ""
    close: Annotated[
        list[Price],
        Field(
            min_length=HISTORY,
            max_length=MOST,
            fail_fast=True,
            description=f"closing prices, adjusted for splits, oldest first; {HISTORY} are enough, and with more, of "
            f"which the last {COUNT} count, the intervals correct themselves by how earlier forecasts did",
        ),
    ]

    @field_validator("close")
    @classmethod
    def _no_jump(cls, close: list[float]) -> list[float]:
        jumps = np.flatnonzero(np.abs(np.diff(np.log(close))) > np.log(JUMP))
        if len(jumps):
            day = int(jumps[0])
            found = {"day": day, "next": day + 1, "before": f"{close[day]:g}", "after": f"{close[day + 1]:g}"}
            said = (
                "{before} at {day} and {after} at {next} lie too far apart for a day; send prices adjusted for splits"
            )
            raise PydanticCustomError("jump", said, found)
        return close


class Horizon(BaseModel):
    days: int = Field(description="trading days ahead")
    median: float
    quantiles: dict[str, float] = Field(description="level -> price")
    interval_80: list[float]
    interval_95: list[float]
    up: float = Field(
        description="probability of a close above the last one; 0.025 and 0.975 are the ends of the scale"
    )


class Response(BaseModel):
    symbol: str
    last: float = Field(description="the close that the forecast starts from")
    horizons: list[Horizon]


class Predictor(bundle.Predictor):
    Response = Response
    max_inputs = 256  # of which each brings up to DAYS + 1 windows of 2 KB

    def __init__(self, bundle: Bundle) -> None:
        config = ConfigDict(extra="forbid", json_schema_extra={"example": bundle.example[0]})
        self.Request = _configured(config)
        schema = bundle.json("schema.json")
        self.days, self.levels = schema["horizons"], schema["quantiles"]
        self.session = bundle.session()

    def returns(self, closes: np.ndarray) -> np.ndarray:
        """closes: [n, HISTORY] -> quantiles of log-returns: [n, h, q]"""
        x, scale = window_features(closes)
        return self.session.run(["y"], {"x": x, "scale": scale})[0].astype(np.float64)

    def predict(self, inputs: Sequence[Any]) -> list[BaseModel]:
        closes = [np.array(request.close[-COUNT:], dtype=np.float64) for request in inputs]
        longest = max(map(len, closes))
        before = longest - HISTORY  # days with a forecast before today
        places = np.zeros((len(inputs), before + 1), dtype=np.int64)  # of each day's window among the different ones
        came = np.full((len(inputs), before, len(self.days)), np.nan)
        different: dict[bytes, int] = {}  # requests of neighbouring days share nearly all windows
        for row, close in enumerate(closes):
            start = longest - len(close)  # the days before it have no forecast
            places[row, start:] = [different.setdefault(w.tobytes(), len(different)) for w in windows(close)]
            came[row, start:] = outcomes(close[HISTORY - 1 :], self.days)[:-1]
        quantiles = self.forecasts(list(different))[places]
        returns = recalibrated(quantiles, came, self.days, self.levels, STEP)
        return [self.response(request, rows) for request, rows in zip(inputs, returns, strict=True)]

    def forecasts(self, different: list[bytes]) -> np.ndarray:
        """The same for windows as bytes, so many at a time."""
        chunks = [b"".join(different[start : start + CHUNK]) for start in range(0, len(different), CHUNK)]
        return np.concatenate([self.returns(np.frombuffer(chunk).reshape(-1, HISTORY)) for chunk in chunks])

    def response(self, request: Any, returns: np.ndarray) -> BaseModel:
        last = request.close[-1]
        horizons = []
        for days, row in zip(self.days, returns, strict=True):
            price = dict(zip(map(str, self.levels), (last * np.exp(row)).tolist(), strict=True))
            horizons.append(
                Horizon(
                    days=days,
                    median=price["0.5"],
                    quantiles=price,
                    interval_80=[price["0.1"], price["0.9"]],
                    interval_95=[price["0.025"], price["0.975"]],
                    up=1 - float(np.interp(0.0, row, self.levels)),
                )
            )
        return Response(symbol=request.symbol, last=last, horizons=horizons)


def _configured(config: ConfigDict) -> type[BaseModel]:
    """The request with the bundle's own example."""

    class stocks_request(Request):
        model_config = config

    return stocks_request
