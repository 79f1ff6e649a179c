"""ONNX graphs of networks, in float32 and in 8 bits, from one description per family.

A family's description is `onnx_graph(build, protocol, image)`, which says what is computed by calling the methods of
`build` and returns the name of the logits. `FloatGraph` makes float32 operators of it. `QuantizedGraph` makes the form
that runtimes fuse into integer kernels: every linear layer and convolution stands between DequantizeLinear and
QuantizeLinear nodes that hold the scales of training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from generate.architectures import ImageShape
from generate.engine.quantize.rows import SCALE, ZERO_POINT

if TYPE_CHECKING:
    import onnx

OPSET, IR_VERSION = 20, 9
"""The oldest with GELU as an operator of its own, and the format that came with it."""
INPUT, OUTPUT = "images", "logits"
SHIFT = 128
"""Added to levels of weights, -128 .. 127, so that they are stored as unsigned bytes."""
_INT32 = np.iinfo(np.int32)

Floats = NDArray[np.float32]
Describe = Callable[["FloatGraph"], str]
"""Adds a network's nodes to a graph and returns the name of the logits."""


class FloatGraph:
    """Nodes and constants of a network that computes in float32.

    Args:
        parameters: of the network, float32, named as in its module's `state_dict`.
        image: the input; the model takes normalised images float32 [n, channels, height, width].
    """

    def __init__(self, parameters: Mapping[str, Floats], image: ImageShape) -> None:
        self.parameters, self.image = parameters, image
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, values: object) -> str:
        """Return the name of a constant, which is added unless there is one of that name."""
        from onnx import numpy_helper

        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.array(values, order="C"), name)
        return name

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output, and return the output's name."""
        from onnx import helper

        name = f"{operator}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def parameter(self, name: str) -> str:
        """Return the name of a parameter that stays in float32."""
        return self.constant(name, self.parameters[name])

    def reshaped(self, values: str, *shape: int) -> str:
        """Return values in another shape; -1 stands for what is left, for the number of images."""
        return self.node("Reshape", values, self.constant(f"shape {shape}", np.array(shape, np.int64)))

    def entering(self, values: str) -> str:
        """Return what the network takes in, which is quantized under quantization; call it once."""
        return values

    def linear(self, name: str, values: str, *, relu: bool = False) -> str:
        """Return the outputs [rows, outputs] of a linear layer on values [rows, inputs], after its ReLU if any."""
        h = self.node("Gemm", values, *self._layer(name), transB=1)
        return self._leaving(name, self.node("Relu", h) if relu else h)

    def convolution(self, name: str, values: str, *, stride: int, padding: int, relu: bool = False) -> str:
        """Return the outputs [n, channels, rows, columns] of a convolution, after its ReLU if it has one."""
        h = self.node("Conv", values, *self._layer(name), strides=[stride] * 2, pads=[padding] * 4)
        return self._leaving(name, self.node("Relu", h) if relu else h)

    def flattened(self, values: str) -> str:
        """Return values [n, ...] as [n, values]."""
        return self.node("Flatten", values)

    def value(self, name: str) -> onnx.ModelProto:
        """Return the model that computes a value of two dimensions, such as what enters a linear layer."""
        return self._model(name, ["rows", "values"], "value")

    def model(self, logits: str, *, name: str, facts: Mapping[str, str]) -> onnx.ModelProto:
        """Return the model that computes these logits [n, classes].

        Args:
            logits: what the description returned.
            name: of the graph.
            facts: metadata, kept with the model.

        Raises:
            onnx.checker.ValidationError: it is no valid model.
        """
        import onnx
        from onnx import helper

        model = self._model(logits, ["n", self.image.classes], name)
        helper.set_model_props(model, dict(facts))
        onnx.checker.check_model(model, full_check=True)
        return model

    def _model(self, value: str, shape: list[str | int], name: str) -> onnx.ModelProto:
        """Return the model whose output is this value, of this shape."""
        import onnx
        from onnx import helper

        image, kind = self.image, onnx.TensorProto.FLOAT
        nodes = [*self._needed(value), helper.make_node("Identity", [value], [OUTPUT], name=OUTPUT)]
        used = {entering for node in nodes for entering in node.input}
        graph = helper.make_graph(
            nodes,
            name,
            [helper.make_tensor_value_info(INPUT, kind, ["n", image.channels, image.height, image.width])],
            [helper.make_tensor_value_info(OUTPUT, kind, shape)],
            [constant for constant in self._constants.values() if constant.name in used],
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="minarch"
        )

    def _needed(self, value: str) -> list[onnx.NodeProto]:
        """Return the nodes that a value depends on, in order."""
        wanted, needed = {value}, []
        for node in reversed(self._nodes):
            if wanted.intersection(node.output):
                needed.append(node)
                wanted.update(node.input)
        return needed[::-1]

    def _layer(self, name: str) -> tuple[str, str]:
        """Return the names of a layer's weights and biases."""
        return self.parameter(f"{name}.weight"), self.parameter(f"{name}.bias")

    def _leaving(self, name: str, values: str) -> str:
        """Return a layer's outputs, which are quantized under quantization."""
        del name
        return values


