"""Which architectures of a store are stable, and which of those are shown to be good enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import inf

import numpy as np

from analyze.questions.budget import Limits
from analyze.questions.costs import By, costs_of
from analyze.questions.regimes import Regime, boundaries, first_stable_of
from analyze.stats.means import mean_interval
from analyze.stats.onesided import largest_skewness, loss_p
from analyze.stats.result import LEVEL, MIN_REPLICATES, FloatArray
from analyze.stats.selection import fallback, worst_rival_p
from analyze.stats.tolerance import failure_bound, failures
from analyze.study import ArchitectureKey, Study, SweepKey, once, sweep_rng
from analyze.sweeps import Sweep, sweeps
from store.costs import Costs


@dataclass(frozen=True)
class Cell:
    """One architecture of equal widths; `accuracy` by replicate number, NaN where there is no run.

    `stable` is None where its sweep has too little data to tell; `failures` counts the runs that failed.
    """

    dataset: str
    dataset_fingerprint: str
    protocol_id: str
    family: str
    depth: int
    capacity: int
    parameters: int
    stable: bool | None
    failures: int
    accuracy: FloatArray
    costs: Costs | None = None

    @property
    def key(self) -> ArchitectureKey:
        """What tells this architecture from another."""
        return ArchitectureKey.of(
            self.dataset, self.dataset_fingerprint, self.protocol_id, self.family, self.depth, self.capacity
        )

    @property
    def observed(self) -> FloatArray:
        """Accuracies of the runs there are."""
        return self.accuracy[~np.isnan(self.accuracy)]

    def takes(self, by: By) -> float:
        """Return what the whole network takes in 32 bits, infinity where the store does not know."""
        macs, ram = (self.costs.macs, self.costs.ram_fp32) if self.costs else (None, None)
        return _takes(self.parameters, macs, ram, by)

    @property
    def contends(self) -> bool:
        """Whether it is stable and has enough replicates to say how good it is."""
        return bool(self.stable) and len(self.observed) >= MIN_REPLICATES


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """The evidence on one architecture in one scope, a family or `all`; `docs/method.md` defines the fields."""

    dataset: str
    scope: str
    family: str
    depth: int
    capacity: int
    parameters: int
    macs: int | None = None
    ram_fp32: int | None = None
    ram_int8: int | None = None
    verdict: str
    stable: bool | None
    replicates: int
    failures: int
    failure_bound: float
    reach: float | None = None
    reached: int | None = None
    reach_share: float | None = None
    mean: float
    sd: float | None
    ci_low: float | None
    ci_high: float | None
    ci_level: float | None
    drop: float | None
    p_value: float | None
    level: float | None
    nominal_level: float | None = None
    skewness: float | None
    look: int | None = None
    protocol_id: str
    dataset_fingerprint: str

    @property
    def key(self) -> ArchitectureKey:
        """What tells this architecture from another."""
        return ArchitectureKey.of(
            self.dataset, self.dataset_fingerprint, self.protocol_id, self.family, self.depth, self.capacity
        )

    def takes(self, by: By) -> float:
        """Return what the whole network takes in 32 bits, infinity where the store does not know."""
        return _takes(self.parameters, self.macs, self.ram_fp32, by)

    @property
    def name(self) -> str:
        """The architecture in words."""
        return f"{self.family}, depth {self.depth}, size {self.capacity}"


def _takes(parameters: int, macs: int | None, ram: int | None, by: By) -> float:
    # Bytes in 32 bits go with parameters.
    found = {"parameters": parameters, "bytes": parameters, "macs": macs, "ram": ram}[by]
    return inf if found is None else found


@once
def cells(study: Study) -> tuple[Cell, ...]:
    """Return all architectures of equal widths of a study."""
    found = cells_of(sweeps(study).content, [stability for stability, _ in boundaries(study)])
    return tuple(replace(cell, costs=costs_of(study, cell.key)) for cell in found)


def cells_of(sweeps: Sequence[Sweep], boundaries: Sequence[Regime]) -> list[Cell]:
    """Return all architectures of the sweeps, given their stability boundaries; what they cost is left out."""
    stable = first_stable_of(boundaries)
    replicates = max((sweep.accuracy.shape[1] for sweep in sweeps), default=0)
    return [cell for sweep in sweeps for cell in _cells(sweep, stable, replicates)]


def judge(
    cells: Sequence[Cell], scope: str, limits: Limits, *, seed: int, fits: Callable[[Cell], bool] = lambda _: True
) -> list[Candidate]:
    """Return the evidence on all architectures of one dataset and scope, those that pass marked `qualifies`.

    Passing means: non-inferior to the best stable architecture that `fits` within `max_drop` and, if asked, better than
    `min_accuracy`. Within a sweep the size that takes most is tested first, at half of the sweep's share of the 5%;
    `fallback` hands on the level of a size that passed. So the family-wise error rate is at most 5%: which
    architectures fit, and in which order they are tested, does not depend on their accuracies.
    """
    contenders = [cell for cell in cells if cell.contends and fits(cell)]
    level = 1 - LEVEL / max(len(contenders), 1)
    rng = sweep_rng(seed, "recommend", cells[0].dataset, scope)
    accuracy = np.array([cell.accuracy for cell in contenders])
    sweeps = [list(group) for _, group in groupby(contenders, key=lambda cell: (cell.family, cell.depth))]
    judged: dict[int, Candidate] = {}
    for sweep in sweeps:
        falling = sorted(sweep, key=lambda cell: (cell.takes(limits.by), cell.capacity), reverse=True)
        p = [_p(cell, contenders, accuracy, limits, rng) for cell in falling]
        levels = fallback(p, weights(len(falling), len(sweeps)))
        for cell, value, at in zip(falling, p, levels, strict=True):
            verdict = "qualifies" if value <= at else "not shown"
            judged[id(cell)] = replace(
                evidence_on(cell, scope, verdict, level),
                drop=drop(cell, contenders),
                p_value=value,
                level=at,
                nominal_level=at,
                skewness=tested_skewness(cell, contenders, limits),
            )
    return [judged.get(id(cell)) or evidence_on(cell, scope, why_not_tested(cell), None) for cell in cells]


def _cells(sweep: Sweep, stable: dict[SweepKey, float], replicates: int) -> list[Cell]:
    threshold = stable.get(sweep.key)
    missing = replicates - sweep.accuracy.shape[1]
    padded = np.pad(sweep.accuracy, ((0, 0), (0, missing)), constant_values=np.nan)
    return [
        Cell(
            dataset=sweep.dataset,
            dataset_fingerprint=sweep.dataset_fingerprint,
            protocol_id=sweep.protocol_id,
            family=sweep.family,
            depth=sweep.depth,
            capacity=int(capacity),
            parameters=int(parameters),
            stable=None if threshold is None else bool(capacity >= threshold),
            failures=failures(accuracy, sweep.chance),
            accuracy=accuracy,
        )
        for capacity, parameters, accuracy in zip(sweep.capacities, sweep.parameters, padded, strict=True)
    ]


def weights(sizes: int, sweeps: int) -> list[float]:
    """Return each size's share of the 5%: half of the sweep's for the largest, the rest shared by the others."""
    if sizes == 1:
        return [1 / sweeps]
    return [0.5 / sweeps] + [0.5 / (sizes - 1) / sweeps] * (sizes - 1)


def _p(cell: Cell, contenders: Sequence[Cell], accuracy: FloatArray, limits: Limits, rng: np.random.Generator) -> float:
    """Return the largest p value of all that the architecture has to show."""
    at = next(index for index, other in enumerate(contenders) if other is cell)
    p = worst_rival_p(accuracy, at, limits.max_drop, rng=rng)
    if limits.min_accuracy is not None:
        p = max(p, float(loss_p(limits.min_accuracy - cell.observed[:, None], 0.0, rng=rng)[0]))
    return p


def drop(cell: Cell, contenders: Sequence[Cell]) -> float | None:
    """Return by how much the best rival is better, in the mean over the replicates that both have."""
    losses = _losses(cell, contenders)
    shared = losses[~np.isnan(losses).all(axis=1)]
    return float(np.nanmean(shared, axis=1).max()) if len(shared) else None


def tested_skewness(cell: Cell, contenders: Sequence[Cell], limits: Limits) -> float | None:
    """Return the skewness, largest in size, of what is tested: losses against the rivals, paired, and accuracies."""
    tested = _losses(cell, contenders)
    if limits.min_accuracy is not None:
        tested = np.vstack([tested, -cell.accuracy])
    present = ~np.isnan(tested)
    # Rows of the same replicates are looked at together.
    found = [
        largest_skewness(np.ascontiguousarray(tested[(present == pattern).all(axis=1)][:, pattern]).T)
        for pattern in np.unique(present, axis=0)
        if pattern.sum() >= MIN_REPLICATES
    ]
    return max(found, key=abs, default=None)


def _losses(cell: Cell, contenders: Sequence[Cell]) -> FloatArray:
    """Return by how much each rival is better, shape (rivals, replicates); NaN where one of the two has no run."""
    rivals = [other.accuracy - cell.accuracy for other in contenders if other is not cell]
    return np.array(rivals).reshape(len(rivals), len(cell.accuracy))


def evidence_on(cell: Cell, scope: str, verdict: str, level: float | None) -> Candidate:
    """Return what is seen of an architecture; `level` is that of its accuracy's interval, None: without one."""
    observed = cell.observed
    ends = mean_interval(observed, level).interval if level is not None else (None, None)
    low, high = (None if end is None else min(max(end, 0.0), 1.0) for end in ends)  # No accuracy is beyond these.
    return Candidate(
        dataset=cell.dataset,
        scope=scope,
        family=cell.family,
        depth=cell.depth,
        capacity=cell.capacity,
        parameters=cell.parameters,
        macs=cell.costs.macs if cell.costs else None,
        ram_fp32=cell.costs.ram_fp32 if cell.costs else None,
        ram_int8=cell.costs.ram_int8 if cell.costs else None,
        verdict=verdict,
        stable=cell.stable,
        replicates=len(observed),
        failures=cell.failures,
        failure_bound=failure_bound(cell.failures, len(observed)),
        mean=float(observed.mean()),
        sd=float(observed.std(ddof=1)) if len(observed) > 1 else None,
        ci_low=low,
        ci_high=high,
        ci_level=level,
        drop=None,
        p_value=None,
        level=None,
        skewness=None,
        protocol_id=cell.protocol_id,
        dataset_fingerprint=cell.dataset_fingerprint,
    )


def why_not_tested(cell: Cell) -> str:
    """Return the verdict on an architecture that does not enter the tests."""
    if cell.stable is None:
        return "unknown"
    if not cell.stable:
        return "unstable"
    return "too few" if len(cell.observed) < MIN_REPLICATES else "too large"
