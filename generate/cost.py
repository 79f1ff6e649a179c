"""What a sweep costs: arithmetic per model, seconds as a nominal machine would take, and what comes beside training.

`generate.calibration` says how this machine compares with the nominal one.
"""

from __future__ import annotations

import math

from generate.architectures import Architecture, ImageShape
from generate.families import family_named
from generate.families.counts import parameter_count, training_flops
from generate.protocol import FamilyProtocol

# A core of the kind the engine was tuned on: seconds that a model's step costs beside the arithmetic, and seconds of
# Adam per parameter. A calibration scales them, as it does the operations per second of each family.
STEP_SECONDS = 1e-5
ADAM_SECONDS = 5e-10
EVALUATION_SHARE = 1 / 3
"""Cost of evaluating an image relative to training on it: the forward pass alone."""


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
