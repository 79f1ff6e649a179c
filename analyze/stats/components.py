"""How much of the variance of accuracy goes with size, with topology and with the replicate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri

from analyze.stats.equivalence import complete_blocks
from analyze.stats.means import DOMINANT, TINY
from analyze.stats.replicates import counts
from analyze.stats.result import MIN_REPLICATES, BoolArray, FloatArray, IntArray, Reason, Remark, Shortage, Status

KNOTS = 8
MIN_SIZES_FOR_COMPONENTS = 2
MIN_SIZES_FOR_SPLINE = 3


@dataclass(frozen=True, kw_only=True)
class Component:
    """A standard deviation, a fraction of accuracy, with its 95% interval."""

    sd: float
    interval: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Components:
    """Standard deviations between sizes, between the topologies of a size, and between replicates of one network.

    `cells` networks of `sizes` sizes were used; `n` is the smallest number of replicates at any size. `largest_share`
    is that of the replicate that makes most of the variance within networks.
    """

    status: Status
    method: str
    n: int
    sizes: int
    cells: int
    size: Component | None = None
    topology: Component | None = None
    replicate: Component | None = None
    largest_share: float | None = None
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Cells:
    """All networks of all sizes: which size each is of, its mean, and the replicates' share in the mean's error.

    `noise` has shape (replicates, cells): with independent standard normal weights g, g @ noise has the covariance of
    the means. The squares of `deviations`, of the same shape, sum over replicates to the variances. `replicates` is the
    smallest number of them at any size.
    """

    size: IntArray
    means: FloatArray
    noise: FloatArray
    deviations: FloatArray
    replicates: int


def components(
    sizes: Sequence[FloatArray],
    parameters: Sequence[FloatArray] | None = None,
    *,
    rng: np.random.Generator,
    resamples: int = 999,
) -> Components:
    """Return the variance components of one sweep over sizes and topologies.

    `sizes` has one table per size, shape (topologies, replicates), fractions, NaN where there is no run, replicates in
    the same columns at every size. With `parameters`, one array of shape (topologies,) per size, differences between
    topologies are what a natural spline of log10 parameters over all networks leaves of them.

    Variances of means exceed the true ones by their sampling variance, s^2 / R, which is subtracted; a negative
    remainder is 0. Intervals: multiplier bootstrap over replicates, jointly over all networks, shifted by the same
    amount; for the replicates chi-square intervals of
    what all networks share and of the rest.

    Source: Searle, Casella and McCulloch (1992), Variance Components, chapter 3.
    """
    adjusted = " beyond a natural spline of log10 parameters" if parameters is not None else ""
    method = (
        f"variances of means less their sampling variance; topologies within sizes{adjusted}; "
        f"multiplier bootstrap over replicates ({resamples}), 95%"
    )
    used = usable_sizes(sizes)
    n = min((table.shape[1] for rows, table in map(complete_blocks, sizes) if len(rows) > 1), default=_most(sizes))
    cells = sum(len(rows) for _, rows in used)
    lacking = _shortage(sizes, len(used), adjust=parameters is not None)
    if lacking:
        return Components(status="insufficient", method=method, n=n, sizes=len(used), cells=cells, reasons=(lacking,))
    table = networks([sizes[i][rows] for i, rows in used])
    keep = np.eye(cells)
    if parameters is not None:
        x = np.log10(np.concatenate([parameters[i][rows] for i, rows in used]))
        keep -= projection(spline_basis(x, min(KNOTS, len(used))))
    weights = weights_of(resamples, len(table.noise), n, rng)
    shares = (table.deviations**2).sum(axis=1)
    largest = float(shares.max() / max(float(shares.sum()), TINY**2))
    return Components(
        status="detected",
        method=method,
        n=n,
        sizes=len(used),
        cells=cells,
        size=_component(lambda x: between_sizes(x, table.size), table.means, table.noise, weights, 1.0),
        topology=_component(
            lambda x: within_sizes(x, table.size),
            keep @ table.means,
            table.noise @ keep.T,
            weights,
            # What the spline takes out of independent differences between topologies, given back.
            float(within_sizes(keep.T, table.size).sum()),
        ),
        replicate=_replicate(table.deviations),
        largest_share=largest,
        reasons=(Remark("one replicate dominates networks"),) if largest > DOMINANT else (),
    )


def usable_sizes(sizes: Sequence[FloatArray]) -> list[tuple[int, IntArray]]:
    """Return the indices of the sizes with two topologies of 5 shared replicates, and the rows of those topologies."""
    blocks = [(index, *complete_blocks(table)) for index, table in enumerate(sizes)]
    return [(i, rows) for i, rows, table in blocks if table.shape[0] > 1 and table.shape[1] >= MIN_REPLICATES]


def between_sizes(x: FloatArray, size: IntArray) -> FloatArray:
    """Return the variance over sizes of the mean over topologies; shape (..., cells) in, (...) out."""
    variance: FloatArray = _size_means(x, size).var(axis=-1, ddof=1)
    return variance


def within_sizes(x: FloatArray, size: IntArray) -> FloatArray:
    """Return the mean over sizes of the variance over topologies; shape (..., cells) in, (...) out."""
    centred = x - _size_means(x, size)[..., size]
    weight = 1 / (np.bincount(size) - 1) / (size.max() + 1)
    variance: FloatArray = centred**2 @ weight[size]
    return variance


def spline_basis(x: FloatArray, knots: int) -> FloatArray:
    """Return the natural cubic spline basis of x, knots at its quantiles; shape (x, knots).

    Source: Hastie, Tibshirani and Friedman (2009), The Elements of Statistical Learning, equations 5.4 and 5.5.
    """
    scaled = (x - x.min()) / max(float(np.ptp(x)), TINY)
    at = np.unique(np.quantile(np.unique(scaled), np.linspace(0, 1, knots)))
    if len(at) < 3:
        return np.column_stack([np.ones_like(scaled), scaled])

    def cubic(k: int) -> FloatArray:
        raised = np.maximum(scaled - at[k], 0) ** 3 - np.maximum(scaled - at[-1], 0) ** 3
        return np.asarray(raised / (at[-1] - at[k]))

    last = cubic(len(at) - 2)
    return np.column_stack([np.ones_like(scaled), scaled, *(cubic(k) - last for k in range(len(at) - 2))])


def projection(basis: FloatArray) -> FloatArray:
    """Return the matrix that projects on the columns of the basis."""
    vectors, values, _ = np.linalg.svd(basis, full_matrices=False)
    kept = vectors[:, values > 1e-10 * values[0]]
    return np.asarray(kept @ kept.T)


def _component(
    variance: Callable[[FloatArray], FloatArray],
    means: FloatArray,
    noise: FloatArray,
    weights: FloatArray,
    kept: float,
) -> Component:
    """Return the square root of a variance of means, corrected; `kept` is the share that an adjustment leaves."""
    sampling = float(variance(noise).sum())
    estimate = float(variance(means)) - sampling
    # The means seen already contain the noise once; a resample adds it again, weighted.
    drawn = variance(means + weights @ noise) - sampling * (1 + (weights**2).mean(axis=1))
    low, high = np.quantile(drawn, [0.025, 0.975])
    low, estimate, high = (float(np.sqrt(max(v, 0.0) / max(kept, TINY))) for v in (low, estimate, high))
    return Component(sd=estimate, interval=(min(low, estimate), max(high, estimate)))


def weights_of(resamples: int, replicates: int, n: int, rng: np.random.Generator) -> FloatArray:
    """Return weights of replicates, normal up to a factor common to a resample, as in a t with n - 1 degrees."""
    factor = np.sqrt((n - 1) / rng.chisquare(n - 1, (resamples, 1)))
    return np.asarray(rng.standard_normal((resamples, replicates)) * factor)


def _replicate(deviations: FloatArray) -> Component:
    """Return the root mean variance within networks, with its interval.

    The variance is the sum of what all networks of a replicate share, with n - 1 degrees of freedom, and the rest.

    Source: Graybill and Wang (1980), JASA 75, 869-873, for the interval of a sum of two variances.
    """
    shared = deviations.mean(axis=1)
    own = deviations - shared[:, None]
    variances = np.array([float(shared @ shared), float((own**2).mean(axis=1).sum())])
    total = float(variances.sum())
    if total <= TINY**2:
        return Component(sd=0.0, interval=(0.0, 0.0))
    degrees = np.array([len(shared) - 1, max(_degrees(own), 1.0)])
    below = variances * (1 - degrees / chdtri(degrees, 0.025))
    above = variances * (degrees / chdtri(degrees, 0.975) - 1)
    low, high = total - float(np.hypot(*below)), total + float(np.hypot(*above))
    return Component(sd=float(np.sqrt(total)), interval=(float(np.sqrt(max(low, 0.0))), float(np.sqrt(high))))


def _degrees(deviations: FloatArray) -> float:
    """Return the degrees of freedom that a chi-square with the variance of the mean square has.

    Source: Satterthwaite (1946), Biometrics Bulletin 2, 110-114; the trace of the squared covariance as in Bai and
    Saranadasa (1996), Statistica Sinica 6, 311-329.
    """
    shares = (deviations**2).mean(axis=1)
    rank, total = len(shares) - 1, float(shares.sum())
    if total <= TINY**2:
        return 1.0
    gram = deviations @ deviations.T / deviations.shape[1]
    squared = (float((gram**2).sum()) - total**2 / rank) * rank**2 / ((rank - 1) * (rank + 2))
    by_covariance = rank * total**2 / max(squared, TINY * total**2)
    # Losses that are skewed or two-peaked vary more than normal ones of the same covariance.
    by_shares = 2 * total**2 / max(len(shares) * float(shares.var(ddof=1)), TINY * total**2)
    return min(by_covariance, by_shares)


def networks(tables: Sequence[FloatArray]) -> Cells:
    """Return the networks of several sizes from tables of shape (topologies, replicates), NaN where there is no run."""
    means, noise, deviations = [], [], []
    for table in tables:
        whole: BoolArray = np.asarray(~np.isnan(table).any(axis=0))
        n = int(whole.sum())
        mean = table[:, whole].mean(axis=1)
        centred = np.where(whole, table - mean[:, None], 0.0).T
        means.append(mean)
        noise.append(centred / np.sqrt(n * (n - 1)))
        deviations.append(centred / np.sqrt(n - 1))
    size = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    joined = np.concatenate(noise, axis=1)
    present = joined.any(axis=1) | (np.arange(len(joined)) < MIN_REPLICATES)
    return Cells(
        size=size,
        means=np.concatenate(means),
        noise=joined[present],
        deviations=np.concatenate(deviations, axis=1)[present],
        replicates=min(int((~np.isnan(table).any(axis=0)).sum()) for table in tables),
    )


def _size_means(x: FloatArray, size: IntArray) -> FloatArray:
    members = np.eye(int(size.max()) + 1)[size]
    means: FloatArray = x @ (members / members.sum(axis=0))
    return means


def _most(sizes: Sequence[FloatArray]) -> int:
    return max((int(np.max(counts(table), initial=0)) for table in sizes), default=0)


def _shortage(sizes: Sequence[FloatArray], used: int, *, adjust: bool) -> Shortage | None:
    needed = MIN_SIZES_FOR_SPLINE if adjust else MIN_SIZES_FOR_COMPONENTS
    if used >= needed:
        return None
    if all(len(table) < 2 for table in sizes):
        return Shortage("topologies", max((len(table) for table in sizes), default=0), 2)
    return Shortage("sizes with topologies", used, needed)
