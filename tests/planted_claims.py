"""Simulated stores in which it is known whether each claim of the paper is true, as evidence in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import get_args

import numpy as np

from analyze.paper.claims import evaluate, tested
from analyze.paper.claims.evidence import Evidence, locate
from analyze.paper.claims.looks import Cell, Kind, Looked, next_of_claims
from analyze.paper.claims.rows import ClaimVerdict
from analyze.paper.figures import LARGEST_ACCURACY, TABLE_ONE
from analyze.questions.candidates import cells_of
from analyze.questions.designs import Planned
from analyze.questions.next import places
from analyze.questions.pruning import Curves
from analyze.questions.quantization import Pairs
from analyze.questions.regimes import sweep_regimes
from analyze.questions.shapes import Topologies
from analyze.stats.result import FloatArray, IntArray
from analyze.stats.safety import MARGIN
from analyze.stats.spending import FIRST_DECISION, LOOKS
from analyze.study import ArchitectureKey, Selection
from analyze.sweeps import Sweep
from store.designs import DesignSpec, LookSpec, Place, ladder
from tests.planted import CHANCE, LADDER
from tests.planted_pruning import SPARSITIES

DATASETS = ("mnist", "cifar10")
GRIDS = {"dnn": LADDER, "cnn": (1, 2, 3, 4, 6, 8, 12, 16, 24, 32), "vit": (1, 2, 3, 4, 6, 8, 10, 12, 14, 16)}
DEPTHS = {"dnn": (1, 2), "cnn": (1,), "vit": (2,)}
PER_UNIT = {
    ("mnist", "dnn"): 800,
    ("mnist", "cnn"): 7_000,
    ("mnist", "vit"): 840,
    ("cifar10", "dnn"): 100_000,
    ("cifar10", "cnn"): 750_000,
    ("cifar10", "vit"): 1_000,
}
"""Parameters per unit of capacity, such that the boundaries of a true world are those of Table I."""
SHAPES = ("+", "-", "=")
UNSTABLE, STABLE, PAIRED = 0.08, 0.006, 0.006
"""Standard deviations of accuracy below and above the boundary, and of the 8-bit gap."""
GRID = np.array(SPARSITIES)


@dataclass(frozen=True, kw_only=True)
class World:
    """What is true: boundaries as indices of the sizes, differences and slopes as fractions.

    `accuracy` is the place of the largest size's accuracy in the printed range (0: its lower end, 0.5: inside), `gap`
    what the smallest stable network's gap has beyond Table I's, `safe` the loss at sparsities up to the printed one.
    `skewed`: noise is exponential and not normal, its long tail towards worse networks.
    """

    boundaries: dict[str, int]
    opening: float
    topology: float
    accuracy: float
    decline: tuple[float, float]
    safe: float
    wider: float
    deeper: float
    gap: float
    slope: float
    skewed: bool = False


TRUE = World(
    boundaries={"dnn": 5, "cnn": 3, "vit": 4},
    opening=0.012,
    topology=0.0,
    accuracy=0.5,
    decline=(0.6, 0.8),
    safe=0.0,
    wider=0.005,
    deeper=0.04,
    gap=0.0,
    slope=-0.01,
)
FALSE = World(
    boundaries={"dnn": 3, "cnn": 2, "vit": 3},
    opening=0.0,
    topology=0.03,
    accuracy=-8.0,
    decline=(0.2, 1.1),
    safe=0.03,
    wider=-0.005,
    deeper=-0.04,
    gap=0.05,
    slope=0.01,
)
EDGE = World(
    boundaries={"dnn": 5, "cnn": 3, "vit": 4},
    opening=0.0,
    topology=MARGIN,
    accuracy=0.0,
    decline=(0.6, 0.8),
    safe=MARGIN,
    wider=0.0,
    deeper=0.0,
    gap=MARGIN,
    slope=0.0,
)
"""Wherever a claim is about a number, the truth is at the end of what it allows: neither verdict is right."""
SKEWED = replace(EDGE, skewed=True)
WORLDS = {"true": TRUE, "false": FALSE, "at the edge": EDGE, "at the edge, skewed": SKEWED}


def noise(world: World, rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """Return noise of accuracies with mean 0 and standard deviation 1."""
    return np.asarray(1 - rng.standard_exponential(shape) if world.skewed else rng.standard_normal(shape))


def level(world: World, dataset: str, family: str) -> float:
    """Return the mean accuracy of stable networks."""
    low, high = LARGEST_ACCURACY.get((dataset, family), (0.9, 0.9))
    return max(low + world.accuracy * (high - low), 0.3)


def kept(world: World, dataset: str, family: str, depth: int, size: int) -> FloatArray:
    """Return the mean share of accuracy above chance that a network keeps at each sparsity."""
    start, end = world.decline
    shift = world.wider * (size - len(GRIDS[family])) + world.deeper * (depth - 1)
    fall = np.interp(GRID, [start + shift, end + shift], [1.0, 0.0])
    margin = level(world, dataset, family) - CHANCE
    printed = TABLE_ONE[dataset, family].sparsity.value
    lost = np.where((GRID > 0) & (printed + 1e-9 >= GRID), world.safe, 0.0) / margin
    return np.asarray(np.minimum(fall, 1.0 - lost))


def gaps(world: World, dataset: str, family: str) -> FloatArray:
    """Return the mean 8-bit gap of each size: at the first stable one Table I's plus what the world adds."""
    first = world.boundaries[family]
    decades = np.log10(np.array(GRIDS[family]) / GRIDS[family][first])
    return np.asarray(TABLE_ONE[dataset, family].gap.value + world.gap + world.slope * decades)


