"""Fully connected networks backward: gradients of one layer after the other, each followed by Adam's step."""

from __future__ import annotations

from typing import Any

from generate.engine.dnn.layout import (
    BIASES,
    BOOL,
    FLOATS,
    INPUTS,
    INT,
    INTS,
    LAYERS,
    OUTPUTS,
    ROW,
    STATE,
    VOID,
    WEIGHTS,
    WORK,
)
from generate.engine.dnn.quantized import pass_gate
from generate.engine.quantize.weights import clip_gradient
from generate.engine.simd.adam import ADAM, update_by_shares
from generate.engine.simd.compile import kernel
from generate.engine.simd.products import TILE_ROWS, multiply, tile, tile_rows, tile_vectors
from generate.engine.simd.vector import LANES, load, splat, store, total, where_positive

UPDATE_ROWS = 2 * TILE_ROWS
"""Rows of weights whose gradient is computed before Adam's step of them; `Work.gradient` holds as many."""


@kernel(VOID(STATE, INTS, FLOATS, INT, FLOATS, INT, FLOATS, ADAM, INT))
def update_weights(
    state: Any,
    layer: Any,
    delta: Any,
    lanes: int,
    rows: Any,
    number: int,
    gradient: Any,
    adam: Any,
    quantizer: int,
) -> None:
    """Compute the gradient of a layer's weights and take Adam's step, `UPDATE_ROWS` rows of weights at a time.

    So much of the gradient stays in the cache, while weights and moments, which may not fit there, stream through in
    the order of memory: going tile by tile, each visit would wait for them. `rows` are the layer's inputs [number,
    row]; `quantizer` is that of the weights, 0 without quantization.
    """
    # Single arrays go to the inner functions: passing the whole state costs as much as they do.
    parameters, moments1, moments2 = state.parameters, state.moments1, state.moments2
    row, outputs, weights = layer[ROW], layer[OUTPUTS], layer[WEIGHTS]
    vectors = row // LANES
    for first in range(0, outputs, UPDATE_ROWS):
        count = min(UPDATE_ROWS, outputs - first)
        v = 0
        while v < vectors:
            wide, o = tile_vectors(vectors - v), 0
            while o < count:
                high, at = tile_rows(count - o), o * row + v * LANES
                places = (at, row), ((first + o) * lanes, lanes, 1), (v * LANES, row)
                tile(gradient, delta, rows, *places, (number, 0), (high, wide))
                o += high
            v += wide
        start = weights + first * row
        if quantizer:
            clip_gradient(parameters, start, count * row, state.quantizers, quantizer, gradient, 0)
        update_by_shares(parameters, moments1, moments2, start, gradient, count * row, adam)


@kernel(VOID(STATE, INTS, FLOATS, INT, FLOATS, ADAM))
def update_biases(state: Any, layer: Any, delta: Any, lanes: int, gradient: Any, adam: Any) -> None:
    """Sum the gradient of a layer's biases and take Adam's step."""
    outputs = layer[OUTPUTS]
    for start in range(0, outputs, LANES):
        for j in range(LANES):
            gradient[j] = 0.0
        for j in range(min(LANES, outputs - start)):
            whole = splat(0.0)
            row = (start + j) * lanes
            for b in range(row, row + lanes, LANES):
                whole = whole + load(delta, b)
            gradient[j] = total(whole)
        at = layer[BIASES] + start
        update_by_shares(state.parameters, state.moments1, state.moments2, at, gradient, LANES, adam)


@kernel(VOID(FLOATS, INT, INT, INT, INT, FLOATS, INT))
def transpose(hidden: Any, at: int, units: int, lanes: int, images: int, batch_major: Any, row: int) -> None:
    """Copy activations [units, lanes] to `batch_major` [images, row], with zeros behind the last unit."""
    for i in range(images):
        for u in range(units):
            batch_major[i * row + u] = hidden[at + u * lanes + i]
        for u in range(units, row):
            batch_major[i * row + u] = 0.0


@kernel(VOID(FLOATS, INT, FLOATS, INT))
def mask(hidden: Any, at: int, gradient: Any, floats: int) -> None:
    """Zero the gradient where the activation is not positive: the ReLU's derivative."""
    for j in range(0, floats, LANES):
        store(gradient, j, where_positive(load(hidden, at + j), load(gradient, j)))


@kernel(VOID(STATE, LAYERS, INT, INT, FLOATS, INT, INT, INT, WORK, ADAM, BOOL))
def backward(
    state: Any,
    layers: Any,
    begin: int,
    end: int,
    image_rows: Any,
    number: int,
    lanes: int,
    logits: int,
    work: Any,
    adam: Any,
    quantized: bool,
) -> None:
    """Take Adam's step of one model's layers, the last first; `work.delta` holds the gradient of the logits."""
    at, delta, below = logits, work.delta, work.below
    if quantized:
        pass_gate(work.gate, at, delta, layers[end - 1, OUTPUTS] * lanes)
    for k in range(end - 1, begin - 1, -1):
        layer = layers[k]
        inputs, row, outputs = layer[INPUTS], layer[ROW], layer[OUTPUTS]
        rows = image_rows
        if k > begin:
            at -= inputs * lanes
            places = (0, lanes), (layer[WEIGHTS], 1, row), (0, lanes)
            multiply(below, state.weights, delta, *places, (inputs, lanes // LANES, outputs))
            if quantized:
                pass_gate(work.gate, at, below, inputs * lanes)
            else:
                mask(work.hidden, at, below, inputs * lanes)
            transpose(work.hidden, at, inputs, lanes, number, work.batch_major, row)
            rows = work.batch_major
        quantizer = 1 + 2 * k if quantized else 0
        update_weights(state, layer, delta, lanes, rows, number, work.gradient, adam, quantizer)
        update_biases(state, layer, delta, lanes, work.gradient, adam)
        delta, below = below, delta
