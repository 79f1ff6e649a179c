"""Simulated losses of few replicates whose true mean is known, and how often tests of it err."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from analyze.stats.onesided import one_sided_p, skewness, standard_error, studentised
from analyze.stats.result import FloatArray

LEVELS = (0.05, 0.0036, 0.00035)
"""Those of a test alone, of one of 14 of a recommendation, and of one of the 140 of a table of claims."""

KINDS = ("normal", "exponential", "lognormal", "1 in 10 fails")
BATCH = 500


def losses(kind: str, shape: tuple[int, ...], *, rng: np.random.Generator) -> FloatArray:
    """Return losses with mean 0, most with standard deviation 0.6 points.

    The logarithm of lognormal ones has standard deviation 1 (skewness 6.2). `1 in 10 fails`: of ten one loses 10
    points, the others none.
    """
    if kind == "normal":
        return rng.normal(0.0, 0.006, shape)
    if kind == "exponential":
        return 0.006 * (rng.exponential(1.0, shape) - 1)
    if kind == "lognormal":
        drawn = np.exp(rng.standard_normal(shape)) - np.exp(0.5)
        return np.asarray(0.006 * drawn / np.sqrt((np.e - 1) * np.e))
    return np.asarray(np.where(rng.random(shape) < 0.1, 0.1, 0.0) - 0.01)


@dataclass(frozen=True)
class Rejections:
    """Samples, and per level how many of them each way of testing took for a mean below the threshold."""

    samples: int
    by_t: FloatArray
    by_hall: FloatArray
    by_bootstrap: FloatArray
    by_all: FloatArray


def rejections(
    kind: str, replicates: int, samples: int, *, seed: int, shift: float = 0.0, resamples: int = 0
) -> Rejections:
    """Return how often a mean loss of 0 less `shift` is taken for one below 0, at each of `LEVELS`.

    `by_hall`: the larger p value of t and Hall's transformation; `by_bootstrap`: that of t and bootstrap-t; `by_all`:
    the largest of the three. Without `resamples` the bootstrap is left out of both.
    """
    counted = np.zeros((4, len(LEVELS)))
    rng = np.random.default_rng([seed, replicates])
    for start in range(0, samples, BATCH):
        values = losses(kind, (replicates, min(BATCH, samples - start)), rng=rng) - shift
        t = values.mean(axis=0) / standard_error(values)
        by_t: FloatArray = stdtr(replicates - 1, t)
        by_hall = one_sided_p(t, skewness(values) / np.sqrt(replicates), replicates - 1)
        by_bootstrap = by_t.copy()
        # Only those that the t test lets pass can be told apart by it.
        passed = np.flatnonzero(by_t <= max(LEVELS))
        if resamples and len(passed):
            below = (studentised(values[:, passed], resamples, rng=rng) <= t[passed]).sum(axis=0)
            by_bootstrap[passed] = np.maximum(by_t[passed], (1 + below) / (1 + resamples))
        tests = (by_t, by_hall, by_bootstrap, np.maximum(by_hall, by_bootstrap))
        counted += [[float((p <= level).sum()) for level in LEVELS] for p in tests]
    return Rejections(samples, *counted)