def evidence_of(world: World, rng: np.random.Generator, replicates: int) -> Evidence:
    """Return the evidence of a planted store with two datasets and all families."""
    sweeps: list[Sweep] = []
    curves: list[Curves] = []
    pairs: list[Pairs] = []
    for dataset, (family, depths) in product(DATASETS, DEPTHS.items()):
        for depth in depths:
            sweep = _sweep(world, dataset, family, depth, rng, replicates)
            sweeps.append(sweep)
            curves += _curves(world, sweep, rng)
            pairs.append(_pairs(world, sweep, rng))
    located = tuple(locate(sweep, *sweep_regimes(sweep, seed=0), seed=0) for sweep in sweeps)
    cells = tuple(cells_of(sweeps, [entry.stability for entry in located]))
    best = {"dnn": (2, 1000), "cnn": (1, 32), "vit": (2, 16)}
    return Evidence(
        chosen=Selection(),
        scopes=tuple(product(DATASETS, DEPTHS)),
        located=located,
        cells=cells,
        curves={c.key: c for c in curves},
        pairs=tuple(pairs),
        topologies=tuple(_topologies(world, dataset, rng, replicates) for dataset in DATASETS),
        validation={c.key: float((c.depth, c.capacity) == best[c.family]) for c in cells},
        seed=0,
        notes=(),
    )


def verdicts(world: World, seed: int, replicates: int) -> tuple[ClaimVerdict, ...]:
    """Return the table of claims of a planted store."""
    return evaluate(evidence_of(world, np.random.default_rng([seed, replicates]), replicates))


def wrong(world: World, row: ClaimVerdict) -> bool:
    """Return whether a verdict is wrong: supported though not true, or contradicted though not false."""
    if row.verdict == "not_testable":
        return False
    true, false = truth(world, row)
    return (row.verdict == "supported" and not true) or (row.verdict == "contradicted" and not false)


@dataclass
class ClaimsTally:
    """Counts over planted stores: tables with a wrong verdict, and rows by whether theirs is right, wrong or open."""

    stores: int = 0
    tables_wrong: int = 0
    rows: int = 0
    rows_wrong: int = 0
    decidable: int = 0
    decided: int = 0

    def add(self, world: World, table: Sequence[ClaimVerdict]) -> None:
        """Count one table."""
        rows = [row for row in table if row.verdict != "not_testable"]
        errors = sum(wrong(world, row) for row in rows)
        definite = [row for row in rows if any(truth(world, row))]
        self.stores += 1
        self.tables_wrong += errors > 0
        self.rows += len(rows)
        self.rows_wrong += errors
        self.decidable += len(definite)
        self.decided += sum(row.verdict != "inconclusive" for row in definite)


