"""Post-training quantization: weights and activations of trained models rounded to few bits, without training on.

What torch.ao's eager mode does between `prepare` and `convert`, with `MinMaxObserver`s throughout: the network without
quantization sees some images, and the lowest and highest value of every tensor set its scale and zero point. (The
default configuration for QNNPACK has a `HistogramObserver` for activations, which searches a range within these; that
of weights is the same.)
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from generate.engine.pack import Pack, normalise
from generate.engine.plain.modules import build_module
from generate.engine.plain.pack import EVALUATION_BATCH
from generate.engine.plain.quantization import hooked_forward
from generate.engine.quantize.rows import FIRST, HIGH, LAST, LOW, SCALE, ZERO_POINT, new_quantizers
from generate.families import family_named
from store.precisions import ACTIVATION_BITS, WEIGHT_BITS, Bits

CALIBRATION_IMAGES = 1000
"""Training images that show the ranges, the first ones of the training split; no labels are used."""

SMALLEST_SCALE = np.finfo(np.float32).eps


@dataclass(frozen=True)
class QuantizedModels:
    """Metrics of a pack's models at each number of bits of the weights.

    Attributes:
        weight_bits: bits of the weights; activations have `ACTIVATION_BITS`.
        loss: mean cross-entropy over the images, float64 [bits, models].
        accuracy: likewise, as a fraction.
        seconds: what it took all models, float64 [bits]; finding the ranges is shared out evenly.
    """

    weight_bits: tuple[int, ...]
    loss: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    seconds: NDArray[np.float64]


def evaluate_quantized(
    pack: Pack, calibration: Tensor, images: Tensor, labels: Tensor, weight_bits: Sequence[int] = WEIGHT_BITS
) -> QuantizedModels:
    """Return the metrics of every model with its weights in so many bits and its activations in 8.

    Args:
        pack: under fake quantization, of any bits; it holds the trained weights, and keeps them. Its quantizers are
            overwritten.
        calibration: images that show the ranges, uint8 [n, channels, height, width].
        images: uint8 [m, channels, height, width].
        labels: int64 [m].
        weight_bits: bits of the weights.
    """
    models = range(len(pack.architectures))
    loss, accuracy = np.zeros((2, len(weight_bits), len(models)))
    seconds = np.zeros(len(weight_bits))
    pack.evaluate(images[:1], labels[:1])  # Loads the kernels, which a worker does once.
    began = time.perf_counter()
    ranges = [observed_ranges(pack, model, calibration) for model in models]
    observing = time.perf_counter() - began
    for row, bits in enumerate(weight_bits):
        began = time.perf_counter()
        for model in models:
            fitted = torch.from_numpy(fitted_quantizers(ranges[model], Bits(bits, ACTIVATION_BITS)))
            for quantizer, values in zip(pack.quantizers(model).values(), fitted, strict=True):
                quantizer.copy_(values)
        pack.refresh()
        tally = pack.evaluate(images, labels)
        loss[row], accuracy[row] = tally.loss.numpy() / len(labels), tally.correct.numpy() / len(labels)
        seconds[row] = time.perf_counter() - began + observing / len(weight_bits)
    return QuantizedModels(tuple(weight_bits), loss, accuracy, seconds)


@torch.no_grad()
def observed_ranges(pack: Pack, model: int, images: Tensor) -> dict[str, tuple[float, float]]:
    """Return lowest and highest value of what one model's quantizers are to round, by their names; nothing is rounded.

    `images` are uint8 [n, channels, height, width].
    """
    found: dict[str, list[Tensor]] = {name: [] for name in pack.quantizers(model)}

    def observe(name: str, values: Tensor) -> Tensor:
        found[name] += [values.amin(), values.amax()]
        return values

    module = build_module(pack.architectures[model], pack.image, pack.protocol)
    module.load_state_dict(pack.tensors(model))
    forward = family_named(pack.protocol.family).quantized_forward or hooked_forward
    for some in torch.split(images, EVALUATION_BATCH):
        forward(module, normalise(some, pack.training), observe)
    extremes = {name: torch.stack(values) for name, values in found.items()}
    return {name: (float(values.min()), float(values.max())) for name, values in extremes.items()}


def fitted_quantizers(ranges: Mapping[str, tuple[float, float]], bits: Bits) -> NDArray[np.float32]:
    """Return the rows, as in `quantize.rows`, of quantizers fitted to values between two float32 numbers each.

    Those whose name ends in `.weight` are symmetric. Scale and zero point are those of torch.ao's `MinMaxObserver`: the
    levels reach from the lowest to the highest value, 0 among them; if symmetric, they are half the number of steps to
    either side of 0 for the largest magnitude. The scale of a model that has diverged is not finite.
    """
    rows = new_quantizers(tuple(ranges), bits)
    symmetric = np.array([name.endswith(".weight") for name in ranges])
    rows[:, [LOW, HIGH]] = np.array(list(ranges.values()), np.float32)
    below, above = np.minimum(rows[:, LOW], 0), np.maximum(rows[:, HIGH], 0)
    steps = rows[:, LAST] - rows[:, FIRST]
    scale = np.where(symmetric, np.maximum(-below, above) / (steps / 2), (above - below) / steps)
    rows[:, SCALE] = np.maximum(scale, SMALLEST_SCALE)
    with np.errstate(invalid="ignore"):  # of models that have diverged
        nearest = np.nan_to_num(rows[:, FIRST] - np.rint(below / rows[:, SCALE]))
    rows[:, ZERO_POINT] = np.where(symmetric, 0, np.clip(nearest, rows[:, FIRST], rows[:, LAST]))
    return rows
