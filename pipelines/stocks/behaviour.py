"""Stocks: behavioural checks that hold for every price forecast."""

from collections.abc import Iterator

import numpy as np

from pipelines.stocks.predict import Predictor
from pipelines.stocks.predict.features import HISTORY
from roadmap import project
from roadmap.bundle.answers import predict_in_batches
from roadmap.evaluation.behavioural import BehaviouralCheck, sample_cases
from roadmap.project import Request


class Behaviour(project.Behaviour[Predictor]):
    def expectations(self, predictor: Predictor, requests: list[Request]) -> Iterator[BehaviouralCheck]:
        cases = sample_cases(requests)
        closes = [np.array(request["close"][-HISTORY:]) for request in cases]

        def quantiles(closes: list[np.ndarray], symbol: str = "") -> np.ndarray:
            """In prices: [n, horizons, levels]"""
            outputs = predict_in_batches(predictor, [{"symbol": symbol, "close": one.tolist()} for one in closes])
            return np.array([[list(ahead.quantiles.values()) for ahead in output.horizons] for output in outputs])

        now = quantiles(closes)
        last = np.array([one[-1] for one in closes])[:, None, None]
        renamed = np.isclose(quantiles(closes, "OTHER"), now).all(axis=(1, 2))
        yield BehaviouralCheck("another name of the symbol", "invariance", renamed, 1.0)
        cents = np.isclose(quantiles([100 * one for one in closes]) / 100, now, rtol=1e-3).all(axis=(1, 2))
        yield BehaviouralCheck("prices in cents", "invariance", cents, 1.0)
        wide = np.log(now[..., -1] / now[..., 0])  # [n, horizons]
        yield BehaviouralCheck("further ahead: wider", "directional", (np.diff(wide, axis=1) > 0).all(axis=1), 1.0)
        wilder = quantiles([one[-1] * (one / one[-1]) ** 1.5 for one in closes])
        wider = np.log(wilder[..., -1] / wilder[..., 0]) > wide
        yield BehaviouralCheck("every move half as large again: wider", "directional", wider.all(axis=1), 0.99)
        rising = np.diff(now, axis=2) >= 0
        yield BehaviouralCheck("quantiles in their order", "minimum", [bool(one.all()) for one in rising], 1.0)
        inside = (now[..., 0] < last[..., 0]) & (last[..., 0] < now[..., -1])
        yield BehaviouralCheck(
            "the last price inside the widest interval", "minimum", [bool(one.all()) for one in inside], 0.99
        )
