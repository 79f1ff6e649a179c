"""Fully connected networks outside minarch."""

from __future__ import annotations

from itertools import pairwise

from generate.architectures import ImageShape
from generate.deploy.graph import INPUT, FloatGraph
from generate.families.dnn import DnnProtocol

Sizes = tuple[int, ...]


def onnx_graph(build: FloatGraph, sizes: Sizes, protocol: DnnProtocol) -> str:
    """Add a network's nodes and return the name of its logits."""
    del protocol
    h = build.entering(build.flattened(INPUT))
    for k in range(len(sizes)):
        h = build.linear(f"layers.{k}", h, relu=True)
    return build.linear(f"layers.{len(sizes)}", h)


def source(sizes: Sizes, image: ImageShape, protocol: DnnProtocol) -> str:
    """Return the class `Network` as Python text."""
    del protocol
    layers = ", ".join(f"nn.Linear({a}, {b})" for a, b in pairwise((image.values, *sizes, image.classes)))
    return f"""\
class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([{layers}])

    def forward(self, images):
        h = images.flatten(1)
        for layer in self.layers[:-1]:
            h = F.relu(layer(h))
        return self.layers[-1](h)
"""
