"""Architectures: networks up to their input and output, and what they stand for in the design."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Architecture:
    """A network up to its input and output: family and hidden sizes.

    `hidden_sizes` is the width of every hidden layer where the family has layers of any widths (dnn), else the one
    measure of size: `(channels,)` (cnn), `(embedding width,)` (vit).
    """

    family: str
    hidden_sizes: tuple[int, ...]

    @property
    def capacity(self) -> int:
        """Width of the first hidden layer, channels, or embedding width."""
        return self.hidden_sizes[0]

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
