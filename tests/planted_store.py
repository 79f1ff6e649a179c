"""Rows of a store that hold planted accuracies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path

import numpy as np

from analyze.stats.result import FloatArray
from store.records import (
    DatasetFacts,
    Engine,
    Epoch,
    IntegerCheck,
    Invocation,
    Label,
    PostTraining,
    Precision,
    Protocol,
    Pruned,
    PruningMethod,
    Records,
    Run,
)
from store.results import Store
from tests.planted import CHANCE, LADDER
from tests.planted_curves import PlantedCurves
from tests.planted_pruning import SPARSITIES

WHEN = datetime(2026, 1, 2, 3, 4, 5)


@dataclass(frozen=True, kw_only=True)
class PlantedCut:
    """Accuracies of one size after pruning in one way, shape (replicates, sparsities), NaN where there is no row."""

    capacity: int
    accuracy: FloatArray
    sparsities: Sequence[float]
    method: PruningMethod = "magnitude"
    finetune_epochs: int = 0


@dataclass(frozen=True, kw_only=True)
class PlantedSweep:
    """One sweep to write: accuracies of shape (sizes, replicates), NaN where there is no run, -1 where it diverged.

    `last_train` and `last_test` default to the accuracy; `curves` and `pruned`, accuracies of shape (replicates,
    sparsities), have one entry per size, or none; `converted` are accuracies of integer models, NaN where there is
    none; `post_training` has accuracies like those by bits of the weights; `cuts` are other ways to prune.
    """

    accuracy: FloatArray
    last_train: FloatArray | None = None
    last_test: FloatArray | None = None
    capacities: Sequence[int] = LADDER
    dataset: str = "planted"
    family: str = "dnn"
    depth: int = 1
    precision: Precision = "fp32"
    protocol: str = "p1"
    shape: str | None = None
    degenerate: bool = False
    engine: Engine = field(default="torch")
    curves: Sequence[PlantedCurves] = ()
    pruned: Sequence[FloatArray] = ()
    converted: FloatArray | None = None
    sparsities: Sequence[float] = SPARSITIES
    post_training: Mapping[int, FloatArray] = field(default_factory=dict)
    cuts: Sequence[PlantedCut] = ()

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the planted data: one per name."""
        return f"data-of-{self.dataset}"

    def run_id(self, capacity: int, replicate: int) -> str:
        """Return the id of a run, distinct over everything that may be planted."""
        parts = (self.protocol, self.dataset, self.family, self.depth, self.label, capacity, self.precision, replicate)
        return "-".join(map(str, parts))

    @property
    def label(self) -> str:
        """The topology: equal widths unless another was given."""
        if self.shape is not None:
            return self.shape
        return "=" * (self.depth - 1) if self.family == "dnn" else ""


def parameters(capacity: int, depth: int) -> int:
    """Return the parameters of a DNN on 8x8 images with 10 classes."""
    return 65 * capacity + (depth - 1) * capacity * (capacity + 1) + 10 * (capacity + 1)


def records(sweep: PlantedSweep) -> Records:
    """Return the rows of a planted sweep."""
    train = sweep.accuracy if sweep.last_train is None else sweep.last_train
    test = sweep.accuracy if sweep.last_test is None else sweep.last_test
    runs, labels = [], []
    for (size, replicate), accuracy in np.ndenumerate(sweep.accuracy):
        if np.isnan(accuracy):
            continue
        at = (size, replicate)
        run = _run(sweep, sweep.capacities[size], replicate, float(accuracy), float(train[at]), float(test[at]))
        runs.append(run)
        labels.append(Label(run_id=run.run_id, shape=sweep.label, degenerate=sweep.degenerate))
    return Records(
        protocols=(Protocol(protocol_id=sweep.protocol, spec="{}"),),
        datasets=(
            DatasetFacts(
                dataset_fingerprint=sweep.fingerprint,
                dataset=sweep.dataset,
                train_images=1437,
                test_images=360,
                height=8,
                width=8,
                channels=1,
                classes=10,
                chance_accuracy=CHANCE,
            ),
        ),
        invocations=(
            Invocation(
                invocation_id="planted",
                argv="generate all",
                started_at=WHEN,
                package_version="0",
                torch_version="0",
                host="{}",
            ),
        ),
        runs=tuple(runs),
        labels=tuple(labels),
        epochs=tuple(_epochs(sweep)),
        pruning=(*_pruning(sweep), *_cuts(sweep)),
        integer_checks=tuple(_checks(sweep)),
        post_training=tuple(_post_training(sweep)),
    )


