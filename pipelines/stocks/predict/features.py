"""Features of a history of closing prices, the same in training and serving. NumPy only.

A forecast at day t uses only the HISTORY closes up to t: all features are functions of one such window, so that a
request has the features of training.
"""

import numpy as np

HORIZONS = (1, 5, 20)  # trading days ahead
QUANTILES = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
HISTORY = 253  # closes of a window: 252 returns, a trading year
STEPS = 40  # days that the network reads one by one; earlier ones enter the volatilities
HALF_LIVES = (5, 22)  # days, of the volatilities: a week and a month (and the year, unweighted), after Corsi (2009)
CHANNELS = ("surprise", "week", "month", "year")
NORMAL = np.sqrt(np.pi / 2)  # a normal's standard deviation over its mean absolute value
JUMP = 1.9  # a larger daily ratio, or its inverse, is a split and not a return
QUIET = 1e-5  # added to every volatility, which is 0 for constant prices
CLIP = 6.0


def windows(close: np.ndarray) -> np.ndarray:
    """Every window of a series, a view. [n] -> [n - HISTORY + 1, HISTORY]; row i ends with day i + HISTORY - 1"""
    return np.lib.stride_tricks.sliding_window_view(close, HISTORY)


def window_features(closes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """closes: [n, HISTORY], oldest first -> x: float32 [n, STEPS, len(CHANNELS)], scale: float32 [n]

    `scale` is the daily volatility, the unit of the network's outputs: the mean over week, month and year, from
    absolute returns, which are more robust to jumps than squares. The channels are dimensionless: returns divided by
    the previous volatility, and each volatility divided by `scale`.
    """
    returns = np.diff(np.log(closes), axis=1)  # [n, HISTORY - 1]
    sizes = NORMAL * np.abs(returns)
    week, month = (sizes @ weights + QUIET for weights in WEIGHTS)  # [n, STEPS + 1], at the last closes
    year = sizes.mean(axis=1, keepdims=True) + QUIET  # [n, 1]
    scale = (week[:, -1:] + month[:, -1:] + year) / 3
    surprise = np.arcsinh(returns[:, -STEPS:] / week[:, :-1])
    ratios = (np.log(volatility / scale) for volatility in (week[:, 1:], month[:, 1:], year))
    x = np.stack([np.broadcast_to(channel, surprise.shape) for channel in (surprise, *ratios)], axis=2)
    return np.clip(x, -CLIP, CLIP).astype(np.float32), scale[:, 0].astype(np.float32)


def _weights(half_life: float) -> np.ndarray:
    """Weights of past days at each of the last STEPS + 1 closes: [HISTORY - 1, STEPS + 1], columns add up to 1."""
    days = np.arange(HISTORY - 1)
    age = days[None, -STEPS - 1 :] - days[:, None]
    weights = np.where(age >= 0, 0.5 ** (np.maximum(age, 0) / half_life), 0.0)
    return weights / weights.sum(axis=0)


WEIGHTS = [_weights(days) for days in HALF_LIVES]
