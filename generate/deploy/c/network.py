"""What C is written of: layers with weights as they are stored, in integers, in floats, or in both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from generate.architectures import ImageShape
from generate.deploy.integer import IntegerLayer, Quantizer, finite
from generate.deploy.layers import Kind, Shape
from generate.protocol import FamilyProtocol

Arithmetic = Literal["integers", "floats", "mixed"]
"""All in integers; all in floats; or floats with weights of 8 bits, every output of a layer rounded to levels."""


@dataclass(frozen=True, eq=False)
class FloatNetwork:
    """A trained network that computes in floats.

    Attributes:
        family: its name.
        protocol: how it was trained.
        parameters: float32, named and shaped as in its module's `state_dict`.
        quantizers: of its tensors, where it was trained under fake quantization: its weights are then stored in 8 bits,
            and it answers as the fake-quantized network; else empty.
        image: the input and the number of classes.
    """

    family: str
    protocol: FamilyProtocol
    parameters: Mapping[str, NDArray[np.float32]]
    quantizers: Mapping[str, Quantizer]
    image: ImageShape

    @property
    def arithmetic(self) -> Arithmetic:
        """What it computes with."""
        return "mixed" if self.quantizers else "floats"


def float_network(
    family: str,
    protocol: FamilyProtocol,
    parameters: Mapping[str, Any],
    quantizers: Mapping[str, Any],
    image: ImageShape,
) -> FloatNetwork:
    """Return a trained network that computes in floats; arguments as of `generate.deploy.integer.integer_network`.

    Raises:
        MinarchError: the training diverged.
    """
    rows = {name: Quantizer.of(row) for name, row in quantizers.items()}
    return FloatNetwork(family, protocol, finite(parameters), rows, image)


class StoredLayer(NamedTuple):
    """A layer as C has it.

    Attributes:
        name: in the module.
        kind: linear or a convolution.
        weights: int8 or float32 [outputs, inputs], or [channels, channels of the input, rows, columns].
        zero: the weight that stands for 0.
        bias: int32 or float32 [outputs or channels], what a sum begins with.
        output: the values of the C structure `output`, without the zero point of the weights.
        border: what stands for 0 among the inputs.
        input_shape: of what it takes; `output_shape` of what it returns.
        stride: of a convolution, in pixels; likewise `padding`.
    """

    name: str
    kind: Kind
    weights: NDArray[np.int8] | NDArray[np.float32]
    zero: int
    bias: NDArray[np.int32] | NDArray[np.float32]
    output: Sequence[float]
    border: float
    input_shape: Shape
    output_shape: Shape
    stride: int
    padding: int


def stored(layer: IntegerLayer) -> StoredLayer:
    """Return a layer in integers as C has it."""
    return StoredLayer(
        name=layer.name,
        kind=layer.kind,
        weights=layer.weights,
        zero=layer.weight.zero_point,
        bias=layer.folded_bias.astype(np.int32),
        output=(layer.multiplier, layer.shift, layer.outputs.zero_point, layer.lowest, layer.highest),
        border=layer.inputs.zero_point,
        input_shape=layer.input_shape,
        output_shape=layer.output_shape,
        stride=layer.stride,
        padding=layer.padding,
    )


class FloatBuilder(NamedTuple):
    """Makes the layers of a network that computes in floats, see `deploy.layers.Builder`."""

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
    ) -> StoredLayer:
        """Return a layer; its weights are levels of 8 bits where they have a quantizer."""
        del entering
        weights, bias = self.parameters[f"{name}.weight"], self.parameters[f"{name}.bias"]
        output: tuple[float, ...] = (int(relu),)
        zero = 0
        if self.quantizers:
            weight, outputs = self.quantizers[f"{name}.weight"], self.quantizers[name]
            lowest = max(outputs.first, outputs.zero_point) if relu else outputs.first
            inverse = np.float32(1) / np.float32(outputs.scale)
            steps = (float(level - outputs.zero_point) for level in (lowest, outputs.last))
            output = (weight.scale, outputs.scale, float(inverse), *steps)
            return StoredLayer(
                name,
                kind,
                weight.levels(weights).astype(np.int8),
                weight.zero_point,
                (bias / np.float32(weight.scale)).astype(np.float32),
                output,
                0.0,
                *shapes,
                stride,
                padding,
            )
        return StoredLayer(name, kind, weights, zero, bias, output, 0.0, *shapes, stride, padding)
