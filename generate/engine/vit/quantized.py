"""One minibatch through one vision transformer in quantization-aware training.

A quantizer must have seen the whole minibatch before the first value is rounded. The forward pass therefore goes layer
by layer over all groups of images: each pass rounds what the one before left, goes on to the next linear layer and
notes the extremes of its outputs. All tokens take part in the last block, because its quantizers observe all of them;
only the class token is kept for the backward pass.

Quantizers of a model: the input, the outputs of the linear layers in the order of the network, their weights.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba.core import types

from generate.engine.simd.compile import inline, kernel
from generate.engine.simd.math import LOG2_E
from generate.engine.simd.vector import LANES, broadcast, keep_apart, load, store
from generate.engine.vit.backward import backward
from generate.engine.vit.forward import ZEROS, activate, attend, cross_entropy, normalise
from generate.engine.vit.layout import (
    BOOL,
    FLOAT64S,
    FLOATS,
    INT,
    INT64S,
    SHAPE,
    SPACE,
    UINT16S,
    VOID,
    BlockSpace,
    Shape,
    Space,
    block_space,
    block_weights,
    group_space,
    model_weights,
    scratch_space,
)
from generate.engine.vit.products import linear
from generate.engine.vit.rounding import (
    clip_weight_gradients,
    quantize,
    quantize_weights,
    reset_extremes,
    update_from_extremes,
    widen,
)
from generate.engine.vit.weights import fold, unfold

INPUT, EMBEDDING, BLOCK, HEAD = 0, 1, 2, 10
"""Rows of quantizers; a block has four, for query, key and value, projection, expansion and contraction."""

WEIGHT = 10
"""From the row of a layer's output to that of its weights."""

QUANTIZERS = 21
_NO_SLOT = 0


class Given(NamedTuple):
    """What every pass over the groups works with.

    The workspace and a mask for each slot; the model's quantizers; two vectors of scratch, for extremes; folded
    quantized weights; the positional embedding [tokens, width]; and the sizes of the model.
    """

    space: Any
    masks: Any
    quantizers: Any
    extremes: Any
    weights: Any
    positions: Any
    shape: Shape


_types: Any = types
GIVEN = _types.NamedTuple((FLOATS, UINT16S, FLOATS, FLOATS, FLOATS, FLOATS, SHAPE), Given)


@kernel(INT(SHAPE))
def group_size(shape: Shape) -> int:
    """Return how many slots the activations of one group take."""
    return group_space(shape, 0).end + 2 * shape.width * shape.tokens


@kernel(INT(SHAPE, INT))
def quantized_space_end(shape: Shape, first: int) -> int:
    """Return where the activations of the groups begin, gradients and shared activations beginning at `first`."""
    return block_space(scratch_space(shape, first).end, shape.width, shape.tokens, shape.tokens).end


@inline
def _block(shape: Shape, at: Space, layer: int, shared: BlockSpace) -> BlockSpace:
    """Return the places of a block's activations for all tokens; the last block shares them between groups.

    What it shares is used up within one pass over a group.
    """
    width, tokens = shape.width, shape.tokens
    if layer == 0:
        return block_space(at.block0, width, tokens, tokens)
    last = block_space(at.block1, width, tokens, 1)
    return BlockSpace(
        normalised1=last.normalised1,
        inverse1=last.inverse1,
        query=at.end,
        key=last.key,
        value=last.value,
        attention=shared.attention,
        inverse_sum=shared.inverse_sum,
        attended=shared.attended,
        normalised2=shared.normalised2,
        inverse2=shared.inverse2,
        activated=at.end + width * tokens,
        slope=shared.slope,
        end=last.end,
    )


@kernel(VOID(FLOATS, UINT16S, INT, INT, INT, INT, INT))
def _take_first(space: Any, masks: Any, x: int, mask: int, out: int, stride: int, count: int) -> None:
    """Copy the first vector of each of `count` rows, and the masks at `mask`."""
    keep_apart()
    for row in range(count):
        store(space, (out + row) * LANES, load(space, (x + row * stride) * LANES))
        masks[out + row] = masks[mask + row * stride]


