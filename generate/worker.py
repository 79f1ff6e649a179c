"""What a worker does with a unit: train its models and return the store's rows."""

from __future__ import annotations

import functools
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from generate.cutting import Cutting
from generate.datasets import Dataset, load_dataset
from generate.deploy.integer_checks import integer_accuracy
from generate.engine.choose import build_pack
from generate.engine.initialise import initial_tensors
from generate.engine.pack import Pack, normalise
from generate.engine.post_training import CALIBRATION_IMAGES, evaluate_quantized
from generate.engine.training import Split, Trained, split_data, train
from generate.families.counts import depth_of, inference_costs, parameter_count, training_flops
from generate.plan import Unit
from generate.protocol import protocol_id
from store.errors import MinarchError
from store.precisions import ACTIVATION_BITS, WEIGHT_BITS, Bits, bits_of
from store.records import ArchitectureCosts, Epoch, IntegerCheck, Label, PostTraining, Records, Run


@functools.lru_cache(maxsize=2)
def _dataset(source: str, data_dir: Path | None) -> Dataset:
    return load_dataset(source, data_dir, download=False)


def run_unit(unit: Unit, invocation_id: str) -> Records:
    """Train the unit's models, prune and quantize those of phase 2, train some on, and return all their rows.

    Raises:
        MinarchError: the data is not what the driver saw.
    """
    began = time.perf_counter()
    dataset = _dataset(unit.dataset.source, unit.dataset.data_dir)
    if dataset.fingerprint != unit.dataset.fingerprint:
        raise MinarchError(f"the data of {unit.dataset.source} changed while the sweep was running")
    dataset = replace(dataset, name=unit.dataset.name)
    pack, split, trained = train_unit(unit, dataset)
    seconds = time.perf_counter() - began
    records = _records(unit, invocation_id, dataset, pack, trained, seconds)
    records = replace(records, pruning=Cutting(unit, pack, split, dataset.seed_key).rows())
    if bits_of(unit.precision) is None:
        return replace(records, post_training=_post_training(unit, dataset, pack))
    return replace(records, integer_checks=_integer_checks(unit, dataset, pack))


def train_unit(unit: Unit, dataset: Dataset) -> tuple[Pack, Split, Trained]:
    """Train the unit's models on one thread; return them with their best weights, what they learned from, and how."""
    torch.set_num_threads(1)
    architectures = [cell.architecture for cell in unit.cells]
    bits = bits_of(unit.precision)
    pack = build_pack(architectures, dataset.image, unit.protocol, engine=unit.engine, device=unit.device, bits=bits)
    for model, architecture in enumerate(architectures):
        pack.load(
            model,
            initial_tensors(
                architecture, dataset.image, unit.protocol, dataset=dataset.seed_key, replicate=unit.replicate
            ),
        )
    pack.refresh()
    split = split_data(
        dataset.train_images,
        dataset.train_labels,
        dataset.test_images,
        dataset.test_labels,
        unit.protocol.training,
        dataset=dataset.seed_key,
        replicate=unit.replicate,
    )
    return pack, split, train(pack, split, dataset=dataset.seed_key, replicate=unit.replicate)


def _post_training(unit: Unit, dataset: Dataset, pack: Pack) -> tuple[PostTraining, ...]:
    chosen = [model for model, cell in enumerate(unit.cells) if cell.architecture.in_phase_2]
    if not chosen:
        return ()
    architectures = [pack.architectures[model] for model in chosen]
    bits = Bits(WEIGHT_BITS[0], ACTIVATION_BITS)
    some = build_pack(architectures, pack.image, unit.protocol, engine=unit.engine, device=unit.device, bits=bits)
    for position, model in enumerate(chosen):
        some.load(position, pack.tensors(model))
    some.refresh()
    calibration = dataset.train_images[:CALIBRATION_IMAGES]
    found = evaluate_quantized(some, calibration, dataset.test_images, dataset.test_labels)
    shares = _shares(some)
    return tuple(
        PostTraining(
            run_id=unit.run_id(architecture),
            weight_bits=weight_bits,
            activation_bits=ACTIVATION_BITS,
            test_accuracy=float(found.accuracy[row, model]),
            test_loss=float(found.loss[row, model]),
            seconds=float(found.seconds[row]) * shares[model],
        )
        for model, architecture in enumerate(architectures)
        for row, weight_bits in enumerate(found.weight_bits)
    )


def _shares(pack: Pack) -> list[float]:
    """Return each model's share of the arithmetic."""
    flops = [training_flops(architecture, pack.image, pack.protocol) for architecture in pack.architectures]
    return [own / sum(flops) for own in flops]


def _integer_checks(unit: Unit, dataset: Dataset, pack: Pack) -> tuple[IntegerCheck, ...]:
    if not unit.integer_check:
        return ()
    images = normalise(dataset.test_images, pack.training)
    calibration = normalise(dataset.train_images[:CALIBRATION_IMAGES], pack.training)
    checks = []
    for model, architecture in enumerate(pack.architectures):
        began = time.perf_counter()
        accuracy = integer_accuracy(pack, model, images, dataset.test_labels, calibration)
        seconds = time.perf_counter() - began
        if accuracy is not None:
            checks.append(IntegerCheck(run_id=unit.run_id(architecture), test_accuracy=accuracy, seconds=seconds))
    return tuple(checks)


def _records(unit: Unit, invocation_id: str, dataset: Dataset, pack: Pack, trained: Trained, seconds: float) -> Records:
    shares = _shares(pack)
    shared: dict[str, Any] = {
        "protocol_id": protocol_id(unit.protocol),
        "invocation_id": invocation_id,
        "dataset": dataset.name,
        "dataset_fingerprint": dataset.fingerprint,
        "family": unit.family,
        "replicate": unit.replicate,
        "precision": unit.precision,
        "engine": pack.engine,
        "created_at": datetime.now(UTC).replace(tzinfo=None),
    }
    runs, labels, epochs, costs = [], [], [], []
    for model, cell in enumerate(unit.cells):
        architecture, identity = cell.architecture, unit.run_id(cell.architecture)
        own: dict[str, Any] = {
            "run_id": identity,
            "depth": depth_of(architecture, unit.protocol),
            "capacity": architecture.capacity,
            "hidden_sizes": architecture.hidden_sizes,
            "parameters": parameter_count(architecture, dataset.image, unit.protocol),
            "seconds": seconds * shares[model],
        }
        runs.append(Run(**shared, **own, **trained.summary(model)))
        costs.append(
            ArchitectureCosts(
                **{name: shared[name] for name in ("protocol_id", "dataset_fingerprint", "family")},
                hidden_sizes=architecture.hidden_sizes,
                **asdict(inference_costs(architecture, dataset.image, unit.protocol)),
            )
        )
        labels += [Label(run_id=identity, shape=t.shape, degenerate=t.degenerate) for t in cell.topologies]
        epochs += [
            Epoch(run_id=identity, epoch=epoch, **trained.curves.at(epoch, model))
            for epoch in range(1, int(trained.epochs[model]) + 1)
        ]
    return Records(
        datasets=(dataset.facts(),),
        runs=tuple(runs),
        labels=tuple(labels),
        epochs=tuple(epochs),
        costs=tuple(costs),
    )
