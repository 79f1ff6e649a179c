"""One training step, or one evaluation, of many fully connected ReLU networks, model after model in one call.

All models read the same minibatch, which therefore stays in the cache. Activations are feature-major, [units, lanes],
with the batch in the SIMD lanes; `lanes` is the number of images rounded up to whole vectors. A model's parameters are
one stretch of a flat buffer: per layer the weights [outputs, row] with rows padded by zeros to whole vectors, then the
biases, padded likewise. Padding stays zero: its gradient is zero, and so are Adam's moments of it.

A layer is a row of `layers`, int64 [layers, 5]: inputs, floats in a row of weights, outputs, offset of the weights,
offset of the biases. Model m has the rows `first[m]` to `first[m + 1]`.

Workspace, float32: `hidden` holds the activations of all layers of a model, `delta` and `below` the gradient of one
layer's outputs each (with two rows to spare), `batch_major` one layer's activations transposed, `scratch` a tile.
"""

from __future__ import annotations

import math
from typing import Any

from generate.engine.simd import (
    LANES,
    broadcast,
    exp,
    kernel,
    load,
    maximum,
    splat,
    sqrt,
    store,
    total,
    where_positive,
)
from generate.engine.tile_kernel import TILE_ROWS, TILE_VECTORS, multiply, tile, tile_rows, tile_vectors

SCRATCH_FLOATS = TILE_ROWS * TILE_VECTORS * LANES
"""Size of `scratch`."""

INPUTS, ROW, OUTPUTS, WEIGHTS, BIASES = range(5)
"""Columns of `layers`."""

BETA1, BETA2, EPSILON, STEP_SIZE, ROOT_CORRECTION = range(5)
"""Entries of `adam`, float32 [5]; the last two are lr / (1 - beta1^t) and 1 / sqrt(1 - beta2^t)."""


@kernel("void(float32[::1], int64, float32[::1], int64, int64, int64, boolean)")
def add_biases(parameters: Any, biases: int, hidden: Any, start: int, outputs: int, lanes: int, relu: bool) -> None:
    """Add its bias to each of the `outputs` rows that begin at `start`; then apply the ReLU if asked to."""
    zero = splat(0.0)
    for o in range(outputs):
        bias = broadcast(parameters, biases + o)
        row = start + o * lanes
        for b in range(row, row + lanes, LANES):
            value = load(hidden, b) + bias
            store(hidden, b, maximum(zero, value) if relu else value)


@kernel("int64(float32[::1], int64[:, ::1], int64, int64, float32[::1], int64, float32[::1])")
def forward(parameters: Any, layers: Any, begin: int, end: int, images: Any, lanes: int, hidden: Any) -> int:
    """Fill `hidden` with every layer's outputs and return where the logits begin; images are [values, lanes]."""
    source, source_at, at = images, 0, 0
    for k in range(begin, end):
        inputs, outputs = layers[k, INPUTS], layers[k, OUTPUTS]
        weights, row = layers[k, WEIGHTS], layers[k, ROW]
        vectors = lanes // LANES
        multiply(hidden, at, lanes, parameters, weights, row, 1, source, source_at, lanes, outputs, vectors, inputs)
        add_biases(parameters, layers[k, BIASES], hidden, at, outputs, lanes, k < end - 1)
        source, source_at = hidden, at
        at += outputs * lanes
    return source_at


@kernel("void(float32[::1], int64, int64, int64, float32, float32[::1])")
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


@kernel("UniTuple(float64, 2)(float32[::1], int64, int64, int64, int64[::1], int64, float32[::1])")
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


@kernel("void(float32[::1], float32[::1], float32[::1], int64, float32[::1], int64, int64, float32[::1])")
def adam_update(
    parameters: Any, moments1: Any, moments2: Any, at: int, gradient: Any, gradient_at: int, width: int, adam: Any
) -> None:
    """Take Adam's step for `width` neighbouring parameters (whole vectors), as `torch.optim.Adam` does."""
    beta1, beta2, epsilon = adam[BETA1], adam[BETA2], adam[EPSILON]
    step_size, root_correction = adam[STEP_SIZE], adam[ROOT_CORRECTION]
    for j in range(0, width, LANES):
        g = load(gradient, gradient_at + j)
        m = load(moments1, at + j)
        v = load(moments2, at + j)
        m = m + (g - m) * (splat(1.0) - beta1)
        v = v * beta2 + g * g * (splat(1.0) - beta2)
        store(moments1, at + j, m)
        store(moments2, at + j, v)
        step = m / (sqrt(v) * root_correction + epsilon)
        store(parameters, at + j, load(parameters, at + j) - step * step_size)


@kernel(
    "void(float32[::1], float32[::1], float32[::1], int64[::1], float32[::1], int64, float32[::1], int64,"
    " float32[::1], float32[::1])"
)
def update_weights(
    parameters: Any,
    moments1: Any,
    moments2: Any,
    layer: Any,
    delta: Any,
    lanes: int,
    batch_major: Any,
    images: int,
    scratch: Any,
    adam: Any,
) -> None:
    """Compute the gradient of a layer's weights tile by tile and take Adam's step while the tile is in the cache."""
    row, outputs, weights = layer[ROW], layer[OUTPUTS], layer[WEIGHTS]
    vectors, v = row // LANES, 0
    while v < vectors:
        wide = tile_vectors(vectors - v)
        width = wide * LANES
        o = 0
        while o < outputs:
            high = tile_rows(outputs - o)
            tile(
                scratch, 0, width, delta, o * lanes, lanes, 1, batch_major, v * LANES, row, images, 0, high, wide
            )  # fmt: skip
            for r in range(high):
                at = weights + (o + r) * row + v * LANES
                adam_update(parameters, moments1, moments2, at, scratch, r * width, width, adam)
            o += high
        v += wide


