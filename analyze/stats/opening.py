"""Evidence for and against an overfitting boundary."""

from __future__ import annotations

import numpy as np

from analyze.stats.contrasts import mean_of
from analyze.stats.overfitting import MAX_TEST_SLOPE, MIN_OPENING, bends, best_bend, moments, null_f, slopes_of
from analyze.stats.replicates import counts, pack
from analyze.stats.result import MIN_REPLICATES, MIN_SIZES, ChangePoint, FloatArray
from analyze.stats.sides import Sides, every, some

DRAWS = 20_000


def opening_sides(train: FloatArray, test: FloatArray, found: ChangePoint) -> Sides:
    """Return the evidence for the gap opening somewhere, given the boundary found in the same last-epoch accuracies.

    Both of shape (stable sizes, replicates). For it, where a boundary was detected: F against the null with more draws,
    and test accuracy past the knot growing by less than 0.004 per size. Against it, at every bend: the bend's opening
    at the last size is below 0.01, or test accuracy past it grows by more than 0.004 per size; per-replicate
    contrasts, t tests.
    """
    return Sides(_p_for(train, test, found), _p_against(train, test))


def _p_for(train: FloatArray, test: FloatArray, found: ChangePoint) -> float:
    if found.status != "detected" or found.estimate is None:
        return 1.0
    gap = pack(train - test)
    mean, weight = moments(gap)
    f = float(best_bend(mean[None], weight[None]).f[0])
    null = null_f(len(gap), int(counts(gap).min()), DRAWS)
    p = float((1 + np.sum(null >= f)) / (1 + len(null)))
    return max(p, mean_of(slopes_of(test[found.estimate :])).below(MAX_TEST_SLOPE).p_for)


def _p_against(train: FloatArray, test: FloatArray) -> float:
    gap = train - test
    whole = ~np.isnan(gap).any(axis=0)
    gap, test = gap[:, whole], test[:, whole]
    sizes, replicates = gap.shape
    if sizes < MIN_SIZES or replicates < MIN_REPLICATES:
        return 1.0
    shapes = bends(sizes)
    line = np.column_stack([np.ones(sizes), np.arange(sizes)])
    rest = shapes.regressors - shapes.regressors @ line @ np.linalg.pinv(line)
    # The least-squares coefficient of each bend beside a line, times what the bend adds at the last size.
    openings = (rest @ gap) / (rest**2).sum(axis=1, keepdims=True) * shapes.regressors[:, -1:]
    still_learning = {
        int(knot): mean_of(slopes_of(test[knot:])).above(MAX_TEST_SLOPE) for knot in np.unique(shapes.knots)
    }
    absent = [
        some([mean_of(opening).below(MIN_OPENING), still_learning[int(knot)]])
        for opening, knot in zip(openings, shapes.knots, strict=True)
    ]
    return every(absent).p_for
