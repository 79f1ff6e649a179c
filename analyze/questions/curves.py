"""Means over replicates, with spread and interval: the curves that figures draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from analyze.arguments import checked
from analyze.results import Results
from analyze.study import FP32_RUNS, Study, study_of
from analyze.sweeps import RUNS

if TYPE_CHECKING:
    import polars

Over = Literal["size", "sparsity", "precision", "topology"]
IDENTITY = ["dataset", "family", "protocol_id", "dataset_fingerprint"]

_RUN = "r.dataset, r.family, r.protocol_id, r.dataset_fingerprint, r.depth, r.capacity, r.parameters"
_ACCURACY = "CASE WHEN r.status = 'diverged' THEN d.chance_accuracy ELSE r.test_accuracy END"
# Per curve: what tells its points apart, the accuracy, and the runs; `shape` and `sparsity` only where they vary.
_POINTS: Mapping[Over, str] = {
    "size": f"""
        SELECT {_RUN}, '' AS shape, r.precision, 0::DOUBLE AS sparsity, r.status, {_ACCURACY} AS accuracy
        FROM runs r SEMI JOIN equal_widths USING (run_id) JOIN datasets d USING (dataset_fingerprint)
        WHERE r.precision = 'fp32'""",
    "sparsity": f"""
        SELECT {_RUN}, '' AS shape, r.precision, p.sparsity, r.status,
               coalesce(p.test_accuracy, d.chance_accuracy) AS accuracy
        FROM magnitude_pruning p JOIN runs r USING (run_id) SEMI JOIN equal_widths USING (run_id)
             JOIN datasets d USING (dataset_fingerprint)
        WHERE r.precision = 'fp32'""",
    "precision": f"""
        SELECT {_RUN}, '' AS shape, r.precision, 0::DOUBLE AS sparsity, r.status, {_ACCURACY} AS accuracy
        FROM runs r JOIN datasets d USING (dataset_fingerprint)
        SEMI JOIN (SELECT * FROM runs SEMI JOIN equal_widths USING (run_id) WHERE precision = 'fp32') f
            USING (protocol_id, dataset_fingerprint, family, hidden_sizes, replicate)
        SEMI JOIN (SELECT * FROM runs WHERE precision = 'int8') q
            USING (protocol_id, dataset_fingerprint, family, hidden_sizes, replicate)
        WHERE r.precision IN ('fp32', 'int8')""",
    "topology": f"""
        SELECT {_RUN}, l.shape, r.precision, 0::DOUBLE AS sparsity, r.status, {_ACCURACY} AS accuracy
        FROM runs r JOIN labels l USING (run_id) JOIN datasets d USING (dataset_fingerprint)
        WHERE r.precision = 'fp32' AND NOT l.degenerate""",
}
_MEANS = """
SELECT * EXCLUDE (accuracy, status), count(*) AS replicates, count(*) FILTER (status = 'diverged') AS diverged,
       avg(accuracy) AS mean, stddev_samp(accuracy) AS sd
FROM ({points}) GROUP BY ALL ORDER BY depth, capacity, shape, precision, sparsity
"""
_EPOCHS = f"""
WITH means AS (
    SELECT {_RUN}, e.epoch, count(*) AS replicates, avg(e.train_loss) AS train_loss,
           avg(e.train_accuracy) AS train_accuracy, avg(e.test_loss) AS test_loss, avg(e.test_accuracy) AS test_accuracy
    FROM epochs e JOIN runs r USING (run_id) SEMI JOIN equal_widths USING (run_id)
    WHERE r.status = 'ok' AND r.precision = 'fp32' GROUP BY ALL
)
SELECT * EXCLUDE (train_loss, train_accuracy, test_loss, test_accuracy), 'test' AS split, test_loss AS loss,
       test_accuracy AS accuracy FROM means
