"""Estimates a difference under daily peeking: the interval is valid at all times together, not at each one alone.

A 5% test that is repeated daily until it is significant has far more than 5% false positives. Robbins'
normal mixture (Robbins, 1970, "Statistical methods related to the law of the iterated logarithm") bounds a
sum over all times at once; with the variance estimated it is the asymptotic confidence sequence of Waudby-Smith,
Arbour, Sinha, Kennedy and Ramdas (2024, "Time-uniform central limit theory and asymptotic confidence sequences"), and
its p-value that of the mixture SPRT (Johari, Koomen, Pekelis and Walsh, 2022, "Always valid inference"). Howard,
Ramdas, McAuliffe and Sekhon (2021, "Time-uniform, nonparametric, nonasymptotic confidence sequences") compare such
bounds.
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

ALPHA = 0.05
TIGHTEST_AT = 2_000  # sample size at which the interval is tightest; it is valid at any
MIN_LABELS = 100  # predictions of each arm; below, the variance estimate is too poor

Floats: TypeAlias = float | np.ndarray


@dataclass(frozen=True)
class Estimate:
    """A mean difference so far; `n` is the number of pairs, or the effective size of two samples."""

    value: float
    error: float  # its standard error
    n: float


@dataclass(frozen=True)
class IntervalEstimate:
    """The estimate at one time; with too little data low and high are infinite and p is 1."""

    value: float
    low: float
    high: float
    p: float


def pairs(differences: np.ndarray) -> Estimate:
    """Paired scores of two models on the same requests. differences: [n]"""
    n = len(differences)
    return Estimate(float(differences.mean()), float(differences.std()) / math.sqrt(n), n)


def samples(first: np.ndarray, second: np.ndarray) -> Estimate:
    """second - first, for models that answered different requests. [n], [m]"""
    error = math.sqrt(first.var() / len(first) + second.var() / len(second))
    n = len(first) * len(second) / (len(first) + len(second))
    return Estimate(float(second.mean() - first.mean()), error, n)


def confidence_sequence(estimate: Estimate, alpha: float = ALPHA, planned: int = TIGHTEST_AT) -> IntervalEstimate:
    """The interval that covers the true difference at all times with probability 1 - alpha."""
    if estimate.error == 0 or estimate.n < 1:
        return IntervalEstimate(estimate.value, -math.inf, math.inf, 1.0)
    half, p = bound(estimate.error, estimate.n, estimate.value, alpha, planned)
    return IntervalEstimate(estimate.value, estimate.value - float(half), estimate.value + float(half), float(p))


def bound(error: Floats, n: Floats, value: Floats, alpha: float, planned: int) -> tuple[Floats, Floats]:
    """Half the width of the interval, and the always valid p-value; elementwise, numbers or arrays of one shape.

    The width of the mixture, rho^2 = (-2 ln alpha + ln(1 - 2 ln alpha)) / planned, makes the interval tightest there.
    """
    log = -2 * math.log(alpha)
    k = np.asarray(n) * (log + math.log(1 + log)) / planned
    half = error * np.sqrt((k + 1) / k * (log + np.log(k + 1)))
    z2 = (np.asarray(value) / error) ** 2
    return half, np.minimum(1.0, np.sqrt(k + 1) * np.exp(-k / (2 * (k + 1)) * z2))
