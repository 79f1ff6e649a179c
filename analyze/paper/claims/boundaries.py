"""Claims on the regimes along size: 1 (there are three), 4 (where stability begins), 12 (its order over families)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from analyze.paper.claims.evidence import Evidence, Located, absent, across
from analyze.paper.claims.rows import ClaimVerdict, Question, command, found, missing
from analyze.paper.figures import ORDERED, SIZES, STABLE_PARAMETERS, TABLE_ONE
from analyze.paper.table_one import minimum_parameters
from analyze.questions.regimes import sizes_used
from analyze.stats.locations import no_fall_p, share_p
from analyze.stats.opening import opening_sides
from analyze.stats.result import BoolArray, ChangePoint, FloatArray, IntArray
from analyze.stats.sides import UNDECIDED, Sides, every
from analyze.stats.stability import dead
from analyze.texts import joined
from store.families import FAMILIES

REGIMES = Question(
    claim=1,
    title="three regimes along size",
    statistic="depths with both boundaries",
    unit="count",
    method="both boundaries at every depth: permutation p (9,999) and Monte Carlo F (20,000); against: a depth without",
)
PARAMETERS = Question(
    claim=4,
    title="minimum stable parameters (Table I)",
    statistic="fewest stable parameters",
    unit="parameters",
    method="boundaries located in 9,999 bootstrap samples, least over depths, within the printed range",
)
GROWTH = Question(
    claim=4,
    title="more parameters for harder data",
    statistic="fewest stable parameters, hardest / easiest",
    unit="ratio",
    method="ratio of boundaries located in 9,999 bootstrap samples of either dataset",
    allowed=(1.0, None),
)
ORDER = Question(
    claim=12,
    title="ViT needs fewest parameters, then DNN, then CNN",
    statistic="smaller of DNN / ViT and CNN / DNN",
    unit="ratio",
    method="ratios of boundaries located in 9,999 bootstrap samples",
    allowed=(1.0, None),
)


IN_WORDS = {"all_stable": "everywhere", "not_reached": "not reached", "insufficient": "not known: too little data"}
"""Statuses of boundaries as a sentence takes them."""


def regimes_claims(evidence: Evidence) -> Iterator[ClaimVerdict]:
    """Yield claim 1 for every dataset and family."""
    for dataset in evidence.datasets:
        for family in evidence.chosen.families or FAMILIES:
            row = REGIMES.row(dataset, family)
            sweeps = evidence.sweeps(dataset, family)
            known = [entry for entry in sweeps if entry.stability.status != "insufficient"]
            if known:
                yield _regimes(row, known, len(sweeps) - len(known))
            else:
                why = joined(dict.fromkeys(entry.stability.reason for entry in sweeps)) or "no such runs"
                yield missing(row, why, command("convergence", dataset, family))


def parameters_claims(evidence: Evidence) -> Iterator[ClaimVerdict]:
    """Yield claim 4: Table I's figures, the text's, and their growth over datasets."""
    for dataset, family in evidence.printed(TABLE_ONE):
        figure = TABLE_ONE[dataset, family].parameters
        yield _within(evidence, replace(PARAMETERS, allowed=figure.interval), dataset, family)
        if (dataset, family) in STABLE_PARAMETERS:
            text = replace(
                PARAMETERS, title="minimum stable parameters (text)", allowed=STABLE_PARAMETERS[dataset, family]
            )
            yield _within(evidence, text, dataset, family)
    yield from absent(evidence, PARAMETERS, TABLE_ONE, "convergence")
    yield from across(evidence, GROWTH, "convergence", _growth)


def order_claims(evidence: Evidence) -> Iterator[ClaimVerdict]:
    """Yield claim 12 for every dataset."""
    if evidence.chosen.families and not set(ORDERED) <= set(evidence.chosen.families):
        return
    for dataset in evidence.datasets:
        row = ORDER.row(dataset, None)
        known = {family: _known(evidence, dataset, family) for family in ORDERED}
        lacking = [family for family, sweeps in known.items() if not sweeps]
        if lacking:
            why = f"no boundary can be looked for: {', '.join(lacking)}"
            yield missing(row, why, command("convergence", dataset, lacking[0]))
            continue
        vit, dnn, cnn = (_least(sweeps) for sweeps in known.values())
        n = min(entry.stability.replicates for sweeps in known.values() for entry in sweeps)
        if vit is None or dnn is None or cnn is None:
            none = [name for name, sweeps in known.items() if _least(sweeps) is None]
            detail = f"no boundary located: {', '.join(none)}"
            yield found(row, UNDECIDED, n=n, estimate=None, detail=detail)
            continue
        p = max(_existence(sweeps) for sweeps in known.values())
        sides = every([_above(dnn / vit, 1.0, n, p), _above(cnn / dnn, 1.0, n, p)])
        seen = [_estimate(evidence, dataset, family) for family in ORDERED]
        detail = "ViT {:,.0f}, DNN {:,.0f}, CNN {:,.0f}".format(*seen)
        smaller = np.minimum(dnn / vit, cnn / dnn)
        low, high = _percentiles(smaller)
        estimate = min(seen[1] / seen[0], seen[2] / seen[1])
        yield found(row, sides, n=n, estimate=estimate, interval=(low, high), detail=detail)


def _regimes(row: ClaimVerdict, known: Sequence[Located], left_out: int) -> ClaimVerdict:
    sides, details, both = [], [], 0
    for entry in known:
        sides.append(_both(entry))
        statuses = (entry.stability.status, entry.overfitting.status)
        both += statuses == ("detected", "detected")
        places = [
            IN_WORDS.get(status, status) if size is None else f"{status} at {size}"
            for status, size in zip(statuses, (entry.stability.capacity, entry.overfitting.capacity), strict=True)
        ]
        details.append(f"depth {entry.sweep.depth}: stability {places[0]}, overfitting {places[1]}")
    if left_out:
        details.append(f"{left_out} {'depth' if left_out == 1 else 'depths'} left out for too little data")
    row = replace(row, claim_low=float(len(known)), claim_high=float(len(known)))
    n = min(entry.stability.replicates for entry in known)
    if all(dead(entry.sweep.accuracy[sizes_used(entry.sweep)], entry.sweep.chance).all() for entry in known):
        return missing(row, "every size is at chance", _larger(known[0]), n)
    return _identified(found(row, every(sides), n=n, estimate=float(both), detail="; ".join(details)), known)


def _both(entry: Located) -> Sides:
    """Return the evidence for both boundaries of one sweep; against it only where all the paper's sizes were run."""
    sweep, used = entry.sweep, sizes_used(entry.sweep)
    capacities = sweep.capacities[used]
    first, last = SIZES[sweep.family]
    spans = capacities[0] <= first and capacities[-1] >= (200 if sweep.dataset == "digits" and last > 200 else last)
    p = entry.p if entry.p is not None and entry.stability.status == "detected" else 1.0
    unstable = Sides(p, no_fall_p(sweep.accuracy[used], chance=sweep.chance) if spans else 1.0)
    at = _first(entry, used)
    if at is None:
        return every([unstable, UNDECIDED])
    seen = entry.overfitting
    knot = None if seen.capacity is None else int(np.flatnonzero(capacities == seen.capacity)[0]) - at
    opening = opening_sides(
        sweep.last_train[used][at:],
        sweep.last_test[used][at:],
        ChangePoint(status=seen.status, method=seen.method, n=seen.replicates, estimate=knot),
    )
    return every([unstable, opening if spans else Sides(opening.p_for, 1.0)])


