"""Claims on 8 bits: 10 (how the gap changes with size and dataset) and 11 (how large it is)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from analyze.paper.claims.evidence import Evidence, absent, across, shared
from analyze.paper.claims.rows import (
    NEGATIVE,
    POSITIVE,
    ClaimVerdict,
    Question,
    command,
    found,
    measured,
    missing,
)
from analyze.paper.figures import IMPROVED, LARGEST_GAP, LAYERS, SIZES, TABLE_ONE
from analyze.questions.quantization import Pairs
from analyze.stats.contrasts import difference_of, mean_of
from analyze.stats.gaps import alive
from analyze.stats.result import MIN_REPLICATES, FloatArray
from analyze.stats.safety import MARGIN
from analyze.stats.sides import some
from analyze.stats.slopes import replicate_slopes
from analyze.stats.stability import DEAD_MARGIN
from analyze.texts import joined

SHRINKS = Question(
    claim=10,
    title="the 8-bit gap shrinks with size",
    statistic="slope of the gap on log10 parameters",
    unit="accuracy per tenfold parameters",
    method="per-replicate slopes at equal depth over the sizes alive in fp32, t and Hall's transformation",
    allowed=NEGATIVE,
)
HARDER = Question(
    claim=10,
    title="the 8-bit gap is larger on harder data",
    statistic="mean gap, hardest - easiest",
    unit="accuracy",
    method="per-replicate means over the sizes that both have alive, Welch's t and Hall's transformation",
    allowed=POSITIVE,
)
GAP = Question(
    claim=11,
    title="8-bit gap (Table I)",
    statistic="gap of the smallest stable architecture",
    unit="accuracy",
    method="paired gap within 1 point of the printed figure, two one-sided tests, t and Hall's transformation; "
    "pairs alive in both",
)
LARGEST = Question(
    claim=11,
    title="8-bit gap at the largest size (text)",
    statistic="gap at the largest size",
    unit="accuracy",
    method="paired gap within the printed range, two one-sided tests, t and Hall's transformation; pairs alive in both",
)
IMPROVES = Question(
    claim=11,
    title="some ViT widths improve in 8 bits",
    statistic="least gap over widths",
    unit="accuracy",
    method="paired t and Hall's transformation per width, Bonferroni over widths; pairs alive in both",
    allowed=NEGATIVE,
)
MIN_SIZES = 3


def gap_trend_claims(evidence: Evidence) -> Iterator[ClaimVerdict]:
    """Yield claim 10: over size for every dataset and family of the store, over datasets for every family."""
    for dataset in evidence.datasets:
        for family in evidence.families(dataset):
            yield _shrinks(evidence, SHRINKS.row(dataset, family))
    yield from across(evidence, HARDER, "quantization", _harder)


def gap_claims(evidence: Evidence) -> Iterator[ClaimVerdict]:
    """Yield claim 11: Table I's gaps, those at the largest size, and whether some ViT improves."""
    for dataset, family in evidence.printed(TABLE_ONE):
        printed = TABLE_ONE[dataset, family].gap.value
        row = replace(GAP, allowed=(printed - MARGIN, printed + MARGIN)).row(dataset, family)
        contest = evidence.quantized(dataset, family)
        cell = contest.smallest
        if cell is None:
            yield missing(row, "no stable architecture is known", command("convergence", dataset, family))
        else:
            tested = _gap(evidence, row, cell.depth, cell.capacity)
            detail = joined((tested.detail, contest.smaller(cell)))
            yield replace(tested, detail=detail)
    for dataset, family in evidence.printed(LARGEST_GAP):
        row = replace(LARGEST, allowed=LARGEST_GAP[dataset, family]).row(dataset, family)
        yield _gap(evidence, row, LAYERS[family], SIZES[family][1])
    yield from absent(evidence, GAP, TABLE_ONE, "convergence", "quantization")
    yield from absent(evidence, LARGEST, LARGEST_GAP, "quantization")
    for dataset in evidence.datasets:
        if IMPROVED in evidence.families(dataset):
            yield _improves(evidence, IMPROVES.row(dataset, IMPROVED))


def _shrinks(evidence: Evidence, row: ClaimVerdict) -> ClaimVerdict:
    dataset, family = row.dataset or "", row.family or ""
    sweeps = evidence.gaps(dataset, family)
    again = command("quantization", dataset, family)
    tables: list[dict[int, float]] = []
    x: list[float] = []
    group: list[int] = []
    for at, pairs in enumerate(sweeps):
        used = _lively(pairs)
        if len(used) >= MIN_SIZES:
            tables += [_harm(pairs, size) for size in used]
            x += [float(np.log10(pairs.parameters[size])) for size in used]
            group += [at] * len(used)
    if not tables:
        return missing(row, f"takes {MIN_SIZES} sizes alive in fp32 that were trained in 8 bits too", again)
    values = shared(tables)
    if values is None:
        return missing(row, f"takes {MIN_REPLICATES} replicates that all sizes have in both precisions", again)
    _, groups = np.unique(group, return_inverse=True)
    contrast = mean_of(replicate_slopes(values, np.array(x), group=groups))
    detail = f"{len(tables)} sizes, mean gap {100 * values.mean():.2f} points"
    return measured(_identified(row, sweeps[0]), contrast, contrast.below(0.0), detail)


