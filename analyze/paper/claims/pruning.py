"""Claims on pruning: 6 (phases), 7 (where the decline begins), 8 (depth and width), 9 (safe sparsities)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from analyze import wording
from analyze.paper.claims.evidence import Evidence, absent, shared
from analyze.paper.claims.rows import POSITIVE, ClaimVerdict, Question, Range, command, found, measured, missing
from analyze.paper.figures import DECLINE, DECLINE_OF_SMALLEST, REDUNDANCY, TABLE_ONE
from analyze.questions.candidates import Cell
from analyze.questions.pruning import Curves, Pruning, pruning_of
from analyze.stats.contrasts import all_small, mean_of
from analyze.stats.decline import CLOSE, first_loss, phase_evidence, tolerance
from analyze.stats.gaps import alive
from analyze.stats.onesided import largest_skewness
from analyze.stats.pruning import LOST
from analyze.stats.result import LEVEL, MIN_REPLICATES, FloatArray
from analyze.stats.safety import MARGIN
from analyze.stats.sides import Sides, some
from analyze.stats.slopes import replicate_slopes
from analyze.texts import joined, phrase
from store.families import family_facts

PHASES = Question(
    claim=6,
    title="pruning: plateau, sharp decline, collapse",
    statistic="properties of the three phases seen, of 4",
    unit="count",
    method="plateau, fall, spread and collapse of the best architecture; per-replicate contrasts, "
    "t, Hall's transformation and bootstrap-t",
    allowed=(4.0, 4.0),
)
BEGIN = Question(
    claim=7,
    title="sparsity where the decline begins",
    statistic="first sparsity with 2% lost",
    unit="sparsity",
    method="losses paired by replicate at and below the ends of the printed range; "
    "t, Hall's transformation and bootstrap-t",
)
DEPTH = Question(
    claim=8,
    title="deeper networks tolerate more pruning",
    statistic="slope of the share kept on depth",
    unit="share per layer",
    method="per-replicate slopes at equal width over stable sizes, t and Hall's transformation",
    allowed=POSITIVE,
)
WIDTH = Question(
    claim=8,
    title="wider networks tolerate more pruning",
    statistic="slope of the share kept on log10 width",
    unit="share per tenfold width",
    method="per-replicate slopes at equal depth over stable sizes, t and Hall's transformation",
    allowed=POSITIVE,
)
SAFE = Question(
    claim=9,
    title="safe sparsity (Table I)",
    statistic="safe sparsity of the best architecture",
    unit="sparsity",
    method="losses paired by replicate up to the printed sparsity and at the next, margin 1 point; "
    "t, Hall's transformation and bootstrap-t",
)
REDUNDANT = Question(
    claim=9,
    title="redundancy as high as 60%",
    statistic="largest safe sparsity of the best architectures",
    unit="sparsity",
    method="losses paired by replicate up to 60%, margin 1 point, Bonferroni over families; "
    "t, Hall's transformation and bootstrap-t",
    allowed=(REDUNDANCY, None),
)


def phases_claims(evidence: Evidence) -> Iterator[ClaimVerdict]:
    """Yield claim 6 for every dataset and family of the store."""
    for dataset in evidence.datasets:
        for family in evidence.families(dataset):
            row = PHASES.row(dataset, family)
            cell = evidence.best(dataset, family)
            curves, lacking = _curves(evidence, row, cell)
            if curves is None:
                yield lacking
                continue
            rng = evidence.rng("phases", dataset, family)
            seen = phase_evidence(curves.accuracy, curves.sparsities, chance=curves.chance, rng=rng)
            if seen is None:
                yield missing(
                    row, "takes a sparsity up to 10% and one from 90% to below 100%", None, len(curves.accuracy)
                )
                continue
            parts = joined((phrase(wording.one(part.seen), f" ({_leaning(part.sides)})") for part in seen.parts), ", ")
            agree = sum(part.sides.p_for < part.sides.p_against for part in seen.parts)
            detail = _with_waiting(evidence, curves, phrase(f"{_name(curves)}: ", parts, "; each at 5%, unadjusted"))
            row = _identified(row, curves)
            n = len(curves.accuracy)
            yield found(row, seen.sides, n=n, estimate=float(agree), detail=detail, skewness=seen.skewness)


def decline_claims(evidence: Evidence) -> Iterator[ClaimVerdict]:
    """Yield claim 7 for every dataset and family that the paper prints a sparsity of."""
    for dataset, family in evidence.printed(DECLINE):
        allowed = DECLINE[dataset, family]
        row = replace(BEGIN, allowed=allowed).row(dataset, family)
        smallest = family in DECLINE_OF_SMALLEST
        cell = evidence.pruned(dataset, family).smallest if smallest else evidence.best(dataset, family)
        curves, lacking = _curves(evidence, row, cell)
        if curves is None:
            yield lacking
            continue
        unpruned = curves.accuracy[:, :1]
        losses = (unpruned - curves.accuracy - LOST * (unpruned - curves.chance))[:, 1:]
        inside = _inside(curves.sparsities[1:], allowed)
        pruned = _pruning(evidence, curves)
        row = replace(row, estimate=pruned.onset, ci_low=pruned.onset_low, ci_high=pruned.onset_high)
        row = replace(row, detail=_with_waiting(evidence, curves, _name(curves), smaller=smallest))
        yield _placed(row, curves, losses, inside, evidence.rng("decline", dataset, family))
    yield from absent(evidence, BEGIN, DECLINE, "convergence")


def tolerance_claims(evidence: Evidence) -> Iterator[ClaimVerdict]:
    """Yield claim 8, on depth for DNNs and on width, for every dataset and family of the store."""
    for dataset in evidence.datasets:
        for family in evidence.families(dataset):
            if family_facts(family).layered:
                yield _slope(evidence, DEPTH.row(dataset, family), by_depth=True)
            yield _slope(evidence, WIDTH.row(dataset, family), by_depth=False)


def safety_claims(evidence: Evidence) -> Iterator[ClaimVerdict]:
    """Yield claim 9: Table I's ratios, and the redundancy of 60% for every dataset."""
    for dataset, family in evidence.printed(TABLE_ONE):
        allowed = TABLE_ONE[dataset, family].sparsity.interval
        row = replace(SAFE, allowed=allowed).row(dataset, family)
        curves, lacking = _curves(evidence, row, evidence.best(dataset, family))
        if curves is None:
            yield lacking
            continue
        # The first unsafe column comes after the last safe sparsity, and columns lack sparsity 0.
        inside = _inside(curves.sparsities, allowed)
        pruned = _pruning(evidence, curves)
        row = replace(row, estimate=pruned.safe_sparsity, ci_low=pruned.safe_sparsity)
        row = replace(row, detail=_with_waiting(evidence, curves, _name(curves)))
        yield _placed(row, curves, _losses(curves), inside, evidence.rng("safe", dataset, family))
    yield from absent(evidence, SAFE, TABLE_ONE, "convergence")
    for dataset in evidence.datasets:
        yield _redundancy(evidence, REDUNDANT.row(dataset, None))


