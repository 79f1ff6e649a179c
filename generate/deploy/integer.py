"""Trained 8-bit networks in integers: their description, and a reference in NumPy that says what each answers.

A layer adds products of 8-bit levels into 32-bit accumulators and brings each sum to the levels of its output:

    level = clamp(round(accumulator x ratio) + zero point),  ratio = input scale x weight scale / output scale

Two ways to round are in use, and `run` has both:

- `fixed`, what the C code does, without any float: the ratio is `multiplier` / 2^`shift`, an int32 of 31 significant
  bits; the 64-bit product is rounded once, halves up (towards plus infinity). TensorFlow Lite calls this single
  rounding; gemmlowp rounds twice, to 32 bits and then halves away from zero, and so may be one level off it.
- `float`, what QNNPACK and onnxruntime do: the accumulator and the ratio become float32, their product is rounded
  halves to even.

The two differ where the exact product is at most a few units in the last place of a float32 from a half: by one level,
in one sum of many thousands.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from generate.architectures import ImageShape
from generate.deploy.layers import Kind, Shape
from generate.engine.quantize.rows import FIRST, LAST, SCALE, ZERO_POINT
from generate.families import family_named
from generate.protocol import FamilyProtocol
from store.errors import MinarchError

Rounding = Literal["fixed", "float"]
Levels = NDArray[np.uint8]

CHUNK = 200
"""Images computed at a time."""
LONGEST_SHIFT = 54
"""Up to it, an accumulator times a multiplier, a level shifted so far and half a step add up to less than 2^63."""
INT32 = np.iinfo(np.int32)


class Quantizer(NamedTuple):
    """Levels of a tensor: level = clamp(round(value / scale) + zero_point) from `first` to `last`, both included.

    `scale` is a float32 number. Activations are unsigned, weights signed; fewer bits than 8 use fewer of the levels.
    """

    scale: float
    zero_point: int
    first: int
    last: int

    @classmethod
    def of(cls, row: ArrayLike) -> Quantizer:
        """Return the quantizer of a row as in `generate.engine.quantize.rows`.

        Raises:
            MinarchError: its scale is not positive and finite, as in a training that diverged.
        """
        values = np.asarray(row, np.float32)
        if not (np.isfinite(values[SCALE]) and values[SCALE] > 0):
            raise MinarchError(f"a scale is {values[SCALE]}: the training diverged, there is nothing to run")
        return cls(float(values[SCALE]), int(values[ZERO_POINT]), int(values[FIRST]), int(values[LAST]))

    def levels(self, values: ArrayLike) -> NDArray[np.int32]:
        """Return float32 values as levels, of the same shape; halves go to even levels, as PyTorch rounds."""
        steps = np.rint(np.asarray(values, np.float32) * (np.float32(1) / np.float32(self.scale)))
        levels: NDArray[np.int32] = np.clip(steps + np.float32(self.zero_point), self.first, self.last).astype(np.int32)
        return levels


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """A linear layer or a convolution in integers.

    Attributes:
        name: of the layer in its module, such as `layers.0`.
        kind: `linear` takes its input flattened.
        weights: levels, int8: [outputs, inputs], or [channels, channels of the input, rows, columns].
        bias: int32 [outputs or channels], in steps of input scale x weight scale.
        weight: the quantizer of the weights. Its zero point is 0 but where all of them have one sign.
        inputs: the quantizer of what it takes, `outputs` that of what it returns.
        input_shape: of what it takes; `output_shape` of what it returns.
        relu: whether outputs below 0 become 0: no level is below the outputs' zero point.
        stride: of a convolution, in pixels; likewise `padding`, on all sides, whose pixels are 0 (the zero point).
    """

    name: str
    kind: Kind
    weights: NDArray[np.int8]
    bias: NDArray[np.int32]
    weight: Quantizer
    inputs: Quantizer
    outputs: Quantizer
    input_shape: Shape
    output_shape: Shape
    relu: bool
    stride: int = 1
    padding: int = 0

    @property
    def lowest(self) -> int:
        """The lowest level that it returns."""
        return max(self.outputs.first, self.outputs.zero_point) if self.relu else self.outputs.first

    @property
    def highest(self) -> int:
        """The highest level that it returns."""
        return self.outputs.last

    @property
    def ratio(self) -> np.float32:
        """Steps of the output per step of an accumulator, from float32 scales by float32 arithmetic."""
        scale = np.float32(self.weight.scale) * np.float32(self.inputs.scale)
        return np.float32(scale / np.float32(self.outputs.scale))

    @cached_property
    def fixed_point(self) -> tuple[int, int]:
        """The ratio as multiplier, below 2^31, and shift, 1 to `LONGEST_SHIFT`: multiplier / 2^shift."""
        return fixed_point(self.inputs.scale * self.weight.scale / self.outputs.scale)

    @property
    def multiplier(self) -> int:
        """The int32 that an accumulator is multiplied by."""
        return self.fixed_point[0]

    @property
    def shift(self) -> int:
        """Bits by which the product is shifted right."""
        return self.fixed_point[1]

    @cached_property
    def effective_weights(self) -> NDArray[np.int32]:
        """Weights less their zero point, int32, of the same shape: from -128 to 127, or to 255 with a zero point."""
        return self.weights.astype(np.int32) - np.int32(self.weight.zero_point)

    @cached_property
    def folded_bias(self) -> NDArray[np.int64]:
        """The bias less the input's zero point times the sum of the weights, int64 [outputs or channels].

        With it a sum runs over the input's levels as they are: accumulator = folded bias + sum(level x weight).
        """
        sums = self.effective_weights.reshape(len(self.weights), -1).sum(1, dtype=np.int64)
        folded: NDArray[np.int64] = self.bias - self.inputs.zero_point * sums
        return folded


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """A whole network in integers, from the bytes of an image to the levels of its logits.

    Attributes:
        image: the input and the number of classes.
        layers: in order; each takes what the one before returns, flattened in the order channel, row, column.
        input_table: uint8 [256]: the input's level of each byte of an image, in which its normalisation is folded. All
            channels share it.
    """

    image: ImageShape
    layers: tuple[IntegerLayer, ...]
    input_table: Levels

    @property
    def inputs(self) -> Quantizer:
        """Levels of the input."""
        return self.layers[0].inputs

    @property
    def outputs(self) -> Quantizer:
        """Levels of the logits."""
        return self.layers[-1].outputs

    def logits(self, levels: Levels) -> NDArray[np.float32]:
        """Return levels of logits as the float32 numbers that they stand for."""
        steps = levels.astype(np.float32) - np.float32(self.outputs.zero_point)
        return steps * np.float32(self.outputs.scale)


def integer_network(
    family: str,
    protocol: FamilyProtocol,
    parameters: Mapping[str, Any],
    quantizers: Mapping[str, Any],
    image: ImageShape,
) -> IntegerNetwork:
    """Return a trained network in integers.

    Args:
        family: its name.
        protocol: how it was trained.
        parameters: arrays or tensors of float32, named and shaped as in its module's `state_dict`.
        quantizers: rows as in `generate.engine.quantize.rows` of `input`, of each layer's output under the layer's
            name, and of its weights under NAME.weight, in at most 8 bits.
        image: the input and the number of classes.

    Raises:
        MinarchError: the family computes in floats between its layers; the training diverged; or a sum does not fit
            into 32 bits.
    """
    layers_of = family_named(family).layers
    if layers_of is None:
        raise MinarchError(f"the family {family} has no network in integers: between its layers it computes in floats")
    rows = {name: Quantizer.of(row) for name, row in quantizers.items()}
    given = IntegerBuilder(finite(parameters), rows)
    layers = tuple(layers_of(protocol, given, image))
    return IntegerNetwork(image, layers, input_table(protocol, layers[0].inputs))


def finite(parameters: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
    """Return parameters as float32 arrays, named as they were.

    Raises:
        MinarchError: one has a value that is not finite.
    """
    arrays = {name: np.asarray(value, np.float32) for name, value in parameters.items()}
    for name, value in arrays.items():
        if not np.isfinite(value).all():
            raise MinarchError(f"{name} is not finite: the training diverged, there is nothing to run")
    return arrays


def input_table(protocol: FamilyProtocol, quantizer: Quantizer) -> Levels:
    """Return the level of each byte, uint8 [256]: normalised, then quantized."""
    training = protocol.training
    normalised = np.arange(256, dtype=np.float32) * np.float32(1 / (255 * training.input_std))
    normalised -= np.float32(training.input_mean / training.input_std)
    return quantizer.levels(normalised).astype(np.uint8)


class IntegerBuilder(NamedTuple):
    """What a family makes its layers from: `parameters`, and `quantizers` by the names of tensors."""

    parameters: Mapping[str, NDArray[np.float32]]
    quantizers: Mapping[str, Quantizer]

    def layer(
        self,
        kind: Kind,
        name: str,
        *,
        entering: str,
        shapes: tuple[Shape, Shape],
        relu: bool = False,
        stride: int = 1,
        padding: int = 0,
    ) -> IntegerLayer:
        """Return a layer, see `deploy.layers.Builder`.

        Raises:
            MinarchError: a sum may not fit into 32 bits, or no multiplier of 31 bits spans the scales.
        """
        weight, inputs = self.quantizers[f"{name}.weight"], self.quantizers[entering]
        steps = np.rint(self.parameters[f"{name}.bias"].astype(np.float64) / (weight.scale * inputs.scale))
        layer = IntegerLayer(
            name=name,
            kind=kind,
            weights=weight.levels(self.parameters[f"{name}.weight"]).astype(np.int8),
            bias=np.clip(steps, INT32.min, INT32.max).astype(np.int32),
            weight=weight,
            inputs=inputs,
            outputs=self.quantizers[name],
            input_shape=shapes[0],
            output_shape=shapes[1],
            relu=relu,
            stride=stride,
            padding=padding,
        )
        sums = np.abs(layer.effective_weights.reshape(len(layer.weights), -1)).sum(1, dtype=np.int64)
        if (np.abs(layer.folded_bias) + inputs.last * sums).max() > INT32.max:
            raise MinarchError(f"{name}: its sums may not fit into 32 bits; a network with smaller layers is needed")
        layer.fixed_point  # noqa: B018  # raises where there is none
        return layer


def fixed_point(ratio: float) -> tuple[int, int]:
    """Return the multiplier, below 2^31, and the shift, 1 to `LONGEST_SHIFT`, whose multiplier / 2^shift is nearest.

    Raises:
        MinarchError: the ratio is 2^30 or more, not positive, or not a number.
    """
    if not 0 < ratio < 2.0**30:
        raise MinarchError(f"scales of a layer whose ratio is {ratio:g} cannot be brought to integers")
    _, exponent = math.frexp(ratio)
    shift = min(31 - exponent, LONGEST_SHIFT)
    multiplier = round(math.ldexp(ratio, shift))
    if multiplier == 2**31:
        multiplier, shift = 2**30, shift - 1
    return multiplier, shift


def run(network: IntegerNetwork, images: NDArray[Any], rounding: Rounding = "fixed") -> Levels:
    """Return the levels of the logits of images, uint8 [n, classes]; the answer is the first of the highest.

    Args:
        network: what to run.
        images: bytes, uint8, or normalised float32 [n, channels, height, width].
        rounding: `fixed` is the C code's arithmetic, level for level; `float` that of QNNPACK and onnxruntime.
    """
    quantized = network.input_table[images] if images.dtype == np.uint8 else network.inputs.levels(images)
    results = [np.zeros((0, network.image.classes), np.uint8)]
    for some in _chunks(quantized.reshape(len(images), network.image.values)):
        levels = some.astype(np.int64)
        for layer in network.layers:
            levels = requantized(layer, accumulators(layer, levels), rounding)
        results.append(levels.astype(np.uint8))
    return np.concatenate(results)


def accumulators(layer: IntegerLayer, levels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sums, int64 [n, outputs], for levels [n, inputs], both flattened; each fits into 32 bits."""
    # In float64, whose products BLAS computes: exact, as all sums stay far below 2^53.
    values = (levels - layer.inputs.zero_point).astype(np.float64)
    weights = layer.effective_weights.reshape(len(layer.weights), -1).T.astype(np.float64)
    if layer.kind == "linear":
        return (values @ weights).astype(np.int64) + layer.bias
    _, _, rows, columns = layer.weights.shape
    maps = np.pad(values.reshape(len(values), *layer.input_shape), _sides(layer.padding))
    windows = np.lib.stride_tricks.sliding_window_view(maps, (rows, columns), axis=(2, 3))
    windows = windows[:, :, :: layer.stride, :: layer.stride].transpose(0, 2, 3, 1, 4, 5)
    sums = windows.reshape(*windows.shape[:3], -1) @ weights
    return (sums.astype(np.int64) + layer.bias).transpose(0, 3, 1, 2).reshape(len(values), -1)


def requantized(layer: IntegerLayer, sums: NDArray[np.int64], rounding: Rounding) -> NDArray[np.int64]:
    """Return accumulators as levels of the layer's output, int64 of the same shape."""
    if rounding == "fixed":
        steps = (sums * layer.multiplier + (1 << (layer.shift - 1))) >> layer.shift
    else:
        steps = np.rint(sums.astype(np.float32) * layer.ratio).astype(np.int64)
    levels: NDArray[np.int64] = np.clip(steps + layer.outputs.zero_point, layer.lowest, layer.highest)
    return levels


def _sides(padding: int) -> Sequence[tuple[int, int]]:
    return [(0, 0), (0, 0), (padding, padding), (padding, padding)]


def _chunks(levels: NDArray[Any]) -> Iterator[NDArray[Any]]:
    return (levels[start : start + CHUNK] for start in range(0, len(levels), CHUNK))