def claims_tally(world: World, replicates: int, seeds: range) -> ClaimsTally:
    """Return how the tables of planted stores are judged; `decidable` rows are those whose claim is true or false."""
    tally = ClaimsTally()
    for seed in seeds:
        tally.add(world, verdicts(world, seed, replicates))
    return tally


def claims_looked_tally(world: World, seeds: Iterable[int]) -> ClaimsTally:
    """Return how the tables are judged that designs for the claims end with."""
    tally = ClaimsTally()
    for seed in seeds:
        tally.add(world, claims_by_looks(world, seed).rows)
    return tally


def truth(world: World, row: ClaimVerdict) -> tuple[bool, bool]:
    """Return whether the claim of a row is true, and whether it is false; neither at the ends of what it allows."""
    named = {1: _opens, 2: _equivalent, 3: _dominates, 4: _placed, 12: _ordered}
    if row.claim in named:
        return named[row.claim](world, row)
    value, low, high = _value(world, row)
    return low < value < high, value < low or value > high


def _opens(world: World, _: ClaimVerdict) -> tuple[bool, bool]:
    return world.opening > 0, world.opening == 0


def _equivalent(world: World, _: ClaimVerdict) -> tuple[bool, bool]:
    return world.topology < MARGIN, world.topology > MARGIN


def _dominates(world: World, _: ClaimVerdict) -> tuple[bool, bool]:
    means = _shape_means(world)
    between = float(means.mean(axis=1).var(ddof=1))
    within = float(means.var(axis=1, ddof=1).mean())
    return between > 10.001 * within, between < 0.999 * within


def _placed(world: World, row: ClaimVerdict) -> tuple[bool, bool]:
    """Return whether the boundary is in the printed range; across datasets the harder one always takes more."""
    if row.dataset is None:
        return True, False
    family = row.family or ""
    parameters = GRIDS[family][world.boundaries[family]] * PER_UNIT[row.dataset, family]
    inside = (row.claim_low or 0) <= parameters <= (row.claim_high or 0)
    return inside, not inside


def _ordered(world: World, row: ClaimVerdict) -> tuple[bool, bool]:
    vit, dnn, cnn = (
        GRIDS[family][world.boundaries[family]] * PER_UNIT[row.dataset or "", family]
        for family in ("vit", "dnn", "cnn")
    )
    return vit < dnn < cnn, not vit < dnn < cnn


def _value(world: World, row: ClaimVerdict) -> tuple[float, float, float]:
    """Return the true value of a row's statistic and the open range that the claim allows."""
    low = -np.inf if row.claim_low is None else row.claim_low
    high = np.inf if row.claim_high is None else row.claim_high
    dataset, family = row.dataset or "", row.family or ""
    if row.claim == 5:
        return level(world, dataset, family), low, high
    if row.claim == 10 and row.dataset is None:
        means = [float(gaps(world, name, family).mean()) for name in DATASETS]
        return means[1] - means[0], low, high
    if row.claim == 10:
        return world.slope, low, high
    if row.claim == 11:
        table = gaps(world, dataset, family)
        at = {"accuracy": world.boundaries.get(family, 0)}
        value = table[-1] if "largest" in row.title else table[at["accuracy"]]
        return float(table.min() if "improve" in row.title else value), low, high
    if row.claim == 8:
        return (world.deeper if "deeper" in row.title else world.wider), low, high
    return _pruned(world, row, low, high)


