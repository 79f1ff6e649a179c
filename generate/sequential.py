"""Sequential designs: look at the data, train what the open question needs, and look again, until nothing is open."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from generate.analysis import ask
from generate.budget import LEAST_SIZES, largest_within, sizes_within, too_few
from generate.datasets import Dataset
from generate.families import family_named
from generate.plan import Phase, Plan, Request, make_plan, protocol_of
from generate.protocol import protocol_id
from store.designs import LADDER_SHARE, Added, By, DesignSpec, Goal, LookSpec, Place, Trained, ladder, read_look
from store.errors import MinarchError
from store.families import family_facts
from store.records import Records
from store.results import Store
from store.words import counted

LOOKS = (5, 10, 15, 20, 30)
COARSE = 6
"""Sizes that a search begins with."""
PHASES: dict[Phase, tuple[Trained, ...]] = {
    "all": ("shapes", "convergence", "quantization"),
    "shapes": ("shapes",),
    "convergence": ("convergence",),
    "quantization": ("quantization",),
}
"""What the designs of a phase train, in the order in which they ask."""
FIRST_QUESTIONS: dict[Trained, str] = {
    "shapes": "how far are topologies apart?",
    "convergence": "which sizes learn at all?",
    "quantization": "what do 8 bits cost?",
}
SEARCHED_DEPTHS = (1, 2)
"""Depths that a search begins with where depth is chosen: the smallest network is seldom deeper."""


@dataclass(frozen=True, kw_only=True)
class SearchRequest:
    """What a search is to find, beside what a sweep's request says; accuracies are fractions.

    Attributes:
        max_drop: accuracy that may be lost against the best.
        min_accuracy: accuracy that has to be exceeded.
        max_bytes: most bytes of the form shown to be safe that is chosen.
        max_parameters: most parameters; no larger network is trained.
        max_macs: likewise multiply-accumulates of an inference.
        max_ram: most bytes of its activations at once; what takes more in 8 bits is not trained.
        by: what the network is to be small in.
        resolution: the smallest network is found to within this ratio of parameters, minus one; None: among the sizes
            of the sweep, as `--repeats auto` does.
        budget: seconds that the search may take, None: as many as it needs.
        looks: numbers of replicates after which it looks at its data.
        goal: whose open questions get replicates, the phase's own or the paper's claims.
    """

    max_drop: float = 0.01
    min_accuracy: float | None = None
    max_bytes: int | None = None
    max_parameters: int | None = None
    max_macs: int | None = None
    max_ram: int | None = None
    by: By = "parameters"
    resolution: float | None = 0.1
    budget: float | None = None
    looks: tuple[int, ...] = LOOKS
    goal: Goal = "answer"

    @property
    def on_grid(self) -> bool:
        """Whether the sizes are those of a sweep, to which none is added."""
        return self.resolution is None

    @property
    def bounds(self) -> dict[str, int]:
        """What keeps a network from being trained at all, by name."""
        found = {name: getattr(self, name) for name in ("max_parameters", "max_macs", "max_ram")}
        return {name: most for name, most in found.items() if most is not None}


@dataclass(frozen=True)
class Step:
    """What is trained between two looks; after the `last` step there is no look."""

    look: LookSpec
    last: bool = False


def coarse(grid: Sequence[int]) -> tuple[int, ...]:
    """Return the sizes of a grid that are at least twice the one before, the first six."""
    found: list[int] = []
    for capacity in sorted(grid):
        if not found or capacity >= 2 * found[-1]:
            found.append(capacity)
    return tuple(found[:COARSE])


def design_of(request: Request, wanted: SearchRequest, source: str, dataset: Dataset) -> DesignSpec:
    """Return the design of a search, or of a sweep with `--repeats auto`, on one dataset.

    Raises:
        MinarchError: a budget leaves a family too few sizes.
    """
    protocols, ladders, most = {}, [], []
    phases = PHASES[request.phase]
    if not any(family_facts(family).layered for family in request.families):
        phases = tuple(phase for phase in phases if phase != "shapes")
    for family in request.families:
        facts = family_facts(family)
        protocol = protocol_of(request, family, source, dataset.seeding)
        protocols[family] = protocol_id(protocol)
        grid = facts.grid(source)
        sizes = request.capacities or (grid if wanted.on_grid else coarse(grid))
        only = (family_named(family).depth(sizes[:1], protocol),)
        depths = (request.depths or (facts.depths if wanted.on_grid else SEARCHED_DEPTHS)) if facts.layered else only
        share = 1.0 if wanted.on_grid else LADDER_SHARE
        for depth in depths:
            fitting = sizes
            if wanted.bounds:
                largest = largest_within(wanted.bounds, family, depth, dataset.image, protocol)
                most.append((family, depth, largest))
                fitting = sizes_within(sizes, grid, largest, COARSE, chosen=request.capacities is not None)
                if len(fitting) < LEAST_SIZES:
                    raise MinarchError(too_few(wanted.bounds, family, depth, largest, fitting))
            ladders.append(ladder(family, depth, fitting, share))
    return DesignSpec(
        fingerprint=dataset.fingerprint,
        protocols=protocols,
        ladders=tuple(ladders),
        looks=wanted.looks,
        max_drop=wanted.max_drop,
        min_accuracy=wanted.min_accuracy,
        resolution=wanted.resolution,
        phases=phases,
        goal=wanted.goal,
        by=wanted.by,
        max_parameters=wanted.max_parameters,
        max_macs=wanted.max_macs,
        max_ram=wanted.max_ram,
        most=tuple(most),
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
            looks = [self._first()]
            self._record(looks[0], 0)
        return Step(looks[-1])

    def look(self) -> tuple[Step | None, tuple[str, ...]]:
        """Look at the data; return the next step, stored before it is trained, or None, and what is known so far.

        Raises:
            MinarchError: the analysis failed.
            KeyboardInterrupt: it was stopped.
        """
        text, remarks = ask("next", "--design", self.design_id, "--store", str(self.store.path), "--format", "json")
        rows: list[dict[str, Any]] = json.loads(text)
        if not rows:
            return None, remarks
        counts: dict[tuple[str, str], dict[Place, int]] = {}
        for row in rows:
            counts.setdefault((row["networks"], row["precision"]), {})[_place(row)] = int(row["replicates"])
        look = LookSpec(
            held=self._held(),
            asked=counts.get(("equal widths", "fp32"), {}),
            topologies=counts.get(("topologies", "fp32"), {}),
            quantized=counts.get(("equal widths", "int8"), {}),
            added=tuple(Added(_place(row), row["added_share"]) for row in rows if row["added_share"] is not None),
            question=rows[0]["question"],
        )
        if "quantization" not in self.spec.phases and not look.asked and not look.topologies:
            return Step(look, last=True), remarks  # What a search ends with: nothing is asked of it.
        self._record(look, int(rows[0]["look"]))
        return Step(look), remarks

    def plan(self, step: Step) -> Plan:
        """Return the units of a step that the store lacks."""
        stored = set(self.store.run_ids())
        plans: list[Plan] = []
        parts: tuple[tuple[Phase, Mapping[Place, int]], ...] = (
            ("shapes", step.look.topologies),
            ("convergence", step.look.asked),
            ("quantization", step.look.quantized),
        )
        for phase, replicates in parts:
            alike: dict[tuple[str, int, int], list[int]] = {}
            for where, n in sorted(replicates.items()):
                alike.setdefault((where.family, where.depth, n), []).append(where.capacity)
            for (family, depth, n), capacities in alike.items():
                request = replace(
                    self.request,
                    phase=phase,
                    datasets=(self.source,),
                    families=(family,),
                    depths=(depth,) if family_facts(family).layered else None,
                    capacities=tuple(capacities),
                    repeats=n,
                )
                plans.append(make_plan(request, [(self.source, self.dataset)], stored))
                # Equal widths are topologies too.
                stored |= {unit.run_id(cell.architecture) for unit in plans[-1].units for cell in unit.cells}
        units = sorted(
            (unit for plan in plans for unit in plan.units), key=lambda unit: (unit.replicate, -unit.seconds)
        )
        return Plan(
            tuple(units),
            sum(plan.cells for plan in plans),
            sum(plan.models for plan in plans),
            sum(plan.stored for plan in plans),
        )

    def _first(self) -> LookSpec:
        """Return the first look, before any run: so many replicates of every size.

        Raises:
            MinarchError: there is nothing to train in 8 bits.
        """
        phases = self.spec.phases if self.spec.goal == "claims" else self.spec.phases[:1]
        places = [Place(one.family, one.depth, size) for one in self.spec.ladders for size in one.capacities]
        n = self.spec.looks[0]
        quantized = places if "convergence" in phases else [p for p, held in self._held().items() if held >= n]
        quantized = sorted(set(quantized).intersection(places)) if "quantization" in phases else []
        if phases == ("quantization",) and not quantized:
            raise MinarchError(
                f"{self.store.path} has no network of {self.dataset.name} with {counted(n, 'replicate')} to train in"
                " 8 bits too; generate convergence trains them"
            )
        return LookSpec(
            held={},
            asked=dict.fromkeys(places, n) if "convergence" in phases else {},
            topologies=dict.fromkeys([p for p in places if family_facts(p.family).layered], n)
            if "shapes" in phases
            else {},
            quantized=dict.fromkeys(quantized, n),
            question="which claims can be tested?" if self.spec.goal == "claims" else FIRST_QUESTIONS[phases[0]],
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
