"""What a sequential design waits for: its next look, over everything that it trains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import sqrt
from pathlib import Path

from scipy.special import ndtr, ndtri

from analyze.questions.costs import costs_of
from analyze.questions.designs import Planned, designs, held
from analyze.questions.quantization import QuantizationGap, gaps
from analyze.questions.regimes import boundaries
from analyze.questions.search import HOPELESS, Next, following, plan_next, points
from analyze.questions.shapes import Topologies, compared_by, topologies
from analyze.results import Results
from analyze.stats.equivalence import Equivalence
from analyze.stats.result import FLOOR
from analyze.stats.spending import look_shares
from analyze.study import Study
from analyze.sweeps import sweeps
from store.designs import Ladder, LookSpec, Place, Trained
from store.errors import MinarchError
from store.families import family_facts
from store.words import counted

EQUAL, TOPOLOGIES = "equal widths", "topologies"
SEARCHED = ("protocols", "datasets", "invocations", "runs", "labels", "designs", "looks", "costs")
"""The tables that designs look at which answer questions."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One size that the next look waits for; `replicates` are to be there, `held` are.

    `networks` says of which: the one of `equal widths`, or all `topologies`, in this `precision`.
    """

    design: str
    look: int
    family: str
    depth: int
    capacity: int
    networks: str
    precision: str
    replicates: int
    held: int
    added_share: float | None
    question: str


def next_look(store: str | Path, design_id: str, *, seed: int = 0) -> Next:
    """Return what a design needs next.

    Raises:
        MinarchError: there is no such store, or no such design in it.
    """
    study = Study.read(store, lenient=True, seed=seed, tables=SEARCHED)
    planned = design_named(study, design_id)
    if planned.spec.goal == "claims":
        return of_claims(store, planned, seed=seed)
    return look_again(study.among(planned.runs), planned)


def of_claims(store: str | Path, planned: Planned, *, seed: int) -> Next:
    """Return what a design for the claims needs next; of its own dataset it looks at the runs of its protocols only."""
    from analyze.paper.claims import next_claims

    study = Study.read(store, lenient=True, seed=seed, tables=(*SEARCHED, "pruning"))
    others = f"dataset_fingerprint <> '{planned.spec.fingerprint}'"
    return next_claims(study.among(f"{others} OR ({planned.runs})"), planned.design_id)


def design_named(study: Study, design_id: str) -> Planned:
    """Return the design of that id.

    Raises:
        MinarchError: there is none.
    """
    for found in designs(study):
        if found.design_id == design_id:
            return found
    raise MinarchError(f"{study.path} has no design {design_id}; `generate search` makes one, as does --repeats auto")


def look_again(study: Study, planned: Planned) -> Next:
    """Return what a design needs next: the first of its phases that has an open question says so."""
    notes: list[str] = []
    answers: dict[str, Place | None] = {}
    undecided: dict[str, str] = {}
    for phase in planned.spec.phases:
        found = PHASES[phase](study, planned)
        notes += found.notes
        answers |= found.answers
        undecided |= found.undecided
        if not found.done:
            break
    return replace(found, answers=answers, undecided=undecided, notes=tuple(notes))


def _equal_widths(study: Study, planned: Planned) -> Next:
    """Return what the question needs which equal widths are trained for: the smallest network that is good enough."""
    chosen = [sweep for sweep in sweeps(study).content if planned.covers(sweep.key)]
    stability = [row for row, _ in boundaries(study) if planned.covers(row.sweep)]
    return plan_next(planned, chosen, stability, seed=study.seed, costs=partial(costs_of, study))


def _topologies(study: Study, planned: Planned) -> Next:
    stored = [sweep for sweep in topologies(study).content if planned.covers(sweep.key, "shapes")]
    return plan_topologies(planned, stored, seed=study.seed)


def plan_topologies(planned: Planned, found: Sequence[Topologies], *, seed: int) -> Next:
    """Return what the question needs whether the topologies of a size are equivalent: all of it at the next look."""
    stored = {(sweep.family, sweep.depth): sweep for sweep in found}
    asked: dict[Place, int] = {}
    notes = []
    for ladder in planned.spec.ladders:
        if not family_facts(ladder.family).layered:
            continue
        sweep = stored.get((ladder.family, ladder.depth))
        compared: dict[int, Equivalence] = {}
        if sweep is not None:
            rows = compared_by(sweep, planned.spec.max_drop, planned.spec.looks, seed=seed)
            compared = dict(zip(sweep.capacities, rows, strict=True))
            seen = Counter(row.status for row in rows)
            verdicts = ", ".join(f"{counted(n, 'size')} {status}" for status, n in sorted(seen.items()))
            notes.append(f"topologies, {family_facts(ladder.family).depth(ladder.depth)}: {verdicts}")
        for place in places(ladder):
            more = _more_topologies(planned, place, sweep, compared.get(place.capacity))
            if more is not None:
                asked[place] = more
    margin = points(planned.spec.max_drop)
    question = f"are topologies within {margin} of each other: {_several([*map(in_words, asked)])}?"
    return _next(planned, LookSpec(held={}, asked={}, topologies=asked, question=question), notes)


def _more_topologies(planned: Planned, place: Place, sweep: Topologies | None, found: Equivalence | None) -> int | None:
    """Return how many replicates all topologies of a size have next, None where they get no more."""
    looks = planned.spec.looks
    asked = max((look.topologies.get(place, 0) for look in planned.looks), default=0)
    if sweep is None or found is None:
        return None if asked else looks[0]  # Of one topology only, there is nothing to compare.
    if topologies_held(sweep, place.capacity) < max(asked, looks[0]):
        return max(asked, looks[0])
    if found.status != "inconclusive" or _hopeless(found, planned, len(sweep.capacities)):
        return None
    return following(looks, max(asked, looks[0]))


def _hopeless(found: Equivalence, planned: Planned, sizes: int) -> bool:
    """Return whether the last look will hardly tell, if differences are as seen: neither equivalence nor difference."""
    looks = planned.spec.looks
    if found.largest is None or found.sd is None or not _decides(looks, found.n):
        return False
    critical = -ndtri(planned.spec.level * look_shares(looks)[-1] / sizes)
    room = abs(planned.spec.max_drop - found.largest) * sqrt(looks[-1]) / sqrt(found.sd**2 + FLOOR**2)
    return float(ndtr(room - critical)) < HOPELESS


def _decides(looks: tuple[int, ...], n: int) -> bool:
    """Return whether so many replicates are those of a look that may decide."""
    return any(n >= look for look, share in zip(looks, look_shares(looks), strict=True) if share)


def _eight_bits(study: Study, planned: Planned) -> Next:
    found = {Place(row.family, row.depth, row.capacity): row for row in gaps(study)}
    return plan_pairs(planned, equal_widths_held(study), found)


def plan_pairs(planned: Planned, partners: Mapping[Place, int], found: Mapping[Place, QuantizationGap]) -> Next:
    """Return what the question needs whether 8 bits cost a stable network less than the margin, or more.

    `partners` are the replicates that the store has in fp32: no more are trained in 8 bits.
    """
    asked: dict[Place, int] = {}
    verdicts = Counter[str]()
    for place in (place for ladder in planned.spec.ladders for place in places(ladder)):
        row = found.get(place)
        more = _more_pairs(planned, place, row)
        if more is not None and more <= partners.get(place, 0):
            asked[place] = more
        if row is not None:
            verdicts[_verdict(row, planned.spec.max_drop)] += 1
    seen = ", ".join(f"{counted(n, 'network')} {verdict}" for verdict, n in sorted(verdicts.items()))
    question = f"do 8 bits cost less than {points(planned.spec.max_drop)}: {_several([*map(in_words, asked)])}?"
    look = LookSpec(held={}, asked={}, quantized=asked, question=question)
    return _next(planned, look, (f"8 bits: {seen}",) if seen else ())


def _more_pairs(planned: Planned, place: Place, row: QuantizationGap | None) -> int | None:
    """Return how many replicates in 8 bits a network has next, None where it gets no more."""
    due = max((look.quantized.get(place, 0) for look in planned.looks), default=0) or planned.spec.looks[0]
    if row is None or row.pairs < due:
        return due
    return following(planned.spec.looks, due) if _verdict(row, planned.spec.max_drop) == "open" else None


def _verdict(row: QuantizationGap, margin: float) -> str:
    """Return what is known of a network in 8 bits; unstable ones, and those that die, are asked no more of."""
    if row.stable is False:
        return "not stable"
    if row.death_rate:
        return "that may die"
    if row.ci_low is None or row.ci_high is None:
        return "open"
    return "within the margin" if row.ci_high < margin else "beyond the margin" if row.ci_low > margin else "open"


def places(ladder: Ladder) -> list[Place]:
    """Return the places of a ladder, by size."""
    return [Place(ladder.family, ladder.depth, capacity) for capacity in ladder.capacities]


def equal_widths_held(study: Study) -> dict[Place, int]:
    """Return the replicates, from 0 on, that the store has in fp32 of each network of equal widths."""
    return {
        Place(sweep.family, sweep.depth, int(capacity)): held(accuracy)
        for sweep in sweeps(study).content
        for capacity, accuracy in zip(sweep.capacities, sweep.accuracy, strict=True)
    }


def topologies_held(sweep: Topologies, capacity: int) -> int:
    """Return the replicates, from 0 on, that all topologies of a size have that the store knows."""
    return min(held(row) for row in sweep.accuracy[sweep.capacities.index(capacity)])


def in_words(place: Place) -> str:
    """Return a network in words, such as `DNN 2 hidden layers, 20 wide`."""
    facts = family_facts(place.family)
    return f"{facts.title} {facts.sized(place.depth, place.capacity)}"


def _several(names: Sequence[str]) -> str:
    """Return the first of several names, and how many others there are."""
    return " and ".join([*names[:1], *([counted(len(names) - 1, "other")] if len(names) > 1 else [])])


def _next(planned: Planned, look: LookSpec, notes: Sequence[str] = ()) -> Next:
    """Return a next look, empty where it asks for nothing."""
    if not look:
        look = LookSpec(held={}, asked={})
    return Next(not look, look, len(planned.looks), {}, {}, {}, tuple(notes))


PHASES: dict[Trained, Callable[[Study, Planned], Next]] = {
    "shapes": _topologies,
    "convergence": _equal_widths,
    "quantization": _eight_bits,
}


def asked(found: Next, design_id: str) -> Results[Asked]:
    """Return what the next look waits for, a row per size and kind of network; none where nothing is left to ask."""
    shares = {added.place: added.share for added in found.look.added}
    rows = [
        Asked(
            design=design_id,
            look=found.number,
            family=where.family,
            depth=where.depth,
            capacity=where.capacity,
            networks=networks,
            precision=precision,
            replicates=n,
            held=found.look.held.get(where, 0) if counts is found.look.asked else 0,
            added_share=shares.get(where),
            question="what do 8 bits cost?" if counts is found.quantize else found.look.question,
        )
        for networks, precision, counts in (
            (EQUAL, "fp32", found.look.asked),
            (TOPOLOGIES, "fp32", found.look.topologies),
            (EQUAL, "int8", found.look.quantized),
            (EQUAL, "int8", found.quantize),
        )
        for where, n in sorted(counts.items())
    ]
    return Results(Asked, tuple(rows), (*_standing(found), *found.notes))


def _standing(found: Next) -> tuple[str, ...]:
    """Return the smallest networks so far, a line, and what is open beside the question of the look."""
    if not found.answers:
        return ()
    if found.done:
        reasons = (f"{scope}: {why}" for scope, why in found.undecided.items())
        return (f"smallest: {_answers(found, 'none')}", *reasons)
    known = f"smallest so far: {_answers(found, 'none yet')}" if any(found.answers.values()) else "no answer yet"
    others = dict.fromkeys(why for why in found.undecided.values() if why != found.look.question)
    return (known, *(f"also open: {why}" for why in others))


def _answers(found: Next, none: str) -> str:
    """Return the answer of each family in words, then that of all."""
    words = {scope: in_words(where) if where else None for scope, where in found.answers.items()}
    overall = f"; of all {words.pop('all') or none}" if "all" in words else ""
    return "; ".join(name or f"{family_facts(scope).title} {none}" for scope, name in words.items()) + overall
