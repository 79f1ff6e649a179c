"""The overfitting boundary: the size from which the gap between training and test accuracy opens."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from analyze.stats.autocorrelation import stationary_correlation
from analyze.stats.replicates import counts, pack, percentile_interval, resample
from analyze.stats.result import FLOOR, LEVEL, MIN_REPLICATES, MIN_SIZES, ChangePoint, FloatArray, IntArray, Remark
from analyze.stats.slopes import replicate_slopes
from analyze.stats.stability import shortages

if TYPE_CHECKING:
    from statsmodels.regression.linear_model import RegressionResults

MIN_SLOPE_CHANGE = 0.003
MIN_OPENING = 0.01
MAX_TEST_SLOPE = 0.004
MIN_SIZES_FOR_RAMP = 6
HINGE, RAMP = 4, 5
"""Parameters: level, slope, change of slope and one knot or two."""
ROUNDING = 1e-24
"""Share of the sum of squares that rounding leaves."""
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
    """The best bend of a regression.

    Its knot, the change of slope there, what that adds up to at the last size, and F over the line, which is 0 where
    the best bend goes down.
    """

    knot: int
    slope_change: float
    opening: float
    f: float


def overfitting_boundary(
    train: FloatArray, test: FloatArray, *, rng: np.random.Generator, resamples: int = 400
) -> ChangePoint:
    """Return the last size before the gap between training and test accuracy opens.

    `train` and `test` are last-epoch accuracies, fractions, shape (stable sizes in increasing order, replicates), NaN
    where there is no run or it diverged. `effect` is the change of the gap's slope, per size.

    The mean gap is regressed on the index of size, weighted by its precision (statsmodels, WLS). A line is the null;
    against it stands the best hinge or, with 6 or more sizes, ramp (a hinge that levels off), by BIC. It counts if its
    F is above the 95% point under the null (Monte Carlo, for as many sizes and replicates), the slope rises by more
    than 0.003 per size and the gap by 0.01 in all over what the line below the knot foretells, and test accuracy no
    longer grows by 0.004 per size past the knot (upper 95% bound over replicates): a gap that opens while test accuracy
    still rises is learning. Hinges that bend down compete too: where one of them is best, the gap levels off, and
    nothing opens. The interval is a percentile bootstrap over replicates.

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
    fit = best_bend(mean, weight)
    p = f_p(fit.f, aligned, n)
    remark = _why_absent(p, fit.slope_change, fit.opening, rising_at_most(test[fit.knot :]))
    if remark:
        return ChangePoint(status="absent", method=method, n=n, p=p, effect=fit.slope_change, reasons=(remark,))
    means, weights = moments(resample(gap, resamples, rng=rng))
    return ChangePoint(
        status="detected",
        method=method,
        n=n,
        estimate=fit.knot,
        interval=percentile_interval(best_bends(means, weights)[0]),
        p=p,
        effect=fit.slope_change,
    )


def rising_at_most(test: FloatArray) -> float:
    """Return the upper 95% t-bound (statsmodels) of the slope of test accuracy per size, over replicates.

    Shape (sizes, replicates); a replicate enters with the sizes it has, if these are at least two.
    """
    from statsmodels.stats.weightstats import DescrStatsW

    slopes = replicate_slopes(test)
    if len(slopes) < 2:
        return float("inf")
    return float(DescrStatsW(slopes).tconfint_mean(2 * LEVEL)[1])


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
        np.array([HINGE] * len(hinges) + [RAMP] * len(ramps)),
        np.array([knot for knot, _ in shapes]),
    )


def best_bend(mean: FloatArray, weight: FloatArray) -> BendFit:
    """Return the bend with the lowest BIC of a weighted regression, by statsmodels; shapes (sizes,).

    Hinges may bend either way, ramps only up. Where a line leaves nothing to explain, nothing bends.
    """
    shapes = bends(len(mean))
    line = _fit(mean, weight)
    if line.ssr <= ROUNDING * float(weight @ mean**2):
        return BendFit(knot=int(shapes.knots[0]), slope_change=0.0, opening=0.0, f=0.0)
    fits = [_fit(mean, weight, x, int(k)) for x, k in zip(shapes.regressors, shapes.parameters, strict=True)]
    admitted = [at for at, fit in enumerate(fits) if fit.params[2] > 0 or shapes.parameters[at] == HINGE]
    with np.errstate(divide="ignore"):  # A perfect bend has a BIC of minus infinity, and an infinite F.
        best = min(admitted, key=lambda at: float(fits[at].bic))
        f = float(fits[best].compare_f_test(line)[0])
    change = float(fits[best].params[2])
    return BendFit(
        knot=int(shapes.knots[best]),
        slope_change=change,
        opening=change * float(shapes.regressors[best, -1]),
        f=f if change > 0 else 0.0,
    )


def _fit(
    mean: FloatArray, weight: FloatArray, bend: FloatArray | None = None, parameters: int = 2
) -> RegressionResults:
    """Return the weighted regression on size, and on a bend with so many parameters in all.

    Knots count as parameters, in BIC and in the degrees of freedom of F.
    """
    from statsmodels.regression.linear_model import WLS

    index = np.arange(len(mean), dtype=np.float64)
    columns = [np.ones_like(index), index] if bend is None else [np.ones_like(index), index, bend]
    model = WLS(mean, np.column_stack(columns), weights=weight, hasconst=True)
    model.df_model, model.df_resid = parameters - 1, len(mean) - parameters
    return model.fit()


def best_bends(mean: FloatArray, weight: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return knot and F of many weighted regressions, as `best_bend` finds them in one; shapes (regressions, sizes).

    Bootstrap samples and draws of the null come by the thousand.
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
    allowed = (change > 0) | (shapes.parameters == HINGE)
    bent = np.maximum(line - np.where(allowed, across * change, 0.0), tiny)
    bic = sizes * np.log(bent) + shapes.parameters * np.log(sizes)
    best = bic.argmin(axis=-1)
    rows = np.arange(len(mean))
    extra = shapes.parameters[best]
    bent_best = bent[rows, best]
    f = (line[:, 0] - bent_best) / (extra - 2) / (bent_best / (sizes - extra))
    return shapes.knots[best], np.where(change[rows, best] > 0, np.maximum(f, 0.0), 0.0)


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
    return np.concatenate([best_bends(mean[part], weight[part])[1] for part in parts])


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
