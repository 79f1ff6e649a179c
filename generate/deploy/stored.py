"""Runs of a store that a model can be made of: what is stored of them, and how they were trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from generate.architectures import Architecture
from generate.families import protocol_from
from generate.protocol import FamilyProtocol, protocol_id
from store.errors import MinarchError
from store.families import family_facts
from store.records import Engine, Precision, PruningMethod
from store.results import Store

PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")
"""Those that files are written in."""
METRICS = tuple(f"{part}_{metric}" for metric in ("accuracy", "loss") for part in ("train", "validation", "test"))
"""What is compared of a run that is trained again, beside its best epoch."""

_RUN = "SELECT r.*, p.spec::VARCHAR AS spec FROM runs r JOIN protocols p USING (protocol_id) WHERE r.run_id = ?"
_BEST = """
SELECT run_id FROM runs
WHERE protocol_id = ? AND dataset_fingerprint = ? AND family = ? AND hidden_sizes = ? AND precision = ?
  AND status = 'ok' AND validation_accuracy IS NOT NULL
ORDER BY validation_accuracy DESC, replicate LIMIT 1
"""
_OTHERS = """
SELECT test_accuracy FROM runs
WHERE protocol_id = ? AND dataset_fingerprint = ? AND family = ? AND hidden_sizes = ? AND precision = ?
  AND run_id != ? AND test_accuracy IS NOT NULL
ORDER BY replicate
"""
_INTEGER = "SELECT test_accuracy FROM integer_checks WHERE run_id = ?"
_CUTS = """
SELECT method, sparsity, finetune_epochs, test_accuracy, nonzero FROM pruning
WHERE run_id = ? ORDER BY method, finetune_epochs, sparsity
"""


@dataclass(frozen=True, kw_only=True)
class StoredRun:
    """A run as the store has it.

    Attributes:
        metrics: by the names in `METRICS`; accuracies are fractions, losses nats.
        others: test accuracies of the other replicates of its architecture and precision.
        integer_accuracy: test accuracy on integer kernels, None where it was not checked.
    """

    run_id: str
    protocol: FamilyProtocol
    dataset: str
    fingerprint: str
    architecture: Architecture
    depth: int
    parameters: int
    replicate: int
    precision: Precision
    engine: Engine
    best_epoch: int
    metrics: Mapping[str, float]
    others: tuple[float, ...]
    integer_accuracy: float | None

    @property
    def title(self) -> str:
        """The network in words, such as `DNN, 1 hidden layer, 20 wide`."""
        facts, sizes = family_facts(self.architecture.family), self.architecture.hidden_sizes
        if facts.layered and not self.architecture.in_phase_2:
            return f"{facts.title}, {facts.depth(self.depth)}, {', '.join(map(str, sizes))} wide"
        return f"{facts.title}, {facts.sized(self.depth, sizes[0])}"


@dataclass(frozen=True, kw_only=True)
class Cut:
    """How a network is pruned, of its weights or units, with what the store has of it."""

    method: PruningMethod
    sparsity: float
    finetune_epochs: int
    test_accuracy: float
    nonzero: int

    def words(self) -> str:
        """Return it in words."""
        tuned = f", trained on for {self.finetune_epochs} epochs" if self.finetune_epochs else ""
        return f"{100 * self.sparsity:g}% pruned ({self.method}){tuned}"


def stored_run(store: Store, run_id: str) -> StoredRun:
    """Return a run by its id.

    Raises:
        MinarchError: there is no such run, it diverged, it is of a precision that no files are written in, or this
            version cannot train it.
    """
    found = store.query(_RUN, [run_id])
    if found.is_empty():
        raise MinarchError(f"{store.path} has no run {run_id!r}; {_listing(store)}")
    row = found.row(0, named=True)
    if row["status"] != "ok" or any(row[name] is None for name in METRICS):
        raise MinarchError(f"run {run_id} diverged: it has no weights that mean anything; {_listing(store)}")
    if row["precision"] not in PRECISIONS:
        raise MinarchError(f"run {run_id} is {row['precision']}: files are written of {' and '.join(PRECISIONS)} runs")
    protocol = protocol_from(json.loads(row["spec"]))
    if protocol_id(protocol) != row["protocol_id"]:
        raise MinarchError(f"protocol {row['protocol_id']} of run {run_id} is not one that this version can repeat")
    architecture = Architecture(row["family"], tuple(row["hidden_sizes"]))
    same = [row[name] for name in ("protocol_id", "dataset_fingerprint", "family", "hidden_sizes", "precision")]
    return StoredRun(
        run_id=run_id,
        protocol=protocol,
        dataset=row["dataset"],
        fingerprint=row["dataset_fingerprint"],
        architecture=architecture,
        depth=row["depth"],
        parameters=row["parameters"],
        replicate=row["replicate"],
        precision=row["precision"],
        engine=row["engine"],
        best_epoch=row["best_epoch"],
        metrics={name: row[name] for name in METRICS},
        integer_accuracy=next(iter(store.query(_INTEGER, [run_id])["test_accuracy"]), None),
        others=tuple(store.query(_OTHERS, [*same, run_id])["test_accuracy"]),
    )


def best_replicate(
    store: Store, *, protocol: str, fingerprint: str, architecture: Architecture, precision: Precision
) -> str | None:
    """Return the id of the replicate with the highest validation accuracy, the first one on ties; None without any."""
    key = [protocol, fingerprint, architecture.family, list(architecture.hidden_sizes), precision]
    found = store.query(_BEST, key)
    return None if found.is_empty() else str(found["run_id"].item())


def measured_cut(
    store: Store, run: StoredRun, *, sparsity: float, method: PruningMethod, finetune_epochs: int
) -> Cut | None:
    """Return a way of pruning that the store has measured of a run, None for no pruning at all.

    Raises:
        MinarchError: it was not measured; says what was.
    """
    rows = [Cut(**row) for row in store.query(_CUTS, [run.run_id]).iter_rows(named=True)]
    if sparsity == 0 and not finetune_epochs and method == "magnitude":
        return None
    alike = [cut for cut in rows if (cut.method, cut.finetune_epochs) == (method, finetune_epochs)]
    for cut in alike:
        if abs(cut.sparsity - sparsity) < 1e-9 and cut.test_accuracy is not None:
            return cut
    if alike:
        known = ", ".join(f"{cut.sparsity:g}" for cut in alike)
        raise MinarchError(f"run {run.run_id} was not pruned to {sparsity:g} by {method}: measured are {known}")
    ways = dict.fromkeys((cut.method, cut.finetune_epochs) for cut in rows)
    named = [f"--method {way}" + (f" --finetune {epochs}" if epochs else "") for way, epochs in ways]
    raise MinarchError(
        f"run {run.run_id} was not pruned by {method}"
        + (f" and trained on for {finetune_epochs} epochs" if finetune_epochs else "")
        + (f": measured are {', '.join(named)}" if named else ": the store has no pruning of it")
    )


def _listing(store: Store) -> str:
    return f'`store sql "SELECT run_id, dataset, family, precision, status FROM runs" --store {store.path}` lists them'
