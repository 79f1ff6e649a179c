"""Trained 8-bit models run by PyTorch's QNNPACK integer kernels: what a device would compute.

Weights and activations take the scales and zero points that quantization-aware training ended with. In the ViT only the
outputs of linear layers are quantized in training; the floats that enter the other linear layers (after layer norm,
attention and GELU) get ranges observed over training images, as a converted model needs them.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from generate.architectures import Architecture, ImageShape, patch_grid
from generate.engine.plain.modules import ENCODER_BLOCKS, patches, sine_positions

CHUNK = 1000
"""Images run at a time."""
LEVELS = 255

Values = Mapping[str, Tensor]
"""Parameters and quantizers of one model: `Pack.tensors` and `Pack.quantizers` together."""


@contextmanager
def qnnpack() -> Iterator[None]:
    """Run quantized operators with QNNPACK.

    Raises:
        RuntimeError: this build of PyTorch lacks it.
    """
    backends: Any = torch.backends.quantized
    before = backends.engine
    backends.engine = "qnnpack"
    try:
        with warnings.catch_warnings():
            # Deprecated since PyTorch 2.14, with no successor that QNNPACK runs.
            warnings.filterwarnings("ignore", message="torch.quantize_per_tensor")
            yield
    finally:
        backends.engine = before


def available() -> bool:
    """Return whether this build of PyTorch has QNNPACK and quantized tensors."""
    backends: Any = torch.backends.quantized
    return "qnnpack" in backends.supported_engines and hasattr(torch, "quantize_per_tensor")


def integer_accuracy(
    architecture: Architecture,
    parameters: Values,
    quantizers: Values,
    images: Tensor,
    labels: Tensor,
    calibration: Tensor,
) -> float:
    """Return the accuracy of the integer model as a fraction.

    Args:
        architecture: the model.
        parameters: named as in its module's `state_dict`.
        quantizers: per name a row (lowest, highest, scale, zero point): `input`, and for each layer its output under
            the layer's name and its weights under NAME.weight.
        images: normalised float32 [n, channels, height, width].
        labels: int64 [n].
        calibration: normalised training images, to observe what enters a ViT's inner linear layers.
    """
    with qnnpack(), torch.no_grad():
        model = _MODELS[architecture.family](parameters, quantizers, calibration)
        correct = sum(
            int((model(some).argmax(1) == answers).sum())
            for some, answers in zip(torch.split(images, CHUNK), torch.split(labels, CHUNK), strict=True)
        )
    return correct / len(labels)


def _levels(values: Tensor, quantizer: Tensor, kind: torch.dtype) -> Tensor:
    return torch.quantize_per_tensor(values, float(quantizer[2]), int(quantizer[3]), kind)


class _Linear:
    """A linear layer on integers; returns integers."""

    def __init__(self, name: str, parameters: Values, quantizers: Values, *, relu: bool = False) -> None:
        weight = _levels(parameters[f"{name}.weight"].contiguous(), quantizers[f"{name}.weight"], torch.qint8)
        operators: Any = torch.ops.quantized
        self._packed = operators.linear_prepack(weight, parameters[f"{name}.bias"].contiguous())
        self._run = operators.linear_relu if relu else operators.linear
        self._scale, self._zero_point = float(quantizers[name][2]), int(quantizers[name][3])

    def __call__(self, values: Tensor) -> Tensor:
        result: Tensor = self._run(values, self._packed, self._scale, self._zero_point)
        return result


def _dnn(parameters: Values, quantizers: Values, _: Tensor) -> Callable[[Tensor], Tensor]:
    depth = sum(name.endswith(".bias") for name in parameters)
    layers = [_Linear(f"layers.{k}", parameters, quantizers, relu=k < depth - 1) for k in range(depth)]

    def run(images: Tensor) -> Tensor:
        values = _levels(images.flatten(1), quantizers["input"], torch.quint8)
        for layer in layers:
            values = layer(values)
        return values.dequantize()

    return run


def _cnn(parameters: Values, quantizers: Values, _: Tensor) -> Callable[[Tensor], Tensor]:
    operators: Any = torch.ops.quantized
    kernels = _levels(parameters["convolution.weight"].contiguous(), quantizers["convolution.weight"], torch.qint8)
    bias = parameters["convolution.bias"].contiguous()
    packed = operators.conv2d_prepack(kernels, bias, [1, 1], [0, 0], [1, 1], 1)
    scale, zero_point = float(quantizers["convolution"][2]), int(quantizers["convolution"][3])
    linear = _Linear("linear", parameters, quantizers)

    def run(images: Tensor) -> Tensor:
        values = _levels(images, quantizers["input"], torch.quint8)
        values = operators.conv2d_relu(values, packed, scale, zero_point)
        return linear(values.flatten(1)).dequantize()

    return run


class _Vit:
    def __init__(self, parameters: Values, quantizers: Values, calibration: Tensor) -> None:
        self._parameters, self._quantizers = parameters, quantizers
        names = [name.removesuffix(".weight") for name in quantizers if name.endswith(".weight")]
        self._linear = {name: _Linear(name, parameters, quantizers) for name in names}
        self._entering: dict[str, Tensor] = {}
        self(calibration)

    def _apply(self, name: str, values: Tensor) -> Tensor:
        if name not in self._entering:
            low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
            scale = max((high - low) / LEVELS, torch.finfo(torch.float32).eps)
            self._entering[name] = torch.tensor([low, high, scale, round(-low / scale)], dtype=torch.float64)
        return self._linear[name](_levels(values, self._entering[name], torch.quint8)).dequantize()

    def _norm(self, name: str, values: Tensor) -> Tensor:
        weight, bias = self._parameters[f"{name}.weight"], self._parameters[f"{name}.bias"]
        return F.layer_norm(values, values.shape[-1:], weight, bias)

    def __call__(self, images: Tensor) -> Tensor:
        _, channels, height, width = images.shape
        grid = patch_grid(ImageShape(height, width, channels, classes=len(self._parameters["head.bias"])))
        cut = _levels(patches(images, grid), self._quantizers["input"], torch.quint8)
        embedded = self._linear["embedding"](cut).dequantize()
        token = self._parameters["class_token"].expand(len(images), 1, -1)
        tokens = torch.cat([token, embedded], dim=1)
        tokens = tokens + sine_positions(tokens.shape[1], tokens.shape[2])
        for block in range(ENCODER_BLOCKS):
            at = f"blocks.{block}"
            joint = self._apply(f"{at}.query_key_value", self._norm(f"{at}.norm1", tokens))
            query, key, value = joint.chunk(3, dim=-1)
            attention = torch.softmax(query @ key.transpose(1, 2) / math.sqrt(query.shape[-1]), dim=-1)
            tokens = tokens + self._apply(f"{at}.projection", attention @ value)
            hidden = F.gelu(self._apply(f"{at}.expand", self._norm(f"{at}.norm2", tokens)))
            tokens = tokens + self._apply(f"{at}.contract", hidden)
        return self._apply("head", self._norm("norm", tokens[:, 0]))


_MODELS: dict[str, Callable[[Values, Values, Tensor], Callable[[Tensor], Tensor]]] = {
    "dnn": _dnn,
    "cnn": _cnn,
    "vit": _Vit,
}