def _pruned(world: World, row: ClaimVerdict, low: float, high: float) -> tuple[float, float, float]:
    """Return the true value of claims 6, 7 and 9; a loss that equals the margin gives the end of the range."""
    dataset, family = row.dataset or "", row.family or ""
    if row.dataset and not row.family:
        safes = [_safe(world, dataset, name) for name in DEPTHS]
        return (0.6 if np.nan in safes or any(np.isnan(s) for s in safes) else max(safes) + 0.01), 0.6, np.inf
    depth, last = DEPTHS[family][-1], len(GRIDS[family]) - 1
    if row.claim == 6:
        share = kept(world, dataset, family, depth, last)
        falls = [share[i] - share[min(i + 5, 20)] for i in range(21)]
        good = 1 - share[2] < 0.02 and max(falls) > 0.5 and share[19] < 0.1
        bad = 1 - share[2] > 0.02 or max(falls) < 0.5 or share[19] > 0.1
        return (4.0 if good else 0.0 if bad else np.nan), 3.5, np.inf
    if row.claim == 7:
        at = world.boundaries[family] if family == "vit" else last
        share = kept(world, dataset, family, depth, at)
        return float(GRID[(share < 0.98).argmax()]), low, high
    safe = _safe(world, dataset, family)
    return (low if np.isnan(safe) else safe), low, high


def _safe(world: World, dataset: str, family: str) -> float:
    """Return the true safe sparsity of the best network; NaN where a loss is just the margin."""
    share = kept(world, dataset, family, DEPTHS[family][-1], len(GRIDS[family]) - 1)
    losses = (1 - share) * (level(world, dataset, family) - CHANCE)
    if np.isclose(losses, MARGIN).any():
        return float("nan")
    return float(GRID[(losses > MARGIN).argmax() - 1])


def _sweep(world: World, dataset: str, family: str, depth: int, rng: np.random.Generator, replicates: int) -> Sweep:
    grid, first = GRIDS[family], world.boundaries[family]
    sizes = np.arange(len(grid))
    stable = (sizes >= first)[:, None]
    mean = level(world, dataset, family)
    drawn = noise(world, rng, (3, len(grid), replicates))
    accuracy = np.where(stable, mean + STABLE * drawn[0], CHANCE + 0.7 * (mean - CHANCE) + UNSTABLE * drawn[0])
    gap = 0.01 + world.opening * np.maximum(sizes - first - 2, 0)[:, None]
    test = np.where(stable, mean + 0.004 * drawn[1], accuracy)
    return Sweep(
        dataset=dataset,
        dataset_fingerprint=f"data-of-{dataset}",
        family=family,
        depth=depth,
        protocol_id="p",
        chance=CHANCE,
        capacities=np.array(grid, dtype=np.int64),
        parameters=np.array([size * PER_UNIT[dataset, family] for size in grid], dtype=np.int64),
        accuracy=accuracy,
        last_train=test + gap + 0.002 * drawn[2],
        last_test=test,
    )


def _curves(world: World, sweep: Sweep, rng: np.random.Generator) -> list[Curves]:
    found = []
    replicates = sweep.accuracy.shape[1]
    for size, capacity in enumerate(sweep.capacities):
        share = kept(world, sweep.dataset, sweep.family, sweep.depth, size)
        base = sweep.accuracy[size][:, None]
        margin = level(world, sweep.dataset, sweep.family) - CHANCE
        spread = np.where(GRID > 0, 0.002 + 0.35 * margin * share * (1 - share), 0.0)
        accuracy = CHANCE + (base - CHANCE) * share + spread * noise(world, rng, (replicates, len(GRID)))
        found.append(
            Curves(
                dataset=sweep.dataset,
                dataset_fingerprint=sweep.dataset_fingerprint,
                family=sweep.family,
                depth=sweep.depth,
                capacity=int(capacity),
                parameters=int(sweep.parameters[size]),
                protocol_id="p",
                chance=CHANCE,
                replicates=tuple(range(replicates)),
                sparsities=SPARSITIES,
                accuracy=accuracy,
            )
        )
    return found


