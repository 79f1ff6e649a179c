"""Means and shares with their intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, stdtr, stdtrit

from analyze.stats.result import FloatArray

TINY = 1e-12


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A mean with its 95% t interval, and the two-sided p value against zero."""

    estimate: float
    interval: tuple[float, float]
    n: int
    p: float


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share with its 95% interval; `n` is what it is a share of."""

    estimate: float
    interval: tuple[float, float]
    n: int


def mean_interval(values: FloatArray, level: float = 0.95) -> Mean:
    """Return the mean of at least two independent values with its t interval."""
    n = len(values)
    mean = float(values.mean())
    error = float(values.std(ddof=1)) / np.sqrt(n)
    reach = float(stdtrit(n - 1, (1 + level) / 2)) * error
    p = 2 * float(stdtr(n - 1, -abs(mean) / max(error, TINY)))
    return Mean(estimate=mean, interval=(mean - reach, mean + reach), n=n, p=p)


def share_interval(hits: int, n: int, level: float = 0.95) -> Share:
    """Return a share of at least one with its exact interval.

    Source: Clopper and Pearson (1934), Biometrika 26, 404-413.
    """
    tail = (1 - level) / 2
    low = float(betaincinv(hits, n - hits + 1, tail)) if hits else 0.0
    high = float(betaincinv(hits + 1, n - hits, 1 - tail)) if hits < n else 1.0
    return Share(estimate=hits / n, interval=(low, high), n=n)
