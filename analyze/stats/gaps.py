"""What quantization costs: paired gaps, deaths, and the trend over size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyze.stats.means import DOMINANT, Mean, Share, mean_interval, share_interval
from analyze.stats.result import LEVEL, MIN_REPLICATES, BoolArray, FloatArray, Reason, Remark, Shortage, Status
from analyze.stats.slopes import replicate_slopes
from analyze.stats.spending import FIRST_DECISION
from analyze.stats.stability import DEAD_MARGIN

MIN_SIZES_FOR_TREND = 3


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Accuracy in fp32 minus that in int8, over the replicates alive in both.

    `deaths` is the share of those alive in fp32 that are dead in int8; None where none is alive. `status` is
    `detected` where the interval excludes zero.
    """

    status: Status
    method: str
    n: int
    gap: Mean | None
    deaths: Share | None
    dead_fp32: int
    dead_int8: int
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Trend:
    """Mean slope of the gap, in accuracy per unit of x; `sizes` were used."""

    status: Status
    method: str
    n: int
    sizes: int
    slope: Mean | None = None
    reasons: tuple[Reason, ...] = ()


def alive(accuracy: FloatArray, chance: float) -> BoolArray:
    """Return which runs learned: 5 points above chance or more; NaN (diverged) did not."""
    return np.asarray(np.nan_to_num(accuracy, nan=-1.0) >= chance + DEAD_MARGIN)


def paired_gap(fp32: FloatArray, int8: FloatArray, *, chance: float, level: float = LEVEL) -> Gap:
    """Return the gap of one architecture; both of shape (replicates,), fractions, paired, NaN where a run diverged.

    `level` is that of the test, two-sided, and 1 minus it that of the interval; 0 where a design decides nothing yet.

    The interval of `mean_interval` over the paired differences: percentile and BCa bootstraps cover too little at 5
    replicates. Models that die under int8 are no small gap but a failure, so they are counted apart.
    """
    at = "95%" if level == LEVEL else f"{100 * (1 - level):.4g}% by the look of a sequential design"
    method = (
        f"paired, outer ends of t and Hall's transformation, {at}, replicates alive in both; "
        "deaths: exact binomial (Clopper-Pearson)"
    )
    lives, survives = alive(fp32, chance), alive(int8, chance)
    both = lives & survives
    n, living = int(both.sum()), int(lives.sum())
    deaths = share_interval(living - n, living) if living else None
    gap = mean_interval(fp32[both] - int8[both], 1 - level) if n >= MIN_REPLICATES and level else None
    missing = Shortage("living pairs", n, MIN_REPLICATES if level else FIRST_DECISION, dead=len(fp32) - n)
    status: Status = "insufficient" if gap is None else "detected" if gap.p <= level else "absent"
    return Gap(
        status=status,
        method=method,
        n=n,
        gap=gap,
        deaths=deaths,
        dead_fp32=len(fp32) - living,
        dead_int8=int(len(int8) - survives.sum()),
        reasons=(missing,) if gap is None else _one_replicate(gap),
    )


def gap_trend(gaps: FloatArray, x: FloatArray) -> Trend:
    """Return the mean over replicates of the slope of the gap on x.

    `gaps` has shape (sizes, replicates), NaN where a model is missing or dead; `x` has shape (sizes,). Each replicate
    with at least 3 sizes gives one least-squares slope; the interval of `mean_interval` over them. So the replicate
    stays the unit, whatever its gaps have in common.
    """
    method = (
        "per-replicate least-squares slopes of the gap on log10 parameters, "
        "outer ends of t and Hall's transformation, 95%"
    )
    present = ~np.isnan(gaps)
    sizes = int(present.any(axis=1).sum())
    n = int((present.sum(axis=0) >= MIN_SIZES_FOR_TREND).sum())
    if n < MIN_REPLICATES:
        missing = Shortage("replicates over sizes", n, MIN_REPLICATES)
        return Trend(status="insufficient", method=method, n=n, sizes=sizes, reasons=(missing,))
    slope = mean_interval(replicate_slopes(gaps, x, least=MIN_SIZES_FOR_TREND))
    return Trend(
        status="detected" if slope.p <= LEVEL else "absent",
        method=method,
        n=n,
        sizes=sizes,
        slope=slope,
        reasons=_one_replicate(slope),
    )


def _one_replicate(mean: Mean) -> tuple[Remark, ...]:
    """Return a warning where one replicate makes more than half of the variance."""
    return (Remark("one replicate dominates"),) if mean.largest_share > DOMINANT else ()
