"""Small valid records for tests: runs, the rows that go with them, whole units, and stores made of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from store.costs import Image
from store.families import FAMILIES
from store.records import (
    ArchitectureCosts,
    DatasetFacts,
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

PROTOCOL = Protocol(protocol_id="protocol0", spec='{"family":"dnn"}')
INVOCATION = Invocation(
    invocation_id="invocation0",
    argv="generate convergence",
    started_at=datetime(2025, 1, 2, 3, 4, 5),
    package_version="0.1.0",
    torch_version="2.6.0",
    host='{"cores":2}',
)
SPARSITIES = (0.0, 0.5, 1.0)


def digest(*parts: object) -> str:
    """Return 16 hexadecimal digits that depend on nothing but `parts`."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def make_dataset(name: str = "digits") -> DatasetFacts:
    """Return facts of a dataset the size of `digits`, under any name."""
    return DatasetFacts(
        dataset_fingerprint=f"fingerprint-{name}",
        dataset=name,
        train_images=1437,
        test_images=360,
        height=8,
        width=8,
        channels=1,
        classes=10,
        chance_accuracy=0.1,
    )


def make_run(
    hidden_sizes: tuple[int, ...] = (10,),
    *,
    replicate: int = 0,
    dataset: str = "digits",
    family: str = "dnn",
    precision: Precision = "fp32",
    test_accuracy: float | None = 0.9,
    epochs: int = 3,
    **changes: Any,
) -> Run:
    """Return a run; every other field follows from these, or is named in `changes`.

    The parameters are those of a DNN on 64 pixels and 10 classes; the last epoch is a point worse than the best one.
    """
    sizes = (64, *hidden_sizes, 10)
    last = None if test_accuracy is None else max(test_accuracy - 0.01, 0.0)
    run = Run(
        run_id=digest(dataset, family, hidden_sizes, precision, replicate),
        protocol_id=PROTOCOL.protocol_id,
        invocation_id=INVOCATION.invocation_id,
        dataset=dataset,
        dataset_fingerprint=f"fingerprint-{dataset}",
        family=family,
        depth={"cnn": 1, "vit": 2}.get(family, len(hidden_sizes)),
        capacity=hidden_sizes[0],
        hidden_sizes=hidden_sizes,
        parameters=sum((a + 1) * b for a, b in pairwise(sizes)),
        replicate=replicate,
        precision=precision,
        engine="torch",
        status="ok",
        epochs=epochs,
        best_epoch=max(epochs - 1, 1),
        train_accuracy=test_accuracy,
        validation_accuracy=test_accuracy,
        test_accuracy=test_accuracy,
        train_loss=0.3,
        validation_loss=0.35,
        test_loss=0.4,
        last_train_accuracy=test_accuracy,
        last_validation_accuracy=last,
        last_test_accuracy=last,
        last_train_loss=0.25,
        last_validation_loss=0.45,
        last_test_loss=0.5,
        seconds=1.5,
        created_at=datetime(2025, 1, 2, 3, 5),
    )
    return replace(run, **changes)


def make_labels(run: Run) -> tuple[Label, ...]:
    """Return the label that a run's widths spell."""
    shape = "".join("=" if a == b else "+" if a < b else "-" for a, b in pairwise(run.hidden_sizes))
    return (Label(run_id=run.run_id, shape=shape, degenerate=False),)


def make_epochs(run: Run) -> tuple[Epoch, ...]:
    """Return a learning curve: losses of 1 / epoch, accuracies that reach the run's."""
    best = run.test_accuracy or 0.0
    return tuple(
        Epoch(
            run_id=run.run_id,
            epoch=epoch,
            train_loss=1 / epoch,
            train_accuracy=best * epoch / run.epochs,
            validation_loss=1.1 / epoch,
            validation_accuracy=best * epoch / run.epochs,
            test_loss=1.2 / epoch,
            test_accuracy=best * epoch / run.epochs,
        )
        for epoch in range(1, run.epochs + 1)
    )


