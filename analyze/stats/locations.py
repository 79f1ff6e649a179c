"""A stability boundary for claims: p values of its existence and of its place, fine enough for many claims."""

from __future__ import annotations

from math import comb

import numpy as np

from analyze.stats.contrasts import mean_of
from analyze.stats.replicates import pack, resample
from analyze.stats.result import FloatArray, IntArray
from analyze.stats.stability import MIN_RATIO, dead, locate, located_step, permutation_p

DRAWS = 9_999


def existence_p(
    accuracy: FloatArray, *, chance: float, rng: np.random.Generator, test_images: int | None = None
) -> float:
    """Return the permutation p value of a fall in spread; arguments as in `stability_boundary`, some size alive."""
    x = pack(accuracy)
    _, gain, _ = located_step(x, chance, test_images)
    return permutation_p(x, dead(x, chance), gain, DRAWS, rng)


def locations(
    accuracy: FloatArray, *, chance: float, rng: np.random.Generator, test_images: int | None = None
) -> IntArray:
    """Return the boundary located in bootstrap samples of the replicates, as indices of the sizes; shape (9999,)."""
    return locate(resample(pack(accuracy), DRAWS, rng=rng), chance, test_images)


def share_p(hits: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], replicates: int) -> float:
    """Return a bootstrap p value: the share of samples in which a hypothesis holds, the data counted among them.

    It is not less than one over the number of distinct samples of so many replicates, which no bootstrap can resolve.
    """
    return max((1 + int(hits.sum())) / (1 + len(hits)), 1 / comb(2 * replicates - 1, replicates))


def no_fall_p(accuracy: FloatArray, *, chance: float) -> float:
    """Return the p value against a fall in spread by half, wherever it may be; 1 where some size is dead.

    Per split of the sizes, each replicate's mean absolute deviation from the median below it less twice that above; a
    one-sided t test that the mean is negative; the largest p value of all splits (intersection-union). Needs replicates
    that have a run at every size.

    Source: deviations from medians as in Brown and Forsythe (1974), JASA 69, 364-367.
    """
    whole = accuracy[:, ~np.isnan(accuracy).any(axis=0)]
    if whole.shape[1] < 2 or dead(whole, chance).any():
        return 1.0
    deviations = np.abs(whole - np.median(whole, axis=1, keepdims=True))
    return max(
        mean_of(deviations[:at].mean(axis=0) - MIN_RATIO * deviations[at:].mean(axis=0)).below(0.0).p_for
        for at in range(1, len(deviations))
    )
