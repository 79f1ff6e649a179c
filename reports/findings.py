"""What a report is made of: the frames that `analyze` and the store give, per dataset and family."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from analyze import Regime, Results, regimes
from reports.charts.vocabulary import DATASETS, FAMILIES
from store.errors import MinarchError
from store.results import Store

# Equal widths only: the paper's second phase, and every architecture of the families without topologies. A run that
# diverged learned nothing: it counts at chance, here as in the analysis.
REPLICATES = """
SELECT r.protocol_id, r.dataset_fingerprint, r.dataset, r.family, r.depth::BIGINT AS depth,
       r.capacity::BIGINT AS capacity, r.parameters, r.replicate,
       r.status = 'diverged' AS diverged,
       CASE WHEN r.status = 'diverged' THEN d.chance_accuracy ELSE r.test_accuracy END AS test_accuracy
FROM runs r JOIN labels l USING (run_id) JOIN datasets d USING (dataset_fingerprint)
WHERE r.precision = 'fp32' AND NOT l.degenerate AND replace(l.shape, '=', '') = ''
ORDER BY r.dataset, r.family, r.depth, r.capacity, r.replicate
"""
DATASET_FACTS = "SELECT * FROM datasets ORDER BY dataset, dataset_fingerprint"
MODELS = """
SELECT dataset, family, precision, count(*) AS models, count(DISTINCT hidden_sizes) AS architectures,
       count(DISTINCT replicate) AS replicates, sum(seconds) AS seconds, max(epochs) AS epochs
FROM runs GROUP BY ALL ORDER BY dataset, family, precision
"""
INVOCATIONS = """
SELECT i.started_at, i.argv, i.package_version, i.torch_version, i.host, count(r.run_id) AS models,
       coalesce(sum(r.seconds), 0) AS seconds
FROM invocations i LEFT JOIN runs r USING (invocation_id)
GROUP BY ALL ORDER BY i.started_at
"""
PROTOCOLS = """
SELECT p.protocol_id, p.spec::VARCHAR AS spec, count(*) AS models
FROM protocols p JOIN runs r USING (protocol_id) GROUP BY ALL ORDER BY models DESC, protocol_id
"""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One dataset and family: aggregated accuracies, single runs, and the rows of the regimes table.

    `boundaries` are those rows with the interval in parameters beside the one in capacities.
    """

    dataset: str
    family: str
    chance: float
    cells: pl.DataFrame
    replicates: pl.DataFrame
    boundaries: pl.DataFrame

    @property
    def depths(self) -> list[int]:
        """Depths with runs, in increasing order."""
        return [int(depth) for depth in self.cells["depth"].unique().sort()]

    @property
    def capacities(self) -> list[int]:
        """Capacities with runs, in increasing order."""
        return [int(capacity) for capacity in self.cells["capacity"].unique().sort()]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Everything a report shows. `families` is the choice of the user, empty for all."""

    subjects: tuple[Subject, ...]
    families: tuple[str, ...]
    notes: tuple[str, ...]
    dataset_facts: pl.DataFrame
    models: pl.DataFrame
    invocations: pl.DataFrame
    protocols: pl.DataFrame

    @property
    def datasets(self) -> list[str]:
        """Datasets with runs, the easier ones of the paper first."""
        return list(dict.fromkeys(self.models["dataset"]))

    def subject(self, dataset: str, family: str) -> Subject | None:
        """Return the subject, or None where the store has no such runs."""
        return next((s for s in self.subjects if (s.dataset, s.family) == (dataset, family)), None)

    def key(self, dataset: str) -> str:
        """Return a name for the dataset that is safe in an address and an element's id."""
        plain = re.sub(r"[^a-z0-9_]+", "-", dataset.lower()).strip("-")
        return plain if plain == dataset else f"{plain or 'data'}-{self.datasets.index(dataset)}"


def load(
    path: Path, datasets: Sequence[str] = (), families: Sequence[str] = (), protocol: str | None = None
) -> Findings:
    """Return what a report on the store at `path` shows, of these datasets and families (all where none is named).

    A family that some of the datasets lack is no error: the report says so in its place.

    Raises:
        MinarchError: there is no store, it has no runs, or none of a dataset, of the families or of the protocol.
    """
    store = Store(path)
    models = _models(store, path, datasets, families)
    present = models["family"].unique().sort().to_list() if families else None
    found = regimes(path, list(datasets) or None, present, protocol)
    facts = in_order(store.query(DATASET_FACTS).filter(pl.col("dataset").is_in(models["dataset"].to_list())))
    return Findings(
        subjects=_subjects(store, found, facts),
        families=tuple(families),
        notes=found.notes,
        dataset_facts=facts,
        models=models,
        invocations=store.query(INVOCATIONS),
        protocols=store.query(PROTOCOLS),
    )


