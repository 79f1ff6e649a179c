"""Means and shares with their intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from analyze.stats.onesided import one_sided_p, one_sided_reach, skewness
from analyze.stats.result import FloatArray

TINY = 1e-12
DOMINANT = 0.5
"""Share of the variance beyond which one replicate makes most of it."""


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A mean with its 95% interval, and the two-sided p value against zero.

    `skewness` is that of the values, `largest_share` that of the value that makes most of their variance.
    """

    estimate: float
    interval: tuple[float, float]
    n: int
    p: float
    skewness: float
    largest_share: float


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share with its 95% interval; `n` is what it is a share of."""

    estimate: float
    interval: tuple[float, float]
    n: int


def mean_interval(values: FloatArray, level: float = 0.95) -> Mean:
    """Return the mean of at least two independent values with its interval.

    Either end is the outer one of the t interval and of that by Hall's transformation, which is the longer one towards
    the long tail of skewed values; p is twice the larger one-sided p value.
    """
    n = len(values)
    mean = float(values.mean())
    error = max(float(values.std(ddof=1)) / np.sqrt(n), TINY)
    skew = float(skewness(values))
    by_mean = skew / np.sqrt(n)
    low, high = (float(one_sided_reach(sign * by_mean, n - 1, (1 - level) / 2)) * error for sign in (-1, 1))
    sign = -1 if mean > 0 else 1
    p = min(1.0, 2 * float(one_sided_p(sign * mean / error, sign * by_mean, n - 1)))
    return Mean(
        estimate=mean,
        interval=(mean - low, mean + high),
        n=n,
        p=p,
        skewness=skew,
        largest_share=largest_share(values),
    )


def largest_share(values: FloatArray) -> float:
    """Return the largest share of one value in the sum of squared deviations; 0 where all are equal."""
    squares = (values - values.mean()) ** 2
    total = float(squares.sum())
    return float(squares.max()) / total if total > TINY**2 else 0.0


def share_interval(hits: int, n: int, level: float = 0.95) -> Share:
    """Return a share of at least one with its exact interval.

    Source: Clopper and Pearson (1934), Biometrika 26, 404-413.
    """
    tail = (1 - level) / 2
    low = float(betaincinv(hits, n - hits + 1, tail)) if hits else 0.0
    high = float(betaincinv(hits + 1, n - hits, 1 - tail)) if hits < n else 1.0
    return Share(estimate=hits / n, interval=(low, high), n=n)