class QuantizedGraph(FloatGraph):
    """Nodes and constants of a network whose layers compute in integers.

    Activations are unsigned bytes. So are weights, whose levels -128 .. 127 are stored with 128 added to them and to
    their zero point, which changes none of their values: on processors without VNNI, onnxruntime adds pairs of products
    of unsigned and signed bytes in 16 bits, which saturate. Biases are int32 at the scale of the products.

    Args:
        parameters: as trained, before rounding.
        image: the input.
        quantizers: rows as in `engine.quantize.rows` of the input, of every layer's outputs and weights.
        inner: rows of what enters layers as floats, by the layer's name; only families that compute in floats between
            layers have some. Layers without one take floats and compute in float32 with rounded weights.
    """

    def __init__(
        self,
        parameters: Mapping[str, Floats],
        image: ImageShape,
        quantizers: Mapping[str, Floats],
        inner: Mapping[str, Floats] | None = None,
    ) -> None:
        super().__init__(parameters, image)
        self._quantizers, self._inner = quantizers, inner or {}
        self._rounded: dict[str, tuple[str, str]] = {}
        self.floats: dict[str, str] = {}

    def entering(self, values: str) -> str:
        """Return what the network takes in, quantized."""
        return self._round("input", self._quantizers["input"], values)

    def linear(self, name: str, values: str, *, relu: bool = False) -> str:
        """Return the outputs of a linear layer, quantized."""
        values = self._quantized(name, values)
        h = self.node("Gemm", values, *self._biased(name, values), transB=1)
        return self._leaving(name, self.node("Relu", h) if relu else h)

    def convolution(self, name: str, values: str, *, stride: int, padding: int, relu: bool = False) -> str:
        """Return the outputs of a convolution, quantized."""
        values = self._quantized(name, values)
        h = self.node("Conv", values, *self._biased(name, values), strides=[stride] * 2, pads=[padding] * 4)
        return self._leaving(name, self.node("Relu", h) if relu else h)

    def flattened(self, values: str) -> str:
        """Return values [n, ...] as [n, values]; of quantized ones the bytes, so that nothing is rounded twice."""
        if values not in self._rounded:
            return super().flattened(values)
        levels, quantizer = self._rounded[values]
        return self._floats(self.node("Flatten", levels), quantizer)

    def _leaving(self, name: str, values: str) -> str:
        return self._round(name, self._quantizers[name], values)

    def _quantized(self, name: str, values: str) -> str:
        """Return what enters a layer, quantized where it is not and a row says how."""
        if values in self._rounded:
            return values
        self.floats[name] = values
        return self._round(f"{name}.input", self._inner[name], values) if name in self._inner else values

    def _biased(self, name: str, values: str) -> tuple[str, str]:
        """Return the names of a layer's weights and biases, both of them dequantized."""
        weight = self._quantizers[f"{name}.weight"]
        scale, zero = weight[SCALE], weight[ZERO_POINT]
        levels = weight_levels(self.parameters[f"{name}.weight"], weight)
        self.constant(f"{name}.weight.scale", scale)
        self.constant(f"{name}.weight.zero_point", np.uint8(zero + SHIFT))
        stored = self.constant(f"{name}.weight", (levels + SHIFT).astype(np.uint8))
        weights = self._floats(stored, f"{name}.weight")
        if values not in self._rounded:
            return weights, self.parameter(f"{name}.bias")
        _, entering = self._rounded[values]
        product = np.float32(self._scales[entering] * scale)
        biases = np.clip(np.rint(self.parameters[f"{name}.bias"] / product), _INT32.min, _INT32.max)
        self.constant(f"{name}.bias.scale", product)
        self.constant(f"{name}.bias.zero_point", np.int32(0))
        return weights, self._floats(self.constant(f"{name}.bias", biases.astype(np.int32)), f"{name}.bias")

    @property
    def _scales(self) -> dict[str, np.float32]:
        inner = {f"{name}.input": row for name, row in self._inner.items()}
        return {name: np.float32(row[SCALE]) for name, row in {**self._quantizers, **inner}.items()}

    def _round(self, name: str, row: Floats, values: str) -> str:
        """Return values rounded to unsigned bytes and back."""
        scale = self.constant(f"{name}.scale", np.float32(row[SCALE]))
        zero = self.constant(f"{name}.zero_point", np.uint8(row[ZERO_POINT]))
        levels = self.node("QuantizeLinear", values, scale, zero)
        found = self._floats(levels, name)
        self._rounded[found] = (levels, name)
        return found

    def _floats(self, levels: str, quantizer: str) -> str:
        found = self.node("DequantizeLinear", levels, f"{quantizer}.scale", f"{quantizer}.zero_point")
        self._rounded[found] = (levels, quantizer)
        return found


def weight_levels(values: Floats, row: Floats) -> NDArray[np.int16]:
    """Return weights as the levels that training rounded them to, -128 .. 127; `row` as in `engine.quantize.rows`."""
    inverse = np.float32(1) / np.float32(row[SCALE])
    levels = np.rint(values * inverse) + row[ZERO_POINT]
    clipped: NDArray[np.int16] = np.clip(levels, -SHIFT, SHIFT - 1).astype(np.int16)
    return clipped