def _first(entry: Located, used: IntArray) -> int | None:
    """Return the index of the first stable size among those used."""
    if entry.stability.status == "all_stable":
        return 0
    if entry.stability.capacity is None:
        return None
    return int(np.flatnonzero(entry.sweep.capacities[used] == entry.stability.capacity)[0])


def _within(evidence: Evidence, question: Question, dataset: str, family: str) -> ClaimVerdict:
    row = question.row(dataset, family)
    sweeps = _known(evidence, dataset, family)
    if not sweeps:
        return missing(row, "no boundary can be looked for", command("convergence", dataset, family))
    row = _identified(row, sweeps)
    drawn = _least(sweeps)
    n = min(entry.stability.replicates for entry in sweeps)
    members = [cell for cell in evidence.cells if (cell.dataset, cell.family) == (dataset, family)]
    figure = minimum_parameters(members, [entry.stability for entry in sweeps], None)
    interval = (figure.ci_low, figure.ci_high)
    if drawn is None:
        detail = f"no boundary located: {IN_WORDS.get(figure.status, figure.status)}"
        return found(row, UNDECIDED, n=n, estimate=figure.estimate, interval=interval, detail=detail)
    low, high = question.allowed
    p = _existence(sweeps)
    above = _above(drawn, low or 0.0, n, p)
    below = _swapped(_above(drawn, high or np.inf, n, p))
    detail = f"{figure.status} at depth {figure.depth}, size {figure.capacity}"
    return found(row, every([above, below]), n=n, estimate=figure.estimate, interval=interval, detail=detail)


