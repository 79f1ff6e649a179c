"""Ragged samples as arrays: replicates along the last axis, packed to the left, NaN where there are no more."""

from __future__ import annotations

import numpy as np

from analyze.stats.result import FloatArray, IntArray


def pack(values: FloatArray) -> FloatArray:
    """Return `values` with the NaNs of each row moved to its end and columns that are all NaN dropped.

    Shape (rows, replicates) in, (rows, most replicates in any row) out; the order of the rest is kept.
    """
    order = np.argsort(np.isnan(values), axis=-1, kind="stable")
    packed: FloatArray = np.take_along_axis(values, order, axis=-1)
    return packed[..., : int(np.max(counts(values), initial=0))]


def counts(values: FloatArray) -> IntArray:
    """Return the number of replicates per row: entries along the last axis that are not NaN."""
    present: IntArray = np.sum(~np.isnan(values), axis=-1, dtype=np.int64)
    return present


def resample(values: FloatArray, resamples: int, *, rng: np.random.Generator) -> FloatArray:
    """Return bootstrap samples of the replicates, shape (resamples, rows, replicates).

    Rows share their random numbers: where they have equally many replicates these are drawn jointly, so that what
    the rows of a replicate have in common stays together; a row with fewer draws from all of its own.
    """
    n = counts(values)
    uniform = rng.random((resamples, 1, values.shape[-1]))
    if (n == values.shape[-1]).all():
        index = np.minimum((uniform[:, 0] * n[0]).astype(np.int64), n[0] - 1)
        joint: FloatArray = values[:, index].swapaxes(0, 1)
        return joint
    index = np.minimum((uniform * n[:, None]).astype(np.int64), np.maximum(n[:, None] - 1, 0))
    drawn = np.take_along_axis(np.broadcast_to(values, (resamples, *values.shape)), index, axis=-1)
    return np.where(np.isnan(values), np.nan, drawn)


def percentile_interval(indices: IntArray, level: float = 0.95) -> tuple[int, int]:
    """Return the central percentile interval of bootstrapped indices, rounded outwards to indices that occur.

    Source: Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.
    """
    tail = (1 - level) / 2
    low = np.quantile(indices, tail, method="lower")
    high = np.quantile(indices, 1 - tail, method="higher")
    return int(low), int(high)
