"""Stability and overfitting boundaries of every sweep in a store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from analyze import wording
from analyze.arguments import checked
from analyze.questions.designs import covering, held
from analyze.results import Results
from analyze.stats.overfitting import overfitting_boundary
from analyze.stats.replicates import counts
from analyze.stats.result import LEVEL, MIN_REPLICATES, MIN_SIZES, ChangePoint, IntArray, Remark, Status
from analyze.stats.spending import nominal_levels, pocock
from analyze.stats.stability import stability_boundary
from analyze.stats.tolerance import failure_bound, failures
from analyze.study import Study, SweepKey, once, study_of
from analyze.sweeps import Sweep, sweeps
from analyze.texts import joined

PERMUTATIONS = 999
"""Of a look's test: its level is smaller than that of a single one."""


@dataclass(frozen=True, kw_only=True)
class Regime:
    """A boundary between regimes along model size; `docs/method.md` defines the fields.

    `capacity` is the first stable size (stability) or the last one before the gap opens (overfitting), `parameters`
    its number of trainable parameters, `ci_low` and `ci_high` capacities. `failure_bound` is the upper 95% bound on the
    share of trainings that fail at the first stable size, `failures` of its replicates having failed.
    """

    dataset: str
    family: str
    depth: int
    boundary: Literal["stability", "overfitting"]
    status: Status
    capacity: int | None
    parameters: int | None
    ci_low: int | None
    ci_high: int | None
    replicates: int
    sizes: int
    p_value: float | None
    effect: float | None
    failures: int | None
    failure_bound: float | None
    method: str
    reason: str | None
    protocol_id: str
    dataset_fingerprint: str

    @property
    def sweep(self) -> SweepKey:
        """The sweep that it is a boundary of."""
        return SweepKey(self.dataset, self.dataset_fingerprint, self.protocol_id, self.family, self.depth)


@checked
def regimes(
    store: str | Path | Study,
    dataset: str | Sequence[str] | None = None,
    family: str | Sequence[str] | None = None,
    protocol: str | None = None,
    *,
    seed: int = 0,
) -> Results[Regime]:
    """Return the stability and the overfitting boundary of every dataset, family and depth in a store.

    Only fp32 runs of equal widths count. Where a dataset and family were run under several protocols, the one with
    most runs is analysed unless `protocol` names another; `notes` of the result says so.

    Raises:
        MinarchError: there is no such store, or it holds none of a dataset, family or protocol that was named.
    """
    study = study_of(store, dataset, family, protocol, seed=seed)
    found = study.demand(sweeps(study))
    return study.advised(Results(Regime, tuple(row for rows in boundaries(study) for row in rows), found.notes))


@once
def boundaries(study: Study) -> tuple[tuple[Regime, Regime], ...]:
    """Return the stability and the overfitting boundary of every sweep of a study, in the order of its sweeps."""
    found = []
    for sweep in sweeps(study).content:
        planned = covering(study, [sweep.key])
        found.append(sweep_regimes(sweep, seed=study.seed, looks=planned.spec.looks if planned else None))
    return tuple(found)


@once
def first_stable(study: Study) -> dict[SweepKey, float]:
    """Return the first stable size of every sweep of a study whose data suffice to tell; infinite where none is."""
    return first_stable_of(stability for stability, _ in boundaries(study))


def first_stable_of(found: Iterable[Regime]) -> dict[SweepKey, float]:
    """Return the first stable size of each sweep with enough data; infinite where none is."""
    first: dict[SweepKey, float] = {}
    for row in found:
        if row.boundary == "stability" and row.status != "insufficient":
            none = 0.0 if row.status == "all_stable" else float("inf")
            first[row.sweep] = none if row.capacity is None else float(row.capacity)
    return first


def sweep_regimes(sweep: Sweep, *, seed: int, looks: tuple[int, ...] | None = None) -> tuple[Regime, Regime]:
    """Return the stability and the overfitting boundary of one sweep.

    Sizes with fewer than 5 replicates are left out, and `reason` says which. `looks` are those of the sequential design
    that the sweep belongs to.
    """
    used = sizes_used(sweep)
    rng = sweep.rng(seed)
    stability = _stability(sweep, used, looks, rng)
    overfitting = _overfitting(sweep, used, stability, rng)
    left_out = [int(capacity) for capacity in np.delete(sweep.capacities, used)]
    return (
        _regime(sweep, used, "stability", stability, left_out),
        _regime(sweep, used, "overfitting", overfitting, left_out),
    )


