"""The stability boundary: the size from which the spread between replicates is small, and stays small."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from scipy.special import chdtri

from analyze.stats.replicates import counts, pack, percentile_interval, resample
from analyze.stats.result import (
    FLOOR,
    LEVEL,
    MIN_REPLICATES,
    MIN_SIZES,
    BoolArray,
    ChangePoint,
    FloatArray,
    IntArray,
    Remark,
    Shortage,
)

DEAD_MARGIN = 0.05
"""A size whose mean accuracy is not this far above chance is unstable by definition, with at least this spread."""
MIN_RATIO = 2.0
UNSTABLE_SPREAD = 0.02
"""Pooled spread from which sizes count as unstable, a fraction of accuracy."""
TINY = 1e-12
"""Sums of squares, in log-variance, that count as zero."""
ROUNDING = 1e-9
"""Relative difference within which sums of squares are equal, in whatever order they were added up."""
PERMUTED_TOGETHER = 500
"""Permutations at a time: arrays that stay in the cache."""


def stability_boundary(
    accuracy: FloatArray,
    *,
    chance: float,
    rng: np.random.Generator,
    test_images: int | None = None,
    permutations: int = 199,
    resamples: int = 400,
    level: float = LEVEL,
) -> ChangePoint:
    """Return the first stable size: one downward step in the log-variance of accuracy along size.

    `accuracy` has shape (sizes in increasing order, replicates), fractions, NaN where there is no run; a run that
    diverged belongs in it at chance. `test_images` is the number of images it was measured on; None: so many that what
    they add to the spread does not matter. `effect` is the ratio of the spreads below and above the step.

    The step is the best by least squares (ruptures, exact) of those that part unstable sizes from stable ones: a pooled
    spread of 2 points or more below and of less from there on, what the sampling of the test images explains left out,
    and a fall by half or more. It counts if a permutation test of its gain, with median-centred residuals moved between
    sizes, has p at or below `level`; if a straight line describes the log-variance better by BIC, the change is
    `gradual`. The interval is a percentile bootstrap over replicates.

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
        return ChangePoint(status="insufficient", method=method, n=n, reasons=shortages(len(x), n))
    is_dead = dead(x, chance)
    if is_dead.all():
        return ChangePoint(status="not_reached", method=method, n=n, reasons=(Remark("all sizes dead"),))

    at, gain, parted = located_step(x, chance, test_images)
    z = signal(x, chance)
    p = permutation_p(x, is_dead, gain, permutations, rng)
    ratio = float(np.exp((z[:at].mean() - z[at:].mean()) / 2))
    if p > level or not parted:
        found = ChangePoint(status="all_stable", method=method, n=n, p=p, effect=ratio)
        return _one_regime(np.exp(z) - sampling_variance(x, chance, test_images), at, found)
    located = locate(resample(x, resamples, rng=rng), chance, test_images)
    gradual = line_beats_step(z, at)
    return ChangePoint(
        status="gradual" if gradual else "detected",
        method=method,
        n=n,
        estimate=at,
        interval=percentile_interval(located),
        p=p,
        effect=ratio,
        reasons=(Remark("gradual fall"),) if gradual else (),
    )


def shortages(sizes: int, replicates: int, *, stable_only: bool = False) -> tuple[Shortage, ...]:
    """Return what is missing for a change point; `stable_only` says that sizes below the stability boundary are out."""
    needed = (
        Shortage("sizes", sizes, MIN_SIZES, stable_only=stable_only),
        Shortage("replicates", replicates, MIN_REPLICATES, stable_only=stable_only),
    )
    return tuple(part for part in needed if part.have < part.need)


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
    return np.asarray(means(x) < chance + DEAD_MARGIN)


def means(x: FloatArray) -> FloatArray:
    """Return the mean over replicates, NaN left out; shapes as for `spread`."""
    n = counts(x.reshape(-1, *x.shape[-2:])[0])
    # `nanmean` copies its argument: that takes longest of all where samples come by the thousand.
    found: FloatArray = x.mean(axis=-1) if (n == x.shape[-1]).all() else np.nanmean(x, axis=-1)
    return found


def signal(x: FloatArray, chance: float) -> FloatArray:
    """Return the log-variance per size, shape (..., sizes); a dead size has the largest of all, or that of 0.05."""
    z = _log_variance(spread(x))
    top = np.maximum(z.max(axis=-1, keepdims=True), _log_variance(np.float64(DEAD_MARGIN)))
    return np.where(dead(x, chance), top, z)


def located_step(x: FloatArray, chance: float, test_images: int | None) -> tuple[int, float, bool]:
    """Return the first stable size, the sum of squares that the step there explains, and whether it parts two regimes.

    Shape (sizes, replicates). The exact search is that of ruptures, over the steps that part unstable from stable
    sizes, or, where none does, over all that go down; an infinite cost keeps others out (`segments.AdmissibleSteps`).
    """
    from analyze.stats import segments

    z = signal(x, chance)
    _, fall = steps(z)
    parting = parts(x, z, fall, chance, test_images)
    parted = bool(parting.any())
    admissible = parting if parted else fall > 0
    if not admissible.any():
        return 1, 0.0, False
    return *segments.best_step(z, admissible), parted


