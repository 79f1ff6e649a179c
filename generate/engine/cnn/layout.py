"""How the CNN kernels lay out a model and their working memory. All buffers are flat and float32.

inputs       [image, image channel, shift, plane]: columns s .. s + out_width of every row, back to back, for the
             shifts s = 0, 1, 2. One row down is then out_width further on, and no lane is spent on the border.
activations  [tile, channel, image, line]: one number per position; lanes past the last position are zero.
parameters   of one model: kernels [channels, taps], biases [channels], head biases [classes], head weights
             [classes, row]. Each part starts at a multiple of LANES. The last vector of a channel reaches into
             the weights of the next one, that of a row into its padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from generate.architectures import ImageShape
from generate.engine.simd.memory import Floats, aligned_zeros, round_up
from generate.engine.simd.vector import LANES

Integers = np.ndarray[tuple[int], np.dtype[np.int64]]
Table = np.ndarray[tuple[int, int], np.dtype[np.int64]]

TILE = 20
"""Images worked on together: few enough for the second-level cache, enough to reuse what was loaded for them."""

BLOCK = 8
"""Channels worked on together, at most."""


class Layout(NamedTuple):
    """Sizes of one model, and where it and its parts start: `start` in the pack's buffers, the others after that."""

    channels: int
    taps: int
    classes: int
    out_width: int
    positions: int
    vectors: int
    line: int
    plane: int
    error_row: int
    biases: int
    head_biases: int
    weights: int
    row: int
    size: int
    start: int


class Work(NamedTuple):
    """Working memory, which the models of a pack take turns to use.

    taps [1 + taps, channels]: biases and kernels; edge [LANES]: 1 where the last vector of a line holds a position;
    activations; scores [image, class, LANES]: logits before their lanes are added up; errors [image, error_row]:
    d loss / d logit; partial [TILE, LANES]; sums [BLOCK, 1 + taps, LANES]: gradients of biases and kernels.
    """

    taps: Floats
    edge: Floats
    activations: Floats
    scores: Floats
    errors: Floats
    partial: Floats
    sums: Floats


class Rounding(NamedTuple):
    """How activations are rounded to the levels 0 .. last: 1 / scale, scale, and the last level."""

    inverse: np.float32
    scale: np.float32
    last: np.float32


def layouts_of(channels: Sequence[int], image: ImageShape) -> list[Layout]:
    """Return the layouts of models with these numbers of convolution channels, one after the other."""
    layouts: list[Layout] = []
    for count in channels:
        start = layouts[-1].start + layouts[-1].size if layouts else 0
        layouts.append(_layout(count, image, start))
    return layouts


def _layout(channels: int, image: ImageShape, start: int) -> Layout:
    out_width = image.width - 2
    positions = (image.height - 2) * out_width
    vectors = -(-positions // LANES)
    taps = 9 * image.channels
    biases = round_up(channels * taps, LANES)
    head_biases = biases + round_up(channels, LANES)
    weights = head_biases + round_up(image.classes, LANES)
    row = round_up(channels * positions, LANES) + LANES
    return Layout(
        channels=channels,
        taps=taps,
        classes=image.classes,
        out_width=out_width,
        positions=positions,
        vectors=vectors,
        # The convolution writes two vectors at a time; an odd number of cache lines uses all sets of a cache.
        line=(vectors + 1 | 1) * LANES,
        plane=round_up((vectors + 1) * LANES + 2 * out_width, LANES),
        error_row=round_up(image.classes, LANES),
        biases=biases,
        head_biases=head_biases,
        weights=weights,
        row=row,
        size=weights + image.classes * row,
        start=start,
    )


def working_memory(layouts: Sequence[Layout], batch_size: int) -> Work:
    """Return working memory for the largest of these models and minibatches of up to `batch_size` images."""
    channels = max(layout.channels for layout in layouts)
    layout = layouts[0]
    tiles = -(-batch_size // TILE)
    lane = np.arange(LANES) + (layout.vectors - 1) * LANES
    return Work(
        taps=aligned_zeros((1 + layout.taps) * channels),
        edge=(lane < layout.positions).astype(np.float32),
        activations=aligned_zeros(tiles * channels * TILE * layout.line),
        scores=aligned_zeros((batch_size + 1) * layout.classes * LANES),
        errors=aligned_zeros(batch_size * layout.error_row),
        partial=aligned_zeros(TILE * LANES),
        sums=aligned_zeros(BLOCK * (1 + layout.taps) * LANES),
    )


def input_memory(layout: Layout, batch_size: int) -> Floats:
    """Return memory for `batch_size` prepared images."""
    return aligned_zeros(batch_size * (layout.taps // 3) * layout.plane)
