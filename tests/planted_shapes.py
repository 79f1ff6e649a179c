"""Simulated topologies of several sizes whose truth is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analyze.stats.components import components, projection, spline_basis, within_sizes
from analyze.stats.equivalence import compare
from analyze.stats.result import LEVEL, FloatArray
from tests.planted import CHANCE
from tests.planted_store import PlantedSweep

WIDTHS = (10, 20, 30, 50, 100, 200)
STEPS = {"-": 0.6, "=": 1.0, "+": 1.8}
"""Topologies of two hidden layers: width of the second over that of the first, about one rung of the ladder."""

ROUNDING = 1e-6
OWN, SHARED = 0.006, 0.004
"""Standard deviations between replicates: of a network's own, and shared by all networks of a replicate."""


@dataclass(frozen=True)
class PlantedShapes:
    """One table per size, shape (topologies, replicates), with parameters and true means of shape (topologies,)."""

    accuracy: list[FloatArray]
    parameters: list[FloatArray]
    means: list[FloatArray]

    @property
    def size_sd(self) -> float:
        """True standard deviation between sizes."""
        return float(np.std([mean.mean() for mean in self.means], ddof=1))

    @property
    def topology_sd(self) -> float:
        """True root mean variance between the topologies of a size."""
        return float(np.sqrt(np.mean([mean.var(ddof=1) for mean in self.means])))

    @property
    def adjusted_sd(self) -> float:
        """The same of what a spline of log10 parameters leaves, with what it takes from independent effects back."""
        size = np.repeat(np.arange(len(self.means)), [len(mean) for mean in self.means])
        x = np.log10(np.concatenate(self.parameters))
        keep = np.eye(len(size)) - projection(spline_basis(x, len(self.means)))
        left = within_sizes(keep @ np.concatenate(self.means), size) / within_sizes(keep.T, size).sum()
        return float(np.sqrt(left))


def parameters_of(width: int, step: str) -> float:
    """Return the parameters of a network with two hidden layers on 8x8 images with 10 classes."""
    second = round(width * STEPS[step])
    return float(65 * width + (width + 1) * second + 10 * (second + 1))


def planted_shapes(
    rng: np.random.Generator, replicates: int, *, effect: float = 0.0, trend: float = 0.0
) -> PlantedShapes:
    """Return topologies whose means vary by `effect` (standard deviation) within a size.

    `trend`: accuracy per tenfold parameters; otherwise sizes differ by up to 4 points and parameters do nothing.
    """
    shared = SHARED * rng.standard_normal(replicates)
    planted = PlantedShapes([], [], [])
    for index, width in enumerate(WIDTHS):
        parameters = np.array([parameters_of(width, step) for step in STEPS])
        means = 0.9 + effect * rng.standard_normal(len(STEPS))
        means = means + (trend * (np.log10(parameters) - 3) if trend else 0.04 * index / len(WIDTHS))
        planted.means.append(means)
        planted.parameters.append(parameters)
        planted.accuracy.append(means[:, None] + shared + OWN * rng.standard_normal((len(STEPS), replicates)))
    return planted


def at_margin(
    rng: np.random.Generator, replicates: int, topologies: int, margin: float, kind: str = "normal"
) -> FloatArray:
    """Return topologies of one size, the first better than the others by just the margin.

    `kind` is that of their own noise: `normal`, `skewed` (exponential, the long tail down), or `rare`: normal, and one
    training in ten of the other topologies loses ten times the margin, which is all that they differ by.
    """
    means = np.where(np.arange(topologies) == 0, 0.9 + (margin if kind != "rare" else 0.0), 0.9)
    shape = (topologies, replicates)
    noise = OWN * (1 - rng.standard_exponential(shape) if kind == "skewed" else rng.standard_normal(shape))
    table = means[:, None] + SHARED * rng.standard_normal(replicates) + noise
    if kind == "rare":
        table[1:] -= 10 * margin * (rng.random((topologies - 1, replicates)) < 0.1)
    return table


