"""Overfitting in the learning curves of every size in a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analyze import wording
from analyze.arguments import checked
from analyze.results import Results
from analyze.stats.curves import Rise, rise_of_test_loss
from analyze.stats.multiple import holm
from analyze.stats.result import LEVEL, FloatArray, Status
from analyze.study import Kind, Study, study_of
from store.families import family_rank

if TYPE_CHECKING:
    import polars

KIND = Kind("learning curves", "convergence")
CURVES = """
WITH chosen AS (
    SELECT run_id, protocol_id, dataset, dataset_fingerprint, family, depth, capacity, parameters, replicate
    FROM runs SEMI JOIN equal_widths USING (run_id) WHERE precision = 'fp32' AND status = 'ok'
), curves AS (
    SELECT run_id, list(validation_loss ORDER BY epoch) AS validation, list(test_loss ORDER BY epoch) AS test
    FROM epochs SEMI JOIN chosen USING (run_id) GROUP BY run_id
)
SELECT * EXCLUDE (run_id) FROM chosen JOIN curves USING (run_id)
ORDER BY dataset, family, depth, capacity, replicate
"""


@dataclass(frozen=True, kw_only=True)
class EpochOverfitting:
    """Whether test loss rises before training ends, at one size; `docs/method.md` defines the fields.

    `rise`, `ci_low` and `ci_high` are in nats: mean test loss at the end above that around the best epoch.
    """

    dataset: str
    family: str
    depth: int
    capacity: int
    parameters: int
    status: Status
    best_epoch: int | None
    rise: float | None
    ci_low: float | None
    ci_high: float | None
    p_value: float | None
    p_holm: float | None
    replicates: int
    method: str
    reason: str | None
    protocol_id: str
    dataset_fingerprint: str


@checked
def epoch_overfitting(
    store: str | Path | Study,
    dataset: str | Sequence[str] | None = None,
    family: str | Sequence[str] | None = None,
    protocol: str | None = None,
) -> Results[EpochOverfitting]:
    """Return for every size of every sweep in a store whether test loss rises before training ends.

    Runs are chosen as by `regimes`. p values are adjusted (Holm) over the sizes of a sweep.

    Raises:
        MinarchError: there is no such store, or it holds none of a dataset, family or protocol that was named.
    """
    study = study_of(store, dataset, family, protocol, tables=("epochs",))
    runs = study.demand(study.choose(study.query(CURVES), KIND))
    sweeps = runs.content.partition_by(["dataset", "family", "depth"], maintain_order=True)
    rows = [row for sweep in sweeps for row in _sweep(sweep)]
    rows.sort(key=lambda row: (row.dataset, family_rank(row.family), row.depth, row.capacity))
    return study.advised(Results(EpochOverfitting, tuple(rows), runs.notes))


def _sweep(sweep: polars.DataFrame) -> list[EpochOverfitting]:
    cells = sweep.partition_by("capacity", maintain_order=True)
    rises = [rise_of_test_loss(_table(cell["validation"]), _table(cell["test"])) for cell in cells]
    tested = [index for index, rise in enumerate(rises) if rise.p is not None]
    adjusted = dict(zip(tested, holm([rises[index].p or 0.0 for index in tested]), strict=True))
    return [_row(cell, rise, adjusted.get(i)) for i, (cell, rise) in enumerate(zip(cells, rises, strict=True))]


def _table(curves: polars.Series) -> FloatArray:
    """Return a column of lists as an array of shape (runs, longest curve), NaN where a curve has no value."""
    lengths = curves.list.len().to_numpy()
    table = np.full((len(curves), int(lengths.max())), np.nan)
    table[np.arange(table.shape[1]) < lengths[:, None]] = curves.explode().fill_null(np.nan).to_numpy()
    return table


def _row(cell: polars.DataFrame, rise: Rise, p_holm: float | None) -> EpochOverfitting:
    first = cell.row(0, named=True)
    low, high = rise.interval or (None, None)
    reason, status = wording.several(rise.reasons), rise.status
    if status == "detected" and p_holm is not None and p_holm > LEVEL:
        status = "absent"
        reason = f"not significant among the sizes of this sweep (Holm, p = {p_holm:.2g})"
    return EpochOverfitting(
        dataset=first["dataset"],
        family=first["family"],
        depth=first["depth"],
        capacity=first["capacity"],
        parameters=first["parameters"],
        status=status,
        best_epoch=rise.best_epoch,
        rise=rise.estimate,
        ci_low=low,
        ci_high=high,
        p_value=rise.p,
        p_holm=p_holm,
        replicates=rise.n,
        method=rise.method,
        reason=reason,
        protocol_id=first["protocol_id"],
        dataset_fingerprint=first["dataset_fingerprint"],
    )
