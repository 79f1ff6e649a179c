"""Pruning curves: their phases, and where accuracy begins to go and is gone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from analyze.stats.replicates import percentile_interval
from analyze.stats.result import (
    FLOOR,
    MIN_REPLICATES,
    BoolArray,
    FloatArray,
    IntArray,
    Reason,
    Remark,
    Shortage,
    Status,
)
from analyze.stats.stability import DEAD_MARGIN

MIN_SPARSITIES = 5
MIN_FOR_INTERVALS = 10
"""Replicates from which onset and collapse have intervals: where replicates decline at different sparsities, the first
loss of the mean is that of few of them, and of 5 too often of none."""
LOST, LEFT = 0.02, 0.02
"""Shares of (unpruned accuracy - chance): more than the first lost is decline, less than the second left collapse."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A place on the grid of sparsities, as an index, with its 95% interval, if there are enough replicates for one."""

    estimate: int
    interval: tuple[int, int] | None


@dataclass(frozen=True, kw_only=True)
class PruningPhases:
    """Phases of a pruning curve; indices of the sparsities given.

    `plateau_end` is the last sparsity of the plateau, `floor_start` the first of the floor. `onset` is the first at
    which more than 2% of (unpruned accuracy - chance) is lost, `collapse` the first with less than 2% of it left;
    None where there is none. `evidence` is the BIC of a straight line minus that of three phases.
    """

    status: Status
    method: str
    n: int
    plateau_end: Point | None = None
    floor_start: Point | None = None
    onset: Point | None = None
    collapse: Point | None = None
    evidence: float | None = None
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Splits:
    """All ways to split a grid in three: the plateau ends before `first`, the floor starts at `last`."""

    first: IntArray
    last: IntArray


def pruning_phases(
    accuracy: FloatArray, *, chance: float, rng: np.random.Generator, resamples: int = 200
) -> PruningPhases:
    """Return the phases of a pruning curve.

    `accuracy` has shape (replicates, sparsities from 0 upwards), fractions, without gaps.

    Plateau: one mean; decline: a mean per sparsity; floor: one mean; a variance each. The split that minimises
    sum n log(RSS / n + 0.001^2) + log(n) x parameters, exactly, over all splits (ruptures). Detected if that is less
    than for a straight line over sparsity (statsmodels), with one variance or three. Intervals are percentile
    bootstraps over replicates; on smooth curves, which have no sharp ends, `onset` and `collapse` are the ones to use;
    these have intervals from 10 replicates on.
    """
    from analyze.stats import segments

    n, sparsities = accuracy.shape
    method = f"plateau, free decline, floor by exact search, against a line by BIC; replicate bootstrap ({resamples})"
    missing = _missing(n, sparsities)
    if missing:
        return PruningPhases(status="insufficient", method=method, n=n, reasons=missing)
    baseline = float(accuracy[:, 0].mean())
    if baseline < chance + DEAD_MARGIN:
        return PruningPhases(status="absent", method=method, n=n, reasons=(Remark("nothing to lose"),))
    first, last, bic = segments.best_phases(accuracy)
    evidence = _line_bic(accuracy) - bic
    # Bootstrap samples as counts per replicate: sums over a sample are then one matrix product.
    counts = np.vstack([np.ones((1, n)), rng.multinomial(n, np.full(n, 1 / n), size=resamples)])
    centred = accuracy - accuracy.mean()
    firsts, lasts = best_splits(counts[1:] @ centred, counts[1:] @ centred**2, n)
    means = counts @ accuracy / n
    lost = (means[:, :1] - means) / np.maximum(means[:, :1] - chance, FLOOR)
    found = evidence > 0
    onset, collapse = first_time(lost > LOST), first_time(1 - lost < LEFT)
    reasons: list[Reason] = [] if found else [Remark("straight decline")]
    if n < MIN_FOR_INTERVALS:
        onset, collapse = (point and Point(estimate=point.estimate, interval=None) for point in (onset, collapse))
        reasons.append(Shortage("replicates for intervals", n, MIN_FOR_INTERVALS))
    return PruningPhases(
        status="detected" if found else "absent",
        method=method,
        n=n,
        plateau_end=_point(first - 1, firsts - 1) if found else None,
        floor_start=_point(last, lasts) if found else None,
        onset=onset,
        collapse=collapse,
        evidence=evidence,
        reasons=tuple(reasons),
    )


