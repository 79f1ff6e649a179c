"""One training step, or one evaluation, of many fully connected ReLU networks, model after model in one call.

All models read the same minibatch, which therefore stays in the cache. `layout` says what lies where.
"""

from __future__ import annotations

import math
from typing import Any

from numba import types

from generate.engine.dnn.layout import (
    BIASES,
    BOOL,
    DOUBLE,
    DOUBLES,
    FLOAT,
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
from generate.engine.dnn.quantized import pass_gate, quantize_outputs, quantize_weights
from generate.engine.quantize.weights import clip_gradient
from generate.engine.simd.adam import ADAM, update_by_shares
from generate.engine.simd.compile import kernel
from generate.engine.simd.products import TILE_ROWS, multiply, tile, tile_rows, tile_vectors
from generate.engine.simd.vector import LANES, broadcast, exp, load, maximum, splat, store, total, where_positive

UPDATE_ROWS = 2 * TILE_ROWS
"""Rows of weights whose gradient is computed before Adam's step of them; `Work.gradient` holds as many."""


@kernel(VOID(FLOATS, INT, FLOATS, INT, INT, INT, BOOL))
def add_biases(parameters: Any, biases: int, hidden: Any, start: int, outputs: int, lanes: int, relu: bool) -> None:
    """Add its bias to each of the `outputs` rows that begin at `start`; then apply the ReLU if asked to."""
    zero = splat(0.0)
    for o in range(outputs):
        bias = broadcast(parameters, biases + o)
        row = start + o * lanes
        for b in range(row, row + lanes, LANES):
            value = load(hidden, b) + bias
            store(hidden, b, maximum(zero, value) if relu else value)


@kernel(INT(STATE, LAYERS, INT, INT, FLOATS, INT, INT, WORK, BOOL, BOOL))
def forward(
    state: Any,
    layers: Any,
    begin: int,
    end: int,
    columns: Any,
    number: int,
    lanes: int,
    work: Any,
    quantized: bool,
    observe: bool,
) -> int:
    """Fill `work.hidden` with every layer's outputs and return where the logits begin.

    `columns` are `number` images, [values, lanes].
    """
    source, source_at, at, hidden = columns, 0, 0, work.hidden
    for k in range(begin, end):
        layer = layers[k]
        inputs, row, outputs, relu = layer[INPUTS], layer[ROW], layer[OUTPUTS], k < end - 1
        if quantized:
            quantize_weights(state, layer, 1 + 2 * k, observe)
        places = (at, lanes, 0), (layer[WEIGHTS], row, 1), (source_at, 0, lanes)
        multiply(hidden, state.weights, source, *places, (outputs, lanes // LANES, inputs))
        add_biases(state.parameters, layer[BIASES], hidden, at, outputs, lanes, relu)
        if quantized:
            quantize_outputs(state, work, at, outputs, lanes, number, 2 + 2 * k, relu, observe)
        source, source_at = hidden, at
        at += outputs * lanes
    return source_at


@kernel(VOID(FLOATS, INT, INT, INT, FLOAT, FLOATS))
def softmax(hidden: Any, logits: int, classes: int, lanes: int, scale: float, delta: Any) -> None:
    """Write scale x softmax of the logits to `delta`, behind it a row of maxima and a row of sums of exponentials."""
    for b in range(0, lanes, LANES):
        peak = load(hidden, logits + b)
        for c in range(1, classes):
            peak = maximum(peak, load(hidden, logits + c * lanes + b))
        whole = splat(0.0)
        for c in range(classes):
            part = exp(load(hidden, logits + c * lanes + b) - peak)
            store(delta, c * lanes + b, part)
            whole = whole + part
        share = splat(scale) / whole
        for c in range(classes):
            store(delta, c * lanes + b, load(delta, c * lanes + b) * share)
        store(delta, classes * lanes + b, peak)
        store(delta, (classes + 1) * lanes + b, whole)


@kernel(types.UniTuple(DOUBLE, 2)(FLOATS, INT, INT, INT, INTS, INT, FLOATS))
def cross_entropy(
    hidden: Any, logits: int, classes: int, lanes: int, labels: Any, images: int, delta: Any
) -> tuple[float, float]:
    """Turn `delta` into the gradient of the mean loss of `images` labels; return summed loss and correct answers.

    An answer is the first class with the largest logit.
    """
    softmax(hidden, logits, classes, lanes, 1.0 / images, delta)
    loss, correct = 0.0, 0.0
    for i in range(images):
        label = labels[i]
        peak = delta[classes * lanes + i]
        loss += math.log(delta[(classes + 1) * lanes + i]) + peak - hidden[logits + label * lanes + i]
        answer = 0
        while answer < classes - 1 and hidden[logits + answer * lanes + i] != peak:
            answer += 1
        correct += answer == label
        delta[label * lanes + i] -= 1.0 / images
    for c in range(classes):
        for i in range(images, lanes):
            delta[c * lanes + i] = 0.0
    return loss, correct


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
                places = (at, row, 0), ((first + o) * lanes, lanes, 1), (v * LANES, 0, row)
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
            places = (0, lanes, 0), (layer[WEIGHTS], 1, row), (0, 0, lanes)
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


@kernel(VOID(STATE, LAYERS, INTS, FLOATS, FLOATS, INT, INTS, WORK, ADAM, BOOL, DOUBLES, INTS))
def train_step(
    state: Any,
    layers: Any,
    first: Any,
    columns: Any,
    image_rows: Any,
    lanes: int,
    labels: Any,
    work: Any,
    adam: Any,
    quantized: bool,
    loss: Any,
    correct: Any,
) -> None:
    """Take one Adam step of every model; write summed loss and correct answers, before the step, per model.

    `columns` is the minibatch [values, lanes], `image_rows` the same [images, row of the first layer], zero-padded.
    """
    number = len(labels)
    for m in range(len(first) - 1):
        begin, end = first[m], first[m + 1]
        logits = forward(state, layers, begin, end, columns, number, lanes, work, quantized, quantized)
        classes = layers[end - 1, OUTPUTS]
        loss[m], answers = cross_entropy(work.hidden, logits, classes, lanes, labels, number, work.delta)
        correct[m] = int(answers)
        backward(state, layers, begin, end, image_rows, number, lanes, logits, work, adam, quantized)


@kernel(VOID(STATE, LAYERS, INTS, FLOATS, INT, INTS, WORK, BOOL, DOUBLES, INTS))
def evaluate(
    state: Any,
    layers: Any,
    first: Any,
    columns: Any,
    lanes: int,
    labels: Any,
    work: Any,
    quantized: bool,
    loss: Any,
    correct: Any,
) -> None:
    """Add every model's summed loss and correct answers on images [values, lanes] to `loss` and `correct`."""
    number = len(labels)
    for m in range(len(first) - 1):
        begin, end = first[m], first[m + 1]
        logits = forward(state, layers, begin, end, columns, number, lanes, work, quantized, False)
        classes = layers[end - 1, OUTPUTS]
        whole, answers = cross_entropy(work.hidden, logits, classes, lanes, labels, number, work.delta)
        loss[m] += whole
        correct[m] += int(answers)
