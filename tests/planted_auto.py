"""Planted sweeps with `--repeats auto`: designs on a fixed grid that draw what they ask for, their truth known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from analyze.questions.designs import Planned
from analyze.questions.next import plan_pairs, plan_topologies
from analyze.questions.quantization import Pairs, gap_of
from analyze.questions.regimes import sweep_regimes
from analyze.questions.search import Next
from analyze.questions.shapes import Topologies, compared_by
from analyze.stats.result import FloatArray
from analyze.stats.spending import LOOKS, nominal_levels
from store.designs import DesignSpec, LookSpec, Place, Trained, ladder
from tests.planted import CHANCE
from tests.planted_search import EDGE, SWEEPS, Noise, World, edged, search

WIDTHS = (10, 20, 30, 50, 100, 200)
SHAPES = ("+", "-", "=")
MARGIN = 0.01
OWN, SHARED = 0.006, 0.004
"""Standard deviations between replicates: of a network's own, and shared by all networks of a replicate."""


def spec(phase: Trained, depth: int = 2, looks: tuple[int, ...] = LOOKS) -> DesignSpec:
    """Return the design of one phase of a sweep over `WIDTHS`."""
    return DesignSpec(
        fingerprint="planted",
        protocols={"dnn": "p"},
        ladders=(ladder("dnn", depth, WIDTHS, 1.0),),
        looks=looks,
        max_drop=MARGIN,
        resolution=None,
        phases=(phase,),
    )


@dataclass
class Ended:
    """What a design ended with: its looks, and how many trainings it took."""

    looks: list[LookSpec]
    trainings: int


def carried_out(
    design: DesignSpec, asked: Callable[[LookSpec], dict[Place, int]], look: Callable[[Planned], Next]
) -> Ended:
    """Return what a design ends with: `asked` are the replicates in one of its looks, `look` says what comes next.

    Raises:
        RuntimeError: it does not end within 40 looks.
    """
    looks: list[LookSpec] = []
    for _ in range(40):
        found = look(Planned("planted", design, tuple(looks)))
        if found.done:
            counts: dict[Place, int] = {}
            for one in looks:
                counts |= asked(one)
            return Ended(looks, sum(counts.values()))
        looks.append(found.look)
    raise RuntimeError(f"no end: {looks[-1]}")


@dataclass(frozen=True)
class PlantedTopologies:
    """Topologies of `WIDTHS`, of shape (sizes, topologies, replicates)."""

    accuracy: FloatArray

    @classmethod
    def drawn(cls, rng: np.random.Generator, noise: Noise, difference: Sequence[float]) -> PlantedTopologies:
        """Return the replicates that the last look may see: the first topology is better by `difference`, by size."""
        means = 0.9 + np.array(difference)[:, None] * (np.arange(len(SHAPES)) == 0)
        own = np.array([[noise(rng, LOOKS[-1]) for _ in SHAPES] for _ in WIDTHS])
        return cls(means[:, :, None] + SHARED * rng.standard_normal(LOOKS[-1]) + OWN * own)

    def seen(self, counts: dict[Place, int]) -> Topologies:
        """Return what has been trained."""
        table = self.accuracy.copy()
        for row, width in enumerate(WIDTHS):
            table[row, :, counts.get(Place("dnn", 2, width), 0) :] = np.nan
        return Topologies(
            dataset="planted",
            dataset_fingerprint="planted",
            family="dnn",
            depth=2,
            protocol_id="p",
            chance=CHANCE,
            capacities=WIDTHS,
            shapes=(SHAPES,) * len(WIDTHS),
            parameters=tuple(np.full(len(SHAPES), 75.0 * width) for width in WIDTHS),
            accuracy=tuple(table),
        )


def topologies_of(planted: PlantedTopologies, seed: int) -> tuple[Ended, list[str]]:
    """Return what a design of topologies ends with, and the verdict on each size."""
    design = spec("shapes")

    def look(planned: Planned) -> Next:
        counts = trained(planned.looks, lambda one: dict(one.topologies))
        return plan_topologies(planned, [planted.seen(counts)] if counts else [], seed=seed)

    ended = carried_out(design, lambda one: dict(one.topologies), look)
    last = planted.seen(trained(ended.looks, lambda one: dict(one.topologies)))
    return ended, [row.status for row in compared_by(last, MARGIN, design.looks, seed=seed)]


def trained(looks: Sequence[LookSpec], of: Callable[[LookSpec], dict[Place, int]]) -> dict[Place, int]:
    """Return the replicates that all looks so far asked for."""
    counts: dict[Place, int] = {}
    for look in looks:
        counts |= of(look)
    return counts


