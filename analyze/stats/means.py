"""Means and shares with their intervals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from analyze.stats.onesided import hall_p, hall_reach, skewness
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

    Either end is the outer one of the t interval (statsmodels) and of that by Hall's transformation, which is the
    longer one towards the long tail of skewed values; p is twice the larger one-sided p value. Equal values leave
    nothing open: an interval without width.
    """
    from statsmodels.stats.weightstats import DescrStatsW

    n = len(values)
    described = DescrStatsW(values)
    mean, error = float(described.mean), float(described.std_mean)
    skew = float(skewness(values))
    interval, p = (mean, mean), float(abs(mean) <= TINY)
    if error > TINY:
        low, high = (float(end) for end in described.tconfint_mean(1 - level))
        by_mean = skew / np.sqrt(n)
        below, above = (float(hall_reach(sign * by_mean, n - 1, (1 - level) / 2)) * error for sign in (-1, 1))
        interval = (min(low, mean - below), max(high, mean + above))
        sign = -1 if mean > 0 else 1
        by_hall = 2 * float(hall_p(sign * mean / error, sign * by_mean, n - 1))
        p = min(1.0, max(float(described.ttest_mean(0.0)[1]), by_hall))
    return Mean(
        estimate=mean,
        interval=interval,
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


@lru_cache(maxsize=1024)
def share_interval(hits: int, n: int, level: float = 0.95) -> Share:
    """Return a share of at least one with its exact interval.

    Source: Clopper and Pearson (1934), Biometrika 26, 404-413, as statsmodels has it.
    """
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(hits, n, alpha=1 - level, method="beta")
    return Share(estimate=hits / n, interval=(float(low), float(high)), n=n)