def _pairs(world: World, sweep: Sweep, rng: np.random.Generator) -> Pairs:
    mean = gaps(world, sweep.dataset, sweep.family)[:, None]
    return Pairs(
        dataset=sweep.dataset,
        dataset_fingerprint=sweep.dataset_fingerprint,
        family=sweep.family,
        depth=sweep.depth,
        protocol_id="p",
        chance=CHANCE,
        capacities=sweep.capacities,
        parameters=sweep.parameters,
        replicates=tuple(range(sweep.accuracy.shape[1])),
        present=np.ones(sweep.accuracy.shape, dtype=np.bool_),
        fp32=sweep.accuracy,
        int8=sweep.accuracy - mean + PAIRED * noise(world, rng, sweep.accuracy.shape),
    )


def _shape_means(world: World) -> FloatArray:
    """Return the true mean accuracy of each size and topology.

    Sizes differ by much where topologies differ little. At the edge the variance between sizes is just 10 times that
    between topologies; where topologies differ by more, sizes do not differ at all.
    """
    sizes = np.arange(len(LADDER))
    effect = np.where(np.arange(len(SHAPES)) == 0, world.topology, 0.0)
    rising = (sizes - sizes.mean()) / sizes.std(ddof=1)
    sd = 0.1 if world.topology < MARGIN else np.sqrt(10 / 3) * MARGIN if world.topology == MARGIN else 0.0
    return np.asarray(0.8 + sd * rising[:, None] + effect)


def _topologies(world: World, dataset: str, rng: np.random.Generator, replicates: int) -> Topologies:
    means = _shape_means(world)
    sds = np.where(np.arange(len(LADDER)) < world.boundaries["dnn"], UNSTABLE, STABLE)
    drawn = noise(world, rng, (*means.shape, replicates))
    return Topologies(
        dataset=dataset,
        dataset_fingerprint=f"data-of-{dataset}",
        family="dnn",
        depth=2,
        protocol_id="p",
        chance=CHANCE,
        capacities=LADDER,
        shapes=(SHAPES,) * len(LADDER),
        parameters=tuple(np.array([1.2, 0.8, 1.0]) * size * PER_UNIT[dataset, "dnn"] for size in LADDER),
        accuracy=tuple(means[i][:, None] + sds[i] * drawn[i] for i in range(len(LADDER))),
    )


CLAIMED = {dataset: f"data-of-{dataset}" for dataset in DATASETS}


def claims_design(dataset: str) -> DesignSpec:
    """Return the design of `generate all --repeats auto --for claims` on a planted dataset."""
    return DesignSpec(
        fingerprint=CLAIMED[dataset],
        protocols=dict.fromkeys(DEPTHS, "p"),
        ladders=tuple(
            ladder(family, depth, GRIDS[family], 1.0) for family, depths in DEPTHS.items() for depth in depths
        ),
        looks=LOOKS,
        resolution=None,
        phases=("shapes", "convergence", "quantization"),
        goal="claims",
    )


def cut(whole: Evidence, n: int, counts: Mapping[Cell, int] | None = None, like: Evidence | None = None) -> Evidence:
    """Return the evidence of the first n replicates, and of no more than `counts` of each cell.

    Boundaries are those of `like`, which takes long to find.
    """

    def kept(dataset: str, kind: Kind, family: str, depth: int, capacities: Iterable[int]) -> IntArray:
        known = (Cell(dataset, kind, Place(family, depth, int(capacity))) for capacity in capacities)
        return np.array([min(n, n if counts is None else counts.get(cell, 0)) for cell in known], dtype=np.int64)

    def blank(table: FloatArray, at: IntArray) -> FloatArray:
        return np.where(np.arange(int(at.max())) < at[:, None], table[:, : int(at.max())], np.nan)

    sweeps, pairs, topologies, curves = [], [], [], {}
    for sweep in (entry.sweep for entry in whole.located):
        at = kept(sweep.dataset, "equal widths", sweep.family, sweep.depth, sweep.capacities)
        sweeps.append(
            replace(
                sweep,
                accuracy=blank(sweep.accuracy, at),
                last_train=blank(sweep.last_train, at),
                last_test=blank(sweep.last_test, at),
            )
        )
        for capacity, replicates in zip(sweep.capacities, at, strict=True):
            key = ArchitectureKey(sweep.key, int(capacity))
            seen = tuple(range(int(replicates)))
            curves[key] = replace(whole.curves[key], accuracy=whole.curves[key].accuracy[: len(seen)], replicates=seen)
    for pair in whole.pairs:
        at = kept(pair.dataset, "8 bits", pair.family, pair.depth, pair.capacities)
        most = int(at.max())
        pairs.append(
            replace(
                pair,
                replicates=tuple(range(most)),
                present=np.arange(most) < at[:, None],
                fp32=blank(pair.fp32, at),
                int8=blank(pair.int8, at),
            )
        )
    for shaped in whole.topologies:
        at = kept(shaped.dataset, "topologies", shaped.family, shaped.depth, shaped.capacities)
        tables = (blank(table, np.full(len(table), m)) for table, m in zip(shaped.accuracy, at, strict=True))
        topologies.append(replace(shaped, accuracy=tuple(tables)))
    if like is None:
        located = tuple(locate(sweep, *sweep_regimes(sweep, seed=0), seed=0) for sweep in sweeps)
    else:
        located = tuple(replace(entry, sweep=sweep) for entry, sweep in zip(like.located, sweeps, strict=True))
    return replace(
        whole,
        located=located,
        cells=tuple(cells_of(sweeps, [entry.stability for entry in located])),
        curves=curves,
        pairs=tuple(pairs),
        topologies=tuple(topologies),
    )


