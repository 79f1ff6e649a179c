"""Claims tested as replicates were added: by the looks of the sequential designs that train for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from analyze.paper.claims.accuracy import ACCURACY
from analyze.paper.claims.evidence import Evidence, compared_datasets
from analyze.paper.claims.quantization import LARGEST
from analyze.paper.claims.rows import ClaimVerdict, judged
from analyze.paper.figures import LAYERS, ORDERED, SIZES
from analyze.questions.designs import Planned, held
from analyze.questions.next import places, topologies_held
from analyze.questions.search import Next, following
from analyze.stats.spending import look_shares, p_over_looks
from store.designs import LookSpec, Place
from store.families import family_facts
from store.words import counted

Kind = Literal["equal widths", "topologies", "8 bits"]
KINDS: dict[int, Kind] = {2: "topologies", 3: "topologies", 10: "8 bits", 11: "8 bits"}
"""What claims are about, other than equal widths."""
AT_THE_LARGEST_SIZE = {(question.claim, question.title) for question in (ACCURACY, LARGEST)}
ORDER_CLAIM = 12
Key = tuple[int, str, str | None, str | None]


@dataclass(frozen=True, order=True)
class Cell:
    """A size of one dataset, of one kind of network, whose replicates a claim rests on."""

    dataset: str
    kind: Kind
    place: Place


def key_of(row: ClaimVerdict) -> Key:
    """Return what tells a row from the others of a table."""
    return row.claim, row.title, row.dataset, row.family


@dataclass(frozen=True)
class Looked:
    """A table of claims in a store some of whose datasets have designs for it.

    Attributes:
        full: the evidence of all replicates.
        at: returns the evidence of the first n replicates of the datasets that have designs.
        planned: the design of each such dataset, by name.
        test: returns the rows that some evidence gives, without verdicts.
    """

    full: Evidence
    at: Callable[[int], Evidence]
    planned: Mapping[str, Planned]
    test: Callable[[Evidence], Sequence[ClaimVerdict]]

    @cached_property
    def looks(self) -> tuple[int, ...]:
        """The looks that all its designs have."""
        return next(iter(self.planned.values())).spec.looks

    @cached_property
    def rows(self) -> tuple[ClaimVerdict, ...]:
        """All rows with their verdicts, at a family-wise error rate of at most 5% over all looks.

        A row is tested at every look whose replicates all cells have that it rests on, on so many of each, and its p
        values are those over looks. Rows of a design that cannot be tested yet count among the hypotheses, so that what
        was shown stays shown.
        """
        found = self._found()
        rows = [self._row(row, found.get(key_of(row), [])) for row in self._now]
        return judged(rows, waiting=sum(row.design is not None and row.p_for is None for row in rows))

    @cached_property
    def _now(self) -> Sequence[ClaimVerdict]:
        return self.test(self.full)

    def _found(self) -> dict[Key, list[tuple[int, ClaimVerdict]]]:
        """Return the rows at each look, those alone that rest on so many replicates of all their cells."""
        held_by = {key_of(row): self.held(row) for row in self._now if self.designed(row)}
        found: dict[Key, list[tuple[int, ClaimVerdict]]] = {}
        for n, share in zip(self.looks, look_shares(self.looks), strict=True):
            if not share or all(replicates < n for replicates in held_by.values()):
                continue
            evidence = self.at(n)
            for row in self._now if evidence is self.full else self.test(evidence):
                if held_by.get(key_of(row), 0) >= n and row.p_for is not None:
                    found.setdefault(key_of(row), []).append((n, row))
        return found

    def _row(self, row: ClaimVerdict, found: Sequence[tuple[int, ClaimVerdict]]) -> ClaimVerdict:
        if not self.designed(row):
            return row
        design = self.planned[self.cells(row)[0].dataset].design_id
        looks = ", ".join(map(str, self.looks))
        if not found:
            undecided = None if row.p_for is None else 1.0
            return replace(row, p_for=undecided, p_against=undecided, design=design, planned_looks=looks)
        n, last = found[-1]
        return replace(
            last,
            p_for=p_over_looks([(at, one.p_for) for at, one in found if one.p_for is not None], self.looks),
            p_against=p_over_looks([(at, one.p_against) for at, one in found if one.p_against is not None], self.looks),
            design=design,
            look=n,
            planned_looks=looks,
        )

    def designed(self, row: ClaimVerdict) -> bool:
        """Return whether a design chooses how many replicates a row rests on."""
        return any(self._managed(cell) for cell in self.cells(row))

    def _managed(self, cell: Cell) -> bool:
        planned = self.planned.get(cell.dataset)
        if planned is None:
            return False
        phases = set(planned.spec.phases)
        if cell.kind == "equal widths":  # They are topologies too.
            return "convergence" in phases or ("shapes" in phases and family_facts(cell.place.family).layered)
        return ("shapes" if cell.kind == "topologies" else "quantization") in phases

    def asks_for(self, cell: Cell) -> bool:
        """Return whether a design trains a kind of network."""
        phase = {"equal widths": "convergence", "topologies": "shapes", "8 bits": "quantization"}[cell.kind]
        return cell.dataset in self.planned and phase in self.planned[cell.dataset].spec.phases

    def held(self, row: ClaimVerdict) -> int:
        """Return the replicates that all cells have that a row rests on."""
        return min((self.counts.get(cell, 0) for cell in self.cells(row)), default=0)

    def cells(self, row: ClaimVerdict) -> tuple[Cell, ...]:
        """Return the cells of designs that a row rests on; other datasets have what they have."""
        return tuple(sorted(self._rests_on(row)))

    def _rests_on(self, row: ClaimVerdict) -> Iterator[Cell]:
        kinds = {KINDS.get(row.claim, "equal widths")}
        if "8 bits" in kinds:
            kinds.add("equal widths")  # Their partners.
        for scope in self._scopes(row):
            only = self._only(row, scope[1])
            for cell in self.counts:
                place = cell.place
                here = (cell.dataset, place.family) == scope and cell.kind in kinds
                if here and only in (None, (place.depth, place.capacity)):
                    yield cell

    def _scopes(self, row: ClaimVerdict) -> list[tuple[str, str]]:
        """Return the datasets and families that a row is about."""
        if row.dataset is None:
            families = [row.family] if row.family else []
            return [(dataset, family) for family in families for dataset in compared_datasets(self.full, family)]
        if row.family is not None:
            return [(row.dataset, row.family)]
        families = list(ORDERED) if row.claim == ORDER_CLAIM else self.full.families(row.dataset)
        return [(row.dataset, family) for family in families]

    def _only(self, row: ClaimVerdict, family: str) -> tuple[int, int] | None:
        """Return depth and capacity of the one network that a row is about whatever the data say."""
        if (row.claim, row.title) in AT_THE_LARGEST_SIZE:
            return LAYERS[family], SIZES[family][1]
        return None

    @cached_property
    def counts(self) -> dict[Cell, int]:
        """Replicates, from 0 on, that each cell of the designs has.

        Sizes with one topology only are none among topologies, nor are in 8 bits those that have no partners to be
        compared with and get none.
        """
        seen: dict[Cell, int] = {}
        for entry in self.full.located:
            sweep = entry.sweep
            for capacity, accuracy in zip(sweep.capacities, sweep.accuracy, strict=True):
                place = Place(sweep.family, sweep.depth, int(capacity))
                seen[Cell(sweep.dataset, "equal widths", place)] = held(accuracy)
        for shaped in self.full.topologies:
            for capacity, shapes in zip(shaped.capacities, shaped.shapes, strict=True):
                if len(shapes) > 1:
                    place = Place(shaped.family, shaped.depth, capacity)
                    seen[Cell(shaped.dataset, "topologies", place)] = topologies_held(shaped, capacity)
        for pairs in self.full.pairs:
            contiguous = np.array(pairs.replicates) == np.arange(len(pairs.replicates))
            for capacity, present in zip(pairs.capacities, pairs.present & contiguous, strict=True):
                place = Place(pairs.family, pairs.depth, int(capacity))
                seen[Cell(pairs.dataset, "8 bits", place)] = held(np.where(present, 0.0, np.nan))
        return {cell: seen.get(cell, 0) for cell in self._cells(seen)}

    def _cells(self, seen: Mapping[Cell, int]) -> Iterator[Cell]:
        """Yield the cells of the designs, given the replicates of those that the store has."""
        for dataset, planned in self.planned.items():
            trained = "convergence" in planned.spec.phases
            for place in (place for ladder in planned.spec.ladders for place in places(ladder)):
                equal, shaped, quantized = (Cell(dataset, kind, place) for kind in get_args(Kind))
                partners = trained or seen.get(equal, 0) >= planned.spec.looks[0]
                if partners:
                    yield equal
                if shaped in seen:
                    yield shaped
                if partners and (quantized in seen or "quantization" in planned.spec.phases):
                    yield quantized


def next_of_claims(looked: Looked, dataset: str) -> Next:
    """Return what the open rows need next of a dataset's design: the next look of the cells that they rest on."""
    planned = looked.planned[dataset]
    looks = planned.spec.looks
    wanted: dict[Cell, int] = {}
    open_rows: list[ClaimVerdict] = []
    for row in looked.rows:
        cells = [cell for cell in looked.cells(row) if cell.dataset == dataset]
        mine = [cell for cell in cells if looked.asks_for(cell)]
        # What cannot be tested with the replicates of the first decision lacks something else than these.
        early = (
            row.verdict == "not_testable" and row.to_test is not None and looked.held(row) < (following(looks, 0) or 0)
        )
        if not mine or not (row.verdict == "inconclusive" or early):
            continue
        n = following(looks, looked.held(row)) if looked.held(row) >= looks[0] else looks[0]
        others = [looked.counts[cell] for cell in looked.cells(row) if not looked.asks_for(cell)]
        lacking = [cell for cell in mine if n is not None and looked.counts[cell] < n <= min(others, default=n)]
        if lacking and n is not None:
            open_rows.append(row)
            for cell in lacking:
                wanted[cell] = max(wanted.get(cell, 0), n)
    of: dict[Kind, dict[Place, int]] = {"equal widths": {}, "topologies": {}, "8 bits": {}}
    for cell, n in wanted.items():
        of[cell.kind][cell.place] = n
    verdicts = Counter[str](row.verdict.replace("_", " ") for row in looked.rows if looked.designed(row))
    notes = (f"claims: {', '.join(f'{n} {verdict}' for verdict, n in verdicts.items())}",)
    look = LookSpec(
        held={
            cell.place: n for cell, n in looked.counts.items() if (cell.dataset, cell.kind) == (dataset, "equal widths")
        },
        asked=of["equal widths"],
        topologies=of["topologies"],
        quantized=of["8 bits"],
        question=_question(open_rows),
    )
    return Next(not look, look, len(planned.looks), {}, {}, {}, notes)


def _question(rows: Sequence[ClaimVerdict]) -> str:
    if not rows:
        return ""
    first = rows[0]
    scope = "" if first.family is None else f" of the {family_facts(first.family).title}"
    others = f" ({counted(len(rows) - 1, 'other row')} of the claims too)" if len(rows) > 1 else ""
    return f"claim {first.claim}{scope}, {first.title}?{others}"
