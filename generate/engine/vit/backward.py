"""Backward pass of the vision transformer for one group of images; gradients are sums per lane.

Gradients are those of the folded weights (`weights`), up to the constant factors of query and key, which the
matrix that takes them back through the norm carries too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from generate.engine.simd.compile import inline, kernel
from generate.engine.simd.math import keep
from generate.engine.simd.vector import LANES, keep_apart, load, splat, store
from generate.engine.vit.forward import ZEROS, scale_columns
from generate.engine.vit.layout import (
    BLOCK_SPACE,
    BLOCK_WEIGHTS,
    FLOATS,
    INT,
    PAIR,
    QUERY_ROWS,
    SCRATCH,
    SHAPE,
    TRIPLE,
    UINT16S,
    VOID,
    BlockSpace,
    BlockWeights,
    Scratch,
    Shape,
    Space,
    Weights,
    block_space,
    block_weights,
)
from generate.engine.vit.products import linear, product


@kernel(VOID(FLOATS, INT, INT, INT, INT, INT, INT))
def add_row_sums(space: Any, out: int, matrix: int, rows: int, row_stride: int, first: int, stop: int) -> None:
    """Add to `out` [rows] the sums of the columns `first` to `stop` of each row."""
    keep_apart()
    for row in range(rows):
        line = matrix + row * row_stride
        sum0 = load(space, (out + row) * LANES)
        sum1, sum2, sum3 = splat(0.0), splat(0.0), splat(0.0)
        whole = first + (stop - first) // 4 * 4
        for column in range(first, whole, 4):
            place = (line + column) * LANES
            sum0 = sum0 + load(space, place)
            sum1 = sum1 + load(space, place + LANES)
            sum2 = sum2 + load(space, place + 2 * LANES)
            sum3 = sum3 + load(space, place + 3 * LANES)
        for column in range(whole, stop):
            sum0 = sum0 + load(space, (line + column) * LANES)
        store(space, (out + row) * LANES, (sum0 + sum1) + (sum2 + sum3))


@kernel(VOID(FLOATS, INT, INT, INT, INT, INT, INT, INT, INT))
def normalise_backward(
    space: Any,
    d_out: int,
    normalised: int,
    inverse: int,
    direct: int,
    direct_tokens: int,
    d_x: int,
    tokens: int,
    width: int,
) -> None:
    """Write the gradient at a layer norm's input, given that at its normalised tokens.

    Args:
        space: the workspace.
        d_out: gradient of the normalised tokens [width, tokens].
        normalised: the normalised tokens [width, tokens].
        inverse: reciprocal deviations [tokens].
        direct: gradient that reaches the input by the residual connection [width, direct_tokens].
        direct_tokens: tokens, counted from the first, that have one.
        d_x: the result [width, tokens]; may be `direct`.
        tokens: number of tokens.
        width: values of a token.
    """
    keep_apart()
    share = np.float32(1.0) / np.float32(width)
    for t in range(tokens):
        mean, slope = splat(0.0), splat(0.0)
        for d in range(width):
            gradient = load(space, (d_out + d * tokens + t) * LANES)
            mean = mean + gradient
            slope = slope + gradient * load(space, (normalised + d * tokens + t) * LANES)
        mean, slope = mean * share, slope * share
        scale = load(space, (inverse + t) * LANES)
        for d in range(width):
            place = d * tokens + t
            change = load(space, (d_out + place) * LANES) - mean - load(space, (normalised + place) * LANES) * slope
            value = change * scale
            if t < direct_tokens:
                value = value + load(space, (direct + d * direct_tokens + t) * LANES)
            store(space, (d_x + place) * LANES, value)


@kernel(VOID(FLOATS, INT, INT, INT))
def multiply(space: Any, x: int, factors: int, count: int) -> None:
    """Multiply `count` vectors by as many others."""
    keep_apart()
    for k in range(count):
        store(space, (x + k) * LANES, load(space, (x + k) * LANES) * load(space, (factors + k) * LANES))


@kernel(VOID(FLOATS, INT, INT, INT, INT, INT, INT, INT, INT))
def exponentiate_backward(
    space: Any,
    d_rows: int,
    attention: int,
    d_attended: int,
    attended: int,
    stride: int,
    rows: int,
    width: int,
    tokens: int,
) -> None:
    """Replace rows of attention by the gradients of their scores.

    Args:
        space: the workspace.
        d_rows: gradients of the rows [rows, tokens].
        attention: the rows, exponentials [rows, tokens]; then the result.
        d_attended: gradient of what the queries attended to, divided by the rows' sums [width, rows].
        attended: what they attended to [width, rows].
        stride: from one value of a query to the next, for both.
        rows: number of queries.
        width: values of a token.
        tokens: number of tokens.
    """
    keep_apart()
    for row in range(rows):
        mean = splat(0.0)
        for d in range(width):
            place = row + d * stride
            mean = mean + load(space, (d_attended + place) * LANES) * load(space, (attended + place) * LANES)
        for t in range(row * tokens, (row + 1) * tokens):
            change = load(space, (d_rows + t) * LANES) - mean
            store(space, (attention + t) * LANES, change * load(space, (attention + t) * LANES))


@inline
def attend_backward(
    space: Any, block: BlockSpace, d_attended: int, d_query: int, d_scores: int, width: int, tokens: int, queries: int
) -> None:
    """Write the gradients of query [width, queries], key and value [width, tokens], one after the other.

    `d_attended` [width, queries] and the block's `attention` are used up, `d_scores` [QUERY_ROWS, tokens] is scratch.
    """
    d_key = d_query + width * queries
    d_value = d_key + width * tokens
    scale_columns(space, d_attended, block.inverse_sum, width, queries)
    per_key, d_heads = (block.attention, 1, tokens), (d_attended, 1, queries)
    product(space, False, (d_value, 1, tokens), per_key, d_heads, (tokens, width, queries))
    for first in range(0, queries, QUERY_ROWS):
        rows = min(QUERY_ROWS, queries - first)
        heads, value = (d_attended + first, 1, queries), (block.value, tokens, 1)
        product(space, False, (d_scores, tokens, 1), heads, value, (rows, tokens, width))
        scores = block.attention + first * tokens
        head, attended = d_attended + first, block.attended + first
        exponentiate_backward(space, d_scores, scores, head, attended, queries, rows, width, tokens)
        out, key = (d_query + first, 1, queries), (block.key, 1, tokens)
        product(space, False, out, (scores, tokens, 1), key, (rows, width, tokens))
    per_key, queried = (block.attention, 1, tokens), (block.query, 1, queries)
    product(space, False, (d_key, 1, tokens), per_key, queried, (tokens, width, queries))


@kernel(VOID(FLOATS, INT, INT, PAIR, PAIR, TRIPLE))
def add_weight_gradients(
    space: Any, weights: int, bias: int, d_y: tuple[int, int], x: tuple[int, int], shape: tuple[int, int, int]
) -> None:
    """Add d_y x^T to the slots `weights` [outputs, inputs] and the sums of d_y's rows to `bias` [outputs].

    `d_y` [outputs, tokens] and `x` [inputs, tokens] are place and stride of a row; `shape` is outputs, inputs, tokens.
    """
    keep_apart()
    outputs, inputs, tokens = shape
    product(space, True, (weights, inputs, 1), (d_y[0], d_y[1], 1), (x[0], 1, x[1]), shape)
    add_row_sums(space, bias, d_y[0], outputs, d_y[1], 0, tokens)


@kernel(INT(FLOATS, UINT16S, INT, INT, INT, INT))
def masked(space: Any, masks: Any, x: int, mask: int, out: int, count: int) -> int:
    """Write to `out` the `count` vectors of `x` in the lanes that `masks` lets pass; return where the result is.

    With no masks at all, as in float training, that is `x` itself.
    """
    keep_apart()
    if len(masks) == 0:
        return x
    for k in range(count):
        store(space, (out + k) * LANES, keep(masks[np.uint64(mask + k)], load(space, (x + k) * LANES)))
    return out


@kernel(VOID(FLOATS, FLOATS, UINT16S, SCRATCH, BLOCK_SPACE, BLOCK_WEIGHTS, INT, SHAPE, INT, INT, INT))
def encode_backward(
    space: Any,
    weights: Any,
    masks: Any,
    scratch: Scratch,
    block: BlockSpace,
    where: BlockWeights,
    back: int,
    shape: Shape,
    d_out: int,
    d_x: int,
    queries: int,
) -> None:
    """Add a block's weight gradients and write that of its input.

    Args:
        space: the workspace.
        weights: folded weights.
        masks: for quantized training the lanes of each linear layer's output that were not clipped: of the projection
            at `block.attended`, expansion at `activated`, contraction at `slope`; else empty.
        scratch: places of gradients.
        block: places of the block's activations.
        where: places of the block's weights.
        back: place of the matrix that takes gradients of query, key and value back.
        shape: sizes of the model.
        d_out: gradient of the output [width, queries]; used up.
        d_x: the result [width, tokens].
        queries: tokens that the output has.
    """
    keep_apart()
    width, tokens = shape.width, shape.tokens
    matrix, both, square = width * queries, (queries, width, width), (width, width, queries)
    d_hidden, other, g = scratch.matrix1, scratch.matrix2, scratch.weights

    d_y = masked(space, masks, d_out, block.slope, other, matrix)
    x = (block.activated, queries)
    add_weight_gradients(space, g + where.contract, g + where.contract_bias, (d_y, queries), x, square)
    hidden = (d_hidden, 1, queries)
    linear(space, hidden, ZEROS, (d_y, 1, queries), weights, (where.contract, width, 1), ZEROS, both)
    multiply(space, d_hidden, block.slope, matrix)
    masked(space, masks, d_hidden, block.activated, d_hidden, matrix)
    x = (block.normalised2, queries)
    add_weight_gradients(space, g + where.expand, g + where.expand_bias, (d_hidden, queries), x, square)
    linear(space, (other, 1, queries), ZEROS, hidden, weights, (where.expand, width, 1), ZEROS, both)
    normalise_backward(space, other, block.normalised2, block.inverse2, d_out, queries, d_out, queries, width)

    d_y = masked(space, masks, d_out, block.attended, other, matrix)
    x = (block.attended, queries)
    add_weight_gradients(space, g + where.projection, g + where.projection_bias, (d_y, queries), x, square)
    linear(space, hidden, ZEROS, (d_y, 1, queries), weights, (where.projection, width, 1), ZEROS, both)
    attend_backward(space, block, d_hidden, scratch.d_query, scratch.d_scores, width, tokens, queries)

    d_query, d_key = scratch.d_query, scratch.d_query + matrix
    masked(space, masks, d_query, block.query, d_query, matrix)
    masked(space, masks, d_key, block.key, d_key, 2 * width * tokens)
    qkv, bias = g + where.query_key_value, g + where.query_key_value_bias
    x = (block.normalised1, tokens)
    add_weight_gradients(space, qkv, bias, (d_query, queries), x, square)
    key_value, bias = qkv + width * width, bias + width
    add_weight_gradients(space, key_value, bias, (d_key, tokens), x, (2 * width, width, tokens))
    d_normalised, wide = (other, 1, tokens), (tokens, width, 2 * width)
    back_key_value = (back + width * width, width, 1)
    linear(space, d_normalised, ZEROS, (d_key, 1, tokens), weights, back_key_value, ZEROS, wide)
    linear(space, d_normalised, d_normalised, (d_query, 1, queries), weights, (back, width, 1), ZEROS, both)
    normalise_backward(space, other, block.normalised1, block.inverse1, d_out, queries, d_x, tokens, width)


@inline
def backward(
    space: Any,
    weights: Any,
    masks: Any,
    at: Space,
    last: BlockSpace,
    scratch: Scratch,
    where: Weights,
    shape: Shape,
    patches: int,
) -> None:
    """Add the weight gradients of one group of images, whose `logits` hold the gradient of the loss.

    Args:
        space: the workspace.
        weights: folded weights.
        masks: see `encode_backward`; those of embedding and head are at `at.tokens` and `at.logits`.
        at: places of the group's activations.
        last: places of the last block's, for the class token's query alone.
        scratch: places of gradients.
        where: places in the weights.
        shape: sizes of the model.
        patches: slot of the group's patches.
    """
    width, tokens, values, classes = shape
    g = scratch.weights
    masked(space, masks, at.logits, at.logits, at.logits, classes)
    d_y, x = (at.logits, 1), (at.normalised, 1)
    add_weight_gradients(space, g + where.head, g + where.head_bias, d_y, x, (classes, width, 1))
    d_normalised = scratch.matrix1
    head, step = (where.head, width, 1), (1, width, classes)
    linear(space, (d_normalised, 1, 1), ZEROS, (at.logits, 1, 1), weights, head, ZEROS, step)
    normalise_backward(space, d_normalised, at.normalised, at.inverse, 0, 0, scratch.d_output, 1, width)

    first = block_space(at.block0, width, tokens, tokens)
    at1, at0 = block_weights(where.block1, width), block_weights(where.block0, width)
    d_output, d_hidden, d_tokens = scratch.d_output, scratch.d_hidden, scratch.d_tokens
    encode_backward(space, weights, masks, scratch, last, at1, where.backward1, shape, d_output, d_hidden, 1)
    encode_backward(space, weights, masks, scratch, first, at0, where.backward0, shape, d_hidden, d_tokens, tokens)

    masked(space, masks, d_tokens, at.tokens, d_tokens, width * tokens)
    d_embedded, images = (d_tokens + 1, tokens, 1), (patches, 1, tokens - 1)
    embedding = (g + where.embedding, values, 1)
    product(space, True, embedding, d_embedded, images, (width, values, tokens - 1))
    add_row_sums(space, g + where.embedding_bias, d_tokens, width, tokens, 1, tokens)
    add_row_sums(space, g + where.class_token, d_tokens, width, tokens, 0, 1)
