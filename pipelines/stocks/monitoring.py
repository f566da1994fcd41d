"""Stocks: recent returns, and the width and location of the forecast at the longest horizon."""

from collections.abc import Sequence

import numpy as np

from pipelines.stocks.predict import Request, Response
from pipelines.stocks.predict.features import HISTORY
from roadmap import project
from roadmap.monitoring.reference.columns import Columns


class Monitoring(project.Monitoring[Response]):
    def inputs(self, requests: Sequence[Request]) -> Columns:
        returns = [np.diff(np.log(request.close[-HISTORY:])) for request in requests]
        return {
            "volatility": [float(one.std()) for one in returns],
            "trend": [float(one.mean()) for one in returns],
            "largest move": [float(np.abs(one).max()) for one in returns],
        }

    def answers(self, found: Sequence[Response]) -> Columns:
        last = [answer.horizons[-1] for answer in found]
        return {
            "median": [float(np.log(far.median / answer.last)) for far, answer in zip(last, found, strict=True)],
            "width": [float(np.log(far.interval_80[1] / far.interval_80[0])) for far in last],
        }