UNION ALL
SELECT * EXCLUDE (train_loss, train_accuracy, test_loss, test_accuracy), 'train', train_loss, train_accuracy FROM means
ORDER BY depth, capacity, split, epoch
"""


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """Mean test accuracy of one architecture over its replicates, a fraction; `ci_low` and `ci_high` bound the mean.

    A run that diverged counts at chance. With one replicate there is neither `sd` nor interval. `shape` is empty where
    only equal widths are looked at, `sparsity` 0 where nothing was pruned.
    """

    dataset: str
    family: str
    depth: int
    capacity: int
    shape: str
    precision: str
    sparsity: float
    parameters: int
    replicates: int
    diverged: int
    mean: float
    sd: float | None
    ci_low: float | None
    ci_high: float | None
    protocol_id: str
    dataset_fingerprint: str


@dataclass(frozen=True, kw_only=True)
class EpochPoint:
    """Mean loss (nats) and accuracy (a fraction) of one architecture after an epoch, over replicates.

    Those that diverged are left out. Training's are running means, taken while the weights were changing.
    """

    dataset: str
    family: str
    depth: int
    capacity: int
    split: Literal["train", "test"]
    epoch: int
    parameters: int
    replicates: int
    loss: float | None
    accuracy: float | None
    protocol_id: str
    dataset_fingerprint: str


@checked
def curves(
    store: str | Path | Study,
    dataset: str | Sequence[str] | None = None,
    family: str | Sequence[str] | None = None,
    protocol: str | None = None,
    *,
    over: Over = "size",
) -> Results[CurvePoint]:
    """Return mean test accuracy with sd and 95% t interval, cut to 0 and 1, at every point of a curve.

    Args:
        store: Path of the results store.
        dataset: Names to look at; None for all.
        family: Names to look at; None for all.
        protocol: Where there are several; None for that of most runs, as `regimes` chooses.
        over: `size`: fp32 networks of equal widths. `sparsity`: the same, pruned. `precision`: the same, beside their
            8-bit twins, replicates that have both. `topology`: every DNN that the ladder's ends did not cut short.

    Raises:
        MinarchError: there is no such store, or it holds none of a dataset, family or protocol that was named.
        ValueError: `over` is none of these.
    """
    study = study_of(store, dataset, family, protocol, tables=("pruning",) if over == "sparsity" else ())
    means, notes = _of_chosen(study, _MEANS.format(points=_POINTS[over]))
    rows = (CurvePoint(**row) for row in _with_interval(means).iter_rows(named=True))
    return study.advised(Results(CurvePoint, tuple(rows), notes))


@checked
def learning_curves(
    store: str | Path | Study,
    dataset: str | Sequence[str] | None = None,
    family: str | Sequence[str] | None = None,
    protocol: str | None = None,
) -> Results[EpochPoint]:
    """Return mean training and test loss and accuracy after every epoch, of fp32 networks of equal widths.

    Raises:
        MinarchError: there is no such store, or it holds none of a dataset, family or protocol that was named.
    """
    study = study_of(store, dataset, family, protocol, tables=("epochs",))
    means, notes = _of_chosen(study, _EPOCHS)
    return study.advised(Results(EpochPoint, tuple(EpochPoint(**row) for row in means.iter_rows(named=True)), notes))


def _of_chosen(study: Study, sql: str) -> tuple[polars.DataFrame, tuple[str, ...]]:
    """Return what a query says of the sweeps that `regimes` looks at, in its order, and remarks on their choice."""
    runs = study.demand(study.choose(study.query(RUNS), FP32_RUNS))
    sweeps = runs.content.select(IDENTITY).unique(maintain_order=True)
    return sweeps.join(study.query(sql), on=IDENTITY, how="inner", maintain_order="left_right"), runs.notes


def _with_interval(means: polars.DataFrame) -> polars.DataFrame:
    """Return the means with the ends of their t interval; null where the sd is.

    From the moments that the database returns, all points at once: a figure has thousands.
    """
    import numpy as np
    import polars
    from scipy.special import stdtrit

    n = means["replicates"].to_numpy()
    reach = stdtrit(np.maximum(n - 1, 1), 0.975) / np.sqrt(np.maximum(n, 1))
    half = polars.Series(reach, dtype=polars.Float64) * means["sd"]
    return means.with_columns(
        ci_low=(means["mean"] - half).clip(0, 1),
        ci_high=(means["mean"] + half).clip(0, 1),
    )
