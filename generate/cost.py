"""What a sweep costs: arithmetic per model, seconds as a nominal machine would take, and what comes beside training.

`generate.calibration` says how this machine compares with the nominal one.
"""

from __future__ import annotations

import math

from generate.architectures import Architecture, ImageShape
from generate.families import family_named
from generate.families.counts import parameter_count, training_flops
from generate.protocol import FamilyProtocol
from store.precisions import WEIGHT_BITS

# A core of the kind the engine was tuned on: seconds that a model's step costs beside the arithmetic, and seconds of
# Adam per parameter. A calibration scales them, as it does the operations per second of each family.
STEP_SECONDS = 1e-5
ADAM_SECONDS = 5e-10
EVALUATION_SHARE = 1 / 3
"""Cost of evaluating an image relative to training on it: the forward pass alone."""
QUANTIZATION_COST = 1.3
"""Nominal cost of quantization-aware training relative to training in float32."""

# What comes beside training, in seconds on a machine of two cores that had other work, sweeps of 1 to 200 models on
# digits: the start of a worker with its imports, loading the compiled kernels of a family and precision, and per unit
# what reading, recording and storing take.
WORKER_SECONDS, KERNELS_SECONDS, STORING_SECONDS = 4.0, 2.0, 0.2


def sweep_seconds(computing: float, *, units: int, kinds: int, workers: int, started: bool = False) -> float:
    """Return about how long a sweep takes: seconds of one core for all training, shared out, and what comes beside it.

    `kinds` counts the families and precisions whose kernels every worker has to load; `started`: the workers are there.
    """
    busy = max(1, min(workers, units))
    beside = (0.0 if started else WORKER_SECONDS) + KERNELS_SECONDS * min(kinds, -(-units // busy))
    return beside + (computing + STORING_SECONDS * units) / busy


def pruning_seconds(
    architecture: Architecture, image: ImageShape, protocol: FamilyProtocol, test_images: int, sparsities: int
) -> float:
    """Return the nominal seconds to evaluate a model pruned to so many sparsities, on one core."""
    arithmetic = training_flops(architecture, image, protocol) / family_named(protocol.family).flops_per_second
    steps = test_images / protocol.training.batch_size
    return sparsities * (EVALUATION_SHARE * arithmetic * test_images + STEP_SECONDS * steps)


def post_training_seconds(
    architecture: Architecture, image: ImageShape, protocol: FamilyProtocol, test_images: int
) -> float:
    """Return the nominal seconds to quantize a trained model and to evaluate it in each number of bits, on one core."""
    return QUANTIZATION_COST * pruning_seconds(architecture, image, protocol, test_images, len(WEIGHT_BITS))


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
