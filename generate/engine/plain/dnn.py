"""Fully connected networks as a plain PyTorch module; its initial weights, its fake quantization, its integer model."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from generate.architectures import ImageShape
from generate.deploy.layers import Builder, Layer, Shape
from generate.engine.initialise import Array, Shapes, normal
from generate.engine.plain.integer import IntegerLinear, Values, levels
from generate.engine.plain.quantization import Rounded
from generate.engine.units import Smaller, largest_units
from generate.families.dnn import DnnProtocol


class Dnn(nn.Module):
    """Fully connected ReLU network; parameters `layers.K.weight` [out, in] and `layers.K.bias`, the head last."""

    def __init__(self, hidden_sizes: tuple[int, ...], image: ImageShape, protocol: DnnProtocol) -> None:
        del protocol
        super().__init__()
        sizes = (image.values, *hidden_sizes, image.classes)
        self.layers = nn.ModuleList(nn.Linear(inputs, outputs) for inputs, outputs in pairwise(sizes))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [batch, classes]."""
        h = images.flatten(1)
        for layer in self.layers[:-1]:
            h = F.relu(layer(h))
        logits: Tensor = self.layers[-1](h)
        return logits


def initial(name: str, shape: tuple[int, ...], _: Shapes, protocol: DnnProtocol, rng: np.random.Generator) -> Array:
    """Return the initial values of a parameter."""
    del protocol
    return np.zeros(shape, dtype=np.float32) if name.endswith("bias") else normal(rng, shape, math.sqrt(2 / shape[1]))


def quantized_forward(module: Dnn, images: Tensor, rounded: Rounded) -> Tensor:
    """Return the logits [batch, classes] under fake quantization."""
    h, last = rounded("input", images).flatten(1), len(module.layers) - 1
    parameters = dict(module.named_parameters())
    for k in range(len(module.layers)):
        weight, bias = parameters[f"layers.{k}.weight"], parameters[f"layers.{k}.bias"]
        h = F.linear(h, rounded(f"layers.{k}.weight", weight), bias)
        h = rounded(f"layers.{k}", h if k == last else F.relu(h))
    return h


def without_units(tensors: dict[str, Tensor], share: float) -> Smaller:
    """Return the network without this share of the units of every hidden layer, see `engine.units`."""
    depth = len(tensors) // 2
    weights = [tensors[f"layers.{k}.weight"] for k in range(depth)]
    kept = [largest_units(weight, share) for weight in weights[:-1]]
    inputs = [torch.arange(weights[0].shape[1]), *kept]
    outputs = [*kept, torch.arange(len(weights[-1]))]
    smaller = {}
    for k, weight in enumerate(weights):
        smaller[f"layers.{k}.weight"] = weight[outputs[k]][:, inputs[k]]
        smaller[f"layers.{k}.bias"] = tensors[f"layers.{k}.bias"][outputs[k]]
    return Smaller(tuple(map(len, kept)), smaller)


def integer_model(_: DnnProtocol, values: Values, calibration: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the network on integers, from normalised images to logits."""
    del calibration
    depth = sum(name.endswith(".bias") for name in values.parameters)
    layers = [IntegerLinear(f"layers.{k}", values, relu=k < depth - 1) for k in range(depth)]

    def run(images: Tensor) -> Tensor:
        h = levels(images.flatten(1), values.quantizers["input"], torch.quint8)
        for layer in layers:
            h = layer(h)
        return h.dequantize()

    return run


def layers(protocol: DnnProtocol, given: Builder[Layer], image: ImageShape) -> list[Layer]:
    """Return the layers of the network, made by `given`."""
    del protocol
    biases = [given.parameters[name] for name in given.parameters if name.endswith(".bias")]
    shapes = [Shape(image.channels, image.height, image.width), *(Shape(len(bias)) for bias in biases)]
    entering = ["input", *(f"layers.{k}" for k in range(len(biases) - 1))]
    return [
        given.layer("linear", f"layers.{k}", entering=entering[k], shapes=between, relu=k < len(biases) - 1)
        for k, between in enumerate(pairwise(shapes))
    ]
