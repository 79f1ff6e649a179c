"""What replicates say of all trainings: the share that may fail although few did, and that reaches a target."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from analyze.stats.result import FloatArray
from analyze.stats.stability import DEAD_MARGIN

FAR_BELOW = 0.10
"""Accuracy below the median of its size, a fraction, from which a training has failed."""
ROUNDING = 1e-9
"""By how much an accuracy may miss a target that it equals but for the rounding of floats."""


def failures(accuracy: FloatArray, chance: float) -> int:
    """Return how many replicates of one architecture failed, NaN left out.

    One failed that is dead, less than 0.05 above chance, or more than 0.10 below the median of all: to learn reliably
    is to end near what the same training usually ends at, and one stuck half way there missed that as a dead one did.
    """
    seen = accuracy[~np.isnan(accuracy)]
    if not len(seen):
        return 0
    return int(np.sum((seen < chance + DEAD_MARGIN) | (seen < np.median(seen) - FAR_BELOW)))


def reaching(accuracy: FloatArray, target: float) -> int:
    """Return how many replicates of one architecture have a target accuracy, a fraction, or more; NaN left out."""
    return int(np.sum(accuracy >= target - ROUNDING))


@lru_cache(maxsize=1024)
def share_bounds(count: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact confidence bounds on the share of trainings of a kind, `count` of `n` having been of it.

    Each end is a one-sided bound at `level` by itself; both at once hold with 2 `level` - 1. The lower one is
    (1 - level)^(1 / n) where all n were of the kind: .74 of 10, .90 of 29.

    Raises:
        ValueError: there is no training, or not so many as were of the kind.

    Source: Clopper and Pearson (1934), Biometrika 26, 404-413, as `proportion_confint` of statsmodels has it.
    """
    from statsmodels.stats.proportion import proportion_confint

    if not 0 <= count <= n or n == 0:
        raise ValueError(f"{count} of {n} trainings: allowed are 0 to n of at least 1")
    # Ends of the two-sided interval with that much beyond either end.
    low, high = proportion_confint(count, n, alpha=2 * (1 - level), method="beta")
    return float(low), float(high)


def failure_bound(failures: int, n: int, level: float = 0.95) -> float:
    """Return the exact upper confidence bound on the share of trainings that fail, `failures` of `n` having failed.

    One-sided, at `level`. Where none of n failed it is 1 - (1 - level)^(1 / n): .45, .26 and .095 for 5, 10 and 30
    replicates. Rare failures that the replicates do not show are within it, and nothing smaller is known.

    Raises:
        ValueError: there is no replicate, or not so many as failed.
    """
    return share_bounds(failures, n, level)[1]


def reach_bound(reached: int, n: int, level: float = 0.95) -> float:
    """Return the exact lower confidence bound on the share of trainings that reach a target, `reached` of `n` having.

    One-sided, at `level`: with that confidence at least this share of all trainings reach it.

    Raises:
        ValueError: there is no replicate, or not so many as reached it.
    """
    return share_bounds(reached, n, level)[0]
