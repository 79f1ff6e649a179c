"""Evidence for and against an overfitting boundary."""

from __future__ import annotations

import numpy as np

from analyze.stats.contrasts import mean_of
from analyze.stats.overfitting import MAX_TEST_SLOPE, MIN_OPENING, best_bend, f_p, moments
from analyze.stats.replicates import counts, pack
from analyze.stats.result import MIN_REPLICATES, MIN_SIZES, ChangePoint, FloatArray
from analyze.stats.sides import Sides, every, some
from analyze.stats.slopes import replicate_slopes

DRAWS = 20_000


def opening_sides(train: FloatArray, test: FloatArray, found: ChangePoint) -> Sides:
    """Return the evidence for the gap opening somewhere, given the boundary found in the same last-epoch accuracies.

    Both of shape (stable sizes, replicates). For it, where a boundary was detected: F against the null with more draws,
    the gap growing from the knot to the last size, and test accuracy past the knot growing by less than 0.004 per size.
    Against it, for every size: the gap grows by less than 0.01 from there to the last size, or test accuracy still
    grows by more than 0.004 per size; paired by replicate, t tests. (Openings beyond a line below the knot, as the
    boundary has them, would have no bound where that line rests on two sizes.)
    """
    return Sides(_p_for(train, test, found), _p_against(train, test))


def _p_for(train: FloatArray, test: FloatArray, found: ChangePoint) -> float:
    if found.status != "detected" or found.estimate is None:
        return 1.0
    aligned = train - test
    gap = pack(aligned)
    p = f_p(best_bend(*moments(gap)).f, aligned, int(counts(gap).min()), DRAWS)
    at = found.estimate
    growth = (train[-1] - test[-1]) - (train[at] - test[at])
    growing = mean_of(growth[~np.isnan(growth)]).above(0.0)
    return max(p, growing.p_for, mean_of(replicate_slopes(test[at:])).below(MAX_TEST_SLOPE).p_for)


def _p_against(train: FloatArray, test: FloatArray) -> float:
    gap = train - test
    whole = ~np.isnan(gap).any(axis=0)
    gap, test = gap[:, whole], test[:, whole]
    sizes, replicates = gap.shape
    if sizes < MIN_SIZES or replicates < MIN_REPLICATES:
        return 1.0
    return every(
        [
            some(
                [
                    mean_of(gap[-1] - gap[at]).below(MIN_OPENING),
                    mean_of(replicate_slopes(test[at:])).above(MAX_TEST_SLOPE),
                ]
            )
            for at in range(sizes - 1)
        ]
    ).p_for
