"""Fake quantization of vision transformers: rounding to few bits and back, by the quantizers of `quantize.observer`."""

from __future__ import annotations

from typing import Any

import numpy as np

from generate.engine.quantize.observer import extremes, update_quantizer
from generate.engine.quantize.rows import COLUMNS, FIRST, LAST, SCALE, ZERO_POINT
from generate.engine.quantize.weights import clip_gradient, round_weights
from generate.engine.simd.compile import kernel
from generate.engine.simd.math import within
from generate.engine.simd.vector import (
    LANES,
    keep_apart,
    largest,
    load,
    maximum,
    minimum,
    round_even,
    smallest,
    splat,
    store,
)
from generate.engine.vit.layout import BOOL, FLOAT, FLOATS, INT, UINT16S, VOID


@kernel(VOID(FLOATS, FLOATS, INT, INT, FLOATS, INT, BOOL))
def quantize_weights(weights: Any, out: Any, first: int, stop: int, quantizers: Any, row: int, observe: bool) -> None:
    """Write to `out` the weights from `first` to `stop`, fake-quantized; observe them first if asked to."""
    if observe:
        low, high = extremes(weights, first, 1, 0, stop - first, weights[first], weights[first])
        update_quantizer(quantizers, row, low, high, True)
    round_weights(weights, first, stop - first, quantizers, row, out)


@kernel(VOID(FLOATS, FLOATS, INT, INT, FLOATS, INT))
def clip_weight_gradients(weights: Any, gradient: Any, first: int, stop: int, quantizers: Any, row: int) -> None:
    """Zero the gradients of weights that are beyond the quantizer's range."""
    clip_gradient(weights, first, stop - first, quantizers, row, gradient, first)


@kernel(VOID(FLOATS, INT, INT, INT, INT, INT, FLOATS))
def widen(space: Any, matrix: int, rows: int, stride: int, first: int, stop: int, extremes: Any) -> None:
    """Widen `extremes` [lows, highs] by the columns `first` to `stop` of the workspace's matrix, lane by lane."""
    keep_apart()
    low0, high0 = load(extremes, 0), load(extremes, LANES)
    low1, high1 = low0, high0
    for row in range(rows):
        line = matrix + row * stride
        whole = first + (stop - first) // 2 * 2
        for column in range(first, whole, 2):
            x0, x1 = load(space, (line + column) * LANES), load(space, (line + column + 1) * LANES)
            low0, high0 = minimum(x0, low0), maximum(x0, high0)
            low1, high1 = minimum(x1, low1), maximum(x1, high1)
        if whole < stop:
            x0 = load(space, (line + whole) * LANES)
            low0, high0 = minimum(x0, low0), maximum(x0, high0)
    store(extremes, 0, minimum(low0, low1))
    store(extremes, LANES, maximum(high0, high1))


@kernel(VOID(FLOATS))
def reset_extremes(extremes: Any) -> None:
    """Make `extremes` those of no value at all."""
    store(extremes, 0, splat(np.inf))
    store(extremes, LANES, splat(-np.inf))


@kernel(VOID(FLOATS, FLOATS, INT))
def update_from_extremes(extremes: Any, quantizers: Any, row: int) -> None:
    """Let an activation's quantizer observe the values that made the extremes."""
    update_quantizer(quantizers, row, smallest(load(extremes, 0)), largest(load(extremes, LANES)), False)


@kernel(VOID(FLOATS, UINT16S, INT, INT, INT, INT, FLOATS, INT, FLOAT))
def quantize(
    space: Any, masks: Any, x: int, mask: int, count: int, add: int, quantizers: Any, row: int, factor: Any
) -> None:
    """Fake-quantize `count` vectors in place, times `factor`; note in `masks` which lanes were not clipped.

    Args:
        space: the workspace.
        masks: bits of the lanes, a mask for each slot.
        x: slot of the first vector.
        mask: slot whose mask is that of the first vector.
        count: number of vectors.
        add: slot of what is added to the results, or 0.
        quantizers: rows of quantizers.
        row: the one to use.
        factor: multiplies the results.
    """
    keep_apart()
    scale, zero_point = quantizers[row * COLUMNS + SCALE], quantizers[row * COLUMNS + ZERO_POINT]
    inverse, offset, step = splat(np.float32(1) / scale), splat(zero_point), splat(scale)
    first, last = splat(quantizers[row * COLUMNS + FIRST]), splat(quantizers[row * COLUMNS + LAST])
    for k in range(count):
        place = (x + k) * LANES
        level = round_even(load(space, place) * inverse) + offset
        masks[np.uint64(mask + k)] = within(level, first, last)
        value = (minimum(last, maximum(first, level)) - offset) * step * factor
        if add:
            value = value + load(space, (add + k) * LANES)
        store(space, place, value)
