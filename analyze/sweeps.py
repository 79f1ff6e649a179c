"""Sweeps over model size, loaded from a store: one per dataset, family and depth, equal widths only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from analyze import arguments
from analyze.stats.result import FloatArray, IntArray
from store.errors import MinarchError
from store.results import Store

if TYPE_CHECKING:
    import polars

FAMILIES = arguments.FAMILIES

# A run counts where it stands for a shape of equal widths that the end of the ladder did not cut short.
EQUAL_WIDTHS = "run_id IN (SELECT run_id FROM labels WHERE NOT degenerate AND replace(shape, '=', '') = '')"

RUNS = f"""
SELECT r.protocol_id, r.dataset, r.dataset_fingerprint, r.family, r.depth, r.capacity, r.parameters, r.replicate,
       d.chance_accuracy AS chance,
       CASE WHEN r.status = 'diverged' THEN d.chance_accuracy ELSE r.test_accuracy END AS accuracy,
       r.last_train_accuracy AS last_train, r.last_test_accuracy AS last_test
FROM runs r JOIN datasets d USING (dataset_fingerprint)
WHERE r.precision = 'fp32' AND r.{EQUAL_WIDTHS}
ORDER BY r.dataset, r.family, r.depth, r.capacity, r.replicate
"""


@dataclass(frozen=True)
class Kind:
    """What an analysis is about, in words, and the command that adds more of it."""

    noun: str
    source: str


FP32_RUNS = Kind("fp32 runs of equal widths", "generate convergence")


@dataclass(frozen=True)
class Selection:
    """What of a store to analyse: names of datasets and families (empty: all), and a protocol (None: the commonest).

    A name that is not there is an error, unless the selection is `lenient`.
    """

    datasets: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    protocol: str | None = None
    lenient: bool = False

    @property
    def protocols(self) -> tuple[str, ...]:
        """The protocol that was named, as a tuple."""
        return (self.protocol,) if self.protocol else ()


@dataclass(frozen=True)
class Sweep:
    """All sizes of one dataset, family and depth, in increasing order, under one protocol.

    `capacities` and `parameters` have shape (sizes,). `accuracy` (of the best epoch, chance where a run diverged),
    `last_train` and `last_test` (of the last epoch, NaN where it diverged) are fractions of shape (sizes, replicates),
    NaN where there is no run.
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

    def rng(self, seed: int) -> np.random.Generator:
        """Return a generator that depends on `seed` and on this sweep only, whatever else is analysed."""
        return sweep_rng(seed, self.dataset, self.family, self.depth)


def sweep_rng(seed: int, *key: object) -> np.random.Generator:
    """Return a generator that depends on `seed` and the key only."""
    return np.random.default_rng([seed, crc32("/".join(str(part) for part in key).encode())])


def selection(
    dataset: str | Sequence[str] | None, family: str | Sequence[str] | None, protocol: str | None
) -> Selection:
    """Return the selection that a caller's loose arguments mean: a name, several, or None for all."""
    return Selection(_names(dataset), _names(family), protocol)


def load_sweeps(store: str | Path, chosen: Selection) -> tuple[list[Sweep], tuple[str, ...]]:
    """Return the sweeps of the store at this path, and remarks on the choice between protocols.

    Raises:
        MinarchError: the store holds none of a dataset, family or protocol that was named.
    """
    runs, notes = choose(Store(Path(store)).query(RUNS), chosen, FP32_RUNS)
    groups = runs.partition_by(["dataset", "family", "depth"], maintain_order=True)
    sweeps = [_sweep(group) for group in groups]
    return sorted(sweeps, key=lambda sweep: (sweep.dataset, family_rank(sweep.family), sweep.depth)), notes


def choose(runs: polars.DataFrame, chosen: Selection, kind: Kind) -> tuple[polars.DataFrame, tuple[str, ...]]:
    """Return the chosen runs, those of one protocol and one fingerprint per dataset and family, and remarks.

    Raises:
        MinarchError: none of a dataset, family or protocol that was named, and the selection is not lenient.
    """
    import polars

    if runs.is_empty():
        return runs, (f"the store holds no {kind.noun} yet; `{kind.source}` adds them",)
    for column, wanted in (
        ("dataset", chosen.datasets),
        ("family", chosen.families),
        ("protocol_id", chosen.protocols),
    ):
        known = runs[column].unique().sort().to_list()
        for name in wanted:
            if name not in known and not chosen.lenient:
                what = f"{column.removesuffix('_id')} {name!r}"
                raise MinarchError(f"the store holds no {kind.noun} of {what}, only of {', '.join(known)}")
        if wanted:
            runs = runs.filter(polars.col(column).is_in(list(wanted)))

    keys = ["dataset", "family"]
    identity = [*keys, "protocol_id", "dataset_fingerprint"]
    # Most runs first; the names settle ties, so that the choice does not hang on the order of rows.
    ranked = runs.group_by(identity).agg(polars.len().cast(int)).sort(*keys, -polars.col("len"), *identity[2:])
    best = ranked.unique(keys, keep="first", maintain_order=True)
    rivals = ranked.group_by(keys, maintain_order=True).agg(polars.col("protocol_id"), polars.col("len"))
    notes = tuple(
        _choice(dataset, family, protocols, lengths)
        for dataset, family, protocols, lengths in rivals.iter_rows()
        if len(protocols) > 1
    )
    return runs.join(best.drop("len"), on=identity, how="semi", maintain_order="left"), notes


def family_rank(family: str) -> int:
    """Return where a family stands in the order dnn, cnn, vit."""
    return FAMILIES.index(family) if family in FAMILIES else len(FAMILIES)


def _choice(dataset: str, family: str, protocols: list[str], lengths: list[int]) -> str:
    others = sorted(set(protocols) - {protocols[0]})
    if not others:
        return f"{dataset}, {family}: runs on {len(protocols)} versions of the data; analysing the one with most runs"
    return (
        f"{dataset}, {family}: analysing protocol {protocols[0]} ({lengths[0]} runs); "
        f"choose another with --protocol: {', '.join(others)}"
    )


def _names(given: str | Sequence[str] | None) -> tuple[str, ...]:
    if given is None:
        return ()
    return (given,) if isinstance(given, str) else tuple(given)


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
    )


def _index(group: polars.DataFrame, column: str, beside: str) -> tuple[IntArray, IntArray, IntArray]:
    """Return the distinct values of a column, each row's place among them, and another column's value at each."""
    values, first, places = np.unique(group[column].to_numpy(), return_index=True, return_inverse=True)
    return values.astype(np.int64), places.astype(np.int64), group[beside].to_numpy()[first].astype(np.int64)