def _harder(evidence: Evidence, row: ClaimVerdict, easy: str, hard: str) -> ClaimVerdict:
    family = row.family or ""
    detail = f"{hard} - {easy}"
    sides = []
    for dataset in (easy, hard):
        cells = {
            (pairs.depth, int(pairs.capacities[size])): _harm(pairs, size)
            for pairs in evidence.gaps(dataset, family)
            for size in _lively(pairs)
        }
        sides.append(cells)
    common = sorted(sides[0].keys() & sides[1].keys())
    tables = [shared([cells[key] for key in common]) for cells in sides] if common else [None, None]
    for dataset, table in zip((easy, hard), tables, strict=True):
        if table is None:
            why = f"{detail}: takes {MIN_REPLICATES} replicates of shared sizes alive in fp32, in both precisions"
            return missing(row, why, command("quantization", dataset, family))
    first, second = tables
    assert first is not None
    assert second is not None
    contrast = difference_of(second.mean(axis=0), first.mean(axis=0))
    return measured(row, contrast, contrast.above(0.0), f"{detail}, {len(common)} sizes")


def _gap(evidence: Evidence, row: ClaimVerdict, depth: int, capacity: int) -> ClaimVerdict:
    values, sweep = np.empty(0), None
    for pairs in evidence.gaps(row.dataset or "", row.family or ""):
        if pairs.depth == depth and capacity in pairs.capacities:
            sweep = pairs
            values = _living(pairs, int(np.flatnonzero(pairs.capacities == capacity)[0]))
    if sweep is None or len(values) < MIN_REPLICATES:
        again = command("quantization", row.dataset or "", row.family, capacities=(capacity,))
        why = f"{len(values)} of {MIN_REPLICATES} needed pairs of size {capacity} alive in both precisions"
        return missing(row, why, again, len(values))
    contrast = mean_of(values)
    allowed = (row.claim_low or 0.0, row.claim_high or 0.0)
    sides = contrast.within(*allowed)
    return measured(_identified(row, sweep), contrast, sides, f"depth {depth}, size {capacity}")


def _improves(evidence: Evidence, row: ClaimVerdict) -> ClaimVerdict:
    tested = [
        (int(pairs.capacities[size]), mean_of(values), pairs)
        for pairs in evidence.gaps(row.dataset or "", IMPROVED)
        for size in range(len(pairs.capacities))
        if len(values := _living(pairs, size)) >= MIN_REPLICATES
    ]
    if not tested:
        why = f"takes a width with {MIN_REPLICATES} pairs alive in both precisions"
        return missing(row, why, command("quantization", row.dataset or "", IMPROVED))
    width, least, pairs = min(tested, key=lambda item: item[1].estimate)
    return found(
        _identified(row, pairs),
        some([contrast.below(0.0) for _, contrast, _ in tested]),
        n=min(contrast.n for _, contrast, _ in tested),
        estimate=least.estimate,
        interval=least.interval,
        detail=f"least at width {width} of {len(tested)}",
        skewness=least.skewness,
    )


def _lively(pairs: Pairs) -> list[int]:
    """Return the sizes whose fp32 mean, diverged runs at chance, is alive."""
    means = [
        np.nan_to_num(pairs.fp32[size, present], nan=pairs.chance).mean() if present.any() else 0.0
        for size, present in enumerate(pairs.present)
    ]
    return [size for size, mean in enumerate(means) if mean >= pairs.chance + DEAD_MARGIN]


def _harm(pairs: Pairs, size: int) -> dict[int, float]:
    """Return the gaps of all pairs of a size by replicate, diverged models at chance."""
    fp32, int8 = (np.nan_to_num(table[size], nan=pairs.chance) for table in (pairs.fp32, pairs.int8))
    return {pairs.replicates[at]: float(fp32[at] - int8[at]) for at in np.flatnonzero(pairs.present[size])}


def _living(pairs: Pairs, size: int) -> FloatArray:
    """Return the gaps of the pairs of a size that are alive in both precisions."""
    both = alive(pairs.fp32[size], pairs.chance) & alive(pairs.int8[size], pairs.chance)
    return np.asarray((pairs.fp32[size] - pairs.int8[size])[both])


def _identified(row: ClaimVerdict, pairs: Pairs) -> ClaimVerdict:
    return replace(row, protocol_id=pairs.protocol_id, dataset_fingerprint=pairs.dataset_fingerprint)