def sweeps(planted: PlantedShapes, **options: Any) -> Iterator[PlantedSweep]:
    """Yield the rows of a store that hold the planted topologies, two hidden layers."""
    for row, step in enumerate(STEPS):
        accuracy = np.stack([table[row] for table in planted.accuracy])
        yield PlantedSweep(accuracy=accuracy, capacities=WIDTHS, depth=2, shape=step, **options)


@dataclass(frozen=True)
class ShapeTally:
    """What was found in planted topologies: counts of stores; `stated` are the powers stated, one per store."""

    stores: int
    equivalent: int
    different: int
    covered: int
    stated: tuple[float, ...]


def equivalence_tally(
    topologies: int, replicates: int, seeds: range, *, difference: float, margin: float, kind: str = "normal"
) -> ShapeTally:
    """Return how one size is judged whose first topology is better by `difference`, alone and unadjusted."""
    found = []
    for seed in seeds:
        rng = np.random.default_rng([seed, replicates, topologies])
        table = at_margin(rng, replicates, topologies, difference, kind)
        found.append(compare(table, chance=CHANCE, margin=margin, rng=rng))
    return ShapeTally(
        stores=len(found),
        equivalent=sum(row.p is not None and row.p <= LEVEL for row in found),
        different=sum(row.p_different is not None and row.p_different <= LEVEL for row in found),
        covered=sum(row.interval is not None and row.interval[0] <= difference <= row.interval[1] for row in found),
        stated=tuple(row.power or 0.0 for row in found),
    )


def equivalent_at_some_look(looks: Sequence[int], seeds: range, *, margin: float, kind: str) -> int:
    """Return in how many stores two topologies at the margin are called equivalent by 5% at any of several looks."""
    hits = 0
    for seed in seeds:
        rng = np.random.default_rng([seed, 2])
        table = at_margin(rng, max(looks), 2, margin, kind)
        found = (compare(table[:, :n], chance=CHANCE, margin=margin, rng=rng, simulations=9).p for n in looks)
        hits += any(p is not None and p <= LEVEL for p in found)
    return hits


RARE, DROP = 0.02, 0.5


def rare_component_coverage(replicates: int, seeds: range) -> tuple[int, int]:
    """Return in how many stores the interval of the replicates' standard deviation covers, and how many were warned of.

    One training in fifty loses 50 points.
    """
    truth = float(np.sqrt(OWN**2 + SHARED**2 + RARE * (1 - RARE) * DROP**2))
    covered = warned = 0
    for seed in seeds:
        rng = np.random.default_rng([seed, replicates])
        tables = [t - DROP * (rng.random(t.shape) < RARE) for t in planted_shapes(rng, replicates).accuracy]
        found = components(tables, rng=rng, resamples=9)
        assert found.replicate is not None
        covered += found.replicate.interval[0] <= truth <= found.replicate.interval[1]
        warned += bool(found.reasons)
    return covered, warned


COMPONENTS = ("size", "topology", "replicate", "adjusted topology")


def component_coverage(replicates: int, seeds: range, *, effect: float, trend: float) -> dict[str, int]:
    """Return how many 95% intervals of planted variance components cover the true ones."""
    covered = dict.fromkeys(COMPONENTS, 0)
    for seed in seeds:
        rng = np.random.default_rng([seed, replicates])
        planted = planted_shapes(rng, replicates, effect=effect, trend=trend)
        raw = components(planted.accuracy, rng=rng, resamples=399)
        adjusted = components(planted.accuracy, planted.parameters, rng=rng, resamples=399)
        truths = (planted.size_sd, planted.topology_sd, float(np.hypot(OWN, SHARED)), planted.adjusted_sd)
        parts = (raw.size, raw.topology, raw.replicate, adjusted.topology)
        for name, truth, part in zip(COMPONENTS, truths, parts, strict=True):
            # A trend that a spline takes out whole leaves rounding errors.
            hit = part is not None and part.interval[0] - ROUNDING <= truth <= part.interval[1] + ROUNDING
            covered[name] += hit
    return covered
