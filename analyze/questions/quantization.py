"""Quantization of every architecture in a store: gaps, trends over size, and the integer check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analyze import wording
from analyze.arguments import checked
from analyze.questions.designs import level_at
from analyze.questions.regimes import first_stable
from analyze.results import Results
from analyze.stats.gaps import alive, gap_trend, paired_gap
from analyze.stats.means import mean_interval
from analyze.stats.result import LEVEL, FloatArray, IntArray, Status
from analyze.study import ArchitectureKey, Found, Kind, Study, SweepKey, once, study_of
from store.families import family_rank

if TYPE_CHECKING:
    import polars

QUANTIZED = Kind("int8 runs beside fp32 ones", "quantization")
CONVERTED = Kind("converted integer models", "quantization")
PAIRS = """
SELECT q.dataset, q.dataset_fingerprint, q.protocol_id, q.family, q.depth, q.capacity, q.parameters, q.replicate,
       d.chance_accuracy AS chance, q.fp32_accuracy AS fp32, q.int8_accuracy AS int8
FROM quantization_gaps q SEMI JOIN equal_widths e ON q.fp32_run_id = e.run_id
     JOIN datasets d USING (dataset_fingerprint)
ORDER BY q.dataset, q.family, q.depth, q.capacity, q.replicate
"""

CHECKS = """
SELECT r.dataset, r.dataset_fingerprint, r.protocol_id, r.family, r.test_accuracy AS fake, c.test_accuracy AS converted
FROM runs r JOIN integer_checks c USING (run_id)
WHERE r.precision = 'int8' AND r.status = 'ok'
ORDER BY r.dataset, r.family, r.run_id
"""

AGREEMENT = 0.001
"""Mean difference, a fraction, up to which the converted models agree with the fake-quantized ones."""


@dataclass(frozen=True, kw_only=True)
class QuantizationGap:
    """What int8 costs one architecture; `docs/method.md` defines the fields. Gaps and rates are fractions."""

    dataset: str
    family: str
    depth: int
    capacity: int
    parameters: int
    stable: bool | None
    status: Status
    gap: float | None
    ci_low: float | None
    ci_high: float | None
    p_value: float | None
    skewness: float | None
    largest_share: float | None
    dead_fp32: int
    dead_int8: int
    death_rate: float | None
    death_low: float | None
    death_high: float | None
    replicates: int
    pairs: int
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
class QuantizationTrend:
    """How the gap changes with size in one sweep: accuracy (a fraction) per tenfold parameters."""

    dataset: str
    family: str
    depth: int
    status: Status
    slope: float | None
    ci_low: float | None
    ci_high: float | None
    p_value: float | None
    skewness: float | None
    largest_share: float | None
    smallest: int | None
    largest: int | None
    sizes: int
    replicates: int
    method: str
    reason: str | None
    protocol_id: str
    dataset_fingerprint: str


@dataclass(frozen=True, kw_only=True)
class IntegerAgreement:
    """Accuracy of converted integer models minus that of the fake-quantized ones, over all runs that were converted."""

    dataset: str
    family: str
    agrees: bool
    difference: float
    ci_low: float | None
    ci_high: float | None
    largest: float
    runs: int
    method: str
    protocol_id: str
    dataset_fingerprint: str


@dataclass(frozen=True)
class Pairs:
    """Paired accuracies of one sweep, shape (sizes, replicates); NaN where a run diverged or `present` is false."""

    dataset: str
    dataset_fingerprint: str
    family: str
    depth: int
    protocol_id: str
    chance: float
    capacities: IntArray
    parameters: IntArray
    replicates: tuple[int, ...]
    present: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    fp32: FloatArray
    int8: FloatArray

    @property
    def key(self) -> SweepKey:
        """What tells this sweep from another."""
        return SweepKey(self.dataset, self.dataset_fingerprint, self.protocol_id, self.family, self.depth)


@checked
def quantization(
    store: str | Path | Study,
    dataset: str | Sequence[str] | None = None,
    family: str | Sequence[str] | None = None,
    protocol: str | None = None,
    *,
    seed: int = 0,
) -> Results[QuantizationGap]:
    """Return the paired gap between fp32 and int8 of every architecture of equal widths.

    `seed` is that of the stability boundary, which says which sizes are stable.

    Raises:
        MinarchError: there is no such store, or it holds none of a dataset, family or protocol that was named.
    """
    study = study_of(store, dataset, family, protocol, seed=seed)
    found = study.demand(pairs(study))
    return study.advised(Results(QuantizationGap, gaps(study), found.notes))


@once
def gaps(study: Study) -> tuple[QuantizationGap, ...]:
    """Return the paired gap of every architecture of equal widths of a study."""
    sweeps = pairs(study).content
    stable = first_stable(study) if sweeps else {}
    return tuple(
        # Either end of the interval has half of the level.
        gap_of(sweep, size, stable, 2 * level_at(study, sweep.key, int(present.sum()), LEVEL / 2, "quantization"))
        for sweep in sweeps
        for size, present in enumerate(sweep.present)
    )


@checked
def quantization_trends(
    store: str | Path | Study,
    dataset: str | Sequence[str] | None = None,
    family: str | Sequence[str] | None = None,
    protocol: str | None = None,
    *,
    seed: int = 0,
) -> Results[QuantizationTrend]:
    """Return for every sweep how the gap changes with size, over its stable sizes (all, where that is not known).

    Raises:
        MinarchError: there is no such store, or it holds none of a dataset, family or protocol that was named.
    """
    study = study_of(store, dataset, family, protocol, seed=seed)
    found = study.demand(pairs(study))
    stable = first_stable(study) if found.content else {}
    return study.advised(
        Results(QuantizationTrend, tuple(_trend(sweep, stable) for sweep in found.content), found.notes)
    )


@checked
def integer_agreement(
    store: str | Path | Study,
    dataset: str | Sequence[str] | None = None,
    family: str | Sequence[str] | None = None,
    protocol: str | None = None,
) -> Results[IntegerAgreement]:
    """Return how far converted integer models differ from the fake-quantized ones, per dataset and family.

    Raises:
        MinarchError: there is no such store, or it holds none of a dataset, family or protocol that was named.
    """
    study = study_of(store, dataset, family, protocol, tables=("integer_checks",))
    checks = study.demand(study.choose(study.query(CHECKS), CONVERTED))
    rows = [_agreement(group) for group in checks.content.partition_by(["dataset", "family"], maintain_order=True)]
    rows.sort(key=lambda row: (row.dataset, family_rank(row.family)))
    return study.advised(Results(IntegerAgreement, tuple(rows), checks.notes))


@once
def pairs(study: Study) -> Found[tuple[Pairs, ...]]:
    """Return the int8 runs of every sweep of a study beside their fp32 ones."""
    return study.choose(study.query(PAIRS), QUANTIZED).made_into(_sweeps)


def _sweeps(runs: polars.DataFrame) -> tuple[Pairs, ...]:
    found = [_pairs(group) for group in runs.partition_by(["dataset", "family", "depth"], maintain_order=True)]
    return tuple(sorted(found, key=lambda sweep: (sweep.dataset, family_rank(sweep.family), sweep.depth)))


def _pairs(group: polars.DataFrame) -> Pairs:
    first = group.row(0, named=True)
    capacities, at, rows = np.unique(group["capacity"].to_numpy(), return_index=True, return_inverse=True)
    replicates, columns = np.unique(group["replicate"].to_numpy(), return_inverse=True)
    present = np.zeros((len(capacities), len(replicates)), dtype=np.bool_)
    present[rows, columns] = True
    tables = []
    for precision in ("fp32", "int8"):
        table = np.full(present.shape, np.nan)
        table[rows, columns] = group[precision].cast(float).fill_null(np.nan).to_numpy()
        tables.append(table)
    return Pairs(
        dataset=first["dataset"],
        dataset_fingerprint=first["dataset_fingerprint"],
        family=first["family"],
        depth=first["depth"],
        protocol_id=first["protocol_id"],
        chance=first["chance"],
        capacities=capacities.astype(np.int64),
        parameters=group["parameters"].to_numpy()[at].astype(np.int64),
        replicates=tuple(int(replicate) for replicate in replicates),
        present=present,
        fp32=tables[0],
        int8=tables[1],
    )


def gap_of(sweep: Pairs, size: int, stable: dict[SweepKey, float], level: float) -> QuantizationGap:
    """Return the paired gap of one size, given its index, the first stable sizes and the level, two-sided."""
    paired = sweep.present[size]
    found = paired_gap(sweep.fp32[size, paired], sweep.int8[size, paired], chance=sweep.chance, level=level)
    threshold = stable.get(sweep.key)
    capacity = int(sweep.capacities[size])
    gap, deaths = found.gap, found.deaths
    return QuantizationGap(
        dataset=sweep.dataset,
        family=sweep.family,
        depth=sweep.depth,
        capacity=capacity,
        parameters=int(sweep.parameters[size]),
        stable=None if threshold is None else capacity >= threshold,
        status=found.status,
        gap=gap.estimate if gap else None,
        ci_low=gap.interval[0] if gap else None,
        ci_high=gap.interval[1] if gap else None,
        p_value=gap.p if gap else None,
        skewness=gap.skewness if gap else None,
        largest_share=gap.largest_share if gap else None,
        dead_fp32=found.dead_fp32,
        dead_int8=found.dead_int8,
        death_rate=deaths.estimate if deaths else None,
        death_low=deaths.interval[0] if deaths else None,
        death_high=deaths.interval[1] if deaths else None,
        replicates=found.n,
        pairs=int(paired.sum()),
        method=found.method,
        reason=wording.several(found.reasons),
        protocol_id=sweep.protocol_id,
        dataset_fingerprint=sweep.dataset_fingerprint,
    )


def _trend(sweep: Pairs, stable: dict[SweepKey, float]) -> QuantizationTrend:
    threshold = stable.get(sweep.key, 0.0)
    used = sweep.capacities >= threshold
    living = alive(sweep.fp32, sweep.chance) & alive(sweep.int8, sweep.chance)
    gaps = np.where(living, sweep.fp32 - sweep.int8, np.nan)[used]
    found = gap_trend(gaps, np.log10(sweep.parameters[used]))
    capacities = sweep.capacities[used]
    slope = found.slope
    return QuantizationTrend(
        dataset=sweep.dataset,
        family=sweep.family,
        depth=sweep.depth,
        status=found.status,
        slope=slope.estimate if slope else None,
        ci_low=slope.interval[0] if slope else None,
        ci_high=slope.interval[1] if slope else None,
        p_value=slope.p if slope else None,
        skewness=slope.skewness if slope else None,
        largest_share=slope.largest_share if slope else None,
        smallest=int(capacities[0]) if len(capacities) else None,
        largest=int(capacities[-1]) if len(capacities) else None,
        sizes=found.sizes,
        replicates=found.n,
        method=found.method,
        reason=wording.several(found.reasons),
        protocol_id=sweep.protocol_id,
        dataset_fingerprint=sweep.dataset_fingerprint,
    )


def _agreement(group: polars.DataFrame) -> IntegerAgreement:
    first = group.row(0, named=True)
    differences = (group["converted"] - group["fake"]).to_numpy()
    found = mean_interval(differences) if len(differences) > 1 else None
    mean = float(differences.mean())
    return IntegerAgreement(
        dataset=first["dataset"],
        family=first["family"],
        agrees=abs(mean) <= AGREEMENT,
        difference=mean,
        ci_low=found.interval[0] if found else None,
        ci_high=found.interval[1] if found else None,
        largest=float(np.abs(differences).max()),
        runs=len(differences),
        method="mean difference over converted runs, 95% t interval; agrees if within 0.1 points",
        protocol_id=first["protocol_id"],
        dataset_fingerprint=first["dataset_fingerprint"],
    )