def _growth(evidence: Evidence, row: ClaimVerdict, easy: str, hard: str) -> ClaimVerdict:
    family = row.family or ""
    detail = f"{hard} over {easy}"
    known = {dataset: _known(evidence, dataset, family) for dataset in (easy, hard)}
    for dataset, sweeps in known.items():
        if not sweeps:
            return missing(row, f"{detail}: too little data", command("convergence", dataset, family))
    n = min(entry.stability.replicates for sweeps in known.values() for entry in sweeps)
    drawn = {dataset: _least(sweeps) for dataset, sweeps in known.items()}
    first, last = drawn[easy], drawn[hard]
    if first is None or last is None:
        none = [dataset for dataset, values in drawn.items() if values is None]
        return found(row, UNDECIDED, n=n, estimate=None, detail=f"{detail}: no boundary located: {', '.join(none)}")
    ratio = last / first
    p = max(_existence(sweeps) for sweeps in known.values())
    estimate = _estimate(evidence, hard, family) / _estimate(evidence, easy, family)
    return found(row, _above(ratio, 1.0, n, p), n=n, estimate=estimate, interval=_percentiles(ratio), detail=detail)


def _known(evidence: Evidence, dataset: str, family: str) -> list[Located]:
    return [entry for entry in evidence.sweeps(dataset, family) if entry.stability.status != "insufficient"]


def _least(sweeps: Sequence[Located]) -> FloatArray | None:
    """Return the fewest stable parameters over depths in each bootstrap sample.

    None where no depth has a boundary; where one is stable throughout, which bounds the figure from above only; and
    where one changes gradually: what counts as stable there depends on the criterion.
    """
    drawn = [entry.drawn for entry in sweeps if entry.drawn is not None]
    if not drawn or any(entry.stability.status in ("all_stable", "gradual") for entry in sweeps):
        return None
    return np.asarray(np.min(drawn, axis=0))


def _estimate(evidence: Evidence, dataset: str, family: str) -> float:
    found_at = [e.stability.parameters for e in _known(evidence, dataset, family) if e.stability.parameters is not None]
    return float(min(found_at))


def _existence(sweeps: Sequence[Located]) -> float:
    return max(entry.p for entry in sweeps if entry.p is not None)


def _above(drawn: FloatArray, threshold: float, n: int, existence: float) -> Sides:
    """Return the evidence for a figure above a threshold, given p of the boundaries that it rests on."""

    def p(hits: BoolArray) -> float:
        return max(share_p(hits, n), existence)

    return Sides(p(drawn <= threshold), p(drawn >= threshold))


def _swapped(sides: Sides) -> Sides:
    return Sides(sides.p_against, sides.p_for)


def _percentiles(drawn: FloatArray) -> tuple[float, float]:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def _larger(entry: Located) -> str:
    sweep = entry.sweep
    return command("convergence", sweep.dataset, sweep.family, epochs=100)


def _identified(row: ClaimVerdict, sweeps: Sequence[Located]) -> ClaimVerdict:
    sweep = sweeps[0].sweep
    return replace(row, protocol_id=sweep.protocol_id, dataset_fingerprint=sweep.dataset_fingerprint)
