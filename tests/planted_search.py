"""Planted searches: a sequential design that draws the replicates it asks for, from networks whose truth is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np

from analyze.questions.budget import Limits
from analyze.questions.candidates import cells_of, judge
from analyze.questions.designs import Planned
from analyze.questions.regimes import sweep_regimes
from analyze.questions.search import Next, plan_next
from analyze.stats.result import FloatArray
from analyze.stats.spending import LOOKS
from analyze.sweeps import Sweep
from store.designs import LADDER_SHARE, DesignSpec, LookSpec, Place, ladder

CHANCE = 0.1
Noise = Callable[[np.random.Generator, int], FloatArray]
"""Draws of mean 0 and standard deviation 1."""


def normal(rng: np.random.Generator, n: int) -> FloatArray:
    """Return normal noise."""
    return rng.standard_normal(n)


def skewed(rng: np.random.Generator, n: int) -> FloatArray:
    """Return noise with a long tail towards bad results: an exponential's, skewness -2."""
    return 1 - rng.exponential(size=n)


@dataclass
class World:
    """Networks with a true mean accuracy each, of which replicates are drawn as they are asked for.

    Attributes:
        means: true mean accuracy of each architecture; those that are not named are taken from `between`.
        ladders: sizes that the search begins with, by family and depth.
        sd: between replicates of one architecture, a fraction.
        correlation: between architectures in one replicate.
        unstable: sizes up to this one spread by 20 points about their mean.
    """

    means: Mapping[Place, float]
    ladders: Mapping[tuple[str, int], tuple[int, ...]]
    rng: np.random.Generator
    noise: Noise = normal
    sd: float = 0.006
    correlation: float = 0.5
    unstable: int = 3
    max_drop: float = 0.01
    between: Callable[[Place], float] = field(default=lambda _: 0.5)
    looks: tuple[int, ...] = LOOKS
    resolution: float | None = 0.1

    def __post_init__(self) -> None:
        self.shared = self.noise(self.rng, self.looks[-1])
        self.drawn: dict[Place, FloatArray] = {}
        self.count: dict[Place, int] = {}

    @cached_property
    def spec(self) -> DesignSpec:
        """The design."""
        return DesignSpec(
            fingerprint="planted",
            protocols={family: "protocol" for family, _ in self.ladders},
            ladders=tuple(
                ladder(family, depth, sizes, LADDER_SHARE if self.resolution else 1.0)
                for (family, depth), sizes in self.ladders.items()
            ),
            looks=self.looks,
            max_drop=self.max_drop,
            resolution=self.resolution,
        )

    def mean(self, place: Place) -> float:
        """Return the true mean accuracy of an architecture."""
        return self.means[place] if place in self.means else self.between(place)

    def train(self, place: Place, replicates: int) -> None:
        """Draw replicates 0 to n - 1 of an architecture, those that are lacking."""
        if place not in self.drawn:
            if place.capacity <= self.unstable:
                values = self.mean(place) + 0.2 * self.rng.standard_normal(self.looks[-1])
            else:
                own = self.noise(self.rng, self.looks[-1])
                mixed = np.sqrt(self.correlation) * self.shared + np.sqrt(1 - self.correlation) * own
                values = self.mean(place) + self.sd * mixed
            self.drawn[place] = np.clip(values, 0.0, 1.0)
        self.count[place] = max(self.count.get(place, 0), replicates)

    def sweeps(self) -> list[Sweep]:
        """Return what has been trained."""
        found = []
        for family, depth in self.ladders:
            places = sorted(place for place in self.count if (place.family, place.depth) == (family, depth))
            accuracy = np.full((len(places), max(self.count[place] for place in places)), np.nan)
            for row, place in enumerate(places):
                accuracy[row, : self.count[place]] = self.drawn[place][: self.count[place]]
            sizes = np.array([place.capacity for place in places], dtype=np.int64)
            found.append(
                Sweep(
                    dataset="planted",
                    dataset_fingerprint="planted",
                    family=family,
                    depth=depth,
                    protocol_id="protocol",
                    chance=CHANCE,
                    capacities=sizes,
                    parameters=75 * sizes + 10,
                    accuracy=accuracy,
                    last_train=accuracy,
                    last_test=accuracy,
                )
            )
        return found


class Source(Protocol):
    """What gives out the replicates that a search asks for, and returns those given out so far as sweeps."""

    count: dict[Place, int]

    @property
    def spec(self) -> DesignSpec:
        """The design."""

    def train(self, place: Place, replicates: int) -> None:
        """Give out replicates 0 to n - 1 of an architecture."""

    def sweeps(self) -> list[Sweep]:
        """Return what was given out so far."""


@dataclass(frozen=True)
class Searched:
    """What a search ended with: its last look, and how many looks and trainings it took."""

    last: Next
    looks: int
    trainings: int


def search(world: Source, *, seed: int, most: int = 40) -> Searched:
    """Return what a search ends with that is given its replicates by `world`.

    Raises:
        RuntimeError: it does not end within `most` looks.
    """
    first = LookSpec(held={}, asked=dict.fromkeys(Planned("planted", world.spec, ()).shares, world.spec.looks[0]))
    looks = [first]
    for _ in range(most):
        for place, replicates in looks[-1].asked.items():
            world.train(place, replicates)
        planned = Planned("planted", world.spec, tuple(looks))
        sweeps = world.sweeps()
        stability = [sweep_regimes(sweep, seed=seed, looks=world.spec.looks)[0] for sweep in sweeps]
        found = plan_next(planned, sweeps, stability, seed=seed)
        if found.done:
            return Searched(found, len(looks), sum(world.count.values()))
        looks.append(found.look)
    raise RuntimeError(f"no end within {most} looks: {looks[-1]}")


