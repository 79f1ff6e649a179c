"""`python -m benchmarks.replay`: searches replayed on a store that already has every replicate, in other orders.

    python -m benchmarks.replay --store replay.duckdb --train       # once: whatever a search may ask for
    python -m benchmarks.replay --store replay.duckdb --times 200

Each replay permutes the replicates and lets `generate search`'s design draw them as it asks. Its answers are compared
with those of a single look at all 30, and the time of what it trained with that of the usual grid at 30 replicates, as
`generate plan` reckons it: seconds that were measured depend on what else the machine did then.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import sqrt
from pathlib import Path

import click
import numpy as np

from analyze.questions.designs import held
from analyze.study import Study
from analyze.sweeps import Sweep, sweeps
from benchmarks.operating_characteristics import average, header, row, share
from generate.architectures import Architecture
from generate.cost import model_seconds
from generate.datasets import load_dataset
from generate.plan import Request, protocol_of
from generate.sequential import LOOKS, SEARCHED_DEPTHS, coarse
from store.designs import DesignSpec, Place, ladder
from store.errors import MinarchError
from store.families import family_facts
from tests.planted_search import Searched, search

FAMILIES = ("cnn", "dnn")
REPLICATES = LOOKS[-1]
FIRST_SEED = 930_000
RESOLUTION = 0.1
"""Of a search that is asked for none, in parameters."""
ABOVE = {"cnn": 1, "dnn": 3}
"""How often a search of the digits doubles the largest size that it begins with, at most."""
WITHIN = {"cnn": (2, 32), "dnn": (20, 200)}
"""Between which sizes its answer lies, so that it may ask for others there."""


class NotInStoreError(Exception):
    """A replay asked for a size that the store does not have."""


@dataclass
class Replay:
    """The replicates of a store in another order, given out as they are asked for; as `tests.planted_search.World`."""

    whole: Sequence[Sweep]
    spec: DesignSpec
    order: np.ndarray
    count: dict[Place, int] = field(default_factory=dict)

    def train(self, place: Place, replicates: int) -> None:
        """Give out replicates 0 to n - 1 of an architecture, in the order of this replay.

        Raises:
            NotInStoreError: the store lacks the architecture.
        """
        if not any(
            (sweep.family, sweep.depth) == (place.family, place.depth) and place.capacity in sweep.capacities
            for sweep in self.whole
        ):
            raise NotInStoreError(place)
        self.count[place] = max(self.count.get(place, 0), replicates)

    def sweeps(self) -> list[Sweep]:
        """Return what was given out so far."""
        found = []
        for sweep in self.whole:
            counts = [self.count.get(Place(sweep.family, sweep.depth, int(size)), 0) for size in sweep.capacities]
            rows = np.flatnonzero(counts)
            if len(rows):
                found.append(_seen(sweep, rows, self.order, np.array(counts)[rows]))
        return found


def _seen(sweep: Sweep, rows: np.ndarray, order: np.ndarray, counts: np.ndarray) -> Sweep:
    """Return some sizes of a sweep, each with the first of its replicates in another order."""
    hidden = np.arange(counts.max()) >= counts[:, None]

    def part(table: np.ndarray) -> np.ndarray:
        return np.where(hidden, np.nan, table[rows][:, order[: counts.max()]])

    return replace(
        sweep,
        capacities=sweep.capacities[rows],
        parameters=sweep.parameters[rows],
        accuracy=part(sweep.accuracy),
        last_train=part(sweep.last_train),
        last_test=part(sweep.last_test),
    )


def between(low: int, high: int, resolution: float) -> set[int]:
    """Return every size that halving (of logarithms) may come upon between two, down to a ratio of 1 + resolution."""
    if high - low < 2 or high <= (1 + resolution) * low:
        return set()
    middle = max(low + 1, min(high - 1, round(sqrt(low * high))))
    return {middle} | between(low, middle, resolution) | between(middle, high, resolution)


def reachable(family: str) -> tuple[int, ...]:
    """Return the sizes of a family that a search of the digits may ask for."""
    sizes = list(coarse(family_facts(family).grid("digits")))
    for _ in range(ABOVE[family]):
        sizes.append(2 * sizes[-1])
    least, most = WITHIN[family]
    inner = [between(low, high, RESOLUTION) for low, high in pairwise(sizes) if least <= low and high <= most]
    return tuple(sorted(set(sizes).union(*inner)))


def train(store: Path) -> None:
    """Train 30 replicates of every size that a search may ask for, and five of the usual grid, to time it.

    Raises:
        MinarchError: a sweep failed.
    """
    for family in FAMILIES:
        depths = ",".join(map(str, SEARCHED_DEPTHS)) if family_facts(family).layered else None
        sizes = ",".join(map(str, reachable(family)))
        _generate(store, family, *(("--depths", depths) if depths else ()), "--capacities", sizes, "--repeats", "30")
        _generate(store, family, "--repeats", "5")


def _generate(store: Path, family: str, *options: str) -> None:
    command = ["convergence", "--dataset", "digits", "--family", family, *options, "--store", str(store)]
    if subprocess.run([sys.executable, "-m", "generate", *command], check=False).returncode:
        raise MinarchError(f"generate {' '.join(command)} failed")


def design(whole: Iterable[Sweep], looks: tuple[int, ...]) -> DesignSpec:
    """Return the design of `generate search` on the digits, with other looks where they are given."""
    found = {sweep.family: sweep for sweep in whole}
    ladders = []
    for family in FAMILIES:
        sizes = coarse(family_facts(family).grid("digits"))
        ladders += [ladder(family, depth, sizes) for depth in _depths(family)]
    return DesignSpec(
        fingerprint=found[FAMILIES[0]].dataset_fingerprint,
        protocols={family: found[family].protocol_id for family in FAMILIES},
        ladders=tuple(ladders),
        looks=looks,
    )


def _depths(family: str) -> Sequence[int]:
    return SEARCHED_DEPTHS if family_facts(family).layered else (1,)


@dataclass
class Tally:
    """Answers of replays by scope, what their trainings cost, and the sizes for which others had to be left."""

    answers: dict[str, list[Place | None]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    trainings: list[int] = field(default_factory=list)
    left: list[object] = field(default_factory=list)

    def add(self, found: Searched, count: Mapping[Place, int]) -> None:
        """Count one replay."""
        for scope, where in found.last.answers.items():
            self.answers.setdefault(scope, []).append(where)
        self.seconds.append(sum(n * training_seconds(where) for where, n in count.items()))
        self.trainings.append(found.trainings)


def replays(store: Path, seeds: Collection[int]) -> str:
    """Return a Markdown table of searches on permuted replicates, beside the answer of all replicates.

    Raises:
        MinarchError: the store lacks sizes or replicates.
    """
    study = Study.read(store, "digits", FAMILIES)
    wanted = {(family, depth) for family in FAMILIES for depth in _depths(family)}
    whole = [_complete(sweep) for sweep in sweeps(study).content if (sweep.family, sweep.depth) in wanted]
    single = Replay(whole, design(whole, (REPLICATES,)), np.arange(REPLICATES))
    truth = search(single, seed=FIRST_SEED).last.answers
    tally, spec = Tally(), design(whole, LOOKS)
    for seed in seeds:
        replay = Replay(whole, spec, np.random.default_rng([seed, 21]).permutation(REPLICATES))
        try:
            tally.add(search(replay, seed=seed), replay.count)
        except NotInStoreError as error:
            tally.left.append(error.args[0])
    grid = [where for family in FAMILIES for where in _grid(family)]
    full = REPLICATES * sum(map(training_seconds, grid))
    times = len(tally.seconds)
    lines = [*header("scope", f"one look at {REPLICATES}", "the same answer", "a smaller one", "a larger one", "none")]
    for scope, found in tally.answers.items():
        answer = truth[scope]
        others = [where for where in found if where is not None and where != answer]
        smaller = sum(answer is None or _size(whole, where) < _size(whole, answer) for where in others)
        none = sum(where is None for where in found)
        counts = (found.count(answer), smaller, len(others) - smaller, none if answer else 0)
        lines.append(row(scope, _words(answer), *(share(count, times) for count in counts)))
    lines += [
        "",
        f"{times} replays: {average(tally.trainings, 0)} trainings, {average(tally.seconds, 0)} s of training;"
        f" {REPLICATES} replicates of the grid ({len(grid)} architectures) take {full:.0f} s:"
        f" {np.mean(tally.seconds) / full:.3f} of it",
        *([f"{len(tally.left)} more asked for sizes that the store lacks: {set(tally.left)}"] if tally.left else []),
    ]
    return "\n".join(lines)


def _complete(sweep: Sweep) -> Sweep:
    """Return the sizes of a sweep that have all replicates."""
    counts = np.array([held(values) for values in sweep.accuracy])
    rows = np.flatnonzero(counts >= REPLICATES)
    if not len(rows):
        raise MinarchError(f"no size of {sweep.family}, depth {sweep.depth}, has {REPLICATES} replicates: use --train")
    return _seen(sweep, rows, np.arange(REPLICATES), np.full(len(rows), REPLICATES))


def _grid(family: str) -> list[Place]:
    """Return the architectures of the usual grid of the digits."""
    facts = family_facts(family)
    return [Place(family, depth, size) for depth in facts.depths or (1,) for size in facts.grid("digits")]


@functools.cache
def training_seconds(where: Place) -> float:
    """Return the time that `generate plan` reckons for a training of the digits on the nominal core."""
    digits = load_dataset("digits", None)
    protocol = protocol_of(Request(phase="convergence"), where.family, "digits", digits.seeding)
    sizes = (where.capacity,) * (where.depth if family_facts(where.family).layered else 1)
    counts = len(digits.train.images), len(digits.test.images)
    return model_seconds(Architecture(where.family, sizes), digits.image, protocol, *counts)


def _size(whole: Iterable[Sweep], where: Place) -> int:
    for sweep in whole:
        if (sweep.family, sweep.depth) == (where.family, where.depth):
            return int(sweep.parameters[np.flatnonzero(sweep.capacities == where.capacity)[0]])
    raise KeyError(where)


def _words(where: Place | None) -> str:
    return (
        "none"
        if where is None
        else f"{family_facts(where.family).title} {family_facts(where.family).sized(where.depth, where.capacity)}"
    )


@click.command()
@click.option("--store", type=click.Path(dir_okay=False, path_type=Path), required=True)
@click.option("--train", "training", is_flag=True, help="Train what the store lacks.")
@click.option("--times", type=click.IntRange(min=1), default=200, show_default=True)
def main(store: Path, training: bool, times: int) -> None:
    """Replay searches of the digits on a store that has all replicates."""
    try:
        if training:
            train(store)
        else:
            click.echo(replays(store, range(FIRST_SEED, FIRST_SEED + times)))
    except MinarchError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
