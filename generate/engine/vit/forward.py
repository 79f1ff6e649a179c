"""Forward pass of the vision transformer for one group of images, one image to a lane.

The gain and shift of a layer norm are folded into the linear layer after it (`weights`), so normalised
tokens feed it as they are. Attention scores come in units of log2(e), also by folding. In the last block only the class
token asks a query, since the head reads nothing else.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from generate.engine.simd.compile import inline, kernel
from generate.engine.simd.math import LOG2_E, exp2, gelu
from generate.engine.simd.vector import LANES, broadcast, keep_apart, load, maximum, splat, sqrt, store
from generate.engine.vit.layout import (
    BLOCK_SPACE,
    BLOCK_WEIGHTS,
    BOOL,
    FLOATS,
    INT,
    QUERY_ROWS,
    SHAPE,
    VOID,
    BlockSpace,
    BlockWeights,
    Shape,
    Space,
    Weights,
    block_space,
    block_weights,
)
from generate.engine.vit.products import linear, product

NORM_EPSILON = 1e-5
ZEROS = (0, 0, 0)
"""A matrix of zeros."""


@kernel("void(uint8[::1], int64[::1], int64, int64, float32[::1], float32[::1], int64)")
def pack_patches(images: Any, pixels: Any, count: int, image_values: int, table: Any, space: Any, out: int) -> None:
    """Write patches: group after group of `LANES` images, each [values, patches].

    Args:
        images: the images, one after the other.
        pixels: for each value of each patch its place in an image, or -1 for padding.
        count: number of images; the last group repeats the last image.
        image_values: numbers in one image.
        table: what each byte stands for [256].
        space: the workspace.
        out: slot of the first group.
    """
    groups = (count + LANES - 1) // LANES
    for group in range(groups):
        block = space[(out + group * len(pixels)) * LANES : (out + (group + 1) * len(pixels)) * LANES]
        for k in range(len(pixels)):
            pixel = pixels[k]
            for lane in range(LANES):
                image = min(group * LANES + lane, count - 1)
                value = np.float32(0.0)
                if pixel >= 0:
                    value = table[np.uint64(images[np.uint64(image * image_values + pixel)])]
                block[np.uint64(k * LANES + lane)] = value


@kernel(VOID(FLOATS, INT, INT, INT, INT, INT))
def normalise(space: Any, x: int, out: int, inverse: int, tokens: int, width: int) -> None:
    """Write (x - mean) / deviation of every token, and the reciprocal deviations; x is [width, tokens]."""
    keep_apart()
    share = np.float32(1.0) / np.float32(width)
    for t in range(tokens):
        mean = splat(0.0)
        for d in range(width):
            mean = mean + load(space, (x + d * tokens + t) * LANES)
        mean = mean * share
        variance = splat(0.0)
        for d in range(width):
            centred = load(space, (x + d * tokens + t) * LANES) - mean
            variance = variance + centred * centred
        scale = splat(1.0) / sqrt(variance * share + NORM_EPSILON)
        store(space, (inverse + t) * LANES, scale)
        for d in range(width):
            place = d * tokens + t
            store(space, (out + place) * LANES, (load(space, (x + place) * LANES) - mean) * scale)


@kernel(VOID(FLOATS, INT, INT, INT, INT))
def exponentiate(space: Any, scores: int, inverse_sums: int, rows: int, tokens: int) -> None:
    """Replace the rows of scores s [rows, tokens] by 2^(s - max s) and write the reciprocals of their sums [rows]."""
    keep_apart()
    # All maxima first: the processor then works on exponentials of several rows at once.
    for row in range(rows):
        line = scores + row * tokens
        peak0 = load(space, line * LANES)
        peak1, peak2, peak3 = peak0, peak0, peak0
        for t in range(0, tokens - 3, 4):
            place = (line + t) * LANES
            peak0 = maximum(peak0, load(space, place))
            peak1 = maximum(peak1, load(space, place + LANES))
            peak2 = maximum(peak2, load(space, place + 2 * LANES))
            peak3 = maximum(peak3, load(space, place + 3 * LANES))
        for t in range(tokens - tokens % 4, tokens):
            peak0 = maximum(peak0, load(space, (line + t) * LANES))
        store(space, (inverse_sums + row) * LANES, maximum(maximum(peak0, peak1), maximum(peak2, peak3)))
    for row in range(rows):
        line = scores + row * tokens
        peak = load(space, (inverse_sums + row) * LANES)
        sum_ = splat(0.0)
        for t in range(tokens):
            place = (line + t) * LANES
            value = exp2(load(space, place) - peak)
            store(space, place, value)
            sum_ = sum_ + value
        store(space, (inverse_sums + row) * LANES, splat(1.0) / sum_)


@kernel(VOID(FLOATS, INT, INT, INT, INT))
def scale_columns(space: Any, matrix: int, factors: int, rows: int, columns: int) -> None:
    """Multiply every row of `matrix` [rows, columns] by the vector of factors [columns]."""
    keep_apart()
    for row in range(rows):
        for column in range(columns):
            place = (matrix + row * columns + column) * LANES
            store(space, place, load(space, place) * load(space, (factors + column) * LANES))


@inline
def attend(space: Any, block: BlockSpace, width: int, tokens: int, queries: int, keep: bool) -> None:
    """Fill `attended` [width, queries]; without `keep` one place serves the attention of all queries in turn."""
    for first in range(0, queries, QUERY_ROWS):
        rows = min(QUERY_ROWS, queries - first)
        scores = block.attention + (first * tokens if keep else 0)
        query, key = (block.query + first, 1, queries), (block.key, tokens, 1)
        product(space, False, (scores, tokens, 1), query, key, (rows, tokens, width))
        exponentiate(space, scores, block.inverse_sum + first, rows, tokens)
        out, value = (block.attended + first, 1, queries), (block.value, 1, tokens)
        product(space, False, out, (scores, tokens, 1), value, (rows, width, tokens))
    scale_columns(space, block.attended, block.inverse_sum, width, queries)


@kernel(VOID(FLOATS, INT, INT, INT))
def activate(space: Any, x: int, slope: int, count: int) -> None:
    """Replace `count` vectors by their GELU and write the derivatives."""
    keep_apart()
    for k in range(count):
        value, derivative = gelu(load(space, (x + k) * LANES))
        store(space, (x + k) * LANES, value)
        store(space, (slope + k) * LANES, derivative)


@kernel(VOID(FLOATS, FLOATS, BLOCK_SPACE, BLOCK_WEIGHTS, SHAPE, INT, INT, INT, BOOL))
def encode(
    space: Any,
    weights: Any,
    block: BlockSpace,
    at: BlockWeights,
    shape: Shape,
    x: int,
    out: int,
    queries: int,
    keep: bool,
) -> None:
    """Apply an encoder block to `x` [width, tokens]; `out` [width, queries] has the first tokens only.

    Args:
        space: the workspace.
        weights: folded weights.
        block: places of the block's activations.
        at: places of the block's weights.
        shape: sizes of the model.
        x: slot of the input.
        out: slot of the output.
        queries: tokens that are wanted, counted from the class token.
        keep: keep the attention for the backward pass.
    """
    keep_apart()
    width, tokens = shape.width, shape.tokens
    matrix, both = width * width, (queries, width, width)
    normalise(space, x, block.normalised1, block.inverse1, tokens, width)
    normalised = (block.normalised1, 1, tokens)
    qkv, bias = at.query_key_value, at.query_key_value_bias
    linear(space, (block.query, 1, queries), ZEROS, normalised, weights, (qkv, 1, width), (bias, 0, 1), both)
    key_value, wide = (block.key, 1, tokens), (tokens, 2 * width, width)
    linear(space, key_value, ZEROS, normalised, weights, (qkv + matrix, 1, width), (bias + width, 0, 1), wide)
    attend(space, block, width, tokens, queries, keep)
    sums, attended = (out, 1, queries), (block.attended, 1, queries)
    projection, bias = at.projection, at.projection_bias
    linear(space, sums, (x, 1, tokens), attended, weights, (projection, 1, width), (bias, 0, 1), both)
    normalise(space, out, block.normalised2, block.inverse2, queries, width)
    hidden, normalised = (block.activated, 1, queries), (block.normalised2, 1, queries)
    linear(space, hidden, ZEROS, normalised, weights, (at.expand, 1, width), (at.expand_bias, 0, 1), both)
    activate(space, block.activated, block.slope, width * queries)
    linear(space, sums, sums, hidden, weights, (at.contract, 1, width), (at.contract_bias, 0, 1), both)


@inline
def forward(space: Any, weights: Any, at: Space, where: Weights, shape: Shape, patches: int, keep: bool) -> None:
    """Fill `logits` and everything before it for one group of images.

    Args:
        space: the workspace.
        weights: folded weights.
        at: places in the workspace.
        where: places in the weights.
        shape: sizes of the model.
        patches: slot of the group's patches [values, patches].
        keep: keep what the backward pass reads.
    """
    width, tokens, values, classes = shape
    for d in range(width):
        store(space, (at.tokens + d * tokens) * LANES, broadcast(weights, where.start + d * tokens))
    embedded, images = (at.tokens + 1, 1, tokens), (patches, 1, tokens - 1)
    start = (where.start + 1, 1, tokens)
    linear(space, embedded, ZEROS, images, weights, (where.embedding, 1, values), start, (tokens - 1, width, values))
    first, last = block_space(at.block0, width, tokens, tokens), block_space(at.block1, width, tokens, 1)
    encode(space, weights, first, block_weights(where.block0, width), shape, at.tokens, at.hidden, tokens, keep)
    encode(space, weights, last, block_weights(where.block1, width), shape, at.hidden, at.output, 1, keep)
    normalise(space, at.output, at.normalised, at.inverse, 1, width)
    logits, normalised = (at.logits, 1, 1), (at.normalised, 1, 1)
    linear(
        space, logits, ZEROS, normalised, weights, (where.head, 1, width), (where.head_bias, 0, 1), (1, classes, width)
    )


@kernel("int64(float32[::1], int64, int64, int64[::1], int64, int64, int64, float64[::1], boolean)")
def cross_entropy(
    space: Any,
    logits: int,
    classes: int,
    labels: Any,
    first: int,
    count: int,
    batch: int,
    loss: Any,
    differentiate: bool,
) -> int:
    """Add the cross-entropy of `count` images to `loss[0]` and return how many of them are classified correctly.

    Args:
        space: the workspace; its logits become their gradients if asked to.
        logits: slot of the logits [classes].
        classes: number of classes.
        labels: labels of all images.
        first: the image in lane 0.
        count: lanes with an image; the others get gradients of zero.
        batch: number of images that the loss is the mean of.
        loss: a sum, float64 [1].
        differentiate: replace the logits by the gradient of the mean loss.
    """
    keep_apart()
    peak = load(space, logits * LANES)
    for c in range(1, classes):
        peak = maximum(peak, load(space, (logits + c) * LANES))
    sum_ = splat(0.0)
    for c in range(classes):
        sum_ = sum_ + exp2((load(space, (logits + c) * LANES) - peak) * LOG2_E)
    lanes = np.empty(3 * LANES, np.float32)
    store(lanes, 0, peak)
    store(lanes, LANES, sum_)
    values = space[logits * LANES : (logits + classes) * LANES]
    correct = 0
    for lane in range(count):
        label = labels[first + lane]
        loss[0] += math.log(np.float64(lanes[LANES + lane])) + lanes[lane] - np.float64(values[label * LANES + lane])
        best = 0
        for c in range(1, classes):
            if values[c * LANES + lane] > values[best * LANES + lane]:
                best = c
        correct += best == label
    if differentiate:
        share = np.float32(1.0) / np.float32(batch)
        for lane in range(LANES):
            lanes[2 * LANES + lane] = share if lane < count else np.float32(0.0)
        scale = load(lanes, 2 * LANES) / sum_
        for c in range(classes):
            place = (logits + c) * LANES
            store(space, place, exp2((load(space, place) - peak) * LOG2_E) * scale)
        for lane in range(count):
            values[labels[first + lane] * LANES + lane] -= share
    return correct