SWEEPS = {("dnn", 1): (1, 2, 3, 5, 10, 20, 50), ("cnn", 1): (1, 2, 4, 8, 16, 32)}
MANY = {
    **{("dnn", depth): (1, 2, 3, 5, 8, 10, 14, 20, 30, 50, 70, 100) for depth in (1, 2, 3)},
    ("cnn", 1): (1, 2, 3, 4, 6, 8, 10, 12, 16, 24, 32, 48),
}
"""Sizes of four sweeps, 48 in all."""
EDGE = 8
"""The smallest size that is good enough in `edged`: it loses half of the margin, smaller ones all of it."""


def edged(
    rng: np.random.Generator,
    noise: Noise,
    correlation: float,
    *,
    drop: float = 0.01,
    sweeps: Mapping[tuple[str, int], tuple[int, ...]] = SWEEPS,
) -> World:
    """Return a world in which sizes below `EDGE` are worse than the best by exactly the margin."""
    return World(
        {},
        sweeps,
        rng,
        noise,
        correlation=correlation,
        between=lambda place: (
            0.4 if place.capacity <= 3 else 0.97 - (drop if place.capacity < EDGE else drop / 2 * (place.capacity < 16))
        ),
    )


def steep(
    rng: np.random.Generator,
    noise: Noise,
    correlation: float,
    *,
    sweeps: Mapping[tuple[str, int], tuple[int, ...]] = SWEEPS,
) -> World:
    """Return a world in which all but the largest size of each sweep are worse than it by exactly the margin.

    With a single rival that is hard to beat, and a new size that is not good enough wherever one is added.
    """
    return World(
        {},
        sweeps,
        rng,
        noise,
        correlation=correlation,
        between=lambda place: (
            0.4 if place.capacity <= 3 else 0.97 - 0.01 * (place.capacity < sweeps[place.family, place.depth][-1])
        ),
    )


def steep_tally(noise: Noise, correlation: float, seeds: Sequence[int]) -> Counter[str]:
    """Return in how many `steep` worlds the answer of each scope is too small, and that of `any`."""
    tally = Counter[str]()
    for seed in seeds:
        world = steep(np.random.default_rng([seed, 13]), noise, correlation)
        answers = search(world, seed=seed).last.answers
        wrong = [
            scope
            for scope, where in answers.items()
            if where is not None and where.capacity < world.ladders[where.family, where.depth][-1]
        ]
        tally.update([*wrong, *(["any"] if wrong else [])])
    return tally


@dataclass
class SearchTally:
    """What searches ended with: counts of stores, and trainings of each."""

    stores: int = 0
    wrong: int = 0
    answered: int = 0
    smallest: int = 0
    fixed: int = 0
    trainings: list[int] = field(default_factory=list)
    looks: list[int] = field(default_factory=list)


def fixed_answer(world: World, family: str, *, replicates: int, seed: int) -> int | None:
    """Return the smallest size that passes where all sizes of the ladders get so many replicates; None: none does."""
    for (member, depth), sizes in world.ladders.items():
        for size in sizes:
            world.train(Place(member, depth, size), replicates)
    found = [sweep for sweep in world.sweeps() if sweep.family == family]
    judged = judge(
        cells_of(found, [sweep_regimes(sweep, seed=seed)[0] for sweep in found]), family, Limits(), seed=seed
    )
    return min((row.capacity for row in judged if row.verdict == "qualifies"), default=None)


def search_tally(
    noise: Noise,
    correlation: float,
    seeds: Sequence[int],
    *,
    sweeps: Mapping[tuple[str, int], tuple[int, ...]] = SWEEPS,
    fixed: int | None = None,
) -> SearchTally:
    """Return what searches end with in `edged` worlds; a scope counts as wrong if its answer is too small.

    `wrong` counts stores with any wrong scope, `answered` and `smallest` those where the CNN has an answer, and where
    that is within 1.1 times the parameters of the smallest good one, or at most the next of the sizes there are;
    `fixed` those where `fixed` replicates of every size of the ladders answer so.
    """
    tally = SearchTally()
    for seed in seeds:
        world = edged(np.random.default_rng([seed, 12]), noise, correlation, sweeps=sweeps)
        found = search(world, seed=seed)
        tally.stores += 1
        answers = found.last.answers
        tally.wrong += any(where is not None and where.capacity < EDGE for where in answers.values())
        where = answers["cnn"]
        tally.answered += where is not None
        tally.smallest += where is not None and EDGE <= where.capacity <= 1.1 * EDGE
        tally.trainings.append(found.trainings)
        tally.looks.append(found.looks)
        if fixed is not None:
            again = edged(np.random.default_rng([seed, 12]), noise, correlation, sweeps=sweeps)
            size = fixed_answer(again, "cnn", replicates=fixed, seed=seed)
            tally.fixed += size is not None and EDGE <= size <= 1.1 * EDGE
    return tally
