"""Stores with planted numbers, shaped like real sweeps: accuracy rises with size, and its spread falls."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from store.records import (
    DatasetFacts,
    Epoch,
    Invocation,
    Label,
    PostTraining,
    Precision,
    Protocol,
    Pruned,
    Records,
    Run,
)
from store.results import Store

STARTED = datetime(2026, 3, 1, 9, 30)
CEILING = {"digits": 0.975, "mnist": 0.98, "fashion_mnist": 0.89, "cifar10": 0.54}
IMAGES = {"digits": (8, 8, 1), "mnist": (28, 28, 1), "fashion_mnist": (28, 28, 1), "cifar10": (32, 32, 3)}
LADDERS: dict[str, tuple[int, ...]] = {
    "dnn": (1, 2, 3, 5, 10, 20, 30, 50, 100, 200),
    "cnn": (1, 2, 3, 4, 6, 8, 12, 16, 24, 32),
    "vit": (1, 2, 3, 4, 6, 8, 10, 12, 14, 16),
}
DEPTHS: dict[str, tuple[int, ...]] = {"dnn": (1, 2, 3, 4), "cnn": (1,), "vit": (2,)}
FEWER_BITS: tuple[tuple[Precision, float], ...] = (("w4a8", 0.02), ("int4", 0.12))
"""Precisions below 8 bits, and the share of accuracy that they lose."""
SPARSITIES = tuple(step / 20 for step in range(21))


def facts(dataset: str) -> DatasetFacts:
    height, width, channels = IMAGES.get(dataset, (8, 8, 1))
    return DatasetFacts(
        dataset_fingerprint=f"data-{dataset}",
        dataset=dataset,
        train_images=1437,
        test_images=360,
        height=height,
        width=width,
        channels=channels,
        classes=10,
        chance_accuracy=0.1,
    )


def parameters(dataset: str, family: str, sizes: Sequence[int]) -> int:
    height, width, channels = IMAGES.get(dataset, (8, 8, 1))
    if family == "dnn":
        layers = (height * width * channels, *sizes, 10)
        return sum((a + 1) * b for a, b in itertools.pairwise(layers))
    if family == "cnn":
        return sizes[0] * (9 * channels + 1) + (sizes[0] * (height - 2) * (width - 2) + 1) * 10
    return 60 * sizes[0] + 14 * sizes[0] ** 2 + 10


def topologies(depth: int, every: bool) -> list[str]:
    return ["".join(s) for s in itertools.product("=+-", repeat=depth - 1)] if every else ["=" * (depth - 1)]


def widths(capacity: int, shape: str) -> tuple[int, ...]:
    sizes = [capacity]
    for step in shape:
        sizes.append({"+": sizes[-1] * 2, "-": max(1, sizes[-1] // 2), "=": sizes[-1]}[step])
    return tuple(sizes)


def accuracies(
    dataset: str, capacity: int, depth: int, replicates: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Rise from chance to the dataset's ceiling around capacity 4; the spread collapses from capacity 10 on."""
    ceiling = CEILING.get(dataset, 0.9)
    mean = 0.12 + (ceiling - 0.12) / (1 + (3.2 * (1 + 0.12 * depth) / capacity) ** 2.4)
    spread = 0.07 if capacity < 10 else 0.006
    values: NDArray[np.float64] = np.clip(mean + spread * rng.standard_normal(replicates), 0.05, 0.995)
    return values


def plant(
    path: Path,
    *,
    datasets: Iterable[str] = ("digits",),
    families: Iterable[str] = ("dnn",),
    replicates: int = 6,
    every_topology: bool = False,
    epochs: int = 0,
    pruning: bool = False,
    quantization: bool = False,
    forms: bool = False,
    seed: int = 7,
) -> Store:
    """Return the store at `path` with one more planted sweep per dataset and family.

    `forms`: equal widths also in w4a8 and int4, quantized after training, and fine-tuned after pruning.
    """
    rng = np.random.default_rng(seed)
    store = Store(path)
    for dataset, family in itertools.product(datasets, families):
        protocol = Protocol(
            protocol_id=f"protocol-{family}", spec=f'{{"family":"{family}","training":{{"epochs":20,"patience":null}}}}'
        )
        invocation = Invocation(
            invocation_id=f"call-{dataset}-{family}",
            argv=f"generate convergence --dataset {dataset} --family {family}",
            started_at=STARTED,
            package_version="0.1.0",
            torch_version="2.14.0",
            host='{"processor":"planted","cores":2}',
        )
        runs: list[Run] = []
        labels: list[Label] = []
        curves: list[Epoch] = []
        pruned: list[Pruned] = []
        after: list[PostTraining] = []
        for depth, capacity in itertools.product(DEPTHS[family], LADDERS[family]):
            seen: dict[tuple[int, ...], list[str]] = {}
            for shape in topologies(depth, every_topology) if family == "dnn" else [""]:
                seen.setdefault(widths(capacity, shape) if family == "dnn" else (capacity,), []).append(shape)
            for sizes, shapes in seen.items():
                values = accuracies(dataset, capacity, depth, replicates, rng)
                for replicate, accuracy in enumerate(values):
                    run = _run(protocol, invocation, dataset, family, depth, sizes, replicate, float(accuracy), "fp32")
                    runs.append(run)
                    labels += [Label(run_id=run.run_id, shape=s, degenerate=i > 0) for i, s in enumerate(shapes)]
                    if epochs:
                        curves += _curve(run, epochs, float(accuracy))
                    if pruning and set(shapes[0]) <= {"="}:
                        pruned += _pruned(run, float(accuracy))
                    if quantization and set(shapes[0]) <= {"="}:
                        lost = 0.15 / (1 + capacity) + 0.004 * rng.standard_normal()
                        low = _run(
                            protocol,
                            invocation,
                            dataset,
                            family,
                            depth,
                            sizes,
                            replicate,
                            float(np.clip(accuracy - lost, 0, 1)),
                            "int8",
                        )
                        runs.append(low)
                        labels += [Label(run_id=low.run_id, shape=shapes[0], degenerate=False)]
                    if forms and set(shapes[0]) <= {"="}:
                        after += _after(run, float(accuracy))
                        pruned += _finetuned(run, float(accuracy))
                        for precision, share in FEWER_BITS:
                            left = float(np.clip(accuracy * (1 - share) + 0.003 * rng.standard_normal(), 0, 1))
                            few = _run(protocol, invocation, dataset, family, depth, sizes, replicate, left, precision)
                            runs.append(few)
                            labels += [Label(run_id=few.run_id, shape=shapes[0], degenerate=False)]
        store.append(
            Records(
                protocols=(protocol,),
                datasets=(facts(dataset),),
                invocations=(invocation,),
                runs=tuple(runs),
                labels=tuple(labels),
                epochs=tuple(curves),
                pruning=tuple(pruned),
                post_training=tuple(after),
            ),
            name=f"{dataset}-{family}",
        )
    return store


