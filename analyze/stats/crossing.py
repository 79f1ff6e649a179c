"""Where one pruning curve overtakes another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analyze.stats.result import FLOOR, LEVEL, MIN_REPLICATES, FloatArray, IntArray, Reason, Remark, Shortage, Status


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """The sparsity at which two curves are equal, with its 95% interval; `accuracy` is what both have there.

    `first_wins_beyond` says whether the first curve is the better one beyond the crossing.
    """

    status: Status
    method: str
    n: int
    estimate: float | None = None
    interval: tuple[float, float] | None = None
    accuracy: float | None = None
    first_wins_beyond: bool | None = None
    reasons: tuple[Reason, ...] = ()


def crossing(
    first: FloatArray,
    second: FloatArray,
    sparsities: Sequence[float],
    *,
    rng: np.random.Generator,
    resamples: int = 400,
) -> Crossing:
    """Return where two curves first cross; both of shape (replicates, sparsities), paired by replicate.

    They cross where one is significantly better at some sparsity and the other at a later one: paired t tests at every
    sparsity, two-sided 5% in all (Bonferroni). The crossing is the first zero of the mean difference between those two
    places, interpolated; its interval a percentile bootstrap over replicates.
    """
    n = len(first)
    method = f"paired t at every sparsity (Bonferroni), interpolated zero; replicate bootstrap ({resamples})"
    if n < MIN_REPLICATES:
        missing = Shortage("replicates", n, MIN_REPLICATES)
        return Crossing(status="insufficient", method=method, n=n, reasons=(missing,))
    difference = first - second
    between = _opposite_signs(difference)
    if between is None:
        return Crossing(status="absent", method=method, n=n, reasons=(Remark("no crossing"),))
    start, end, sign = between
    counts = np.vstack([np.ones((1, n)), rng.multinomial(n, np.full(n, 1 / n), size=resamples)])
    grid = np.asarray(sparsities, dtype=np.float64)[start : end + 1]
    zeros = _first_zero(sign * (counts @ difference[:, start : end + 1]) / n, grid)
    low, high = np.quantile(zeros[1:], [LEVEL / 2, 1 - LEVEL / 2])
    return Crossing(
        status="detected",
        method=method,
        n=n,
        estimate=float(zeros[0]),
        interval=(float(low), float(high)),
        accuracy=float(np.interp(zeros[0], sparsities, first.mean(axis=0))),
        first_wins_beyond=sign < 0,
    )


def _opposite_signs(difference: FloatArray) -> tuple[int, int, int] | None:
    """Return two successive significant places of opposite sign, and the sign of the first; None if there are none."""
    n, sparsities = difference.shape
    error = np.sqrt((difference.var(axis=0, ddof=1) + FLOOR**2) / n)
    critical = float(stdtrit(n - 1, 1 - LEVEL / 2 / sparsities))
    t = difference.mean(axis=0) / error
    signs: IntArray = np.where(np.abs(t) > critical, np.sign(t), 0).astype(np.int64)
    places = np.flatnonzero(signs)
    turns = np.flatnonzero(np.diff(signs[places]))
    if not len(turns):
        return None
    start = int(places[turns[0]])
    return start, int(places[turns[0] + 1]), int(signs[start])


def _first_zero(curves: FloatArray, grid: FloatArray) -> FloatArray:
    """Return where each curve, positive at first, first falls to zero; the ends of the grid where it does not."""
    reached = curves <= 0
    at = np.where(reached.any(axis=1), reached.argmax(axis=1), len(grid) - 1)
    before = np.maximum(at - 1, 0)
    rows = np.arange(len(curves))
    high, low = curves[rows, before], curves[rows, at]
    share = np.clip(high / np.maximum(high - low, 1e-12), 0.0, 1.0)
    share = np.where(reached.any(axis=1), share, 1.0)
    zeros: FloatArray = np.where(at == 0, grid[0], grid[before] + share * (grid[at] - grid[before]))
    return zeros