@kernel("void(float32[::1], float32[::1], float32[::1], int64[::1], float32[::1], int64, float32[::1], float32[::1])")
def update_biases(
    parameters: Any, moments1: Any, moments2: Any, layer: Any, delta: Any, lanes: int, scratch: Any, adam: Any
) -> None:
    """Sum the gradient of a layer's biases and take Adam's step."""
    outputs, biases = layer[OUTPUTS], layer[BIASES]
    for start in range(0, outputs, LANES):
        for j in range(LANES):
            scratch[j] = 0.0
        for j in range(min(LANES, outputs - start)):
            whole = splat(0.0)
            row = (start + j) * lanes
            for b in range(row, row + lanes, LANES):
                whole = whole + load(delta, b)
            scratch[j] = total(whole)
        adam_update(parameters, moments1, moments2, biases + start, scratch, 0, LANES, adam)


@kernel("void(float32[::1], int64, int64, int64, int64, float32[::1], int64)")
def transpose(hidden: Any, at: int, units: int, lanes: int, images: int, batch_major: Any, row: int) -> None:
    """Copy activations [units, lanes] to `batch_major` [images, row], with zeros behind the last unit."""
    for i in range(images):
        for u in range(units):
            batch_major[i * row + u] = hidden[at + u * lanes + i]
        for u in range(units, row):
            batch_major[i * row + u] = 0.0


@kernel("void(float32[::1], int64, float32[::1], int64)")
def mask(hidden: Any, at: int, gradient: Any, floats: int) -> None:
    """Zero the gradient where the activation is not positive: the ReLU's derivative."""
    for j in range(0, floats, LANES):
        store(gradient, j, where_positive(load(hidden, at + j), load(gradient, j)))


@kernel(
    "void(float32[::1], float32[::1], float32[::1], int64[:, ::1], int64, int64, float32[::1], int64, int64,"
    " float32[::1], int64, float32[::1], float32[::1], float32[::1], float32[::1], float32[::1])"
)
def backward(
    parameters: Any,
    moments1: Any,
    moments2: Any,
    layers: Any,
    begin: int,
    end: int,
    image_rows: Any,
    images: int,
    lanes: int,
    hidden: Any,
    logits: int,
    delta: Any,
    below: Any,
    batch_major: Any,
    scratch: Any,
    adam: Any,
) -> None:
    """Take Adam's step of one model's layers, the last first; `delta` holds the gradient of the logits."""
    at = logits
    for k in range(end - 1, begin - 1, -1):
        layer = layers[k]
        inputs, row, outputs = layer[INPUTS], layer[ROW], layer[OUTPUTS]
        rows = image_rows
        if k > begin:
            at -= inputs * lanes
            vectors = lanes // LANES
            multiply(below, 0, lanes, parameters, layer[WEIGHTS], 1, row, delta, 0, lanes, inputs, vectors, outputs)
            mask(hidden, at, below, inputs * lanes)
            transpose(hidden, at, inputs, lanes, images, batch_major, row)
            rows = batch_major
        update_weights(parameters, moments1, moments2, layer, delta, lanes, rows, images, scratch, adam)
        update_biases(parameters, moments1, moments2, layer, delta, lanes, scratch, adam)
        delta, below = below, delta


@kernel(
    "void(float32[::1], float32[::1], float32[::1], int64[:, ::1], int64[::1], float32[::1], float32[::1], int64,"
    " int64[::1], float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], float32[::1],"
    " float64[::1], int64[::1])"
)
def train_step(
    parameters: Any,
    moments1: Any,
    moments2: Any,
    layers: Any,
    first: Any,
    images: Any,
    image_rows: Any,
    lanes: int,
    labels: Any,
    hidden: Any,
    delta: Any,
    below: Any,
    batch_major: Any,
    scratch: Any,
    adam: Any,
    loss: Any,
    correct: Any,
) -> None:
    """Take one Adam step of every model; write summed loss and correct answers, before the step, per model.

    `images` is [values, lanes]; `image_rows` the same minibatch [images, row of the first layer], zero-padded.
    """
    number = len(labels)
    for m in range(len(first) - 1):
        begin, end = first[m], first[m + 1]
        logits = forward(parameters, layers, begin, end, images, lanes, hidden)
        classes = layers[end - 1, OUTPUTS]
        loss[m], answers = cross_entropy(hidden, logits, classes, lanes, labels, number, delta)
        correct[m] = int(answers)
        backward(
            parameters,
            moments1,
            moments2,
            layers,
            begin,
            end,
            image_rows,
            number,
            lanes,
            hidden,
            logits,
            delta,
            below,
            batch_major,
            scratch,
            adam,
        )


@kernel(
    "void(float32[::1], int64[:, ::1], int64[::1], float32[::1], int64, int64[::1], float32[::1], float32[::1],"
    " float64[::1], int64[::1])"
)
def evaluate(
    parameters: Any,
    layers: Any,
    first: Any,
    images: Any,
    lanes: int,
    labels: Any,
    hidden: Any,
    delta: Any,
    loss: Any,
    correct: Any,
) -> None:
    """Add every model's summed loss and correct answers on images [values, lanes] to `loss` and `correct`."""
    for m in range(len(first) - 1):
        begin, end = first[m], first[m + 1]
        logits = forward(parameters, layers, begin, end, images, lanes, hidden)
        classes = layers[end - 1, OUTPUTS]
        whole, answers = cross_entropy(hidden, logits, classes, lanes, labels, len(labels), delta)
        loss[m] += whole
        correct[m] += int(answers)
