"""What replicates leave open: how large a share of trainings may fail although few of those seen did."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from analyze.stats.result import FloatArray
from analyze.stats.stability import DEAD_MARGIN

FAR_BELOW = 0.10
"""Accuracy below the median of its size, a fraction, from which a training has failed."""


def failures(accuracy: FloatArray, chance: float) -> int:
    """Return how many replicates of one architecture failed, NaN left out.

    One failed that is dead, less than 0.05 above chance, or more than 0.10 below the median of all: to learn reliably
    is to end near what the same training usually ends at, and one stuck half way there missed that as a dead one did.
    """
    seen = accuracy[~np.isnan(accuracy)]
    if not len(seen):
        return 0
    return int(np.sum((seen < chance + DEAD_MARGIN) | (seen < np.median(seen) - FAR_BELOW)))


@lru_cache(maxsize=1024)
def failure_bound(failures: int, n: int, level: float = 0.95) -> float:
    """Return the exact upper confidence bound on the share of trainings that fail, `failures` of `n` having failed.

    One-sided, at `level`. Where none of n failed it is 1 - (1 - level)^(1 / n): .45, .26 and .095 for 5, 10 and 30
    replicates. Rare failures that the replicates do not show are within it, and nothing smaller is known.

    Raises:
        ValueError: there is no replicate, or not so many as failed.

    Source: Clopper and Pearson (1934), Biometrika 26, 404-413, as `proportion_confint` of statsmodels has it.
    """
    from statsmodels.stats.proportion import proportion_confint

    if not 0 <= failures <= n or n == 0:
        raise ValueError(f"{failures} failures of {n} trainings: allowed are 0 to n of at least 1")
    # Upper end of the two-sided interval with that much beyond either end.
    return float(proportion_confint(failures, n, alpha=2 * (1 - level), method="beta")[1])
