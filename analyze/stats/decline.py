"""Evidence on pruning curves: do they have three phases, and where does the decline begin?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analyze.stats.contrasts import all_small, mean_of
from analyze.stats.onesided import largest_skewness
from analyze.stats.pruning import LOST
from analyze.stats.result import FloatArray, Remark
from analyze.stats.sides import Sides, every, some

MILD = 0.10
SPAN = 0.25
STEEP = 0.5
LAST_FROM = 0.9
GONE = 0.1
CLOSE = 1e-9


@dataclass(frozen=True, kw_only=True)
class Part:
    """One property of the three phases: the evidence for it, what was seen, and the largest skewness in it."""

    sides: Sides
    seen: Remark
    skewness: float


@dataclass(frozen=True, kw_only=True)
class PhaseEvidence:
    """Evidence for a plateau, a sharp decline, more spread in it, a collapse: each, and all of them together."""

    sides: Sides
    parts: tuple[Part, ...]

    @property
    def skewness(self) -> float:
        """That of the parts which is largest in size."""
        return max((part.skewness for part in self.parts), key=abs)


def phase_evidence(
    accuracy: FloatArray, sparsities: Sequence[float], *, chance: float, rng: np.random.Generator
) -> PhaseEvidence | None:
    """Return the evidence for a plateau, a sharp decline with raised variance, and a collapse before all is pruned.

    `accuracy` has shape (replicates, sparsities from 0 upwards), without gaps. None where the grid lacks a sparsity up
    to 10% or one from 90% to below 100%.
    """
    grid = np.asarray(sparsities)
    mild = np.flatnonzero((grid > 0) & (grid <= MILD + CLOSE))
    last = np.flatnonzero((grid >= LAST_FROM - CLOSE) & (grid < 1 - CLOSE))
    if not len(mild) or not len(last):
        return None
    margin = accuracy[:, :1] - chance
    parts = (
        _plateau(accuracy[:, :1] - accuracy[:, mild[-1:]], margin, float(grid[mild[-1]]), rng),
        _decline(accuracy, grid, margin),
        _raised(accuracy, grid, chance),
        _collapse(accuracy[:, last[-1:]] - chance, margin, float(grid[last[-1]]), rng),
    )
    return PhaseEvidence(sides=every([part.sides for part in parts]), parts=parts)


def first_loss(losses: FloatArray, low: int, high: int, *, rng: np.random.Generator) -> Sides:
    """Return the evidence for the first column with a positive mean being one of those from `low` to `high`.

    Shape (replicates, sparsities in increasing order); losses less what still counts as none.
    """
    not_later = Sides(
        mean_of(losses[:, high]).above(0.0).p_for,
        all_small(losses[:, : high + 1], rng=rng).p_for,
    )
    if low == 0:
        return not_later
    return every([all_small(losses[:, :low], rng=rng), not_later])


def tolerance(accuracy: FloatArray, sparsities: Sequence[float], *, chance: float) -> FloatArray:
    """Return each replicate's mean share kept over the grid, (accuracy - chance) / (unpruned accuracy - chance)."""
    from scipy.integrate import trapezoid

    kept = (accuracy - chance) / (accuracy[:, :1] - chance)
    area: FloatArray = trapezoid(kept, np.asarray(sparsities), axis=1) / (sparsities[-1] - sparsities[0])
    return area


def _plateau(lost: FloatArray, margin: FloatArray, sparsity: float, rng: np.random.Generator) -> Part:
    share = lost.mean() / margin.mean()
    return _small(lost - LOST * margin, Remark("lost", (float(share), sparsity)), rng)


def _decline(accuracy: FloatArray, grid: FloatArray, margin: FloatArray) -> Part:
    """Return the evidence for half being lost within 25 points of sparsity somewhere."""
    ends = np.searchsorted(grid, grid + SPAN + CLOSE) - 1
    falls = [accuracy[:, [start]] - accuracy[:, [end]] for start, end in enumerate(ends) if end > start]
    share = max(float(fall.mean()) for fall in falls) / margin.mean()
    beyond = [fall - STEEP * margin for fall in falls]
    return Part(
        sides=some([mean_of(values[:, 0]).above(0.0) for values in beyond]),
        seen=Remark("lost within span", (float(share),)),
        skewness=largest_skewness(np.hstack(beyond)),
    )


def _raised(accuracy: FloatArray, grid: FloatArray, chance: float) -> Part:
    """Return the evidence for more spread where nearest to half is left than unpruned.

    Source: deviations from medians as in Brown and Forsythe (1974), JASA 69, 364-367.
    """
    means = accuracy.mean(axis=0)
    kept = (means - chance) / (means[0] - chance)
    middle = int(np.abs(kept[1:] - 0.5).argmin()) + 1
    deviations = np.abs(accuracy - np.median(accuracy, axis=0))
    spreads = accuracy[:, [middle, 0]].std(axis=0, ddof=1)
    raised = mean_of(deviations[:, middle] - deviations[:, 0])
    return Part(
        sides=raised.above(0.0),
        seen=Remark("spread", (float(spreads[0]), float(grid[middle]), float(spreads[1]))),
        skewness=raised.skewness,
    )


def _collapse(left: FloatArray, margin: FloatArray, sparsity: float, rng: np.random.Generator) -> Part:
    share = left.mean() / margin.mean()
    return _small(left - GONE * margin, Remark("left", (float(share), sparsity)), rng)


def _small(losses: FloatArray, seen: Remark, rng: np.random.Generator) -> Part:
    return Part(sides=all_small(losses, rng=rng), seen=seen, skewness=largest_skewness(losses))