def _redundancy(evidence: Evidence, row: ClaimVerdict) -> ClaimVerdict:
    dataset = row.dataset or ""
    families = evidence.families(dataset)
    tested: list[tuple[Curves, FloatArray, Sides]] = []
    reasons: dict[str, ClaimVerdict] = {}
    for family in families:
        curves, lacking = _curves(evidence, replace(row, family=family), evidence.best(dataset, family))
        if curves is None:
            reasons[family] = lacking
            continue
        columns = [at for at, sparsity in enumerate(curves.sparsities[1:]) if sparsity <= REDUNDANCY + CLOSE]
        if columns and curves.sparsities[1:][columns[-1]] >= REDUNDANCY - CLOSE:
            losses = _losses(curves)[:, columns]
            tested.append((curves, losses, all_small(losses, rng=evidence.rng("redundancy", dataset, family))))
    if not tested:
        first = next(iter(reasons.values()), None)
        why = "no pruned network has a sparsity of 60%" if first is None else first.detail or ""
        return missing(row, why, first.to_test if first else None)
    safe = {_name(curves): _pruning(evidence, curves).safe_sparsity for curves, _, _ in tested}
    best = max(safe, key=lambda name: safe[name] or 0.0)
    seen = {name: "none" if value is None else f"{100 * value:.0f}%" for name, value in safe.items()}
    texts = (_with_waiting(evidence, curves, f"{_name(curves)}: {seen[_name(curves)]}") for curves, _, _ in tested)
    return found(
        row,
        some([sides for _, _, sides in tested]),
        n=min(len(curves.accuracy) for curves, _, _ in tested),
        estimate=safe[best],
        interval=(safe[best], None),
        detail=joined(texts, ", "),
        skewness=max((largest_skewness(losses) for _, losses, _ in tested), key=abs),
    )


