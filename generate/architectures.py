"""Architectures of the three families, and the topologies that a DNN architecture stands for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

from generate.protocol import CNN_CHANNELS, DNN_LADDER, VIT_WIDTHS, Family

STEPS = "+-="


@dataclass(frozen=True, order=True)
class Architecture:
    """A network up to its input and output: family and hidden sizes.

    `hidden_sizes` is the width of every hidden layer (dnn), `(channels,)` (cnn) or `(embedding width,)` (vit).
    """

    family: Family
    hidden_sizes: tuple[int, ...]

    @property
    def capacity(self) -> int:
        """Width of the first hidden layer, channels, or embedding width."""
        return self.hidden_sizes[0]

    @property
    def depth(self) -> int:
        """Hidden layers (dnn), convolutions (cnn: 1) or encoder blocks (vit: 2)."""
        return {"dnn": len(self.hidden_sizes), "cnn": 1, "vit": 2}[self.family]

    @property
    def in_phase_2(self) -> bool:
        """Whether all hidden layers have one width, as every network of phase 2 has."""
        return len(set(self.hidden_sizes)) == 1


@dataclass(frozen=True)
class Topology:
    """A label that an architecture stands for: one of `+-=` per step between hidden layers.

    `degenerate` says that an end of the ladder cut a step short; the network is then that of another label too.
    """

    shape: str
    degenerate: bool


@dataclass(frozen=True)
class Cell:
    """A cell of the design: an architecture with every topology it stands for."""

    architecture: Architecture
    topologies: tuple[Topology, ...]


def step(width: int, direction: str, ladder: Sequence[int]) -> int:
    """Return the width one rung up (`+`) or down (`-`) the ladder, clipped at its ends; `=` stays.

    A width between two rungs steps to the nearer rung in that direction.
    """
    if direction == "+":
        return min((rung for rung in ladder if rung > width), default=max(width, ladder[-1]))
    if direction == "-":
        return max((rung for rung in ladder if rung < width), default=min(width, ladder[0]))
    return width


def hidden_sizes(width: int, shape: str, ladder: Sequence[int]) -> tuple[int, ...]:
    """Return the layer widths of the topology `shape` whose first layer is `width` wide."""
    sizes = [width]
    for direction in shape:
        sizes.append(step(sizes[-1], direction, ladder))
    return tuple(sizes)


def dnn_cells(
    widths: Iterable[int], depths: Iterable[int], *, all_topologies: bool, ladder: Sequence[int] = DNN_LADDER
) -> list[Cell]:
    """Return the distinct DNN cells of these widths and depths, in design order.

    With `all_topologies` every step increases, decreases or stays (phase 1); without, only equal widths (phase 2).
    Each cell carries every topology of its depth that it stands for, whichever were asked for; exactly one of them
    is not degenerate.
    """
    depths = tuple(depths)
    cells = []
    for width in widths:
        for depth in depths:
            labels: dict[tuple[int, ...], list[Topology]] = {}
            for steps in product(STEPS, repeat=depth - 1):
                shape = "".join(steps)
                sizes = hidden_sizes(width, shape, ladder)
                clipped = any(
                    direction != "=" and before == after
                    for direction, (before, after) in zip(shape, pairwise(sizes), strict=True)
                )
                labels.setdefault(sizes, []).append(Topology(shape, clipped))
            wanted = labels if all_topologies else {(width,) * depth: labels[(width,) * depth]}
            cells += [Cell(Architecture("dnn", sizes), tuple(found)) for sizes, found in wanted.items()]
    return cells


def single_layer_cells(family: Family, capacities: Iterable[int]) -> list[Cell]:
    """Return the cells of a family that has no topologies (cnn, vit)."""
    return [Cell(Architecture(family, (capacity,)), (Topology("", False),)) for capacity in capacities]


def default_capacities(family: Family, dataset: str) -> tuple[int, ...]:
    """Return the family's grid of capacities; on `digits` the DNN's ladder ends at 200."""
    grids: dict[Family, tuple[int, ...]] = {"dnn": DNN_LADDER, "cnn": CNN_CHANNELS, "vit": VIT_WIDTHS}
    grid = grids[family]
    return tuple(c for c in grid if c <= 200) if dataset == "digits" and family == "dnn" else grid


@dataclass(frozen=True)
class ImageShape:
    """Input of a network: height and width in pixels, colour channels, and the number of classes to tell apart."""

    height: int
    width: int
    channels: int
    classes: int

    @property
    def values(self) -> int:
        """Numbers in one image."""
        return self.height * self.width * self.channels


@dataclass(frozen=True)
class PatchGrid:
    """How a vision transformer cuts an image: padded size, patch size (pixels) and patches per side."""

    side: int
    padded_height: int
    padded_width: int
    patch_height: int
    patch_width: int

    @property
    def patches(self) -> int:
        """Number of patches."""
        return self.side**2


def patch_grid(image: ImageShape, *, side: int = 7, side_of_8x8: int = 4) -> PatchGrid:
    """Return the patch grid: `side` x `side`, the image zero-padded to the next multiple; 4 x 4 for 8x8 images."""
    n = side_of_8x8 if (image.height, image.width) == (8, 8) else side
    patch_height, patch_width = -(-image.height // n), -(-image.width // n)
    return PatchGrid(n, n * patch_height, n * patch_width, patch_height, patch_width)


def parameter_count(architecture: Architecture, image: ImageShape) -> int:
    """Return the number of trainable parameters, biases included."""
    if architecture.family == "dnn":
        sizes = (image.values, *architecture.hidden_sizes, image.classes)
        return sum((inputs + 1) * outputs for inputs, outputs in pairwise(sizes))
    if architecture.family == "cnn":
        channels = architecture.capacity
        positions = (image.height - 2) * (image.width - 2)
        return channels * (9 * image.channels + 1) + (channels * positions + 1) * image.classes
    d = architecture.capacity
    grid = patch_grid(image)
    embedding = (grid.patch_height * grid.patch_width * image.channels + 1) * d + d
    block = 2 * 2 * d + 4 * (d + 1) * d + 2 * (d + 1) * d
    return embedding + 2 * block + 2 * d + (d + 1) * image.classes