def locate(x: FloatArray, chance: float, test_images: int | None) -> IntArray:
    """Return the first stable size of each of many samples, as `located_step` finds it in one.

    Shape (..., sizes, replicates) in, (...) out: bootstrap samples come by the hundred.
    """
    z = signal(x, chance)
    gain, fall = steps(z)
    parting = parts(x, z, fall, chance, test_images)
    parted = parting.any(axis=-1)
    located: IntArray = np.where(parted, np.where(parting, gain, -1.0).argmax(axis=-1), gain.argmax(axis=-1)) + 1
    return located


def parts(x: FloatArray, z: FloatArray, fall: FloatArray, chance: float, test_images: int | None) -> BoolArray:
    """Return whether a step after each size but the last parts unstable from stable sizes.

    Shape (..., sizes, replicates) in, (..., sizes - 1) out; `z` and `fall` are the samples' `signal` and `steps`.
    """
    variance, sampling = np.exp(z), sampling_variance(x, chance, test_images)
    below, above = means_beside(variance - sampling)
    # Few replicates at few sizes scatter widely about what sampling explains: they have to be beyond its 95% point,
    # adjusted for the number of steps (Bonferroni).
    freedom = np.cumsum(np.maximum(counts(x.reshape(-1, *x.shape[-2:])[0]) - 1, 1))[:-1]
    beyond = means_beside(variance)[0] >= chdtri(freedom, LEVEL / len(freedom)) / freedom * means_beside(sampling)[0]
    return np.asarray(
        (below >= UNSTABLE_SPREAD**2) & (above < UNSTABLE_SPREAD**2) & (fall >= 2 * np.log(MIN_RATIO)) & beyond
    )


def best_gain(z: FloatArray) -> FloatArray:
    """Return the sum of squares that the best downward step explains; shape (..., sizes) in, (...) out."""
    gain, _ = steps(z)
    best: FloatArray = gain.max(axis=-1)
    return best


def steps(z: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return for a step after each size but the last the sum of squares it explains (0 upwards), and how far it falls.

    Shape (..., sizes) in, (..., sizes - 1) out.
    """
    sizes = z.shape[-1]
    left = np.arange(1, sizes)
    below, above = means_beside(z)
    fall = below - above
    gain: FloatArray = left * (sizes - left) / sizes * np.maximum(fall, 0) ** 2
    return gain, fall


def means_beside(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the means up to each size but the last, and those past it; (..., sizes) in, (..., sizes - 1) out."""
    left = np.arange(1, values.shape[-1])
    sums = np.cumsum(values, axis=-1)
    return sums[..., :-1] / left, (sums[..., -1:] - sums[..., :-1]) / left[::-1]


def line_beats_step(z: FloatArray, at: int) -> bool:
    """Return whether a straight line over the sizes has a lower BIC (statsmodels, OLS) than a step before size `at`.

    The step's position counts as a parameter. A step that leaves nothing to explain is not beaten.

    Source: Schwarz (1978), Annals of Statistics 6, 461-464.
    """
    from statsmodels.regression.linear_model import OLS

    index = np.arange(len(z))
    line, step = (OLS(z, np.column_stack([np.ones(len(z)), x])).fit() for x in (index, index >= at))
    if step.ssr < TINY:
        return False
    with np.errstate(divide="ignore"):  # A perfect line has a BIC of minus infinity.
        return bool(line.bic < step.bic + np.log(len(z)))


def _log_variance(s: FloatArray | np.float64) -> FloatArray:
    return np.asarray(np.log(s**2 + FLOOR**2))


def permutation_p(x: FloatArray, is_dead: BoolArray, gain: float, permutations: int, rng: np.random.Generator) -> float:
    """Return the share of permutations, the data included, whose best step gains as much.

    `gain` is that of the data, up to rounding. Residuals move between the sizes that are alive. Dead sizes keep the
    largest log-variance, as in the data, so that this rule alone makes no step significant.

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
        hits += int(np.sum(best_gain(z) >= gain * (1 - ROUNDING)))
    return (1 + hits) / (1 + permutations)


def sampling_variance(x: FloatArray, chance: float, test_images: int | None) -> FloatArray:
    """Return the most that the sampling of so many test images adds to the variance of accuracy; 0 at dead sizes.

    Shape (..., sizes, replicates) in, (..., sizes) out. That of a binomial share, p (1 - p) / n: replicates that are
    right on the same images, the easy ones, vary less.
    """
    if test_images is None:
        return np.zeros(x.shape[:-1])
    p = means(x)
    return np.where(p < chance + DEAD_MARGIN, 0.0, p * (1 - p) / test_images)


def _one_regime(variance: FloatArray, at: int, found: ChangePoint) -> ChangePoint:
    """Return the result for sizes that are no two regimes: all unstable, or all stable, by their pooled spread."""
    below, above, everywhere = (
        float(np.sqrt(max(part.mean(), 0.0))) for part in (variance[:at], variance[at:], variance)
    )
    p = found.p or 0.0
    remark = (
        Remark("no fall", (p, everywhere))
        if p > LEVEL or (found.effect or 0.0) < MIN_RATIO
        else Remark("one side of the limit", (below, above, everywhere))
    )
    return replace(found, status="not_reached" if everywhere >= UNSTABLE_SPREAD else "all_stable", reasons=(remark,))
