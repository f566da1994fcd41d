"""Stocks over HTTP: closes of one or two years in, quantiles of future prices out. No torch."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from pipelines.stocks.predict.features import HISTORY, JUMP, window_features, windows
from pipelines.stocks.predict.recalibration import outcomes, recalibrated
from roadmap import bundle
from roadmap.bundle import Bundle

MOST = 10 * HISTORY  # most closes per request
DAYS = 252  # of past forecasts for recalibration: half a year has too few outcomes of 20 days
COUNT = HISTORY + DAYS  # closes that are used
STEP = 0.02  # in log width; a larger step follows noise, see the README
CHUNK = 512  # windows per run of the graph
SYMBOL = 32  # characters
LEAST, LARGEST = 1e-6, 1e9  # of a price

Price = Annotated[float, Field(ge=LEAST, le=LARGEST, strict=True, allow_inf_nan=False)]


class Request(BaseModel):
    symbol: Annotated[str, Field(max_length=SYMBOL, description="returned unchanged")] = ""
    close: Annotated[
        list[Price],
        Field(
            min_length=HISTORY,
            max_length=MOST,
            fail_fast=True,
            description=f"closing prices, adjusted for splits, oldest first; at least {HISTORY}. With more, up to "
            f"{COUNT}, the intervals are recalibrated by the errors of earlier forecasts",
        ),
    ]

    @field_validator("close")
    @classmethod
    def _no_jump(cls, close: list[float]) -> list[float]:
        jumps = np.flatnonzero(np.abs(np.diff(np.log(close))) > np.log(JUMP))
        if len(jumps):
            day = int(jumps[0])
            found = {"day": day, "next": day + 1, "before": f"{close[day]:g}", "after": f"{close[day + 1]:g}"}
            message = (
                "{before} at {day} and {after} at {next} are too far apart for one day; send split-adjusted prices"
            )
            raise PydanticCustomError("jump", message, found)
        return close


class Horizon(BaseModel):
    days: int = Field(description="trading days ahead")
    median: float
    quantiles: dict[str, float] = Field(description="level -> price")
    interval_80: list[float]
    interval_95: list[float]
    up: float = Field(description="probability of a close above the last one; clipped to 0.025 and 0.975")


class Response(BaseModel):
    symbol: str
    last: float = Field(description="the close that the forecast starts from")
    horizons: list[Horizon]


class Predictor(bundle.Predictor):
    Response = Response
    max_inputs = 256  # each has up to DAYS + 1 windows of 2 KB

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

    def predict(self, inputs: Sequence[Request]) -> list[BaseModel]:
        closes = [np.array(request.close[-COUNT:], dtype=np.float64) for request in inputs]
        longest = max(map(len, closes))
        before = longest - HISTORY  # days with a forecast before today
        places = np.zeros(
            (len(inputs), before + 1), dtype=np.int64
        )  # index of each day's window among the distinct ones
        came = np.full((len(inputs), before, len(self.days)), np.nan)
        different: dict[bytes, int] = {}  # requests of adjacent days share nearly all windows
        for row, close in enumerate(closes):
            start = longest - len(close)  # earlier days have no forecast
            places[row, start:] = [different.setdefault(w.tobytes(), len(different)) for w in windows(close)]
            came[row, start:] = outcomes(close[HISTORY - 1 :], self.days)[:-1]
        quantiles = self.forecasts(list(different))[places]
        returns = recalibrated(quantiles, came, self.days, self.levels, STEP)
        return [self.response(request, rows) for request, rows in zip(inputs, returns, strict=True)]

    def forecasts(self, different: list[bytes]) -> np.ndarray:
        """As `returns`, of windows as bytes (float64), in chunks. -> [windows, h, q]"""
        chunks = [b"".join(different[start : start + CHUNK]) for start in range(0, len(different), CHUNK)]
        return np.concatenate([self.returns(np.frombuffer(chunk).reshape(-1, HISTORY)) for chunk in chunks])

    def response(self, request: Request, returns: np.ndarray) -> BaseModel:
        """returns: [h, q], log-returns"""
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
    """The request type, with the bundle's example."""

    class stocks_request(Request):
        model_config = config

    return stocks_request
