"""Fully connected networks forward: products, biases, ReLU, and the loss with its gradient."""

from __future__ import annotations

import math
from typing import Any

from numba import types

from generate.engine.dnn.layout import (
    BIASES,
    BOOL,
    DOUBLE,
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
from generate.engine.dnn.quantized import quantize_outputs, quantize_weights
from generate.engine.simd.compile import kernel
from generate.engine.simd.products import multiply
from generate.engine.simd.vector import LANES, broadcast, exp, load, maximum, splat, store


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
        places = (at, lanes), (layer[WEIGHTS], row, 1), (source_at, lanes)
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