@kernel(VOID(GIVEN, SPACE))
def _place_tokens(given: Given, at: Space) -> None:
    """Round the embedded patches, add their positions, and put the class token before them."""
    keep_apart()
    space, masks, quantizers, _, weights, positions, shape = given
    tokens, width, where = shape.tokens, shape.width, model_weights(shape)
    for d in range(width):
        row = at.tokens + d * tokens
        store(space, row * LANES, broadcast(weights, where.start + d * tokens))
        masks[row] = 65535
        quantize(space, masks, row + 1, row + 1, tokens - 1, _NO_SLOT, quantizers, EMBEDDING, np.float32(1))
        for t in range(1, tokens):
            place = (row + t) * LANES
            store(space, place, load(space, place) + broadcast(positions, t * width + d))


@inline
def _embed(given: Given, at: Space, patches: int) -> None:
    space, _, _, extremes, weights, _, shape = given
    width, tokens, values, _ = shape
    where = model_weights(shape)
    out, images = (at.tokens + 1, 1, tokens), (patches, 1, tokens - 1)
    embedding, bias = (where.embedding, 1, values), (where.start + 1, 1, tokens)
    linear(space, out, ZEROS, images, weights, embedding, bias, (tokens - 1, width, values))
    widen(space, at.tokens, width, tokens, 1, tokens, extremes)


@inline
def _ask(given: Given, at: Space, block: BlockSpace, layer: int) -> None:
    space, _, _, extremes, weights, _, shape = given
    width, tokens = shape.width, shape.tokens
    where = model_weights(shape)
    weight = block_weights(where.block1 if layer else where.block0, width)
    normalise(space, at.tokens, block.normalised1, block.inverse1, tokens, width)
    normalised, query, key = (block.normalised1, 1, tokens), (block.query, 1, tokens), (block.key, 1, tokens)
    matrix, bias = (weight.query_key_value, 1, width), (weight.query_key_value_bias, 0, 1)
    linear(space, query, ZEROS, normalised, weights, matrix, bias, (tokens, width, width))
    matrix, bias = (matrix[0] + width * width, 1, width), (bias[0] + width, 0, 1)
    linear(space, key, ZEROS, normalised, weights, matrix, bias, (tokens, 2 * width, width))
    widen(space, block.query, width, tokens, 0, tokens, extremes)
    widen(space, block.key, 2 * width, tokens, 0, tokens, extremes)


@inline
def _attend(given: Given, at: Space, block: BlockSpace, layer: int) -> None:
    space, masks, quantizers, extremes, weights, _, shape = given
    width, tokens = shape.width, shape.tokens
    where, last = model_weights(shape), block_space(at.block1, width, tokens, 1)
    weight = block_weights(where.block1 if layer else where.block0, width)
    matrix, row, scale = width * tokens, BLOCK + 4 * layer, np.float32(LOG2_E / math.sqrt(float(width)))
    quantize(space, masks, block.query, block.query, matrix, _NO_SLOT, quantizers, row, scale)
    quantize(space, masks, block.key, block.key, 2 * matrix, _NO_SLOT, quantizers, row, np.float32(1))
    attend(space, block, width, tokens, tokens, layer == 0)
    if layer:
        _take_first(space, masks, block.query, block.query, last.query, tokens, width)
        attend(space, last, width, tokens, 1, True)
    sums, attended = (at.hidden, 1, tokens), (block.attended, 1, tokens)
    projection, bias = (weight.projection, 1, width), (weight.projection_bias, 0, 1)
    linear(space, sums, ZEROS, attended, weights, projection, bias, (tokens, width, width))
    widen(space, at.hidden, width, tokens, 0, tokens, extremes)


@inline
def _expand(given: Given, at: Space, block: BlockSpace, layer: int) -> None:
    space, masks, quantizers, extremes, weights, _, shape = given
    width, tokens = shape.width, shape.tokens
    where, last = model_weights(shape), block_space(at.block1, width, tokens, 1)
    weight = block_weights(where.block1 if layer else where.block0, width)
    row, normalised = BLOCK + 4 * layer + 1, block.normalised2
    quantize(space, masks, at.hidden, block.attended, width * tokens, at.tokens, quantizers, row, np.float32(1))
    normalise(space, at.hidden, normalised, block.inverse2, tokens, width)
    if layer:
        for d in range(width):
            masks[last.attended + d] = masks[block.attended + d * tokens]
        _take_first(space, masks, normalised, normalised, last.normalised2, tokens, width)
        store(space, last.inverse2 * LANES, load(space, block.inverse2 * LANES))
    hidden, x = (block.activated, 1, tokens), (normalised, 1, tokens)
    expand, bias = (weight.expand, 1, width), (weight.expand_bias, 0, 1)
    linear(space, hidden, ZEROS, x, weights, expand, bias, (tokens, width, width))
    widen(space, block.activated, width, tokens, 0, tokens, extremes)


