"""What training costs: arithmetic per model, and seconds as a nominal machine would take, scaled by a calibration."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from itertools import pairwise

import torch

from generate.architectures import Architecture, ImageShape, parameter_count, patch_grid
from generate.engine.choose import EngineChoice, build_pack
from generate.protocol import Family, Training

# A core of the kind the engine was tuned on: floating point operations per second that a family's kernels reach,
# seconds that a model's step costs beside the arithmetic, and seconds of Adam per parameter. A calibration scales them.
FLOPS: dict[Family, float] = {"dnn": 160e9, "cnn": 90e9, "vit": 60e9}
STEP_SECONDS = 1e-5
ADAM_SECONDS = 5e-10
EVALUATION_SHARE = 1 / 3
"""Cost of evaluating an image relative to training on it: the forward pass alone."""
CALIBRATION_SECONDS = 0.4


def training_flops(architecture: Architecture, image: ImageShape) -> float:
    """Return floating point operations per image of one training step: forward, weight and input gradients."""
    if architecture.family == "dnn":
        products = [i * o for i, o in pairwise((image.values, *architecture.hidden_sizes, image.classes))]
        return 2 * (3 * sum(products) - products[0])
    if architecture.family == "cnn":
        outputs = architecture.capacity * (image.height - 2) * (image.width - 2)
        return 2 * outputs * (2 * 9 * image.channels + 3 * image.classes)
    d, grid = architecture.capacity, patch_grid(image)
    tokens = grid.patches + 1
    embedding = grid.patches * grid.patch_height * grid.patch_width * image.channels * d
    blocks = 2 * tokens * (6 * d * d + 2 * tokens * d)
    return 2 * (2 * embedding + 3 * blocks)


def model_seconds(
    architecture: Architecture, image: ImageShape, training: Training, train_images: int, test_images: int
) -> float:
    """Return the nominal seconds to train one model, its evaluations included, on one core."""
    held_out = round(train_images * training.validation_fraction)
    trained = train_images - held_out
    evaluated = held_out + test_images + 2 * trained / training.epochs
    steps = math.ceil(trained / training.batch_size)
    arithmetic = training_flops(architecture, image) / FLOPS[architecture.family]
    per_epoch = (
        arithmetic * (trained + EVALUATION_SHARE * evaluated)
        + STEP_SECONDS * (steps + evaluated / training.batch_size)
        + ADAM_SECONDS * steps * parameter_count(architecture, image)
    )
    return training.epochs * per_epoch


def calibrate(
    architectures: Iterable[Architecture], image: ImageShape, training: Training, *, engine: EngineChoice, device: str
) -> dict[Family, float]:
    """Return, per family, measured over nominal seconds of a step on this machine, for a small and a large model each.

    Takes about half a second per family, after the kernels are compiled.
    """
    torch.set_num_threads(1)
    by_family: dict[Family, list[Architecture]] = {}
    for architecture in architectures:
        by_family.setdefault(architecture.family, []).append(architecture)
    factors: dict[Family, float] = {}
    images = torch.zeros(training.batch_size, image.channels, image.height, image.width, dtype=torch.uint8)
    labels = torch.zeros(training.batch_size, dtype=torch.int64)
    for family, found in by_family.items():
        ordered = sorted(found, key=lambda a: training_flops(a, image))
        sample = sorted({ordered[0], ordered[len(ordered) // 2], ordered[-1]})
        pack = build_pack(sample, image, training, engine=engine, device=device)
        nominal = sum(
            training_flops(a, image) / FLOPS[family] * training.batch_size
            + STEP_SECONDS
            + ADAM_SECONDS * parameter_count(a, image)
            for a in sample
        )
        pack.step(images, labels)
        durations: list[float] = []
        began = time.perf_counter()
        while not durations or time.perf_counter() - began < CALIBRATION_SECONDS:
            start = time.perf_counter()
            pack.step(images, labels)
            durations.append(time.perf_counter() - start)
        factors[family] = min(durations) / nominal
    return factors
