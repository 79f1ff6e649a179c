"""The overfitting boundary: the size from which the gap between training and test accuracy opens."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import stdtrit

from analyze.stats.autocorrelation import stationary_correlation
from analyze.stats.replicates import counts, pack, percentile_interval, resample
from analyze.stats.result import FLOOR, LEVEL, MIN_REPLICATES, MIN_SIZES, ChangePoint, FloatArray, IntArray, Remark
from analyze.stats.slopes import replicate_slopes
from analyze.stats.stability import shortages

MIN_SLOPE_CHANGE = 0.003
MIN_OPENING = 0.01
MAX_TEST_SLOPE = 0.004
MIN_SIZES_FOR_RAMP = 6
NULL_DRAWS = 4000
FITTED_TOGETHER = 250
"""Regressions at a time: arrays that stay in the cache."""


@dataclass(frozen=True)
class Bends:
    """Shapes that a gap may add to a straight line over size: regressors (shapes, sizes), parameters, knots."""

    regressors: FloatArray
    parameters: IntArray
    knots: IntArray


@dataclass(frozen=True)
class BendFit:
    """The best bend of each regression, arrays of shape (regressions,).

    Its knot, the change of slope there, what that adds up to at the last size, and F over the line, which is 0 where
    the best bend goes down.
    """

    knot: IntArray
    slope_change: FloatArray
    opening: FloatArray
    f: FloatArray


def overfitting_boundary(
    train: FloatArray, test: FloatArray, *, rng: np.random.Generator, resamples: int = 400
) -> ChangePoint:
    """Return the last size before the gap between training and test accuracy opens.

    `train` and `test` are last-epoch accuracies, fractions, shape (stable sizes in increasing order, replicates), NaN
    where there is no run or it diverged. `effect` is the change of the gap's slope, per size.

    The mean gap is regressed on the index of size, weighted by its precision. A line is the null; against it stands
    the best hinge or, with 6 or more sizes, ramp (a hinge that levels off), by BIC. It counts if its F is above the
    95% point under the null (Monte Carlo, for as many sizes and replicates), the slope rises by more than 0.003 per
    size and the gap by 0.01 in all over what the line below the knot foretells, and test accuracy no longer grows by
    0.004 per size past the knot (upper 95% bound over replicates): a gap that opens while test accuracy still rises is
    learning. Hinges that bend down compete too: where one of them is
    best, the gap levels off, and nothing opens. The interval is a percentile bootstrap over replicates.

    Source: grid search over knots as in Lerman (1980), Applied Statistics 29, 77-84.
    """
    aligned = train - test
    gap = pack(aligned)
    sizes = len(gap)
    n = int(np.min(counts(gap), initial=gap.shape[-1])) if sizes else 0
    method = (
        f"hinge or ramp against a line, weighted; Monte Carlo F ({NULL_DRAWS}, correlation between sizes as seen); "
        f"replicate bootstrap ({resamples}), 95% percentile; effect = change of the gap's slope per size"
    )
    if sizes < MIN_SIZES or n < MIN_REPLICATES:
        missing = shortages(sizes, n, stable_only=True)
        return ChangePoint(status="insufficient", method=method, n=n, reasons=missing)
    mean, weight = moments(gap)
    fit = best_bend(mean[None], weight[None])
    knot, change, f = int(fit.knot[0]), float(fit.slope_change[0]), float(fit.f[0])
    p = f_p(f, aligned, n)
    remark = _why_absent(p, change, float(fit.opening[0]), rising_at_most(test[knot:]))
    if remark:
        return ChangePoint(status="absent", method=method, n=n, p=p, effect=change, reasons=(remark,))
    means, weights = moments(resample(gap, resamples, rng=rng))
    return ChangePoint(
        status="detected",
        method=method,
        n=n,
        estimate=knot,
        interval=percentile_interval(best_bend(means, weights).knot),
        p=p,
        effect=change,
    )


def rising_at_most(test: FloatArray) -> float:
    """Return the upper 95% t-bound of the slope of test accuracy per size, over replicates.

    Shape (sizes, replicates); a replicate enters with the sizes it has, if these are at least two.
    """
    slopes = replicate_slopes(test)
    replicates = len(slopes)
    if replicates < 2:
        return float("inf")
    error = slopes.std(ddof=1) / np.sqrt(replicates)
    return float(slopes.mean() + stdtrit(replicates - 1, 1 - LEVEL) * error)


@lru_cache
def bends(sizes: int) -> Bends:
    """Return all hinges, and with 6 or more sizes all ramps, that have a size on either side of each knot."""
    index = np.arange(sizes, dtype=np.float64)
    hinges = [(k, np.maximum(index - k, 0)) for k in range(1, sizes - 1)]
    ramps = [
        (k, np.clip(index - k, 0, end - k))
        for k in range(1, sizes - 2)
        for end in range(k + 1, sizes - 1)
        if sizes >= MIN_SIZES_FOR_RAMP
    ]
    shapes = hinges + ramps
    return Bends(
        np.array([shape for _, shape in shapes]),
        np.array([4] * len(hinges) + [5] * len(ramps)),
        np.array([knot for knot, _ in shapes]),
    )


def best_bend(mean: FloatArray, weight: FloatArray) -> BendFit:
    """Return the bend with the lowest BIC of each weighted regression; shapes (regressions, sizes).

    Hinges may bend either way, ramps only up.
    """
    sizes = mean.shape[-1]
    shapes = bends(sizes)
    x = shapes.regressors.T
    total = weight.sum(axis=-1, keepdims=True)
    index = np.arange(sizes)
    centred = index - (weight @ index)[:, None] / total
    square = (weight * centred**2).sum(axis=-1, keepdims=True)
    level = (weight * mean).sum(axis=-1, keepdims=True) / total
    slope = (weight * centred * mean).sum(axis=-1, keepdims=True) / square
    residual = mean - level - slope * centred
    line = (weight * residual**2).sum(axis=-1, keepdims=True)
    # The residuals are orthogonal to the line: one more regressor needs no refit (Frisch, Waugh and Lovell).
    across = (weight * residual) @ x
    norm = weight @ x**2 - (weight @ x) ** 2 / total - ((weight * centred) @ x) ** 2 / square
    change = across / norm
    tiny = 1e-12 * line + 1e-300
    allowed = (change > 0) | (shapes.parameters == 4)
    bent = np.maximum(line - np.where(allowed, across * change, 0.0), tiny)
    bic = sizes * np.log(bent) + shapes.parameters * np.log(sizes)
    best = bic.argmin(axis=-1)
    rows = np.arange(len(mean))
    extra = shapes.parameters[best]
    bent_best = bent[rows, best]
    f = (line[:, 0] - bent_best) / (extra - 2) / (bent_best / (sizes - extra))
    slope_change = change[rows, best]
    return BendFit(
        knot=shapes.knots[best],
        slope_change=slope_change,
        opening=slope_change * shapes.regressors[best, -1],
        f=np.where(slope_change > 0, np.maximum(f, 0.0), 0.0),
    )


def f_p(f: float, gap: FloatArray, replicates: int, draws: int = NULL_DRAWS) -> float:
    """Return the Monte Carlo p value of the best bend's F, the data counted among the draws.

    `gap` has shape (sizes, replicates), replicates in the same order at every size, NaN where there is no run.
    """
    if f <= 0:
        return 1.0
    null = null_f(stationary_correlation(gap), replicates, draws)
    return float((1 + np.sum(null >= f)) / (1 + len(null)))


def null_f(correlation: FloatArray, replicates: int, draws: int = NULL_DRAWS) -> FloatArray:
    """Return Monte Carlo draws of the best bend's F where the gap is linear in size and its noise normal.

    `correlation`, shape (sizes, sizes), is that of the noise. Means and variances of normal samples are independent, so
    that no replicate needs to be drawn; that variances of neighbouring sizes go together too is left out, as the
    measured rates allow. The same draws for equal arguments.
    """
    sizes = len(correlation)
    rng = np.random.default_rng([sizes, replicates])
    factor = np.linalg.cholesky(correlation)
    mean = rng.standard_normal((draws, sizes)) @ factor.T / np.sqrt(replicates)
    variance = rng.chisquare(replicates - 1, (draws, sizes)) / (replicates - 1)
    weight = replicates / variance
    parts = [slice(start, start + FITTED_TOGETHER) for start in range(0, draws, FITTED_TOGETHER)]
    return np.concatenate([best_bend(mean[part], weight[part]).f for part in parts])


def moments(gap: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the mean gaps and their precisions over the last axis."""
    variance = np.nanvar(gap, axis=-1, ddof=1)
    return np.nanmean(gap, axis=-1), np.sum(~np.isnan(gap), axis=-1) / (variance + FLOOR**2)


def _why_absent(p: float, change: float, opening: float, rising: float) -> Remark | None:
    if change <= 0:
        return Remark("gap levels off")
    if p > LEVEL:
        return Remark("gap on a line", (p,))
    if change <= MIN_SLOPE_CHANGE:
        return Remark("gap opens slowly", (change,))
    if opening <= MIN_OPENING:
        return Remark("gap opens little", (opening,))
    if rising >= MAX_TEST_SLOPE:
        return Remark("test accuracy rises", (rising,))
    return None
