"""A search: looks at the data, trains what the open question needs, and looks again, until nothing is left to ask."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from generate.datasets import Dataset
from generate.families import family_named
from generate.plan import Phase, Plan, Request, make_plan, protocol_of
from generate.protocol import protocol_id
from store.designs import Added, DesignSpec, LookSpec, Place, ladder, read_look
from store.errors import MinarchError
from store.families import family_facts
from store.records import Records
from store.results import Store

LOOKS = (5, 10, 15, 20, 30)
COARSE = 6
"""Sizes that a search begins with."""
SEARCHED_DEPTHS = (1, 2)
"""Depths that a search begins with where depth is chosen: the smallest network is seldom deeper."""


@dataclass(frozen=True, kw_only=True)
class SearchRequest:
    """What a search is to find, beside what a sweep's request says; accuracies are fractions.

    Attributes:
        max_drop: accuracy that may be lost against the best.
        min_accuracy: accuracy that has to be exceeded.
        max_bytes: most bytes of the smallest form shown to be safe.
        resolution: the smallest network is found to within this ratio of parameters, minus one.
        budget: seconds that the search may take, None: as many as it needs.
        looks: numbers of replicates after which it looks at its data.
    """

    max_drop: float = 0.01
    min_accuracy: float | None = None
    max_bytes: int | None = None
    resolution: float = 0.1
    budget: float | None = None
    looks: tuple[int, ...] = LOOKS


@dataclass(frozen=True)
class Step:
    """What is trained between two looks: replicates of each place, in one precision, and the question they are for."""

    precision: str
    replicates: Mapping[Place, int]
    question: str


def coarse(grid: Sequence[int]) -> tuple[int, ...]:
    """Return the sizes of a grid that are at least twice the one before, the first six."""
    found: list[int] = []
    for capacity in sorted(grid):
        if not found or capacity >= 2 * found[-1]:
            found.append(capacity)
    return tuple(found[:COARSE])


def design_of(request: Request, wanted: SearchRequest, source: str, dataset: Dataset) -> DesignSpec:
    """Return the design of a search on one dataset."""
    protocols, ladders = {}, []
    for family in request.families:
        facts = family_facts(family)
        protocol = protocol_of(request, family, source, dataset.seeding)
        protocols[family] = protocol_id(protocol)
        sizes = request.capacities or coarse(facts.grid(source))
        only = (family_named(family).depth(sizes[:1], protocol),)
        depths = (request.depths or SEARCHED_DEPTHS) if facts.layered else only
        ladders += [ladder(family, depth, sizes) for depth in depths]
    return DesignSpec(
        fingerprint=dataset.fingerprint,
        protocols=protocols,
        ladders=tuple(ladders),
        looks=wanted.looks,
        max_drop=wanted.max_drop,
        min_accuracy=wanted.min_accuracy,
        resolution=wanted.resolution,
    )


class Search:
    """A search on one dataset: its design in the store, and the steps that it takes."""

    def __init__(self, request: Request, wanted: SearchRequest, source: str, dataset: Dataset, store: Store) -> None:
        self.request, self.wanted, self.store = request, wanted, store
        self.source, self.dataset = source, dataset
        self.spec = design_of(request, wanted, source, dataset)

    @property
    def design_id(self) -> str:
        """Identity of the design: the same question makes the same one, and goes on with it."""
        return self.spec.design_id

    def begin(self) -> Step:
        """Store the design where it is new, and return the step that its last look asked for."""
        looks = self._looks()
        if not looks:
            places = [Place(one.family, one.depth, size) for one in self.spec.ladders for size in one.capacities]
            first = LookSpec(
                held={}, asked=dict.fromkeys(places, self.spec.looks[0]), question="which sizes learn at all?"
            )
            self._record(first, 0)
            looks = [first]
        return Step("fp32", looks[-1].asked, looks[-1].question)

    def look(self) -> tuple[Step | None, tuple[str, ...]]:
        """Look at the data; return the next step, stored before it is trained, or None, and what is known so far.

        Raises:
            MinarchError: the analysis failed.
            KeyboardInterrupt: it was stopped.
        """
        rows, remarks = _analyze("next", "--design", self.design_id, "--store", str(self.store.path))
        asked = [row for row in rows if row["precision"] == "fp32"]
        if not asked:
            counts = {_place(row): int(row["replicates"]) for row in rows}
            return (Step("int8", counts, rows[0]["question"]) if counts else None), remarks
        places = {_place(row): int(row["replicates"]) for row in asked}
        look = LookSpec(
            held=self._held(),
            asked=places,
            added=tuple(Added(_place(row), row["added_share"]) for row in asked if row["added_share"] is not None),
            question=asked[0]["question"],
        )
        self._record(look, int(asked[0]["look"]))
        return Step("fp32", places, look.question), remarks

    def plan(self, step: Step) -> Plan:
        """Return the units of a step that the store lacks."""
        phase: Phase = "convergence" if step.precision == "fp32" else "quantization"
        alike: dict[tuple[str, int, int], list[int]] = {}
        for where, n in sorted(step.replicates.items()):
            alike.setdefault((where.family, where.depth, n), []).append(where.capacity)
        stored = self.store.run_ids()
        plans = [
            make_plan(
                replace(
                    self.request,
                    phase=phase,
                    datasets=(self.source,),
                    families=(family,),
                    depths=(depth,) if family_facts(family).layered else None,
                    capacities=tuple(capacities),
                    repeats=n,
                ),
                [(self.source, self.dataset)],
                stored,
            )
            for (family, depth, n), capacities in alike.items()
        ]
        units = sorted(
            (unit for plan in plans for unit in plan.units), key=lambda unit: (unit.replicate, -unit.seconds)
        )
        return Plan(
            tuple(units),
            sum(plan.cells for plan in plans),
            sum(plan.models for plan in plans),
            sum(plan.stored for plan in plans),
        )

    def _looks(self) -> list[LookSpec]:
        if not self.store.path.exists():
            return []
        sql = "SELECT design_id, number, spec FROM looks WHERE design_id = ? ORDER BY number"
        return [read_look(row) for row in self.store.query(sql, [self.design_id]).iter_rows(named=True)]

    def _held(self) -> dict[Place, int]:
        """Return the replicates, from 0 on, that the store has of each architecture of equal widths."""
        sql = """
        SELECT family, depth, capacity, list(replicate ORDER BY replicate) AS replicates
        FROM runs SEMI JOIN equal_widths USING (run_id)
        WHERE precision = 'fp32' AND dataset_fingerprint = ? AND list_contains(?, protocol_id) GROUP BY ALL
        """
        found = self.store.query(sql, [self.spec.fingerprint, list(self.spec.protocols.values())])
        return {
            Place(family, depth, capacity): next(
                (at for at, replicate in enumerate(replicates) if replicate != at), len(replicates)
            )
            for family, depth, capacity, replicates in found.iter_rows()
        }

    def _record(self, look: LookSpec, number: int) -> None:
        """Store a look, and the design with the first one."""
        now = datetime.now(UTC).replace(tzinfo=None)
        designs = (self.spec.record(now),) if number == 0 else ()
        records = Records(designs=designs, looks=(look.record(self.design_id, number, now),))
        self.store.append(records, name=f"design {self.design_id} look {number}")
        self.store.close_out()


def _place(row: Mapping[str, Any]) -> Place:
    return Place(row["family"], row["depth"], row["capacity"])


def _analyze(*arguments: str) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Return the rows and the remarks of an analysis, which runs as a program of its own.

    Data flow from `generate` to the store and from there to `analyze`: neither imports the other.
    """
    command = [sys.executable, "-m", "analyze", *arguments, "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 130:
        raise KeyboardInterrupt
    remarks = tuple(line.removeprefix("analyze: ") for line in done.stderr.splitlines())
    if done.returncode:
        raise MinarchError(remarks[-1] if remarks else f"the analysis ended with {done.returncode}")
    return json.loads(done.stdout), remarks


class Clock:
    """Time that a search has taken, against what it may take."""

    def __init__(self, budget: float | None, now: Callable[[], float] = time.monotonic) -> None:
        self.budget, self._now, self._began = budget, now, now()

    @property
    def elapsed(self) -> float:
        """Seconds since the search began."""
        return self._now() - self._began

    def allows(self, seconds: float) -> bool:
        """Return whether a step of so many seconds fits."""
        return self.budget is None or self.elapsed + seconds <= self.budget
