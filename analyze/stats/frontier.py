"""The frontier of accuracy against cost: which of many choices are shown to be beaten by one that costs no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analyze.stats.onesided import one_sided_reach, skewness, standard_error
from analyze.stats.result import LEVEL, MIN_REPLICATES, BoolArray, FloatArray, IntArray

METHOD = (
    "simultaneous intervals of all means (Bonferroni), outer ends of t and Hall's transformation; beaten by one that "
    "takes no more whose interval lies wholly above"
)


@dataclass(frozen=True, kw_only=True)
class Frontier:
    """What is known of each choice, arrays in the order given; NaN or -1 where it has fewer than 5 replicates.

    `low` and `high` are ends of intervals that hold together; `beaten_by` is the index of the choice with the highest
    lower end among those that cost no more, where that is above this one's interval, else -1; `best` says that no
    choice that costs no more has a higher mean; `rivals` counts the others that cost no more and are not shown to be
    worse.
    """

    mean: FloatArray
    low: FloatArray
    high: FloatArray
    beaten_by: IntArray
    best: BoolArray
    rivals: IntArray
    level: float


def frontier(accuracy: Sequence[FloatArray], cost: Sequence[float], *, level: float = LEVEL) -> Frontier:
    """Return which choices are beaten; the chance that any is said to be that is not is at most `level`.

    Args:
        accuracy: Per choice the accuracies of its replicates, arrays of shape (replicates,) that may differ in length.
        cost: Per choice what it takes, such as bytes.
        level: Of all statements together; 0 where a design decides nothing yet.

    All means lie in their intervals with probability 1 - `level` (Bonferroni over the choices, whatever their
    correlation), and where they do every choice that is said to be beaten is. Pairing by replicate is not made use of:
    of m choices it would be m^2 / 2 comparisons.
    """
    count = len(accuracy)
    mean, low, high = (np.full(count, np.nan) for _ in range(3))
    sizes = np.array([len(values) for values in accuracy], dtype=np.int64)
    used = np.flatnonzero(sizes >= MIN_REPLICATES)
    share = level / max(len(used), 1)
    for n in np.unique(sizes[used]):
        at = used[sizes[used] == n]
        values = np.array([accuracy[index] for index in at]).T
        error, skew = standard_error(values), skewness(values) / np.sqrt(n)
        mean[at] = values.mean(axis=0)
        reach = (one_sided_reach(sign * skew, int(n) - 1, share / 2) if level else np.inf for sign in (-1, 1))
        low[at], high[at] = (mean[at] + sign * one * error for sign, one in zip((-1, 1), reach, strict=True))
    beaten_by, rivals = np.full(count, -1), np.full(count, -1)
    best = np.zeros(count, dtype=np.bool_)
    costs = np.asarray(cost, dtype=np.float64)
    for index in used:
        others = used[(costs[used] <= costs[index]) & (used != index)]
        if len(others):
            strongest = others[low[others].argmax()]
            beaten_by[index] = strongest if low[strongest] > high[index] else -1
        # Of equal means the cheaper one counts, of equally cheap ones the first.
        better = mean[others] > mean[index]
        tied = (mean[others] == mean[index]) & ((costs[others] < costs[index]) | (others < index))
        best[index] = not (better | tied).any()
        rivals[index] = int((high[others] >= low[index]).sum())
    return Frontier(mean=mean, low=low, high=high, beaten_by=beaten_by, best=best, rivals=rivals, level=1 - share)
