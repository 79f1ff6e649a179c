"""Convolutional networks outside minarch."""

from __future__ import annotations

from generate.architectures import ImageShape
from generate.deploy.graph import INPUT, FloatGraph
from generate.families.cnn import CnnProtocol

Sizes = tuple[int, ...]


def onnx_graph(build: FloatGraph, sizes: Sizes, protocol: CnnProtocol) -> str:
    """Add a network's nodes and return the name of its logits."""
    del sizes
    h = build.entering(INPUT)
    h = build.convolution("convolution", h, stride=protocol.stride, padding=protocol.padding, relu=True)
    return build.linear("linear", build.flattened(h))


def source(sizes: Sizes, image: ImageShape, protocol: CnnProtocol) -> str:
    """Return the class `Network` as Python text."""
    (channels,) = sizes
    rows, columns = protocol.positions(image)
    settings = f"{protocol.kernel_size}, stride={protocol.stride}, padding={protocol.padding}"
    return f"""\
class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d({image.channels}, {channels}, {settings})
        self.linear = nn.Linear({channels * rows * columns}, {image.classes})

    def forward(self, images):
        return self.linear(F.relu(self.convolution(images)).flatten(1))
"""
