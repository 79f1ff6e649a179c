"""Sweeps over model size, loaded from a store: one per dataset, family and depth, equal widths only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analyze.stats.result import FloatArray, IntArray
from analyze.study import FP32_RUNS, Found, Study, SweepKey, once, sweep_rng
from store.families import family_rank

if TYPE_CHECKING:
    import polars

RUNS = """
SELECT r.protocol_id, r.dataset, r.dataset_fingerprint, r.family, r.depth, r.capacity, r.parameters, r.replicate,
       d.chance_accuracy AS chance, d.test_images,
       CASE WHEN r.status = 'diverged' THEN d.chance_accuracy ELSE r.test_accuracy END AS accuracy,
       r.last_train_accuracy AS last_train, r.last_test_accuracy AS last_test
FROM runs r SEMI JOIN equal_widths USING (run_id) JOIN datasets d USING (dataset_fingerprint)
WHERE r.precision = 'fp32'
ORDER BY r.dataset, r.family, r.depth, r.capacity, r.replicate
"""


@dataclass(frozen=True)
class Sweep:
    """All sizes of one dataset, family and depth, in increasing order, under one protocol.

    `capacities` and `parameters` have shape (sizes,). `accuracy` (of the best epoch, chance where a run diverged),
    `last_train` and `last_test` (of the last epoch, NaN where it diverged) are fractions of shape (sizes, replicates),
    NaN where there is no run. `test_images` is how many images test accuracy was measured on, None if not known.
    """

    dataset: str
    dataset_fingerprint: str
    family: str
    depth: int
    protocol_id: str
    chance: float
    capacities: IntArray
    parameters: IntArray
    accuracy: FloatArray
    last_train: FloatArray
    last_test: FloatArray
    test_images: int | None = None

    @property
    def key(self) -> SweepKey:
        """What tells this sweep from another."""
        return SweepKey(self.dataset, self.dataset_fingerprint, self.protocol_id, self.family, self.depth)

    def rng(self, seed: int) -> np.random.Generator:
        """Return a generator that depends on `seed` and on this sweep only, whatever else is analysed."""
        return sweep_rng(seed, self.dataset, self.family, self.depth)


@once
def sweeps(study: Study) -> Found[tuple[Sweep, ...]]:
    """Return the sweeps that a study is about, by dataset, family and depth."""
    return study.choose(study.query(RUNS), FP32_RUNS).made_into(_sweeps)


def _sweeps(runs: polars.DataFrame) -> tuple[Sweep, ...]:
    found = [_sweep(group) for group in runs.partition_by(["dataset", "family", "depth"], maintain_order=True)]
    return tuple(sorted(found, key=lambda sweep: (sweep.dataset, family_rank(sweep.family), sweep.depth)))


def _sweep(group: polars.DataFrame) -> Sweep:
    first = group.row(0, named=True)
    capacities, rows, parameters = _index(group, "capacity", "parameters")
    _, columns, _ = _index(group, "replicate", "replicate")
    shape = (len(capacities), int(columns.max()) + 1)

    def table(column: str) -> FloatArray:
        values = np.full(shape, np.nan)
        values[rows, columns] = group[column].cast(float).fill_null(np.nan).to_numpy()
        return values

    return Sweep(
        dataset=first["dataset"],
        dataset_fingerprint=first["dataset_fingerprint"],
        family=first["family"],
        depth=first["depth"],
        protocol_id=first["protocol_id"],
        chance=first["chance"],
        capacities=capacities,
        parameters=parameters,
        accuracy=table("accuracy"),
        last_train=table("last_train"),
        last_test=table("last_test"),
        test_images=first["test_images"],
    )


def _index(group: polars.DataFrame, column: str, beside: str) -> tuple[IntArray, IntArray, IntArray]:
    """Return the distinct values of a column, each row's place among them, and another column's value at each."""
    values, first, places = np.unique(group[column].to_numpy(), return_index=True, return_inverse=True)
    return values.astype(np.int64), places.astype(np.int64), group[beside].to_numpy()[first].astype(np.int64)
