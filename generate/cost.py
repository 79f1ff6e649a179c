"""What a sweep costs: arithmetic per model, seconds as a nominal machine would take, and what comes beside training.

`generate.calibration` says how this machine compares with the nominal one.
"""

from __future__ import annotations

import math
from itertools import product

from generate.architectures import Architecture, ImageShape
from generate.cuts import Cuts, units_left
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


def cutting_seconds(
    architecture: Architecture,
    image: ImageShape,
    protocol: FamilyProtocol,
    train_images: int,
    test_images: int,
    cuts: Cuts,
) -> float:
    """Return the nominal seconds to prune a model as `cuts` says and to train it on, on one core."""
    removable = family_named(protocol.family).without_units is not None
    seconds = 0.0
    for method, sparsity in product(cuts.methods, cuts.sparsities):
        if method != "units":
            seconds += _evaluation_seconds(architecture, image, protocol, test_images)
        elif removable:
            seconds += _evaluation_seconds(_smaller(architecture, sparsity), image, protocol, test_images)
    if cuts.finetuning is None:
        return seconds
    held_out = round(train_images * protocol.training.validation_fraction)
    for method, sparsity in product(cuts.finetuning.methods, cuts.finetuning.sparsities):
        if method != "units" or removable:
            trained = _smaller(architecture, sparsity) if method == "units" else architecture
            per_epoch = _epoch_seconds(trained, image, protocol, train_images - held_out, held_out)
            seconds += cuts.finetuning.epochs * per_epoch
            seconds += _evaluation_seconds(trained, image, protocol, test_images)
    return seconds


def post_training_seconds(
    architecture: Architecture, image: ImageShape, protocol: FamilyProtocol, test_images: int
) -> float:
    """Return the nominal seconds to quantize a trained model and to evaluate it in each number of bits, on one core."""
    evaluations = len(WEIGHT_BITS) * _evaluation_seconds(architecture, image, protocol, test_images)
    return QUANTIZATION_COST * evaluations


def model_seconds(
    architecture: Architecture, image: ImageShape, protocol: FamilyProtocol, train_images: int, test_images: int
) -> float:
    """Return the nominal seconds to train one model, its evaluations included, on one core."""
    training = protocol.training
    held_out = round(train_images * training.validation_fraction)
    trained = train_images - held_out
    evaluated = held_out + test_images + 2 * trained / training.epochs
    return training.epochs * _epoch_seconds(architecture, image, protocol, trained, evaluated)


def _smaller(architecture: Architecture, share: float) -> Architecture:
    sizes = tuple(units_left(width, share) for width in architecture.hidden_sizes)
    return Architecture(architecture.family, sizes)


def _evaluation_seconds(
    architecture: Architecture, image: ImageShape, protocol: FamilyProtocol, images: float
) -> float:
    """Return the nominal seconds to evaluate a model on images."""
    arithmetic = training_flops(architecture, image, protocol) / family_named(protocol.family).flops_per_second
    return EVALUATION_SHARE * arithmetic * images + STEP_SECONDS * images / protocol.training.batch_size


def _epoch_seconds(
    architecture: Architecture, image: ImageShape, protocol: FamilyProtocol, trained: int, evaluated: float
) -> float:
    """Return the nominal seconds to train a model on images for an epoch, and to evaluate it on others."""
    steps = math.ceil(trained / protocol.training.batch_size)
    arithmetic = training_flops(architecture, image, protocol) / family_named(protocol.family).flops_per_second
    return (
        arithmetic * trained
        + STEP_SECONDS * steps
        + ADAM_SECONDS * steps * parameter_count(architecture, image, protocol)
        + _evaluation_seconds(architecture, image, protocol, evaluated)
    )