@dataclass
class ClaimsByLooks:
    """What designs for the claims end with: the rows, and the trainings that 30 replicates of everything would take."""

    rows: tuple[ClaimVerdict, ...]
    early: tuple[ClaimVerdict, ...]
    trainings: int
    everything: int


def claims_by_looks(world: World, seed: int) -> ClaimsByLooks:
    """Return what designs for the claims end with in a planted store, each dataset in turn until none asks.

    `early` are the rows after the first look that may decide.

    Raises:
        RuntimeError: they do not end within 40 looks.
    """
    whole = evidence_of(world, np.random.default_rng([seed, 16]), LOOKS[-1])
    specs = {dataset: claims_design(dataset) for dataset in DATASETS}
    looks: dict[str, list[LookSpec]] = {dataset: [] for dataset in DATASETS}
    counts = {
        Cell(dataset, kind, place): LOOKS[0]
        for dataset, design in specs.items()
        for one in design.ladders
        for place in places(one)
        for kind in get_args(Kind)
    }
    at: dict[int, Evidence] = {}
    rows_at: list[tuple[Evidence, Sequence[ClaimVerdict]]] = []

    def first(n: int) -> Evidence:
        if n not in at:
            at[n] = whole if n == LOOKS[-1] else cut(whole, n)
        return at[n]

    def tested_once(evidence: Evidence) -> Sequence[ClaimVerdict]:
        # Rows of whole looks do not depend on what else was trained.
        for known, rows in rows_at:
            if known is evidence:
                return rows
        rows_at.append((evidence, tested(evidence)))
        return rows_at[-1][1]

    def looked() -> Looked:
        planned = {name: Planned(name, specs[name], tuple(looks[name])) for name in DATASETS}
        most = max(counts.values())
        full = cut(whole, most, counts, first(most))
        rows_at.append((full, tested_once(first(most))))
        return Looked(full, first, planned, tested_once)

    early: tuple[ClaimVerdict, ...] = ()
    for _ in range(40):
        asked = False
        for dataset in DATASETS:
            now = looked()
            if max(counts.values()) == FIRST_DECISION:
                early = now.rows
            found = next_of_claims(now, dataset)
            asked = asked or not found.done
            looks[dataset].append(found.look)
            asked_of: dict[Kind, Mapping[Place, int]] = {
                "equal widths": found.look.asked,
                "topologies": found.look.topologies,
                "8 bits": found.look.quantized,
            }
            for kind, places_of in asked_of.items():
                for place, n in places_of.items():
                    counts[Cell(dataset, kind, place)] = n
        if not asked:
            real = now.counts
            return ClaimsByLooks(now.rows, early, sum(real.values()), LOOKS[-1] * len(real))
    raise RuntimeError("no end within 40 looks")
