"""The stability boundary: the size from which the spread between replicates is small, and stays small."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from analyze.stats.replicates import counts, pack, percentile_interval, resample
from analyze.stats.result import FLOOR, LEVEL, MIN_REPLICATES, MIN_SIZES, BoolArray, ChangePoint, FloatArray, IntArray

DEAD_MARGIN = 0.05
"""A size whose mean accuracy is not this far above chance is unstable by definition, with at least this spread."""
MIN_RATIO = 2.0
UNSTABLE_SPREAD = 0.02
PERMUTED_TOGETHER = 500
"""Permutations at a time: arrays that stay in the cache."""


def stability_boundary(
    accuracy: FloatArray,
    *,
    chance: float,
    rng: np.random.Generator,
    permutations: int = 199,
    resamples: int = 400,
) -> ChangePoint:
    """Return the first stable size: one downward step in the log-variance of accuracy along size.

    `accuracy` has shape (sizes in increasing order, replicates), fractions, NaN where there is no run; a run that
    diverged belongs in it at chance. `effect` is the ratio of the spreads below and above the step.

    The step is the exact least-squares one. It counts if a permutation test of its gain, with median-centred
    residuals moved between sizes, has p <= 0.05 and the spread falls by half or more; if a straight line describes the
    log-variance better by BIC, the change is `gradual`. The interval is a percentile bootstrap over replicates.

    Source: least-squares segmentation as in Truong, Oudre and Vayatis (2020), Signal Processing 167, 107299; absolute
    deviations from the median as in Brown and Forsythe (1974), JASA 69, 364-367.
    """
    x = pack(accuracy)
    n = int(np.min(counts(x), initial=x.shape[-1])) if len(x) else 0
    method = (
        f"least-squares step in log variance; permutation test ({permutations}); "
        f"replicate bootstrap ({resamples}), 95% percentile; effect = sd ratio"
    )
    if len(x) < MIN_SIZES or n < MIN_REPLICATES:
        return ChangePoint(status="insufficient", method=method, n=n, reason=shortage(len(x), n))
    is_dead = dead(x, chance)
    if is_dead.all():
        reason = "every size is at chance; run larger sizes, or more epochs"
        return ChangePoint(status="not_reached", method=method, n=n, reason=reason)

    z = signal(x, chance)
    at, gain = best_step(z)
    estimate = int(at)
    p = permutation_p(x, is_dead, float(gain), permutations, rng)
    ratio = float(np.exp((z[:estimate].mean() - z[estimate:].mean()) / 2))
    if p > LEVEL or ratio < MIN_RATIO:
        return _unchanged(z, ChangePoint(status="all_stable", method=method, n=n, p=p, effect=ratio))
    located, _ = best_step(signal(resample(x, resamples, rng=rng), chance))
    gradual = line_beats_step(z)
    return ChangePoint(
        status="gradual" if gradual else "detected",
        method=method,
        n=n,
        estimate=estimate,
        interval=percentile_interval(located),
        p=p,
        effect=ratio,
        reason="the spread falls steadily over the sizes: the step is its middle, no boundary" if gradual else None,
    )


def shortage(sizes: int, replicates: int) -> str:
    """Return what is missing for an estimate, and what to run."""
    missing = []
    if sizes < MIN_SIZES:
        missing.append(f"{sizes} of {MIN_SIZES} needed sizes: run more --capacities")
    if replicates < MIN_REPLICATES:
        missing.append(
            f"{replicates} of {MIN_REPLICATES} needed replicates: run with --repeats {MIN_REPLICATES} or more"
        )
    return "; ".join(missing)


def spread(x: FloatArray) -> FloatArray:
    """Return robust standard deviations: the mean absolute deviation from the median, scaled, NaN left out.

    Shape (..., sizes, replicates) in, (..., sizes) out; NaN at the same places along every leading axis. The scale
    makes the mean logarithm that of the standard deviation for normal data, whatever the number of replicates:
    otherwise sizes with fewer replicates would look more stable.
    """
    n = counts(x.reshape(-1, *x.shape[-2:])[0])
    scale: FloatArray = np.array([normal_deviation(int(count)) for count in n])
    return mean_deviation(x) / scale


@lru_cache(maxsize=1024)
def normal_deviation(n: int) -> float:
    """Return the geometric mean of the mean deviation of n standard normal values (Monte Carlo; 0.798 for many)."""
    if n < 2:
        return 1.0
    draws = np.random.default_rng(n).standard_normal((1 + 200_000 // n, 1, n))
    return float(np.exp(np.log(mean_deviation(draws)).mean()))


def mean_deviation(x: FloatArray) -> FloatArray:
    """Return the mean absolute deviation from the median over the last axis; shapes as for `spread`."""
    ordered = np.sort(x, axis=-1)
    n = counts(x.reshape(-1, *x.shape[-2:])[0])[:, None]
    if (n < x.shape[-1]).any():
        ordered = np.nan_to_num(ordered, nan=0.0)
    rank = np.arange(x.shape[-1])
    # Values above the median enter positively, those below negatively; the median itself cancels.
    sign = np.where(rank < n, np.sign(2 * rank + 1 - n), 0.0)
    deviations: FloatArray = np.einsum("...sr,sr->...s", ordered, sign)
    return deviations / n[:, 0]


def dead(x: FloatArray, chance: float) -> BoolArray:
    """Return for each size whether its mean accuracy is within 0.05 of chance."""
    n = counts(x.reshape(-1, *x.shape[-2:])[0])
    means = x.mean(axis=-1) if (n == x.shape[-1]).all() else np.nanmean(x, axis=-1)
    return np.asarray(means < chance + DEAD_MARGIN)


def signal(x: FloatArray, chance: float) -> FloatArray:
    """Return the log-variance per size, shape (..., sizes); a dead size has the largest of all, or that of 0.05."""
    z = _log_variance(spread(x))
    top = np.maximum(z.max(axis=-1, keepdims=True), _log_variance(np.float64(DEAD_MARGIN)))
    return np.where(dead(x, chance), top, z)


def best_step(z: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return the first index after the best downward step, and the sum of squares it explains.

    Shape (..., sizes) in, (...) out. Equal to ruptures' Dynp with cost l2, min_size 1 and jump 1 wherever the best
    step goes down.
    """
    sizes = z.shape[-1]
    left = np.arange(1, sizes)
    sums = np.cumsum(z, axis=-1)
    mean_left = sums[..., :-1] / left
    mean_right = (sums[..., -1:] - sums[..., :-1]) / (sizes - left)
    gain = left * (sizes - left) / sizes * np.maximum(mean_left - mean_right, 0) ** 2
    at = gain.argmax(axis=-1)
    return at + 1, np.take_along_axis(gain, at[..., None], axis=-1)[..., 0]