def _epochs(sweep: PlantedSweep) -> Iterator[Epoch]:
    for size, curves in enumerate(sweep.curves):
        for (replicate, epoch), validation in np.ndenumerate(curves.validation):
            yield Epoch(
                run_id=sweep.run_id(sweep.capacities[size], replicate),
                epoch=epoch + 1,
                train_loss=None,
                train_accuracy=None,
                validation_loss=float(validation),
                validation_accuracy=None,
                test_loss=float(curves.test[replicate, epoch]),
                test_accuracy=None,
            )


def _pruning(sweep: PlantedSweep) -> Iterator[Pruned]:
    for size, accuracy in enumerate(sweep.pruned):
        for (replicate, column), value in np.ndenumerate(accuracy):
            yield Pruned(
                run_id=sweep.run_id(sweep.capacities[size], replicate),
                sparsity=sweep.sparsities[column],
                test_accuracy=_possible(value),
                test_loss=None,
                nonzero=0,
            )


def _checks(sweep: PlantedSweep) -> Iterator[IntegerCheck]:
    if sweep.converted is None:
        return
    for (size, replicate), accuracy in np.ndenumerate(sweep.converted):
        if not np.isnan(accuracy):
            run_id = sweep.run_id(sweep.capacities[size], replicate)
            yield IntegerCheck(run_id=run_id, test_accuracy=_possible(accuracy), seconds=0.1)


def _cuts(sweep: PlantedSweep) -> Iterator[Pruned]:
    for cut in sweep.cuts:
        weights = parameters(cut.capacity, sweep.depth) - sweep.depth * cut.capacity - 10
        for (replicate, column), value in np.ndenumerate(cut.accuracy):
            if np.isnan(value):
                continue
            sparsity = cut.sparsities[column]
            left = max(1, cut.capacity - round(sparsity * cut.capacity))
            without = parameters(left, sweep.depth) - sweep.depth * left - 10
            yield Pruned(
                run_id=sweep.run_id(cut.capacity, replicate),
                sparsity=sparsity,
                test_accuracy=_possible(value),
                test_loss=None,
                nonzero=without if cut.method == "units" else weights - round(sparsity * weights),
                method=cut.method,
                finetune_epochs=cut.finetune_epochs,
            )


def _post_training(sweep: PlantedSweep) -> Iterator[PostTraining]:
    for weight_bits, accuracy in sweep.post_training.items():
        for (size, replicate), value in np.ndenumerate(accuracy):
            if not np.isnan(value):
                yield PostTraining(
                    run_id=sweep.run_id(sweep.capacities[size], replicate),
                    weight_bits=weight_bits,
                    activation_bits=8,
                    test_accuracy=_possible(value),
                    test_loss=None,
                    seconds=0.1,
                )


def _possible(accuracy: float) -> float:
    """Return the nearest accuracy that can be: planted noise may reach past the ends, and the store refuses that."""
    return float(np.clip(accuracy, 0.0, 1.0))


def write(path: Path, *sweeps: PlantedSweep) -> Path:
    """Return `path`, now a store that holds the sweeps."""
    store = Store(path)
    store.prepare()
    parts = [records(sweep) for sweep in sweeps]
    if parts:
        # One row per key, in order: sweeps share their protocol, data and invocation.
        together = {
            table.name: tuple(dict.fromkeys(row for part in parts for row in getattr(part, table.name)))
            for table in fields(Records)
        }
        store.append(Records(**together), name="planted")
    return path


def _run(sweep: PlantedSweep, capacity: int, replicate: int, accuracy: float, train: float, test: float) -> Run:
    diverged = accuracy < 0
    best = None if diverged else _possible(accuracy)
    return Run(
        run_id=sweep.run_id(capacity, replicate),
        protocol_id=sweep.protocol,
        invocation_id="planted",
        dataset=sweep.dataset,
        dataset_fingerprint=sweep.fingerprint,
        family=sweep.family,
        depth=sweep.depth,
        capacity=capacity,
        hidden_sizes=(capacity,) * (sweep.depth if sweep.family == "dnn" else 1),
        parameters=parameters(capacity, sweep.depth),
        replicate=replicate,
        precision=sweep.precision,
        engine=sweep.engine,
        status="diverged" if diverged else "ok",
        epochs=20,
        best_epoch=20,
        train_accuracy=best,
        validation_accuracy=best,
        test_accuracy=best,
        train_loss=None if diverged else 0.1,
        validation_loss=None if diverged else 0.1,
        test_loss=None if diverged else 0.1,
        last_train_accuracy=None if diverged else _possible(train),
        last_validation_accuracy=best,
        last_test_accuracy=None if diverged else _possible(test),
        last_train_loss=None if diverged else 0.1,
        last_validation_loss=None if diverged else 0.1,
        last_test_loss=None if diverged else 0.1,
        seconds=0.1,
        created_at=WHEN,
    )