@inline
def _contract(given: Given, at: Space, block: BlockSpace, layer: int) -> None:
    space, masks, quantizers, extremes, weights, _, shape = given
    width, tokens = shape.width, shape.tokens
    where, last = model_weights(shape), block_space(at.block1, width, tokens, 1)
    weight = block_weights(where.block1 if layer else where.block0, width)
    matrix, row, hidden = width * tokens, BLOCK + 4 * layer + 2, block.activated
    quantize(space, masks, hidden, hidden, matrix, _NO_SLOT, quantizers, row, np.float32(1))
    activate(space, hidden, block.slope, matrix)
    if layer:
        _take_first(space, masks, hidden, hidden, last.activated, tokens, width)
        _take_first(space, masks, block.slope, block.slope, last.slope, tokens, width)
    contract, bias = (weight.contract, 1, width), (weight.contract_bias, 0, 1)
    x, out = (hidden, 1, tokens), (at.tokens, 1, tokens)
    linear(space, out, ZEROS, x, weights, contract, bias, (tokens, width, width))
    widen(space, at.tokens, width, tokens, 0, tokens, extremes)


@inline
def _classify(given: Given, at: Space) -> None:
    space, masks, quantizers, extremes, weights, _, shape = given
    width, tokens, _, classes = shape
    where, last = model_weights(shape), block_space(at.block1, width, tokens, 1)
    for d in range(width):
        place = at.tokens + d * tokens
        quantize(space, masks, place, last.slope + d, 1, at.hidden + d * tokens, quantizers, HEAD - 1, np.float32(1))
        store(space, (at.output + d) * LANES, load(space, place * LANES))
    normalise(space, at.output, at.normalised, at.inverse, 1, width)
    logits, x, bias = (at.logits, 1, 1), (at.normalised, 1, 1), (where.head_bias, 0, 1)
    linear(space, logits, ZEROS, x, weights, (where.head, 1, width), bias, (1, classes, width))
    widen(space, at.logits, 1, classes, 0, classes, extremes)


@inline
def _settle(quantizers: Any, extremes: Any, row: int, observe: bool) -> None:
    if observe:
        update_from_extremes(extremes, quantizers, row)
    reset_extremes(extremes)


@kernel(VOID(GIVEN, INT, INT, INT, INT, BOOL))
def forward_quantized(given: Given, patches: int, shared: int, first: int, groups: int, observe: bool) -> None:
    """Fill the `logits` of all groups, and what the backward pass reads.

    Args:
        given: memory, weights and sizes.
        patches: slot of the first group's patches.
        shared: slot of the activations that the groups share.
        first: slot of the first group's activations.
        groups: number of groups.
        observe: let the quantizers observe.
    """
    space, masks, quantizers, extremes, _, _, shape = given
    width, tokens = shape.width, shape.tokens
    size, values = group_size(shape), shape.values * (tokens - 1)
    among = block_space(shared, width, tokens, tokens)
    reset_extremes(extremes)
    for group in range(groups):
        at = group_space(shape, first + group * size)
        _embed(given, at, patches + group * values)
    _settle(quantizers, extremes, EMBEDDING, observe)
    for layer in range(2):
        row = BLOCK + 4 * layer
        for group in range(groups):
            at = group_space(shape, first + group * size)
            block = _block(shape, at, layer, among)
            if layer:
                mask = block_space(at.block0, width, tokens, tokens).slope
                matrix = width * tokens
                quantize(space, masks, at.tokens, mask, matrix, at.hidden, quantizers, row - 1, np.float32(1))
            else:
                _place_tokens(given, at)
            _ask(given, at, block, layer)
        _settle(quantizers, extremes, row, observe)
        for group in range(groups):
            at = group_space(shape, first + group * size)
            block = _block(shape, at, layer, among)
            _attend(given, at, block, layer)
        _settle(quantizers, extremes, row + 1, observe)
        for group in range(groups):
            at = group_space(shape, first + group * size)
            block = _block(shape, at, layer, among)
            _expand(given, at, block, layer)
        _settle(quantizers, extremes, row + 2, observe)
        for group in range(groups):
            at = group_space(shape, first + group * size)
            block = _block(shape, at, layer, among)
            _contract(given, at, block, layer)
        _settle(quantizers, extremes, row + 3, observe)
    for group in range(groups):
        at = group_space(shape, first + group * size)
        _classify(given, at)
    _settle(quantizers, extremes, HEAD, observe)
    for group in range(groups):
        logits = group_space(shape, first + group * size).logits
        quantize(space, masks, logits, logits, shape.classes, _NO_SLOT, quantizers, HEAD, np.float32(1))


