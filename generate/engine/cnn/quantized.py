"""The CNN kernels with fake quantization: weights, rectified convolution and logits rounded to few bits and back.

Semantics are those of `torch.fused_moving_avg_obs_fake_quant`. The range of a whole minibatch is known only once its
convolution is done, so activations stay as they are in memory and are rounded whenever they are loaded. They are not
negative: their zero point is 0.
"""

from __future__ import annotations

import numpy as np
from numba import types

from generate.engine.cnn.backward import backward
from generate.engine.cnn.forward import add_lanes, convolve, cross_entropy, score, start_forward
from generate.engine.cnn.kernel import (
    _COUNT,
    _FLOATS,
    _STATE,
    _WORK,
    DIFFERENTIATE,
    EVALUATE,
    LEARN,
    Doubles,
    State,
    layout_at,
    update,
)
from generate.engine.cnn.layout import TILE, Integers, Layout, Rounding, Table, Work
from generate.engine.quantize.observer import extremes, update_quantizer
from generate.engine.quantize.rows import COLUMNS, FIRST, LAST, SCALE, ZERO_POINT
from generate.engine.quantize.weights import clip_gradient, round_weights
from generate.engine.simd.adam import ADAM, Adam
from generate.engine.simd.compile import kernel, part
from generate.engine.simd.memory import Floats
from generate.engine.simd.vector import LANES, load, store

INPUT, CONVOLUTION, LINEAR, CONVOLUTION_WEIGHT, LINEAR_WEIGHT, QUANTIZERS = range(6)
"""Places in the quantizers of a model, and their number."""

_INFINITY = np.float32(np.inf)


@part
def _pass_inside(layout: Layout, state: State, quantizers: Floats, first: int) -> None:
    """Let gradients pass only to weights that were in range when they were rounded."""
    values, slopes = state.parameters, state.gradient
    start, weights, size = layout.start, layout.start + layout.weights, layout.classes * layout.row
    clip_gradient(values, start, layout.biases, quantizers, first + CONVOLUTION_WEIGHT, slopes, start)
    clip_gradient(values, weights, size, quantizers, first + LINEAR_WEIGHT, slopes, weights)


@part
def _round_parameters(
    layout: Layout, parameters: Floats, rounded: Floats, quantizers: Floats, first: int, observe: bool
) -> None:
    """Write the parameters that the network computes with: rounded weights, and biases as they are."""
    start, weights, row = layout.start, layout.start + layout.weights, layout.row
    if observe:
        low, high = extremes(parameters, start, 1, 0, layout.channels * layout.taps, _INFINITY, -_INFINITY)
        update_quantizer(quantizers, first + CONVOLUTION_WEIGHT, low, high, True)
        size = layout.channels * layout.positions
        low, high = extremes(parameters, weights, layout.classes, row, size, _INFINITY, -_INFINITY)
        update_quantizer(quantizers, first + LINEAR_WEIGHT, low, high, True)
    round_weights(parameters, start, layout.biases, quantizers, first + CONVOLUTION_WEIGHT, rounded)
    for index in range(start + layout.biases, weights, LANES):
        store(rounded, index, load(parameters, index))
    round_weights(parameters, weights, layout.classes * row, quantizers, first + LINEAR_WEIGHT, rounded)


@part
def _observe_activations(
    images: int, count: int, layout: Layout, work: Work, low: np.float32, high: np.float32
) -> tuple[np.float32, np.float32]:
    """Return the range of low, high and the activations of one tile of images."""
    for channel in range(layout.channels):
        source = ((images // TILE) * layout.channels + channel) * TILE * layout.line
        low, high = extremes(work.activations, source, count, layout.line, layout.positions, low, high)
    return low, high


@part
def _round_logits(count: int, layout: Layout, work: Work, quantizers: Floats, quantizer: int, observe: bool) -> None:
    """Round the logits, in place, to few levels and back; keep in the scores which were inside."""
    if observe:
        low, high = extremes(work.errors, 0, count, layout.error_row, layout.classes, _INFINITY, -_INFINITY)
        update_quantizer(quantizers, quantizer, low, high, False)
    scale, zero = quantizers[quantizer * COLUMNS + SCALE], quantizers[quantizer * COLUMNS + ZERO_POINT]
    first, last = quantizers[quantizer * COLUMNS + FIRST], quantizers[quantizer * COLUMNS + LAST]
    inverse = np.float32(1) / scale
    for image in range(count):
        for index in range(image * layout.error_row, image * layout.error_row + layout.classes):
            level = np.rint(work.errors[index] * inverse) + zero
            work.scores[index] = 1 if first <= level <= last else 0
            level = first if level < first else last if level > last else level
            work.errors[index] = (level - zero) * scale


@kernel(
    types.void(
        _COUNT, _FLOATS, types.int64[::1], _COUNT, types.int64[:, ::1], _STATE, _FLOATS, _FLOATS, _WORK, ADAM,
        types.float64[::1], types.int64[::1],
    )
)  # fmt: skip
def run_quantized(
    goal: int, inputs: Floats, labels: Integers, count: int, table: Table, state: State, rounded: Floats,
    quantizers: Floats, work: Work, adam: Adam, loss: Doubles, correct: Integers
) -> None:  # fmt: skip
    """Do what `run` does under fake quantization; quantizers observe the minibatch unless the goal is to evaluate.

    `rounded` takes the parameters that the networks compute with, `quantizers` [models, QUANTIZERS, COLUMNS].
    """
    observe = goal != EVALUATE
    for model in range(len(table)):
        layout, first = layout_at(table, model), model * QUANTIZERS
        _round_parameters(layout, state.parameters, rounded, quantizers, first, observe)
        start_forward(count, rounded, layout, work)
        low, high = _INFINITY, -_INFINITY
        for images in range(0, count, TILE):
            some = min(TILE, count - images)
            convolve(inputs, images, some, layout, work)
            if observe:
                low, high = _observe_activations(images, some, layout, work, low, high)
        if observe:
            update_quantizer(quantizers, first + CONVOLUTION, low, high, False)
        row = (first + CONVOLUTION) * COLUMNS
        rounding = Rounding(np.float32(1) / quantizers[row + SCALE], quantizers[row + SCALE], quantizers[row + LAST])
        for images in range(0, count, TILE):
            score(images, min(TILE, count - images), rounded, layout, work, rounding)
        add_lanes(count, rounded, layout, work)
        _round_logits(count, layout, work, quantizers, first + LINEAR, observe)
        lost, right = cross_entropy(labels, count, layout, work)
        loss[model] += lost
        correct[model] += right
        if goal >= DIFFERENTIATE:
            for index in range(count * layout.error_row):
                work.errors[index] *= work.scores[index]
            backward(inputs, count, rounded, state.gradient, layout, work, rounding)
            _pass_inside(layout, state, quantizers, first)
        if goal == LEARN:
            update(layout, state, adam)