def _slope(evidence: Evidence, row: ClaimVerdict, *, by_depth: bool) -> ClaimVerdict:
    """Return the slope of the mean share kept on depth at equal width, or on log10 width at equal depth."""
    dataset, family = row.dataset or "", row.family or ""
    pruned = [
        curves for cell in evidence.stable_cells(dataset, family) if (curves := evidence.curves_of(cell)) is not None
    ]
    again = command("convergence", dataset, family)
    groups: dict[int, list[Curves]] = {}
    for curves in pruned:
        if len(curves.accuracy) >= MIN_REPLICATES:
            groups.setdefault(curves.capacity if by_depth else curves.depth, []).append(curves)
    compared = [(group, curves) for group, members in groups.items() if len(members) > 1 for curves in members]
    what = "two depths of a stable width" if by_depth else "two stable sizes"
    if not compared:
        return missing(row, f"takes pruning curves of {what}, 5 replicates each", again)
    table = shared([_tolerances(curves) for _, curves in compared])
    if table is None:
        why = f"takes {MIN_REPLICATES} replicates that all pruned sizes have"
        return missing(row, why, again)
    x = np.array([curves.depth if by_depth else np.log10(curves.capacity) for _, curves in compared], dtype=np.float64)
    _, group = np.unique([at for at, _ in compared], return_inverse=True)
    contrast = mean_of(replicate_slopes(table, x, group=group))
    detail = f"{len(compared)} networks, mean share kept {table.mean():.2f}"
    return measured(_identified(row, compared[0][1]), contrast, contrast.above(0.0), detail)


def _tolerances(curves: Curves) -> dict[int, float]:
    """Return the mean share kept of each replicate that learned."""
    living = alive(curves.accuracy[:, 0], curves.chance)
    kept = tolerance(curves.accuracy[living], curves.sparsities, chance=curves.chance)
    return dict(zip(np.asarray(curves.replicates)[living].tolist(), kept.tolist(), strict=True))


def _curves(evidence: Evidence, row: ClaimVerdict, cell: Cell | None) -> tuple[Curves | None, ClaimVerdict]:
    """Return the pruning curves of an architecture, or None and the row that says what is missing."""
    if cell is None:
        again = command("convergence", row.dataset or "", row.family)
        return None, missing(row, "no stable architecture is known", again)
    curves = evidence.curves_of(cell)
    if curves is None or len(curves.accuracy) < MIN_REPLICATES:
        n = 0 if curves is None else len(curves.accuracy)
        depths = (cell.depth,) if family_facts(cell.family).layered else ()
        sweep = command("convergence", row.dataset or "", row.family, capacities=(cell.capacity,), depths=depths)
        why = f"{n} of {MIN_REPLICATES} needed pruning curves of size {cell.capacity}"
        return None, missing(row, why, sweep)
    return curves, row


def _losses(curves: Curves) -> FloatArray:
    """Return losses of accuracy less the margin, at every sparsity but 0."""
    return np.asarray((curves.accuracy[:, :1] - curves.accuracy - MARGIN)[:, 1:])


def _inside(sparsities: Sequence[float], allowed: Range) -> list[int]:
    low, high = allowed
    return [
        at for at, s in enumerate(sparsities) if (low or 0.0) - CLOSE <= s <= (1.0 if high is None else high) + CLOSE
    ]


def _placed(
    row: ClaimVerdict, curves: Curves, losses: FloatArray, inside: Sequence[int], rng: np.random.Generator
) -> ClaimVerdict:
    """Return the row with the evidence for the first loss being in one of the columns `inside`."""
    row, n = _identified(row, curves), len(curves.accuracy)
    if not len(inside) or inside[-1] >= losses.shape[1]:
        row = replace(row, estimate=None, ci_low=None, ci_high=None)
        return missing(row, "the grid of sparsities has none in the printed range", None, n)
    return found(
        row,
        first_loss(losses, inside[0], inside[-1], rng=rng),
        n=n,
        estimate=row.estimate,
        interval=(row.ci_low, row.ci_high),
        detail=row.detail,
        skewness=largest_skewness(losses[:, : inside[-1] + 1]),
    )


def _pruning(evidence: Evidence, curves: Curves) -> Pruning:
    """Return what `analyze pruning` says of an architecture."""
    return pruning_of(curves, evidence.stable, MARGIN, evidence.seed)


def _with_waiting(evidence: Evidence, curves: Curves, text: str, *, smaller: bool = False) -> str:
    """Return a text with which architectures do not contend yet, though they may be better, or smaller."""
    contest = evidence.pruned(curves.dataset, curves.family)
    cell = next(c for c in contest.contenders if (c.depth, c.capacity) == (curves.depth, curves.capacity))
    waiting = contest.smaller(cell) if smaller else contest.wider(cell)
    return joined((text, waiting))


def _leaning(sides: Sides) -> str:
    return "shown" if sides.p_for <= LEVEL else "reverse shown" if sides.p_against <= LEVEL else "open"


def _name(curves: Curves) -> str:
    return f"{curves.family}, depth {curves.depth}, size {curves.capacity}"


def _identified(row: ClaimVerdict, curves: Curves) -> ClaimVerdict:
    return replace(row, protocol_id=curves.protocol_id, dataset_fingerprint=curves.dataset_fingerprint)
