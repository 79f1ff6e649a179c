"""CNNs as a plain PyTorch module; their initial weights, their fake quantization, their integer model."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from generate.architectures import ImageShape
from generate.deploy.layers import Builder, Layer, Shape
from generate.engine.initialise import Array, Shapes, normal
from generate.engine.plain.integer import IntegerLinear, Values, levels
from generate.engine.plain.quantization import Rounded
from generate.engine.quantize.rows import SCALE, ZERO_POINT
from generate.engine.units import Smaller, largest_units
from generate.families.cnn import CnnProtocol


class Cnn(nn.Module):
    """One convolution, ReLU, flatten, linear; parameters of `convolution` and `linear`."""

    def __init__(self, hidden_sizes: tuple[int, ...], image: ImageShape, protocol: CnnProtocol) -> None:
        super().__init__()
        (channels,) = hidden_sizes
        rows, columns = protocol.positions(image)
        size, stride, padding = protocol.kernel_size, protocol.stride, protocol.padding
        self.convolution = nn.Conv2d(image.channels, channels, size, stride=stride, padding=padding)
        self.linear = nn.Linear(channels * rows * columns, image.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [batch, classes]."""
        logits: Tensor = self.linear(F.relu(self.convolution(images)).flatten(1))
        return logits


def initial(name: str, shape: tuple[int, ...], _: Shapes, protocol: CnnProtocol, rng: np.random.Generator) -> Array:
    """Return the initial values of a parameter."""
    if name.endswith("bias"):
        return np.zeros(shape, dtype=np.float32)
    if name.startswith("convolution"):
        return normal(rng, shape, math.sqrt(2 / (protocol.kernel_size**2 * shape[0])))
    return normal(rng, shape, protocol.linear_std)


def quantized_forward(module: Cnn, images: Tensor, rounded: Rounded) -> Tensor:
    """Return the logits [batch, classes] under fake quantization."""
    convolution, linear = module.convolution, module.linear
    weight = rounded("convolution.weight", convolution.weight)
    inputs = rounded("input", images)
    h = F.conv2d(inputs, weight, convolution.bias, stride=convolution.stride, padding=convolution.padding)
    h = rounded("convolution", F.relu(h)).flatten(1)
    return rounded("linear", F.linear(h, rounded("linear.weight", linear.weight), linear.bias))


def without_units(tensors: dict[str, Tensor], share: float) -> Smaller:
    """Return the network without this share of its channels, see `engine.units`."""
    kept = largest_units(tensors["convolution.weight"], share)
    head = tensors["linear.weight"]
    by_channel = head.view(len(head), len(tensors["convolution.weight"]), -1)
    smaller = {
        "convolution.weight": tensors["convolution.weight"][kept],
        "convolution.bias": tensors["convolution.bias"][kept],
        "linear.weight": by_channel[:, kept].flatten(1),
        "linear.bias": tensors["linear.bias"],
    }
    return Smaller((len(kept),), smaller)


def integer_model(protocol: CnnProtocol, values: Values, calibration: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the network on integers, from normalised images to logits."""
    del calibration
    operators: Any = torch.ops.quantized
    parameters, quantizers = values.parameters, values.quantizers
    kernels = levels(parameters["convolution.weight"].contiguous(), quantizers["convolution.weight"], torch.qint8)
    bias = parameters["convolution.bias"].contiguous()
    packed = operators.conv2d_prepack(kernels, bias, [protocol.stride] * 2, [protocol.padding] * 2, [1, 1], 1)
    scale, zero_point = float(quantizers["convolution"][SCALE]), int(quantizers["convolution"][ZERO_POINT])
    linear = IntegerLinear("linear", values)

    def run(images: Tensor) -> Tensor:
        h = levels(images, quantizers["input"], torch.quint8)
        h = operators.conv2d_relu(h, packed, scale, zero_point)
        return linear(h.flatten(1)).dequantize()

    return run


def layers(protocol: CnnProtocol, given: Builder[Layer], image: ImageShape) -> list[Layer]:
    """Return the layers of the network, made by `given`."""
    channels = len(given.parameters["convolution.bias"])
    maps, classes = Shape(channels, *protocol.positions(image)), Shape(image.classes)
    convolution = given.layer(
        "convolution",
        "convolution",
        entering="input",
        shapes=(Shape(image.channels, image.height, image.width), maps),
        relu=True,
        stride=protocol.stride,
        padding=protocol.padding,
    )
    return [convolution, given.layer("linear", "linear", entering="convolution", shapes=(maps, classes))]