def line_beats_step(z: FloatArray) -> bool:
    """Return whether a straight line over the sizes has a lower BIC than the best step.

    Source: Schwarz (1978), Annals of Statistics 6, 461-464. The step's position counts as a parameter.
    """
    sizes = len(z)
    centred = np.arange(sizes) - (sizes - 1) / 2
    total = float(((z - z.mean()) ** 2).sum())
    line = total - float(centred @ z) ** 2 / float(centred @ centred)
    step = total - float(best_step(z)[1])
    tiny = 1e-12
    bic_line = sizes * np.log(line + tiny) + 2 * np.log(sizes)
    bic_step = sizes * np.log(step + tiny) + 3 * np.log(sizes)
    return bool(bic_line < bic_step)


def _log_variance(s: FloatArray | np.float64) -> FloatArray:
    return np.asarray(np.log(s**2 + FLOOR**2))


def permutation_p(x: FloatArray, is_dead: BoolArray, gain: float, permutations: int, rng: np.random.Generator) -> float:
    """Return the share of permutations, the data included, whose best step gains as much.

    Residuals move between the sizes that are alive. Dead sizes keep the largest log-variance, as in the data, so that
    this rule alone makes no step significant.

    Source: Phipson and Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9, 39 (never zero).
    """
    residuals = x[~is_dead] - np.nanmedian(x[~is_dead], axis=-1, keepdims=True)
    present = ~np.isnan(residuals)
    hits = 0
    for start in range(0, permutations, PERMUTED_TOGETHER):
        number = min(PERMUTED_TOGETHER, permutations - start)
        pool = rng.permuted(np.broadcast_to(residuals[present], (number, int(present.sum()))), axis=1)
        if present.all():
            shuffled = pool.reshape(number, *residuals.shape)
        else:
            shuffled = np.full((number, *residuals.shape), np.nan)
            shuffled[:, present] = pool
        alive = _log_variance(spread(shuffled))
        z = np.broadcast_to(alive.max(axis=-1, keepdims=True), (number, len(x))).copy()
        z[:, ~is_dead] = alive
        hits += int(np.sum(best_step(z)[1] >= gain))
    return (1 + hits) / (1 + permutations)


def _unchanged(z: FloatArray, found: ChangePoint) -> ChangePoint:
    """Return the result for sizes among which no step was found: all unstable, or all stable."""
    pooled = float(np.sqrt(np.exp(z).mean()))
    unstable = pooled >= UNSTABLE_SPREAD
    reason = f"no fall in spread found (p = {found.p:.2g}); pooled sd {100 * pooled:.2g} points"
    return ChangePoint(
        status="not_reached" if unstable else "all_stable",
        method=found.method,
        n=found.n,
        p=found.p,
        effect=found.effect,
        reason=f"{reason}: run larger sizes" if unstable else reason,
    )
