"""What one inference of an architecture takes: weights, multiply-accumulates and memory for activations.

Closed forms of the known families, held in tests to what PyTorch counts on their modules; `docs/method.md` defines the
schedule. They need no PyTorch: a store that was made before its costs were recorded gets them when it is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

FLOAT_BYTES = 4
"""Of a value in fp32; one in 8 bits takes a byte."""

Spec = Mapping[str, Any]
"""A protocol as the store keeps it. What a spec lacks was as the default says when it was written."""


class Input(Protocol):
    """What a network looks at: height and width in pixels, colour channels, and the classes that it tells apart."""

    @property
    def height(self) -> int:
        """Rows of pixels."""

    @property
    def width(self) -> int:
        """Columns of pixels."""

    @property
    def channels(self) -> int:
        """Colour channels."""

    @property
    def classes(self) -> int:
        """Number of classes."""


@dataclass(frozen=True)
class Image:
    """An input, as the store describes a dataset."""

    height: int
    width: int
    channels: int
    classes: int


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What one inference of a whole network takes.

    `weights` are those of linear layers and convolutions, `macs` multiply-accumulates of one image; `ram_fp32` and
    `ram_int8` are bytes of activations at the fullest moment of the schedule, in 32 and in 8 bits.
    """

    weights: int
    macs: int
    ram_fp32: int
    ram_int8: int


CostsOf = Callable[[tuple[int, ...], Input, Spec], Costs]
"""`(hidden sizes, input, spec of the protocol)` to costs."""


def dnn_costs(sizes: tuple[int, ...], image: Input, spec: Spec) -> Costs:
    """Return the costs of a fully connected network: layer by layer its inputs and outputs are alive."""
    del spec
    layers = list(pairwise((image.height * image.width * image.channels, *sizes, image.classes)))
    products = sum(inputs * outputs for inputs, outputs in layers)
    alive = max(inputs + outputs for inputs, outputs in layers)
    return Costs(weights=products, macs=products, ram_fp32=FLOAT_BYTES * alive, ram_int8=alive)


def cnn_costs(sizes: tuple[int, ...], image: Input, spec: Spec) -> Costs:
    """Return the costs of one convolution and a linear layer.

    Raises:
        ValueError: the kernel does not fit into the image.
    """
    (channels,) = sizes
    kernel, stride, padding = (spec.get(name, usual) for name, usual in CNN_SPEC.items())
    rows, columns = ((side + 2 * padding - kernel) // stride + 1 for side in (image.height, image.width))
    if min(rows, columns) < 1:
        raise ValueError(f"a kernel of {kernel} does not fit into {image.height} x {image.width} pixels")
    outputs, pixels = channels * rows * columns, image.height * image.width * image.channels
    kernels, head = channels * kernel**2 * image.channels, outputs * image.classes
    alive = max(pixels + outputs, outputs + image.classes)
    return Costs(
        weights=kernels + head, macs=kernels * rows * columns + head, ram_fp32=FLOAT_BYTES * alive, ram_int8=alive
    )


CNN_SPEC = {"kernel_size": 3, "stride": 1, "padding": 0}


def vit_costs(sizes: tuple[int, ...], image: Input, spec: Spec) -> Costs:
    """Return the costs of a vision transformer.

    Through a block its tokens stay alive for the residual sum. In 8 bits the sums and the scores of attention stay
    floats; the image and all that enters or leaves a linear layer take a byte each.
    """
    (width,) = sizes
    grid, grid_of_8x8, blocks, heads, ratio = (spec.get(name, usual) for name, usual in VIT_SPEC.items())
    side = grid_of_8x8 if (image.height, image.width) == (8, 8) else grid
    patch = -(-image.height // side) * -(-image.width // side) * image.channels
    tokens, inner = side**2 + 1, ratio * width
    block = (4 * width + 2 * inner) * width
    macs = side**2 * patch * width + blocks * tokens * (block + 2 * tokens * width) + width * image.classes
    stream, scores = tokens * width, heads * tokens**2
    pixels, hidden = image.height * image.width * image.channels, tokens * inner
    ram = []
    for wide, narrow in ((FLOAT_BYTES, FLOAT_BYTES), (FLOAT_BYTES, 1)):
        ram.append(
            max(
                narrow * pixels + wide * stream,
                wide * (stream + scores) + narrow * 4 * stream,  # Query, key, value, and what attention gathers.
                wide * stream + narrow * (stream + hidden),
                wide * stream + narrow * width,  # The last norm, of the class token alone.
                narrow * (width + image.classes),
            )
        )
    return Costs(
        weights=patch * width + blocks * block + width * image.classes, macs=macs, ram_fp32=ram[0], ram_int8=ram[1]
    )


VIT_SPEC = {"grid": 7, "grid_of_8x8_images": 4, "blocks": 2, "heads": 1, "mlp_ratio": 1}
