"""Topologies of DNNs: are those of one size equivalent, from which size on, and how much variance is theirs?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from analyze import wording
from analyze.arguments import checked
from analyze.questions.designs import covering
from analyze.questions.regimes import first_stable
from analyze.results import Results
from analyze.stats.components import Component, components
from analyze.stats.equivalence import Equivalence, Verdict, equivalences, equivalences_over_looks, equivalent_from
from analyze.stats.result import FloatArray, Status
from analyze.stats.safety import MARGIN
from analyze.study import Found, Kind, Study, SweepKey, once, study_of, sweep_rng

if TYPE_CHECKING:
    import polars

KIND = Kind("fp32 DNNs with two hidden layers or more", "shapes")
TOPOLOGIES = """
SELECT r.protocol_id, r.dataset, r.dataset_fingerprint, r.family, r.depth, r.capacity, l.shape, r.parameters,
       r.replicate, d.chance_accuracy AS chance,
       CASE WHEN r.status = 'diverged' THEN d.chance_accuracy ELSE r.test_accuracy END AS accuracy
FROM runs r JOIN labels l USING (run_id) JOIN datasets d USING (dataset_fingerprint)
WHERE r.precision = 'fp32' AND l.shape <> '' AND NOT l.degenerate
ORDER BY r.dataset, r.family, r.depth, r.capacity, l.shape, r.replicate
"""


@dataclass(frozen=True, kw_only=True)
class ShapeEquivalence:
    """How far the topologies of one size are apart; `docs/method.md` defines the fields. Accuracies are fractions."""

    dataset: str
    family: str
    depth: int
    capacity: int
    stable: bool | None
    status: Verdict
    margin: float
    largest: float | None
    ci_low: float | None
    ci_high: float | None
    better: str | None
    worse: str | None
    p_value: float | None
    p_holm: float | None
    p_different: float | None
    p_different_holm: float | None
    sd: float | None
    skewness: float | None
    power: float | None
    failure_bound: float | None
    topologies: int
    replicates: int
    method: str
    reason: str | None
    protocol_id: str
    dataset_fingerprint: str


@dataclass(frozen=True, kw_only=True)
class ShapeThreshold:
    """The size from which the topologies of one depth are equivalent; `ci_low` and `ci_high` are capacities."""

    dataset: str
    family: str
    depth: int
    status: Verdict
    margin: float
    capacity: int | None
    ci_low: int | None
    ci_high: int | None
    sizes: int
    replicates: int
    method: str
    reason: str | None
    protocol_id: str
    dataset_fingerprint: str


@dataclass(frozen=True, kw_only=True)
class ShapeComponents:
    """Standard deviations of accuracy, fractions, between sizes, topologies and replicates of one depth."""

    dataset: str
    family: str
    depth: int
    scope: Literal["all", "stable"]
    adjusted: bool
    status: Status
    size_sd: float | None
    size_low: float | None
    size_high: float | None
    topology_sd: float | None
    topology_low: float | None
    topology_high: float | None
    replicate_sd: float | None
    replicate_low: float | None
    replicate_high: float | None
    largest_share: float | None
    sizes: int
    cells: int
    replicates: int
    method: str
    reason: str | None
    protocol_id: str
    dataset_fingerprint: str


@dataclass(frozen=True)
class Topologies:
    """All topologies of one dataset and depth; one entry per size, in increasing order.

    `accuracy` holds tables of shape (topologies, replicates), chance where a run diverged, NaN where there is none;
    replicate j stands in column j.
    """

    dataset: str
    dataset_fingerprint: str
    family: str
    depth: int
    protocol_id: str
    chance: float
    capacities: tuple[int, ...]
    shapes: tuple[tuple[str, ...], ...]
    parameters: tuple[FloatArray, ...]
    accuracy: tuple[FloatArray, ...]

    @property
    def key(self) -> SweepKey:
        """What a stability boundary is looked up by."""
        return SweepKey(self.dataset, self.dataset_fingerprint, self.protocol_id, self.family, self.depth)

    def rng(self, seed: int, analysis: str) -> np.random.Generator:
        """Return a generator that depends on `seed`, the analysis and these topologies only."""
        return sweep_rng(seed, analysis, self.dataset, self.family, self.depth)


@checked
def shapes(
    store: str | Path | Study,
    dataset: str | Sequence[str] | None = None,
    family: str | Sequence[str] | None = None,
    protocol: str | None = None,
    *,
    margin: float = MARGIN,
    seed: int = 0,
) -> Results[ShapeEquivalence]:
    """Return for every size of every depth from 2 on whether its topologies are equivalent.

    Runs are chosen as by `regimes`, among all topologies that no end of the ladder cut short. `margin` is the
    equivalence margin, a fraction of accuracy.

    Raises:
        MinarchError: there is no such store, or it holds none of a dataset, family or protocol that was named.
    """
    study = study_of(store, dataset, family, protocol, seed=seed)
    found = study.demand(topologies(study))
    rows = [
        _equivalence(sweep, index, compared, margin, first_stable(study))
        for sweep in found.content
        for index, compared in enumerate(compared_in(study, sweep, margin))
    ]
    return study.advised(Results(ShapeEquivalence, tuple(rows), found.notes))


@checked
def shape_thresholds(
    store: str | Path | Study,
    dataset: str | Sequence[str] | None = None,
    family: str | Sequence[str] | None = None,
    protocol: str | None = None,
    *,
    margin: float = MARGIN,
    seed: int = 0,
) -> Results[ShapeThreshold]:
    """Return for every depth from 2 on the size from which its topologies are equivalent.

    Raises:
        MinarchError: there is no such store, or it holds none of a dataset, family or protocol that was named.
    """
    study = study_of(store, dataset, family, protocol, seed=seed)
    found = study.demand(topologies(study))
    rows = tuple(_threshold(sweep, compared_in(study, sweep, margin), margin) for sweep in found.content)
    return study.advised(Results(ShapeThreshold, rows, found.notes))


@checked
def shape_components(
    store: str | Path | Study,
    dataset: str | Sequence[str] | None = None,
    family: str | Sequence[str] | None = None,
    protocol: str | None = None,
    *,
    seed: int = 0,
) -> Results[ShapeComponents]:
    """Return the variance components of every depth from 2 on, over all and over stable sizes, raw and adjusted.

    Raises:
        MinarchError: there is no such store, or it holds none of a dataset, family or protocol that was named.
    """
    study = study_of(store, dataset, family, protocol, seed=seed)
    found = study.demand(topologies(study))
    rows = [row for sweep in found.content for row in _components(sweep, first_stable(study), study.seed)]
    return study.advised(Results(ShapeComponents, tuple(rows), found.notes))


@once
def topologies(study: Study) -> Found[tuple[Topologies, ...]]:
    """Return the topologies of every dataset and depth of a study."""
    return study.choose(study.query(TOPOLOGIES), KIND).made_into(_sweeps)


def _sweeps(runs: polars.DataFrame) -> tuple[Topologies, ...]:
    return tuple(_topologies(group) for group in runs.partition_by(["dataset", "family", "depth"], maintain_order=True))


def _topologies(group: polars.DataFrame) -> Topologies:
    first = group.row(0, named=True)
    columns = group["replicate"].to_numpy()
    replicates = int(columns.max()) + 1
    capacities = group["capacity"].to_numpy()
    starts = [0, *(np.flatnonzero(np.diff(capacities)) + 1).tolist(), len(capacities)]
    names, parameters, tables = [], [], []
    for start, end in pairwise(starts):
        part = group[start:end]
        shapes, at, rows = np.unique(part["shape"].to_numpy(), return_index=True, return_inverse=True)
        table = np.full((len(shapes), replicates), np.nan)
        table[rows, columns[start:end]] = part["accuracy"].cast(float).fill_null(np.nan).to_numpy()
        names.append(tuple(str(shape) for shape in shapes))
        parameters.append(part["parameters"].to_numpy()[at].astype(np.float64))
        tables.append(table)
    return Topologies(
        dataset=first["dataset"],
        dataset_fingerprint=first["dataset_fingerprint"],
        family=first["family"],
        depth=first["depth"],
        protocol_id=first["protocol_id"],
        chance=first["chance"],
        capacities=tuple(int(capacities[start]) for start in starts[:-1]),
        shapes=tuple(names),
        parameters=tuple(parameters),
        accuracy=tuple(tables),
    )


def compared_in(study: Study, sweep: Topologies, margin: float) -> list[Equivalence]:
    """Return for each size whether its topologies are equivalent, by the looks of a design that trained them."""
    planned = covering(study, [sweep.key], "shapes")
    return compared_by(sweep, margin, planned.spec.looks if planned else None, seed=study.seed)


def compared_by(sweep: Topologies, margin: float, looks: tuple[int, ...] | None, *, seed: int) -> list[Equivalence]:
    """Return for each size whether its topologies are equivalent, by looks at so many replicates, or by one look."""
    if looks is None:
        return equivalences(sweep.accuracy, chance=sweep.chance, margin=margin, rng=sweep.rng(seed, "shapes"))

    def rng(index: int, n: int) -> np.random.Generator:
        return sweep.rng(seed, f"shapes of {sweep.capacities[index]} at {n}")

    return equivalences_over_looks(sweep.accuracy, looks, chance=sweep.chance, margin=margin, rng=rng)


def _equivalence(
    sweep: Topologies, index: int, found: Equivalence, margin: float, stable: dict[SweepKey, float]
) -> ShapeEquivalence:
    threshold = stable.get(sweep.key)
    better, worse = (None, None) if found.pair is None else (sweep.shapes[index][row] for row in found.pair)
    low, high = found.interval or (None, None)
    return ShapeEquivalence(
        dataset=sweep.dataset,
        family=sweep.family,
        depth=sweep.depth,
        capacity=sweep.capacities[index],
        stable=None if threshold is None else sweep.capacities[index] >= threshold,
        status=found.status,
        margin=margin,
        largest=found.largest,
        ci_low=low,
        ci_high=high,
        better=better,
        worse=worse,
        p_value=found.p,
        p_holm=found.p_holm,
        p_different=found.p_different,
        p_different_holm=found.p_different_holm,
        sd=found.sd,
        skewness=found.skewness,
        power=found.power,
        failure_bound=found.failure_bound,
        topologies=found.topologies,
        replicates=found.n,
        method=found.method,
        reason=wording.several(found.reasons),
        protocol_id=sweep.protocol_id,
        dataset_fingerprint=sweep.dataset_fingerprint,
    )


def _threshold(sweep: Topologies, compared: Sequence[Equivalence], margin: float) -> ShapeThreshold:
    found = equivalent_from(compared)
    capacity, low, high = (
        None if index is None else sweep.capacities[index] for index in (found.estimate, found.low, found.high)
    )
    return ShapeThreshold(
        dataset=sweep.dataset,
        family=sweep.family,
        depth=sweep.depth,
        status=found.status,
        margin=margin,
        capacity=capacity,
        ci_low=low,
        ci_high=high,
        sizes=found.sizes,
        replicates=found.n,
        method=found.method,
        reason=wording.several(found.reasons),
        protocol_id=sweep.protocol_id,
        dataset_fingerprint=sweep.dataset_fingerprint,
    )


def _components(sweep: Topologies, stable: dict[SweepKey, float], seed: int) -> list[ShapeComponents]:
    threshold = stable.get(sweep.key)
    everywhere = list(range(len(sweep.capacities)))
    scopes: list[tuple[Literal["all", "stable"], list[int]]] = [("all", everywhere)]
    if threshold is not None:
        scopes.append(("stable", [i for i in everywhere if sweep.capacities[i] >= threshold]))
    return [
        _component_row(sweep, scope, members, adjusted, seed) for scope, members in scopes for adjusted in (False, True)
    ]


def _component_row(
    sweep: Topologies, scope: Literal["all", "stable"], members: Sequence[int], adjusted: bool, seed: int
) -> ShapeComponents:
    found = components(
        [sweep.accuracy[i] for i in members],
        [sweep.parameters[i] for i in members] if adjusted else None,
        rng=sweep.rng(seed, f"components of {scope} sizes"),
    )

    def parts(component: Component | None) -> tuple[float, float, float] | tuple[None, None, None]:
        return (None, None, None) if component is None else (component.sd, *component.interval)

    size, topology, replicate = map(parts, (found.size, found.topology, found.replicate))
    return ShapeComponents(
        dataset=sweep.dataset,
        family=sweep.family,
        depth=sweep.depth,
        scope=scope,
        adjusted=adjusted,
        status=found.status,
        size_sd=size[0],
        size_low=size[1],
        size_high=size[2],
        topology_sd=topology[0],
        topology_low=topology[1],
        topology_high=topology[2],
        replicate_sd=replicate[0],
        replicate_low=replicate[1],
        replicate_high=replicate[2],
        largest_share=found.largest_share,
        sizes=found.sizes,
        cells=found.cells,
        replicates=found.n,
        method=found.method,
        reason=wording.several(found.reasons),
        protocol_id=sweep.protocol_id,
        dataset_fingerprint=sweep.dataset_fingerprint,
    )