def pairs_of(
    rng: np.random.Generator, noise: Noise, gaps: Sequence[float], *, partners: int = 30
) -> tuple[Ended, list[str]]:
    """Return what a design of 8 bits ends with, and what is known of each of `WIDTHS`, whose true gaps are given."""
    design = spec("quantization", depth=1)
    fp32 = 0.9 + OWN * rng.standard_normal((len(WIDTHS), LOOKS[-1]))
    int8 = fp32 - np.array(gaps)[:, None] + OWN * np.array([noise(rng, LOOKS[-1]) for _ in WIDTHS])
    levels = dict(zip(design.looks, nominal_levels(0.025, design.looks), strict=True))
    places = [Place("dnn", 1, width) for width in WIDTHS]

    def look(planned: Planned) -> Next:
        counts = trained(planned.looks, lambda one: dict(one.quantized))
        present = np.array([np.arange(LOOKS[-1]) < counts.get(place, 0) for place in places])
        pairs = Pairs(
            dataset="planted",
            dataset_fingerprint="planted",
            family="dnn",
            depth=1,
            protocol_id="p",
            chance=CHANCE,
            capacities=np.array(WIDTHS, dtype=np.int64),
            parameters=75 * np.array(WIDTHS, dtype=np.int64),
            replicates=tuple(range(LOOKS[-1])),
            present=present,
            fp32=fp32,
            int8=int8,
        )
        rows = {
            place: gap_of(pairs, size, {pairs.key: 0.0}, 2 * levels[counts[place]])
            for size, place in enumerate(places)
            if place in counts
        }
        verdicts[:] = [
            "within" if (row.ci_high or 1.0) < MARGIN else "beyond" if (row.ci_low or 0.0) > MARGIN else "open"
            for row in rows.values()
        ]
        return plan_pairs(planned, dict.fromkeys(places, partners), rows)

    verdicts: list[str] = []
    return carried_out(design, lambda one: dict(one.quantized), look), verdicts


@dataclass
class AutoTally:
    """Counts over planted designs; `trainings` are shares of those that 30 replicates of everything take."""

    stores: int = 0
    wrong: int = 0
    wrong_other: int = 0
    decided: int = 0
    decidable: int = 0
    trainings: list[float] = field(default_factory=list)


def topologies_tally(noise: Noise, seeds: Sequence[int]) -> AutoTally:
    """Return how designs of topologies end where three sizes differ by exactly the margin and three do not differ.

    `wrong` counts designs that call one of the former equivalent, `wrong_other` different; `decided` the latter sizes
    that are called equivalent.
    """
    tally = AutoTally()
    for seed in seeds:
        planted = PlantedTopologies.drawn(np.random.default_rng([seed, 13]), noise, (MARGIN,) * 3 + (0.0,) * 3)
        ended, verdicts = topologies_of(planted, seed)
        tally.stores += 1
        tally.wrong += "equivalent" in verdicts[:3]
        tally.wrong_other += "different" in verdicts[:3]
        tally.decidable += 3
        tally.decided += verdicts[3:].count("equivalent")
        tally.trainings.append(ended.trainings / (len(WIDTHS) * LOOKS[-1]))
    return tally


def pairs_tally(noise: Noise, seeds: Sequence[int]) -> AutoTally:
    """Return how designs of 8 bits end where three networks lose exactly the margin and three lose nothing.

    `wrong` counts networks of the former that are called within the margin, of three in each store, `wrong_other`
    those called beyond it; `decided` the latter that are called within.
    """
    tally = AutoTally()
    for seed in seeds:
        ended, verdicts = pairs_of(np.random.default_rng([seed, 14]), noise, (MARGIN,) * 3 + (0.0,) * 3)
        tally.stores += 1
        tally.wrong += verdicts[:3].count("within")
        tally.wrong_other += verdicts[:3].count("beyond")
        tally.decidable += 3
        tally.decided += verdicts[3:].count("within")
        tally.trainings.append(ended.trainings / (len(WIDTHS) * LOOKS[-1]))
    return tally


def on_grid(rng: np.random.Generator, noise: Noise, correlation: float) -> World:
    """Return a world as `edged`, whose design stays on its sizes."""
    world = edged(rng, noise, correlation)
    world.resolution = None
    return world


FIRST_STABLE = {"dnn": 5, "cnn": 4}
"""The smallest size of each sweep of `edged` that does not spread by 20 points."""


def grid_tally(noise: Noise, correlation: float, seeds: Sequence[int]) -> AutoTally:
    """Return how designs of equal widths end in `edged` worlds, on the grid of their sizes.

    `wrong` counts those with an answer that is too small in any scope, `wrong_other` boundaries whose interval does
    not cover, of two in each store; `decided` answers of a family that are its smallest good size, of two.
    """
    tally = AutoTally()
    everything = LOOKS[-1] * sum(map(len, SWEEPS.values()))
    for seed in seeds:
        world = on_grid(np.random.default_rng([seed, 15]), noise, correlation)
        found = search(world, seed=seed)
        tally.stores += 1
        tally.wrong += any(where is not None and where.capacity < EDGE for where in found.last.answers.values())
        for sweep in world.sweeps():
            row = sweep_regimes(sweep, seed=seed, looks=world.looks)[0]
            covered = row.ci_low is not None and row.ci_high is not None
            covered = covered and (row.ci_low or 0) <= FIRST_STABLE[sweep.family] <= (row.ci_high or 0)
            tally.wrong_other += not covered
        smallest = {"dnn": 10, "cnn": 8}
        tally.decidable += len(smallest)
        answers = {family: found.last.answers[family] for family in smallest}
        tally.decided += sum(
            where is not None and where.capacity == smallest[family] for family, where in answers.items()
        )
        tally.trainings.append(found.trainings / everything)
    return tally
