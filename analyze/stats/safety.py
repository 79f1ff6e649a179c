"""The safe pruning ratio: how much can go without losing more than a margin of accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyze.stats.onesided import skewness, upper_bounds
from analyze.stats.result import LEVEL, MIN_REPLICATES, FloatArray, Reason, Remark, Shortage, Status
from analyze.stats.spending import FIRST_DECISION

MARGIN = 0.01


@dataclass(frozen=True, kw_only=True)
class SafeRatio:
    """The largest sparsity shown to be harmless, as an index of those given (0: none but the first).

    `bound` is the upper 95% bound of the mean loss of accuracy there, `next_bound` that at the first one that failed.
    `skewness` is that of the losses there; where none is safe, at the smallest sparsity.
    """

    status: Status
    method: str
    n: int
    margin: float
    estimate: int | None = None
    bound: float | None = None
    next_bound: float | None = None
    skewness: float | None = None
    reasons: tuple[Reason, ...] = ()


def safe_ratio(
    accuracy: FloatArray,
    *,
    rng: np.random.Generator,
    margin: float = MARGIN,
    resamples: int = 999,
    level: float = LEVEL,
) -> SafeRatio:
    """Return the largest sparsity whose accuracy is not inferior to the unpruned model's by `margin`.

    `accuracy` has shape (replicates, sparsities from 0 upwards), fractions, without gaps.

    Losses are paired by replicate. Up the grid, each sparsity is tested at the one-sided `level`, and the first
    failure ends it: so no adjustment for the number of tests is needed. A sparsity passes if the upper bound of its
    mean loss is below the margin; the bound is that of `upper_bounds`, since a t bound alone errs where losses are
    skewed or a few models fail. A level of 0 is that of a look at which nothing may be decided yet.

    Source: fixed sequences as in Goeman and Solari (2010), Annals of Statistics 38, 3782-3810.
    """
    n = len(accuracy)
    method = (
        f"fixed-sequence non-inferiority, one-sided {100 * (1 - level):.3g}%, paired by replicate; "
        f"largest of t, Hall's transformation and bootstrap-t ({resamples}) bounds"
    )
    if n < MIN_REPLICATES or not level:
        missing = Shortage("replicates", n, MIN_REPLICATES if level else FIRST_DECISION)
        return SafeRatio(status="insufficient", method=method, n=n, margin=margin, reasons=(missing,))
    losses = accuracy[:, :1] - accuracy[:, 1:]
    bounds = upper_bounds(losses, rng=rng, resamples=resamples, tail=level)
    passed = bounds < margin
    safe = len(bounds) if passed.all() else int(passed.argmin())
    return SafeRatio(
        status="detected" if safe else "absent",
        method=method,
        n=n,
        margin=margin,
        estimate=safe,
        bound=float(bounds[safe - 1]) if safe else None,
        next_bound=float(bounds[safe]) if safe < len(bounds) else None,
        skewness=float(skewness(losses[:, max(safe - 1, 0)])) if len(bounds) else None,
        reasons=() if safe else (Remark("no safe sparsity"),),
    )
