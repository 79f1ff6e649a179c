"""Pruning of every architecture in a store: phases, safe sparsity, and where depths cross."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analyze import wording
from analyze.arguments import checked
from analyze.questions.designs import level_at
from analyze.questions.regimes import first_stable
from analyze.results import Results
from analyze.stats.crossing import crossing
from analyze.stats.pruning import Point, pruning_phases
from analyze.stats.result import LEVEL, FloatArray, Status
from analyze.stats.safety import MARGIN, safe_ratio
from analyze.stats.stability import DEAD_MARGIN
from analyze.stats.tolerance import failure_bound, failures
from analyze.study import (
    ArchitectureKey,
    Found,
    Kind,
    Study,
    SweepKey,
    once,
    study_of,
    sweep_rng,
)
from store.families import family_rank

if TYPE_CHECKING:
    import polars

KIND = Kind("pruned networks", "convergence")
CURVES = """
WITH chosen AS (
    SELECT run_id, protocol_id, dataset, dataset_fingerprint, family, depth, capacity, parameters, replicate,
           test_accuracy AS unpruned
    FROM runs SEMI JOIN equal_widths USING (run_id) WHERE precision = 'fp32' AND status = 'ok'
), curves AS (
    SELECT run_id, list(sparsity ORDER BY sparsity) AS sparsities, list(test_accuracy ORDER BY sparsity) AS accuracy
    FROM magnitude_pruning SEMI JOIN chosen USING (run_id) GROUP BY run_id
)
SELECT chosen.* EXCLUDE (run_id), d.chance_accuracy AS chance, sparsities, accuracy
FROM chosen JOIN curves USING (run_id) JOIN datasets d USING (dataset_fingerprint)
ORDER BY dataset, family, depth, capacity, replicate
"""


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """What pruning does to one architecture; `docs/method.md` defines the fields. Sparsities are fractions.

    `status` is that of the safe sparsity, `phases` that of the plateau and the floor.
    """

    dataset: str
    family: str
    depth: int
    capacity: int
    parameters: int
    stable: bool | None
    status: Status
    safe_sparsity: float | None
    margin: float
    loss_bound: float | None
    skewness: float | None
    failure_bound: float | None
    replicates: int
    baseline: float | None
    phases: Status
    plateau_end: float | None
    plateau_end_low: float | None
    plateau_end_high: float | None
    floor_start: float | None
    floor_start_low: float | None
    floor_start_high: float | None
    onset: float | None
    onset_low: float | None
    onset_high: float | None
    collapse: float | None
    collapse_low: float | None
    collapse_high: float | None
    method: str
    reason: str | None
    protocol_id: str
    dataset_fingerprint: str

    @property
    def key(self) -> ArchitectureKey:
        """What tells this architecture from another."""
        return ArchitectureKey.of(
            self.dataset, self.dataset_fingerprint, self.protocol_id, self.family, self.depth, self.capacity
        )


@dataclass(frozen=True, kw_only=True)
class DepthCrossing:
    """The sparsity at which two depths of equal width have equal accuracy; `docs/method.md` defines the fields."""

    dataset: str
    family: str
    capacity: int
    shallower: int
    deeper: int
    status: Status
    sparsity: float | None
    ci_low: float | None
    ci_high: float | None
    accuracy: float | None
    deeper_wins_beyond: bool | None
    replicates: int
    method: str
    reason: str | None
    protocol_id: str
    dataset_fingerprint: str


@dataclass(frozen=True)
class Curves:
    """Pruning curves of one architecture: accuracies of shape (replicates, sparsities), without gaps."""

    dataset: str
    dataset_fingerprint: str
    family: str
    depth: int
    capacity: int
    parameters: int
    protocol_id: str
    chance: float
    replicates: tuple[int, ...]
    sparsities: tuple[float, ...]
    accuracy: FloatArray

    @property
    def key(self) -> ArchitectureKey:
        """What tells this architecture from another."""
        return ArchitectureKey.of(
            self.dataset, self.dataset_fingerprint, self.protocol_id, self.family, self.depth, self.capacity
        )


@checked
def pruning(
    store: str | Path | Study,
    dataset: str | Sequence[str] | None = None,
    family: str | Sequence[str] | None = None,
    protocol: str | None = None,
    *,
    margin: float = MARGIN,
    seed: int = 0,
) -> Results[Pruning]:
    """Return phases and safe sparsity of every architecture of equal widths that was pruned.

    Runs are chosen as by `regimes`; diverged ones are left out. `margin` is the largest loss that is safe, a fraction.

    Raises:
        MinarchError: there is no such store, or it holds none of a dataset, family or protocol that was named.
    """
    study = study_of(store, dataset, family, protocol, seed=seed, tables=("pruning",))
    found = study.demand(pruning_curves(study))
    return study.advised(Results(Pruning, pruned(study, margin=margin), found.notes))


@once
def pruned(study: Study, *, margin: float = MARGIN) -> tuple[Pruning, ...]:
    """Return phases and safe sparsity of every architecture of a study that was pruned."""
    found = (pruned_architecture(study, cell.key, margin=margin) for cell in pruning_curves(study).content)
    return tuple(row for row in found if row)


@once
def pruned_architecture(study: Study, key: ArchitectureKey, *, margin: float = MARGIN) -> Pruning | None:
    """Return phases and safe sparsity of one architecture of a study; None where it was not pruned."""
    cell = _curves_by_key(study).get(key)
    if cell is None:
        return None
    level = level_at(study, key.sweep, len(cell.accuracy))
    return pruning_of(cell, first_stable(study), margin, study.seed, level=level)


@once
def _curves_by_key(study: Study) -> dict[ArchitectureKey, Curves]:
    return {cell.key: cell for cell in pruning_curves(study).content}


@checked
def depth_crossings(
    store: str | Path | Study,
    dataset: str | Sequence[str] | None = None,
    family: str | Sequence[str] | None = None,
    protocol: str | None = None,
    *,
    seed: int = 0,
) -> Results[DepthCrossing]:
    """Return for every pair of depths of equal width at which sparsity their accuracies cross.

    Raises:
        MinarchError: there is no such store, or it holds none of a dataset, family or protocol that was named.
    """
    study = study_of(store, dataset, family, protocol, seed=seed, tables=("pruning",))
    found = study.demand(pruning_curves(study))
    cells = found.content
    ordered = sorted(cells, key=lambda cell: (cell.dataset, family_rank(cell.family), cell.capacity, cell.depth))
    rows = [
        _crossing(shallower, deeper, study.seed)
        for _, group in groupby(ordered, key=lambda cell: (cell.dataset, cell.family, cell.capacity))
        for shallower, deeper in combinations(group, 2)
    ]
    return study.advised(Results(DepthCrossing, tuple(rows), found.notes))


@once
def pruning_curves(study: Study) -> Found[tuple[Curves, ...]]:
    """Return the pruning curves of every architecture of equal widths of a study."""
    return study.choose(study.query(CURVES), KIND).made_into(_cells)


def _cells(runs: polars.DataFrame) -> tuple[Curves, ...]:
    groups = runs.partition_by(["dataset", "family", "depth", "capacity"], maintain_order=True)
    cells = [_curves(group) for group in groups]
    return tuple(sorted(cells, key=lambda cell: (cell.dataset, family_rank(cell.family), cell.depth, cell.capacity)))


def _curves(group: polars.DataFrame) -> Curves:
    """Return the curves of one architecture at the sparsities that all of its runs have, and unpruned."""
    first = group.row(0, named=True)
    tables = [
        {0.0: unpruned, **dict(zip(grid, values, strict=True))}
        for unpruned, grid, values in group.select("unpruned", "sparsities", "accuracy").iter_rows()
    ]
    shared = tuple(sorted(set(tables[0]).intersection(*tables[1:])))
    accuracy = np.array([[table[s] for s in shared] for table in tables], dtype=np.float64)
    whole = ~np.isnan(accuracy).any(axis=1)
    return Curves(
        dataset=first["dataset"],
        dataset_fingerprint=first["dataset_fingerprint"],
        family=first["family"],
        depth=first["depth"],
        capacity=first["capacity"],
        parameters=first["parameters"],
        protocol_id=first["protocol_id"],
        chance=first["chance"],
        replicates=tuple(int(r) for r in group["replicate"].to_numpy()[whole]),
        sparsities=shared,
        accuracy=accuracy[whole],
    )


def pruning_of(
    cell: Curves, stable: dict[SweepKey, float], margin: float, seed: int, *, level: float = LEVEL
) -> Pruning:
    """Return phases and safe sparsity of one architecture; `stable` has the first stable size of each sweep.

    `level` is that of the safe sparsity's tests.
    """
    rng = sweep_rng(seed, "pruning", cell.dataset, cell.family, cell.depth, cell.capacity)
    phases = pruning_phases(cell.accuracy, chance=cell.chance, rng=rng)
    safe = safe_ratio(cell.accuracy, rng=rng, margin=margin, level=level)
    baseline = float(cell.accuracy[:, 0].mean()) if len(cell.accuracy) else None
    # A dead model stays within any margin at every sparsity: that says nothing about pruning.
    dead = baseline is not None and baseline < cell.chance + DEAD_MARGIN
    threshold = stable.get(cell.key.sweep)
    reasons = dict.fromkeys([*(() if dead else safe.reasons), *phases.reasons])

    def at(point: Point | None) -> tuple[float | None, float | None, float | None]:
        if point is None:
            return None, None, None
        estimate = cell.sparsities[point.estimate]
        if point.interval is None:
            return estimate, None, None
        low, high = point.interval
        return estimate, cell.sparsities[low], cell.sparsities[high]

    plateau, floor, onset, collapse = map(at, (phases.plateau_end, phases.floor_start, phases.onset, phases.collapse))
    return Pruning(
        dataset=cell.dataset,
        family=cell.family,
        depth=cell.depth,
        capacity=cell.capacity,
        parameters=cell.parameters,
        stable=None if threshold is None else cell.capacity >= threshold,
        status="absent" if dead and safe.status == "detected" else safe.status,
        safe_sparsity=None if dead or safe.estimate is None else cell.sparsities[safe.estimate],
        margin=margin,
        loss_bound=None if dead else safe.bound,
        skewness=None if dead else safe.skewness,
        failure_bound=None if dead or safe.estimate is None else _failure_bound(cell, safe.estimate),
        replicates=safe.n,
        baseline=baseline,
        phases=phases.status,
        plateau_end=plateau[0],
        plateau_end_low=plateau[1],
        plateau_end_high=plateau[2],
        floor_start=floor[0],
        floor_start_low=floor[1],
        floor_start_high=floor[2],
        onset=onset[0],
        onset_low=onset[1],
        onset_high=onset[2],
        collapse=collapse[0],
        collapse_low=collapse[1],
        collapse_high=collapse[2],
        method=f"{safe.method}; phases: {phases.method}",
        reason=wording.several(reasons),
        protocol_id=cell.protocol_id,
        dataset_fingerprint=cell.dataset_fingerprint,
    )


def _failure_bound(cell: Curves, at: int) -> float:
    """Return the upper 95% bound on the share of models that fail at a sparsity."""
    return failure_bound(failures(cell.accuracy[:, at], cell.chance), len(cell.accuracy))


def _crossing(shallower: Curves, deeper: Curves, seed: int) -> DepthCrossing:
    replicates = sorted(set(shallower.replicates) & set(deeper.replicates))
    sparsities = sorted(set(shallower.sparsities) & set(deeper.sparsities))
    rng = sweep_rng(seed, "crossing", deeper.dataset, deeper.family, deeper.capacity, shallower.depth, deeper.depth)

    def shared(cell: Curves) -> FloatArray:
        rows = [cell.replicates.index(replicate) for replicate in replicates]
        columns = [cell.sparsities.index(sparsity) for sparsity in sparsities]
        return cell.accuracy[np.ix_(rows, columns)]

    found = crossing(shared(deeper), shared(shallower), sparsities, rng=rng)
    low, high = found.interval or (None, None)
    return DepthCrossing(
        dataset=deeper.dataset,
        family=deeper.family,
        capacity=deeper.capacity,
        shallower=shallower.depth,
        deeper=deeper.depth,
        status=found.status,
        sparsity=found.estimate,
        ci_low=low,
        ci_high=high,
        accuracy=found.accuracy,
        deeper_wins_beyond=found.first_wins_beyond,
        replicates=found.n,
        method=found.method,
        reason=wording.several(found.reasons),
        protocol_id=deeper.protocol_id,
        dataset_fingerprint=deeper.dataset_fingerprint,
    )
