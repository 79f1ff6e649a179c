"""What is timed: the grids of architectures, the sample that peers are timed on, and the images."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from generate.architectures import Architecture, ImageShape
from generate.datasets import load_dataset
from generate.engine.initialise import initial_tensors
from generate.engine.pack import normalise
from generate.families import Design, family_named, protocol_for
from generate.families.cnn import CHANNELS
from generate.families.counts import parameter_count
from generate.families.dnn import DEPTHS, LADDER, layered_cells
from generate.families.vit import WIDTHS
from generate.protocol import FamilyProtocol, Training

# Far more than any cache holds, and few enough for peers that keep float copies of their own.
IMAGES = 20_000
SHAPES = {"mnist": ImageShape(28, 28, 1, 10), "cifar10": ImageShape(32, 32, 3, 10)}

Sample = tuple[tuple[Architecture, float], ...]


@dataclass(frozen=True, eq=False)
class Images:
    """Training images in memory: uint8 [n, channels, height, width], labels int64 [n], and where they are from."""

    pixels: Tensor
    labels: Tensor
    source: str

    @cached_property
    def normalised(self) -> Tensor:
        """The images as float32, as a user keeps them who trains from memory."""
        return normalise(self.pixels, Training())


@dataclass(frozen=True)
class Grid:
    """Architectures of one family on one kind of image.

    Attributes:
        name: as `--only` takes it.
        title: one line for the table.
        dataset: whose images it is timed on: `mnist` or `cifar10`.
        architectures: all that the engine trains together.
        sample: those that peers are timed on, with the share of the grid that each stands for.
        coarse: a smaller sample, for peers that take seconds to compile each.
        replicates: models that a vectorising peer trains at once.
        steps: minibatches per round and architecture for peers that train one model.
        bf16: whether the engine is timed in bf16 as well.
    """

    name: str
    title: str
    dataset: str
    architectures: tuple[Architecture, ...]
    sample: Sample
    coarse: Sample
    replicates: int
    steps: int
    bf16: bool = False

    @property
    def image(self) -> ImageShape:
        """Input and number of classes."""
        return SHAPES[self.dataset]

    @property
    def family(self) -> str:
        """The family of all its architectures."""
        return self.architectures[0].family

    @property
    def protocol(self) -> FamilyProtocol:
        """How the engine trains them: the study's protocol."""
        return protocol_for(self.family)


def stratified(
    architectures: Sequence[Architecture], image: ImageShape, stratum: Callable[[Architecture], Hashable]
) -> Sample:
    """Return one architecture per stratum, weighted by the share of all architectures it stands for.

    It is the one whose number of parameters is nearest to its stratum's mean.
    """
    strata: dict[Hashable, list[Architecture]] = {}
    for architecture in architectures:
        strata.setdefault(stratum(architecture), []).append(architecture)
    sample = []
    protocol = protocol_for(architectures[0].family)
    for members in strata.values():
        sizes = {a: parameter_count(a, image, protocol) for a in members}
        mean = sum(sizes.values()) / len(members)
        nearest = min(members, key=lambda a: abs(sizes[a] - mean))
        sample.append((nearest, len(members) / len(architectures)))
    return tuple(sample)


def _grid(
    name: str, title: str, dataset: str, architectures: Sequence[Architecture], steps: int, *, bf16: bool = False
) -> Grid:
    family = architectures[0].family
    replicates = family_named(family).facts.replicates if len(architectures) > 1 else 3
    image = SHAPES[dataset]
    sample = stratified(architectures, image, lambda a: (a.capacity, len(a.hidden_sizes)))
    coarse = stratified(architectures, image, lambda a: a.capacity)
    return Grid(name, title, dataset, tuple(architectures), sample, coarse, replicates, steps, bf16)


def _narrow() -> list[Architecture]:
    widths = tuple(width for width in LADDER if width <= 100)
    return [cell.architecture for cell in layered_cells("dnn", Design(widths, DEPTHS, True, LADDER))]


def _single(family: str, capacities: Sequence[int]) -> list[Architecture]:
    return [Architecture(family, (capacity,)) for capacity in capacities]


GRIDS: dict[str, Grid] = {
    grid.name: grid
    for grid in (
        _grid("narrow", "DNN, all topologies up to width 100, MNIST", "mnist", _narrow(), 10),
        _grid("wide", "DNN, 4 x 1000, MNIST", "mnist", [Architecture("dnn", (1000,) * 4)], 10, bf16=True),
        _grid("cnn-mnist", "CNN, 1 to 32 channels, MNIST", "mnist", _single("cnn", CHANNELS), 10),
        _grid("cnn-cifar10", "CNN, 1 to 32 channels, CIFAR-10", "cifar10", _single("cnn", CHANNELS), 10),
        _grid("vit-mnist", "ViT, width 1 to 16, MNIST", "mnist", _single("vit", WIDTHS), 5),
        _grid("vit-cifar10", "ViT, width 1 to 16, CIFAR-10", "cifar10", _single("vit", WIDTHS), 5),
    )
}


def spread(sample: Sample, count: int) -> Sample:
    """Return at most `count` architectures of a sample, evenly spread, with equal weights."""
    count = min(count, len(sample))
    return tuple((sample[i][0], 1 / count) for i in np.linspace(0, len(sample) - 1, count).astype(int))


def reduced(grid: Grid) -> Grid:
    """Return the grid with peers timed briefly, for a first look."""
    sample = spread(grid.sample, 3)
    return replace(grid, sample=sample, coarse=sample, replicates=min(3, grid.replicates), steps=3)


def load_images(dataset: str, *, images: int = IMAGES, seed: int = 0) -> Images:
    """Return training images: the real ones of the folder MINARCH_DATA, else random ones of the same shape.

    Speed does not depend on the pixels; the source is named beside the result.
    """
    folder = os.environ.get("MINARCH_DATA")
    if folder:
        real = load_dataset(dataset, Path(folder), download=False)
        return Images(real.train_images[:images], real.train_labels[:images], f"real {dataset}")
    shape = SHAPES[dataset]
    generator = torch.Generator().manual_seed(seed)
    size = (images, shape.channels, shape.height, shape.width)
    pixels = torch.randint(256, size, dtype=torch.uint8, generator=generator)
    labels = torch.randint(shape.classes, (images,), generator=generator)
    return Images(pixels, labels, f"random images shaped as {dataset}")


def initial_states(architecture: Architecture, image: ImageShape, replicates: int) -> list[dict[str, Tensor]]:
    """Return the initial parameters of each replicate, named as in the module's `state_dict`."""
    protocol = protocol_for(architecture.family)
    return [initial_tensors(architecture, image, protocol, dataset="benchmark", replicate=r) for r in range(replicates)]
