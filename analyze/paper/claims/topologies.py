"""Claims on topologies: 2 (equivalent above the stability boundary) and 3 (far less variance than with size)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analyze import wording
from analyze.paper.claims.evidence import Evidence
from analyze.paper.claims.rows import ClaimVerdict, Question, command, found, missing
from analyze.paper.figures import SHAPED
from analyze.questions.regimes import Regime
from analyze.questions.shapes import Topologies
from analyze.stats.dominance import FAR, dominance
from analyze.stats.equivalence import complete_blocks, obstacle, pairs
from analyze.stats.onesided import one_sided_p, one_sided_reach
from analyze.stats.result import FLOOR, FloatArray
from analyze.stats.safety import MARGIN
from analyze.stats.sides import Sides, every
from analyze.texts import joined

EQUIVALENCE = Question(
    claim=2,
    title="topologies equivalent above the boundary",
    statistic="largest difference at stable sizes",
    unit="accuracy",
    method="all-pairs TOST at every stable size, paired by replicate, t and Hall's transformation; against: Bonferroni "
    "over pairs and sizes",
    allowed=(0.0, MARGIN),
)
VARIANCE = Question(
    claim=3,
    title="size far above topology",
    statistic="topology's share in the variance",
    unit="share",
    method="variances of means less their sampling variance; multiplier bootstrap (9,999); worst depth",
    allowed=(0.0, 1 / (1 + FAR)),
)


@dataclass(frozen=True)
class Compared:
    """All ordered pairs of topologies of one size: differences, their errors and skewness, replicates, and where."""

    difference: FloatArray
    error: FloatArray
    skew: FloatArray
    n: int
    depth: int
    capacity: int


def topology_claims(evidence: Evidence) -> Iterator[ClaimVerdict]:
    """Yield claims 2 and 3 for every dataset that may have DNNs."""
    if evidence.chosen.families and SHAPED not in evidence.chosen.families:
        return
    for dataset in evidence.datasets:
        sweeps = [s for s in evidence.topologies if (s.dataset, s.family) == (dataset, SHAPED)]
        for question, test in ((EQUIVALENCE, _equivalence), (VARIANCE, _variance)):
            row = question.row(dataset, SHAPED)
            if sweeps:
                row = replace(row, protocol_id=sweeps[0].protocol_id, dataset_fingerprint=sweeps[0].dataset_fingerprint)
            yield test(evidence, row, sweeps)


def _equivalence(evidence: Evidence, row: ClaimVerdict, sweeps: Sequence[Topologies]) -> ClaimVerdict:
    again = command("shapes", row.dataset or "", SHAPED)
    above: list[Compared] = []
    surely: list[Compared] = []
    reasons: dict[str, None] = {}
    for sweep in sweeps:
        boundary = _boundary(evidence, sweep)
        if boundary is None:
            reasons[f"depth {sweep.depth}: no stable size is known"] = None
            continue
        for index, capacity in enumerate(sweep.capacities):
            if capacity < (boundary.ci_low or 0):
                continue
            lacking = obstacle(sweep.accuracy[index], complete_blocks(sweep.accuracy[index])[1], sweep.chance)
            if lacking:
                reasons[wording.one(lacking)] = None
                continue
            compared = _compared(sweep, index)
            above.append(compared)
            if capacity >= (boundary.ci_high or 0):
                surely.append(compared)
    if not above:
        return missing(row, joined(reasons) or "one topology only", again)
    shown = max(_p_equivalent(part) for part in above)
    apart = min((_p_different(part, surely) for part in surely), default=1.0)
    worst = max(above, key=lambda part: float(part.difference.max()))
    count = sum(len(part.difference) for part in above)
    low = max(float((part.difference - _reach(part, -1, 0.05 / count)).max()) for part in above)
    high = max(float((part.difference + _reach(part, 1, 0.025)).max()) for part in above)
    equal = sum(_p_equivalent(part) <= 0.05 for part in above)
    detail = (
        f"largest at depth {worst.depth}, size {worst.capacity}; {equal} of {len(above)} stable sizes equivalent "
        "(5%, unadjusted)"
    )
    return found(
        row,
        Sides(shown, apart),
        n=min(part.n for part in above),
        estimate=float(worst.difference.max()),
        interval=(max(low, 0.0), high),
        detail=detail,
        skewness=max(float(np.abs(part.skew).max() * np.sqrt(part.n)) for part in above),
    )


def _boundary(evidence: Evidence, sweep: Topologies) -> Regime | None:
    """Return the stability boundary of the equal widths of the same depth, where some size is stable."""
    for entry in evidence.located:
        if entry.sweep.key == sweep.key and entry.stability.status in ("detected", "gradual", "all_stable"):
            return entry.stability
    return None


def _compared(sweep: Topologies, index: int) -> Compared:
    table = complete_blocks(sweep.accuracy[index])[1]
    seen = pairs(table)
    n = table.shape[1]
    ordered = ~np.eye(len(table), dtype=np.bool_)
    error = np.sqrt(seen.error[ordered] ** 2 + FLOOR**2 / n)
    return Compared(seen.difference[ordered], error, seen.skew[ordered], n, sweep.depth, sweep.capacities[index])


def _p_equivalent(part: Compared) -> float:
    return float(one_sided_p((part.difference - MARGIN) / part.error, part.skew, part.n - 1).max())


def _p_different(part: Compared, parts: Sequence[Compared]) -> float:
    """Return the p value of some pair of a size being more than the margin apart, adjusted for all ordered pairs."""
    pairs_in_all = sum(len(other.difference) for other in parts)
    p = one_sided_p((MARGIN - part.difference) / part.error, -part.skew, part.n - 1)
    return min(1.0, pairs_in_all * float(p.min()))


def _reach(part: Compared, sign: int, tail: float) -> FloatArray:
    """Return how far the bounds of differences lie from them, above (sign 1) or below (-1)."""
    reach: FloatArray = one_sided_reach(sign * part.skew, part.n - 1, tail) * part.error
    return reach


def _variance(evidence: Evidence, row: ClaimVerdict, sweeps: Sequence[Topologies]) -> ClaimVerdict:
    results = [
        (sweep.depth, dominance(sweep.accuracy, rng=evidence.rng("variance", sweep.dataset, sweep.depth)))
        for sweep in sweeps
    ]
    tested = [(depth, result) for depth, result in results if result is not None]
    if not tested:
        why = "takes two sizes with two topologies of 5 shared replicates"
        return missing(row, why, command("shapes", row.dataset or "", SHAPED))
    depth, worst = max(tested, key=lambda item: item[1].share)
    shares = ", ".join(f"depth {at}: {100 * result.share:.1f}%" for at, result in tested)
    return found(
        row,
        every([result.sides for _, result in tested]),
        n=min(result.n for _, result in tested),
        estimate=worst.share,
        interval=worst.interval,
        detail=f"worst at depth {depth}; {shares}",
    )