def _run(
    protocol: Protocol,
    invocation: Invocation,
    dataset: str,
    family: str,
    depth: int,
    sizes: tuple[int, ...],
    replicate: int,
    accuracy: float,
    precision: Precision,
) -> Run:
    train = min(1.0, accuracy + 0.02)
    return Run(
        run_id=f"{dataset}-{family}-{'x'.join(map(str, (depth, *sizes)))}-{precision}-{replicate}",
        protocol_id=protocol.protocol_id,
        invocation_id=invocation.invocation_id,
        dataset=dataset,
        dataset_fingerprint=f"data-{dataset}",
        family=family,
        depth=depth,
        capacity=sizes[0],
        hidden_sizes=sizes,
        parameters=parameters(dataset, family, sizes),
        replicate=replicate,
        precision=precision,
        engine="torch",
        status="ok",
        epochs=20,
        best_epoch=18,
        train_accuracy=train,
        validation_accuracy=accuracy,
        test_accuracy=accuracy,
        train_loss=1 - train,
        validation_loss=1 - accuracy,
        test_loss=1 - accuracy,
        last_train_accuracy=train,
        last_validation_accuracy=accuracy,
        last_test_accuracy=accuracy,
        last_train_loss=1 - train,
        last_validation_loss=1 - accuracy,
        last_test_loss=1 - accuracy,
        seconds=1.5,
        created_at=STARTED,
    )


def _curve(run: Run, epochs: int, accuracy: float) -> list[Epoch]:
    shares = [1 - 0.8 ** (epoch + 1) for epoch in range(epochs)]
    return [
        Epoch(
            run_id=run.run_id,
            epoch=epoch + 1,
            train_loss=1 - share * accuracy,
            train_accuracy=share * accuracy,
            validation_loss=1.02 - share * accuracy,
            validation_accuracy=share * accuracy,
            test_loss=1.03 - share * accuracy,
            test_accuracy=share * accuracy,
        )
        for epoch, share in enumerate(shares)
    ]


def _pruned(run: Run, accuracy: float) -> list[Pruned]:
    tolerance = 0.35 + 0.12 * np.log10(run.capacity + 1) + 0.04 * run.depth
    kept = 1 / (1 + np.exp((np.array(SPARSITIES) - tolerance) * 18))
    kept = kept / kept[0]
    return [
        Pruned(
            run_id=run.run_id,
            sparsity=sparsity,
            test_accuracy=float(0.1 + max(accuracy - 0.1, 0) * share),
            test_loss=float(2.3 - 2 * share * accuracy),
            nonzero=int(run.parameters * (1 - sparsity)),
        )
        for sparsity, share in zip(SPARSITIES, kept, strict=True)
    ]


def _after(run: Run, accuracy: float) -> list[PostTraining]:
    return [
        PostTraining(
            run_id=run.run_id,
            weight_bits=bits,
            activation_bits=8,
            test_accuracy=max(0.0, accuracy - lost - 0.001 * (run.replicate % 3)),
            test_loss=1.0,
            seconds=0.1,
        )
        for bits, lost in ((8, 0.0), (6, 0.004), (4, 0.08))
    ]


def _finetuned(run: Run, accuracy: float) -> list[Pruned]:
    return [
        Pruned(
            run_id=run.run_id,
            sparsity=sparsity,
            test_accuracy=float(np.clip(accuracy - 0.3 * (sparsity - 0.4) ** 2 - 0.001 * (run.replicate % 4), 0, 1)),
            test_loss=1.0,
            nonzero=int(run.parameters * (1 - sparsity)),
            finetune_epochs=5,
        )
        for sparsity in (0.5, 0.7, 0.9)
    ]