def sizes_used(sweep: Sweep) -> IntArray:
    """Return the indices of the sizes with 5 replicates or more.

    Where those are too few, all sizes: so that the estimator can say what is missing.
    """
    enough = counts(sweep.accuracy) >= MIN_REPLICATES
    return np.flatnonzero(enough) if enough.sum() >= MIN_SIZES else np.arange(len(enough))


def _stability(sweep: Sweep, used: IntArray, looks: tuple[int, ...] | None, rng: np.random.Generator) -> ChangePoint:
    """Return the stability boundary, as an index of `used`.

    In a sequential design it is tested at every look that 5 sizes have the replicates for, on as many of each, at
    levels that add up to 5% (Pocock's type); once shown, further replicates say where it lies.
    """
    accuracy = sweep.accuracy[used]
    find = partial(stability_boundary, chance=sweep.chance, rng=rng, test_images=sweep.test_images)
    if looks is None:
        return find(accuracy)
    replicates = np.array([held(row) for row in accuracy])
    for n, level in zip(looks, nominal_levels(LEVEL, looks, pocock), strict=True):
        enough = replicates >= n
        if level and enough.sum() >= MIN_SIZES:
            shown = find(accuracy[enough, :n], level=level, permutations=PERMUTATIONS)
            if shown.p is not None and shown.p <= level:
                return replace(find(accuracy, level=1.0), p=shown.p)
    return find(accuracy, level=0.0)


def _overfitting(sweep: Sweep, used: IntArray, stability: ChangePoint, rng: np.random.Generator) -> ChangePoint:
    """Return the overfitting boundary among the sizes that are stable, as an index of `used`."""
    first = 0 if stability.status == "all_stable" else stability.estimate
    if first is None:
        reasons = (Remark("no stable size"),) if stability.status == "not_reached" else stability.reasons
        return ChangePoint(status="insufficient", method="not tried", n=stability.n, reasons=reasons)
    stable = used[first:]
    found = overfitting_boundary(sweep.last_train[stable], sweep.last_test[stable], rng=rng)
    if found.estimate is None or found.interval is None:
        return found
    low, high = found.interval
    return ChangePoint(
        status=found.status,
        method=found.method,
        n=found.n,
        estimate=found.estimate + first,
        interval=(low + first, high + first),
        p=found.p,
        effect=found.effect,
        reasons=found.reasons,
    )


def _regime(
    sweep: Sweep,
    used: IntArray,
    boundary: Literal["stability", "overfitting"],
    found: ChangePoint,
    left_out: list[int],
) -> Regime:
    capacities, parameters = sweep.capacities[used], sweep.parameters[used]
    too_few = f"left out for fewer than {MIN_REPLICATES} replicates: {', '.join(map(str, left_out))}"
    failed, bound = _failing(sweep, used, found) if boundary == "stability" else (None, None)
    return Regime(
        dataset=sweep.dataset,
        family=sweep.family,
        depth=sweep.depth,
        boundary=boundary,
        status=found.status,
        capacity=None if found.estimate is None else int(capacities[found.estimate]),
        parameters=None if found.estimate is None else int(parameters[found.estimate]),
        ci_low=None if found.interval is None else int(capacities[found.interval[0]]),
        ci_high=None if found.interval is None else int(capacities[found.interval[1]]),
        replicates=found.n,
        sizes=len(used),
        p_value=found.p,
        effect=found.effect,
        failures=failed,
        failure_bound=bound,
        method=found.method,
        reason=joined((wording.several(found.reasons), too_few if left_out else None)) or None,
        protocol_id=sweep.protocol_id,
        dataset_fingerprint=sweep.dataset_fingerprint,
    )


def _failing(sweep: Sweep, used: IntArray, found: ChangePoint) -> tuple[int | None, float | None]:
    """Return how many replicates failed at the first stable size, and the bound on the share that does."""
    first = 0 if found.status == "all_stable" else found.estimate
    if first is None:
        return None, None
    accuracy = sweep.accuracy[used[first]]
    failed = failures(accuracy, sweep.chance)
    return failed, failure_bound(failed, int(counts(accuracy)))