def _models(store: Store, path: Path, datasets: Sequence[str], families: Sequence[str]) -> pl.DataFrame:
    """Return the number of models per dataset, family and precision, of those asked for."""
    models = store.query(MODELS)
    if models.is_empty():
        raise MinarchError(f"{path} holds no runs yet; `generate all` adds them")
    for column, wanted in (("dataset", datasets), ("family", families)):
        known = models[column].unique().sort().to_list()
        unknown = [name for name in wanted if name not in known]
        if unknown and (column == "dataset" or len(unknown) == len(wanted)):
            raise MinarchError(f"no {column} {unknown[0]!r} in {path}; there is {', '.join(known)}")
        if wanted:
            models = models.filter(pl.col(column).is_in(list(wanted)))
    return in_order(models)


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with the paper's datasets first, in rising difficulty, and the families as the paper has them."""
    ranks = {name: place for place, name in enumerate(DATASETS)} | {name: place for place, name in enumerate(FAMILIES)}
    keys = [column for column in ("dataset", "family") if column in frame.columns]
    order = [pl.col(key).replace_strict(ranks, default=len(ranks), return_dtype=pl.Int64) for key in keys]
    return frame.sort([*order, *keys], maintain_order=True)


def _subjects(store: Store, found: Results[Regime], facts: pl.DataFrame) -> tuple[Subject, ...]:
    """Return one subject per dataset and family of the regimes, with exactly the runs that those were found on."""
    boundaries = found.frame()
    runs = store.query(REPLICATES)
    chance = dict(facts.select("dataset_fingerprint", "chance_accuracy").iter_rows())
    identity = ["dataset", "family", "protocol_id", "dataset_fingerprint"]
    subjects = []
    for (dataset, family, _, fingerprint), rows in boundaries.group_by(identity, maintain_order=True):
        replicates = runs.join(rows.select(identity).unique(), on=identity, how="semi", maintain_order="left")
        cells = aggregate(replicates)
        subjects.append(
            Subject(
                dataset=str(dataset),
                family=str(family),
                chance=float(chance[fingerprint]),
                cells=cells,
                replicates=replicates.select("depth", "capacity", "parameters", "replicate", "test_accuracy"),
                boundaries=_with_parameters(rows, cells),
            )
        )
    return tuple(subjects)


def aggregate(replicates: pl.DataFrame) -> pl.DataFrame:
    """Return one row per depth and capacity: n, diverged, mean, sd, and the 95% t interval of the mean.

    Accuracies are fractions; sd and interval are null with a single replicate, and the interval stays within 0 and 1.
    """
    from scipy.stats import t

    accuracy = pl.col("test_accuracy")
    cells = (
        replicates.group_by("depth", "capacity", "parameters")
        .agg(n=accuracy.count(), diverged=pl.col("diverged").sum(), mean=accuracy.mean(), sd=accuracy.std())
        .sort("depth", "capacity")
    )
    n = cells["n"].to_numpy()
    # With one replicate the sd is null, and so is what is computed from it.
    half = pl.Series(t.ppf(0.975, np.maximum(n - 1, 1)) / np.sqrt(np.maximum(n, 1))) * cells["sd"]
    return cells.with_columns(
        ci_low=(cells["mean"] - half).clip(0, 1),
        ci_high=(cells["mean"] + half).clip(0, 1),
    )


def _with_parameters(boundaries: pl.DataFrame, cells: pl.DataFrame) -> pl.DataFrame:
    """Return the boundaries with the ends of their intervals in trainable parameters too."""
    sizes = cells.select("depth", "capacity", "parameters")
    for end in ("low", "high"):
        at = sizes.rename({"capacity": f"ci_{end}", "parameters": f"parameters_{end}"})
        boundaries = boundaries.join(at, on=["depth", f"ci_{end}"], how="left", maintain_order="left")
    return boundaries
