"""Paired comparisons of many pairs at once: better, worse, equivalent within a margin, or open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from analyze.stats.contrasts import Contrast, mean_of
from analyze.stats.means import Mean, mean_interval
from analyze.stats.multiple import holm
from analyze.stats.result import LEVEL, MIN_REPLICATES, FloatArray

Verdict = Literal["better", "worse", "equivalent", "open", "too few"]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One pair: the mean difference with its own 95% interval, and p values adjusted over all pairs.

    `p_difference` is two-sided, against no difference; `p_equivalence` is against one of the margin or more, of either
    sign. All None where there are fewer than 5 replicates.
    """

    verdict: Verdict
    n: int
    difference: Mean | None
    p_difference: float | None
    p_equivalence: float | None


METHOD = (
    "paired by replicate; larger p of t and Hall's transformation, of a difference (two-sided) and of equivalence (two "
    "one-sided tests), Holm over both of all pairs"
)


def compare(differences: Sequence[FloatArray], *, margin: float, level: float = LEVEL) -> list[Compared]:
    """Return a verdict on every pair, at a family-wise error rate of `level`.

    Args:
        differences: Per pair the differences of its replicates, fractions: arrays of shape (replicates,), which may
            differ in length. Pairs with fewer than 5 are not tested.
        margin: What is still equivalent.
        level: Of all pairs together; 0 where a design decides nothing yet.

    Two hypotheses per pair enter: that its mean is 0, and that it is the margin or more away from 0. A mean shown to
    differ is `better` or `worse` by its sign, even where it is shown to be within the margin too.

    Source: Holm (1979), Scandinavian Journal of Statistics 6, 65-70; Schuirmann (1987), J. Pharmacokinet. Biopharm. 15,
    657-680.
    """
    judged = judge(differences, margin=margin, level=level)
    return [
        Compared(
            verdict=verdict,
            n=len(values),
            difference=None if verdict == "too few" else mean_interval(values),
            p_difference=differs,
            p_equivalence=equal,
        )
        for values, (verdict, differs, equal) in zip(differences, judged, strict=True)
    ]


def judge(
    differences: Sequence[FloatArray], *, margin: float, level: float = LEVEL
) -> list[tuple[Verdict, float | None, float | None]]:
    """Return what `compare` does without the intervals: verdict, `p_difference`, `p_equivalence` of every pair."""
    means = [mean_of(values) if len(values) >= MIN_REPLICATES else None for values in differences]
    p = [one for mean in means if mean for one in (_difference(mean), mean.within(-margin, margin).p_for)]
    adjusted = iter(holm(p))
    return [
        _verdict(mean, next(adjusted), next(adjusted), level) if mean else ("too few", None, None) for mean in means
    ]


def _difference(mean: Contrast) -> float:
    sides = mean.above(0.0)
    return min(1.0, 2 * min(sides.p_for, sides.p_against))


def _verdict(mean: Contrast, differs: float, equal: float, level: float) -> tuple[Verdict, float, float]:
    if differs <= level:
        return "better" if mean.estimate > 0 else "worse", differs, equal
    return "equivalent" if equal <= level else "open", differs, equal