def make_pruning(run: Run, sparsities: Sequence[float] = SPARSITIES) -> tuple[Pruned, ...]:
    """Return a pruning curve that falls linearly from the run's accuracy to 0.1."""
    best = run.test_accuracy or 0.0
    return tuple(
        Pruned(
            run_id=run.run_id,
            sparsity=sparsity,
            test_accuracy=best + (0.1 - best) * sparsity,
            test_loss=0.4 + 2 * sparsity,
            nonzero=round(run.parameters * (1 - sparsity)),
        )
        for sparsity in sparsities
    )


def make_cuts(run: Run, methods: Sequence[tuple[PruningMethod, int]]) -> tuple[Pruned, ...]:
    """Return rows of other ways to prune a run, half of it, with so many epochs of fine-tuning each."""
    best = run.test_accuracy or 0.0
    return tuple(
        Pruned(
            run_id=run.run_id,
            sparsity=0.5,
            test_accuracy=best / 2,
            test_loss=3.0,
            nonzero=run.parameters // 2,
            method=method,
            finetune_epochs=epochs,
        )
        for method, epochs in methods
    )


def make_post_training(run: Run) -> tuple[PostTraining, ...]:
    """Return what a run is worth after quantization without training, at three widths of its weights."""
    return tuple(
        PostTraining(
            run_id=run.run_id,
            weight_bits=bits,
            activation_bits=8,
            test_accuracy=(run.test_accuracy or 0.0) * bits / 8,
            test_loss=8 / bits,
            seconds=0.1,
        )
        for bits in (8, 6, 4)
    )


def make_costs(runs: Sequence[Run]) -> tuple[ArchitectureCosts, ...]:
    """Return the costs of the architectures of runs, by their families' closed forms."""
    rows = {}
    for run in runs:
        known = FAMILIES[run.family].costs if run.family in FAMILIES else None
        if known is not None:
            found = asdict(known(run.hidden_sizes, Image(8, 8, 1, 10), {}))
            key = (run.protocol_id, run.dataset_fingerprint, run.family, run.hidden_sizes)
            rows[key] = ArchitectureCosts(
                protocol_id=key[0], dataset_fingerprint=key[1], family=key[2], hidden_sizes=key[3], **found
            )
    return tuple(rows.values())


def make_records(
    runs: Sequence[Run] | None = None,
    *,
    pruning: bool = True,
    integer_checks: bool = True,
    invocation: Invocation = INVOCATION,
) -> Records:
    """Return a unit of work: these runs (by default one) with everything that belongs to them."""
    runs = (make_run(),) if runs is None else tuple(runs)
    return Records(
        protocols=(PROTOCOL,),
        datasets=tuple(make_dataset(name) for name in dict.fromkeys(run.dataset for run in runs)),
        invocations=(invocation,),
        runs=tuple(replace(run, invocation_id=invocation.invocation_id) for run in runs),
        labels=tuple(label for run in runs for label in make_labels(run)),
        epochs=tuple(point for run in runs for point in make_epochs(run)),
        pruning=tuple(p for run in runs if run.precision == "fp32" for p in make_pruning(run)) if pruning else (),
        integer_checks=tuple(
            IntegerCheck(run_id=run.run_id, test_accuracy=run.test_accuracy or 0.0, seconds=0.2)
            for run in runs
            if integer_checks and run.precision == "int8"
        ),
        costs=make_costs(runs),
    )


def make_store(path: Path, *units: Records) -> Store:
    """Return a store at `path` that holds these units."""
    store = Store(path)
    store.prepare()
    for number, unit in enumerate(units):
        store.append(unit, name=f"unit-{number}")
    return store


def grid(
    *,
    widths: Sequence[int] = (2, 5, 10, 20),
    depths: Sequence[int] = (1, 2),
    replicates: int = 5,
    dataset: str = "digits",
    precisions: Sequence[Precision] = ("fp32", "int8"),
) -> list[Run]:
    """Return the runs of a small sweep; accuracy rises with width and falls a little in int8, with a spread that
    shrinks with width."""
    return [
        make_run(
            (width,) * depth,
            replicate=replicate,
            dataset=dataset,
            precision=precision,
            test_accuracy=1 - 0.5 / width - 0.2 * (replicate % 3) / width**2 - 0.01 * (precision == "int8"),
        )
        for width in widths
        for depth in depths
        for replicate in range(replicates)
        for precision in precisions
    ]
