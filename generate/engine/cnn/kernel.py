"""Kernels of the CNN's training step, entered from Python: preparing a minibatch, and all of a pack's models on it.

The lanes of a vector run over the positions of one convolution output. The arithmetic is five small matrix products;
each keeps a tile of sums in registers (`simd.tiles`):

    forward convolution   channels x positions  += kernel taps  x shifted images
    forward linear        classes x images      += weights      x activations     lanes added up at the end
    backward activations  positions             =  errors       x weights
    backward linear       classes x positions   += errors       x activations
    backward convolution  channels x taps       += errors       x shifted images  lanes added up at the end

Images are worked on in tiles and channels in blocks, so that what the five share stays in the second-level cache.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import typeof, types

from generate.engine.cnn.backward import backward
from generate.engine.cnn.forward import add_lanes, convolve, cross_entropy, score, start_forward
from generate.engine.cnn.layout import TILE, Integers, Layout, Table, Work
from generate.engine.simd.adam import ADAM, Adam, update_by_difference
from generate.engine.simd.compile import kernel, part
from generate.engine.simd.memory import Floats
from generate.engine.simd.vector import LANES, load, store

Doubles = np.ndarray[tuple[int], np.dtype[np.float64]]

EVALUATE, DIFFERENTIATE, LEARN = range(3)


class State(NamedTuple):
    """Parameters, gradient and Adam's moments of all models."""

    parameters: Floats
    gradient: Floats
    first: Floats
    second: Floats


_FLOATS, _COUNT = types.float32[::1], types.int64
_WORK = typeof(Work(*(np.zeros(1, np.float32),) * len(Work._fields)))
_STATE = typeof(State(*(np.zeros(1, np.float32),) * len(State._fields)))


@kernel(types.void(_FLOATS, *(_COUNT,) * 4, _FLOATS))
def prepare(images: Floats, planes: int, height: int, width: int, plane: int, inputs: Floats) -> None:
    """Write shifted copies of `planes` image channels into `inputs`.

    `images` needs LANES numbers more than the images take. Vectors reach past a row's end; the next row writes over it.
    """
    out_width = width - 2
    for number in range(planes):
        for side in range(3):
            source, target = number * height * width + side, (number * 3 + side) * plane
            for _ in range(height):
                for x in range(0, out_width, LANES):
                    store(inputs, target + x, load(images, source + x))
                source += width
                target += out_width


@part
def layout_at(table: Table, model: int) -> Layout:
    """Return the layout of one model."""
    row = table[model]
    return Layout(
        row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], row[9], row[10], row[11], row[12],
        row[13], row[14],
    )  # fmt: skip


@part
def update(layout: Layout, state: State, adam: Adam) -> None:
    """Take one step of Adam for all parameters of a model."""
    parameters, gradient, first, second = state
    update_by_difference(parameters, first, second, layout.start, gradient, layout.size, adam)


@kernel(
    types.void(
        _COUNT, _FLOATS, types.int64[::1], _COUNT, types.int64[:, ::1], _STATE, _WORK, ADAM, types.float64[::1],
        types.int64[::1],
    )
)  # fmt: skip
def run(
    goal: int, inputs: Floats, labels: Integers, count: int, table: Table, state: State, work: Work, adam: Adam,
    loss: Doubles, correct: Integers
) -> None:  # fmt: skip
    """Evaluate, differentiate or train all models on `count` prepared images; add what they scored to the tallies.

    `table` holds one layout a row. The gradient is that of the mean loss.
    """
    for model in range(len(table)):
        layout = layout_at(table, model)
        start_forward(count, state.parameters, layout, work)
        for images in range(0, count, TILE):
            some = min(TILE, count - images)
            convolve(inputs, images, some, layout, work)
            score(images, some, state.parameters, layout, work, None)
        add_lanes(count, state.parameters, layout, work)
        lost, right = cross_entropy(labels, count, layout, work)
        loss[model] += lost
        correct[model] += right
        if goal >= DIFFERENTIATE:
            backward(inputs, count, state.parameters, state.gradient, layout, work, None)
        if goal == LEARN:
            update(layout, state, adam)
