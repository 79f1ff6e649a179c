"""What training costs: arithmetic per model, and seconds as a nominal machine would take, scaled by a calibration."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping

import torch

from generate.architectures import Architecture, ImageShape
from generate.engine.choose import EngineChoice, build_pack
from generate.families import family_named
from generate.families.counts import parameter_count, training_flops
from generate.protocol import FamilyProtocol

# A core of the kind the engine was tuned on: seconds that a model's step costs beside the arithmetic, and seconds of
# Adam per parameter. A calibration scales them, as it does the operations per second of each family.
STEP_SECONDS = 1e-5
ADAM_SECONDS = 5e-10
EVALUATION_SHARE = 1 / 3
"""Cost of evaluating an image relative to training on it: the forward pass alone."""
CALIBRATION_SECONDS = 0.4


def model_seconds(
    architecture: Architecture, image: ImageShape, protocol: FamilyProtocol, train_images: int, test_images: int
) -> float:
    """Return the nominal seconds to train one model, its evaluations included, on one core."""
    training = protocol.training
    held_out = round(train_images * training.validation_fraction)
    trained = train_images - held_out
    evaluated = held_out + test_images + 2 * trained / training.epochs
    steps = math.ceil(trained / training.batch_size)
    arithmetic = training_flops(architecture, image, protocol) / family_named(protocol.family).flops_per_second
    per_epoch = (
        arithmetic * (trained + EVALUATION_SHARE * evaluated)
        + STEP_SECONDS * (steps + evaluated / training.batch_size)
        + ADAM_SECONDS * steps * parameter_count(architecture, image, protocol)
    )
    return training.epochs * per_epoch


def calibrate(
    architectures: Mapping[FamilyProtocol, Collection[Architecture]],
    image: ImageShape,
    *,
    engine: EngineChoice,
    device: str,
) -> dict[str, float]:
    """Return, per family, measured over nominal seconds of a step on this machine, for a small and a large model each.

    `architectures` are those to train under each family's protocol.

    Takes about half a second per family, after the kernels are compiled.
    """
    torch.set_num_threads(1)
    factors: dict[str, float] = {}
    for protocol, found in architectures.items():
        family, size = family_named(protocol.family), protocol.training.batch_size
        images = torch.zeros(size, image.channels, image.height, image.width, dtype=torch.uint8)
        labels = torch.zeros(size, dtype=torch.int64)
        costs = {a: training_flops(a, image, protocol) for a in found}
        ordered = sorted(found, key=costs.__getitem__)
        sample = sorted({ordered[0], ordered[len(ordered) // 2], ordered[-1]})
        pack = build_pack(sample, image, protocol, engine=engine, device=device)
        nominal = sum(
            costs[a] / family.flops_per_second * size
            + STEP_SECONDS
            + ADAM_SECONDS * parameter_count(a, image, protocol)
            for a in sample
        )
        pack.step(images, labels)
        durations: list[float] = []
        began = time.perf_counter()
        while not durations or time.perf_counter() - began < CALIBRATION_SECONDS:
            start = time.perf_counter()
            pack.step(images, labels)
            durations.append(time.perf_counter() - start)
        factors[family.name] = min(durations) / nominal
    return factors