@inline
def _matrix(shape: Shape, layer: int) -> tuple[int, int]:
    """Return where the weights of a linear layer begin and end; layers count from the embedding."""
    width = shape.width
    where = model_weights(shape)
    if layer == 0:
        return where.embedding, where.embedding_bias
    if layer == HEAD - EMBEDDING:
        return where.head, where.head_bias
    block = block_weights(where.block0 if layer < 5 else where.block1, width)
    kind = (layer - 1) % 4
    if kind == 0:
        return block.query_key_value, block.query_key_value_bias
    if kind == 1:
        return block.projection, block.projection_bias
    if kind == 2:
        return block.expand, block.expand_bias
    return block.contract, block.contract_bias


@kernel(INT(FLOATS, UINT16S, INT, INT64S, INT, FLOATS, FLOATS, FLOATS, FLOATS, FLOATS, FLOATS, FLOAT64S, BOOL, SHAPE))
def run_quantized(
    space: Any,
    masks: Any,
    free: int,
    labels: Any,
    count: int,
    weights: Any,
    rounded: Any,
    quantizers: Any,
    positions: Any,
    folded: Any,
    gradient: Any,
    loss: Any,
    differentiate: bool,
    shape: Shape,
) -> int:
    """Add the losses of all images to `loss[0]` and return the number of correct answers.

    Quantizers observe if the gradient is asked for; else each group passes on its own.

    Args:
        space: the workspace, which begins with the patches.
        masks: a mask for each slot.
        free: first slot after the patches.
        labels: labels of the images.
        count: number of images.
        weights: the model's weights.
        rounded: scratch for the quantized weights.
        quantizers: the model's quantizers.
        positions: positional embedding [tokens, width].
        folded: scratch for the folded weights.
        gradient: gradient of the mean loss, laid out as the weights; written if asked for.
        loss: float64 [1].
        differentiate: whether to compute the gradient.
        shape: sizes of the model.
    """
    where, scratch = model_weights(shape), scratch_space(shape, free)
    start, size = quantized_space_end(shape, free), group_size(shape)
    groups, values = (count + LANES - 1) // LANES, shape.values * (shape.tokens - 1)
    extremes = np.empty(2 * LANES, np.float32)
    for k in range(where.end):
        rounded[k] = weights[k]
    for layer in range(HEAD):
        begin, end = _matrix(shape, layer)
        quantize_weights(weights, rounded, begin, end, quantizers, EMBEDDING + WEIGHT + layer, differentiate)
    fold(rounded, positions, folded, shape, True)
    if differentiate:
        space[scratch.weights * LANES : (scratch.weights + where.end) * LANES] = 0.0
    correct = 0
    together = groups if differentiate else 1
    for group in range(groups):
        patches, mine = 1 + group * values, start
        if group % together == 0:
            given = Given(space, masks, quantizers, extremes, folded, positions, shape)
            forward_quantized(given, patches, scratch.end, start, together, differentiate)
        if differentiate:
            mine = start + group * size
        at = group_space(shape, mine)
        first = group * LANES
        live = min(LANES, count - first)
        correct += cross_entropy(space, at.logits, shape.classes, labels, first, live, count, loss, differentiate)
        if differentiate:
            last = block_space(at.block1, shape.width, shape.tokens, 1)
            backward(space, folded, masks, at, last, scratch, where, shape, patches)
    if differentiate:
        unfold(rounded, gradient, space, scratch.weights, shape)
        for layer in range(HEAD):
            begin, end = _matrix(shape, layer)
            clip_weight_gradients(weights, gradient, begin, end, quantizers, EMBEDDING + WEIGHT + layer)
    return correct