@lru_cache
def splits(sparsities: int) -> Splits:
    """Return all splits with at least one sparsity in the plateau and one in the floor."""
    pairs = [(a, b) for a in range(1, sparsities) for b in range(a, sparsities)]
    first, last = np.array(pairs, dtype=np.int64).T
    return Splits(first, last)


def best_splits(sums: FloatArray, squares: FloatArray, n: int) -> tuple[IntArray, IntArray]:
    """Return first index after the plateau and first index of the floor of many curves, as `segments.best_phases`.

    `sums` and `squares` are sums over n replicates, shape (curves, sparsities): bootstrap samples come by the hundred.
    """
    sparsities = sums.shape[-1]
    every = splits(sparsities)
    zero = np.zeros((len(sums), 1))
    total = np.hstack([zero, np.cumsum(sums, axis=-1)])
    total_squares = np.hstack([zero, np.cumsum(squares, axis=-1)])
    within = np.hstack([zero, np.cumsum(squares - sums**2 / n, axis=-1)])
    index = np.arange(1, sparsities)
    plateau = _cost(total_squares[:, index] - total[:, index] ** 2 / (n * index), n * index)
    rest, rest_squares = total[:, -1:] - total[:, index], total_squares[:, -1:] - total_squares[:, index]
    length = n * (sparsities - index)
    floor = _cost(rest_squares - rest**2 / length, length)
    points = every.last - every.first
    decline = _cost(within[:, every.last] - within[:, every.first], n * points)
    # Two means and two variances, two positions, and in the decline a mean per sparsity and a variance.
    parameters = 6 + points + (points > 0)
    cost = plateau[:, every.first - 1] + decline + floor[:, every.last - 1] + np.log(n * sparsities) * parameters
    best = cost.argmin(axis=-1)
    return every.first[best], every.last[best]


def first_time(reached: BoolArray) -> Point | None:
    """Return the first index at which a condition holds in row 0, its interval from the other rows; None if never.

    Rows where it never holds count as the last index.
    """
    if not reached[0].any():
        return None
    where = np.where(reached.any(axis=1), reached.argmax(axis=1), reached.shape[1] - 1)
    return _point(int(where[0]), where[1:])


def _point(estimate: int, drawn: IntArray) -> Point:
    """Return the estimate with the interval of those of bootstrap samples, and the estimate in it."""
    low, high = percentile_interval(drawn)
    return Point(estimate=estimate, interval=(min(low, estimate), max(high, estimate)))


def _cost(rss: FloatArray, n: IntArray) -> FloatArray:
    mean_square = np.maximum(rss, 0.0) / np.maximum(n, 1) + FLOOR**2
    return np.where(n > 0, n * np.log(mean_square), 0.0)


def _line_bic(accuracy: FloatArray) -> float:
    """Return the BIC of a straight line, with one variance or with three: unequal noise alone makes no phases."""
    from statsmodels.regression.linear_model import OLS

    from analyze.stats import segments

    index = np.broadcast_to(np.arange(accuracy.shape[1]), accuracy.shape)
    line = OLS(accuracy.ravel(), np.column_stack([np.ones(accuracy.size), index.ravel()])).fit()
    residuals = line.resid.reshape(accuracy.shape)
    per_parameter = float(np.log(accuracy.size))
    one, three = (segments.least_spread(residuals, count) for count in (1, 3))
    return min(one + 3 * per_parameter, three + 7 * per_parameter)


def _missing(replicates: int, sparsities: int) -> tuple[Shortage, ...]:
    needed = (Shortage("replicates", replicates, MIN_REPLICATES), Shortage("sparsities", sparsities, MIN_SPARSITIES))
    return tuple(part for part in needed if part.have < part.need)
