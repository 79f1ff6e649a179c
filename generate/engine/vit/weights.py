"""Weights of the vision transformer's kernel: folding layer norms away, and gradients back from that.

A layer norm followed by a linear layer, W (gain * x + shift) + b, is the linear layer (W diag(gain)) x + (W shift + b):
the tokens need not be scaled and shifted, and the gradients of gain, shift and W follow from those of the product. The
query's rows carry the attention's 1 / sqrt(width) too, and log2(e), so that the kernel may use powers of two.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from generate.engine.simd.compile import kernel
from generate.engine.simd.math import LN_2, LOG2_E
from generate.engine.simd.vector import LANES, load, total
from generate.engine.vit.layout import BOOL, FLOAT, FLOATS, INT, SHAPE, VOID, Shape, block_weights, model_weights


@kernel(VOID(FLOATS, FLOATS, INT, INT, INT, INT, INT, INT))
def _fold_norm(
    weights: Any, folded: Any, matrix: int, bias: int, gain: int, shift: int, outputs: int, inputs: int
) -> None:
    gains, shifts = weights[gain : gain + inputs], weights[shift : shift + inputs]
    for o in range(outputs):
        row = weights[matrix + o * inputs : matrix + (o + 1) * inputs]
        out = folded[matrix + o * inputs : matrix + (o + 1) * inputs]
        sum_ = weights[bias + o]
        for i in range(inputs):
            out[i] = row[i] * gains[i]
            sum_ += row[i] * shifts[i]
        folded[bias + o] = sum_


@kernel(VOID(FLOATS, FLOATS, INT, INT, INT, INT, INT, INT))
def _unfold_norm(
    weights: Any, gradient: Any, matrix: int, bias: int, gain: int, shift: int, outputs: int, inputs: int
) -> None:
    gains, shifts = weights[gain : gain + inputs], weights[shift : shift + inputs]
    d_gains, d_shifts = gradient[gain : gain + inputs], gradient[shift : shift + inputs]
    for o in range(outputs):
        row = weights[matrix + o * inputs : matrix + (o + 1) * inputs]
        d_row = gradient[matrix + o * inputs : matrix + (o + 1) * inputs]
        d_bias = gradient[bias + o]
        for i in range(inputs):
            d_gains[i] += d_row[i] * row[i]
            d_shifts[i] += d_bias * row[i]
            d_row[i] = d_row[i] * gains[i] + d_bias * shifts[i]


@kernel(VOID(FLOATS, INT, INT, INT, FLOAT))
def _scale_to(values: Any, source: int, out: int, count: int, factor: Any) -> None:
    for k in range(count):
        values[out + k] = values[source + k] * factor


@kernel(VOID(FLOATS, FLOATS, FLOATS, SHAPE, BOOL))
def fold(weights: Any, positions: Any, folded: Any, shape: Shape, quantized: bool) -> None:
    """Fill `folded` from the weights and the positional embedding [tokens, width].

    If outputs are to be `quantized`, the query is not scaled and the patches get no position: both come after that.
    """
    width, tokens = shape.width, shape.tokens
    at = model_weights(shape)
    for k in range(at.end):
        folded[k] = weights[k]
    share = np.float32(0.0) if quantized else np.float32(1.0)
    for d in range(width):
        folded[at.start + d * tokens] = weights[at.class_token + d] + positions[d]
        for t in range(1, tokens):
            folded[at.start + d * tokens + t] = weights[at.embedding_bias + d] + share * positions[t * width + d]
    scale = np.float32(1.0 / math.sqrt(float(width)))
    matrix = width * width
    for layer in range(2):
        block = block_weights(at.block1 if layer else at.block0, width)
        back = at.backward1 if layer else at.backward0
        qkv, bias = block.query_key_value, block.query_key_value_bias
        _fold_norm(weights, folded, qkv, bias, block.gain1, block.shift1, 3 * width, width)
        _fold_norm(weights, folded, block.expand, block.expand_bias, block.gain2, block.shift2, width, width)
        _scale_to(folded, qkv, back, matrix, scale)
        _scale_to(folded, qkv + matrix, back + matrix, matrix, np.float32(LN_2))
        _scale_to(folded, qkv + 2 * matrix, back + 2 * matrix, matrix, np.float32(1.0))
        if not quantized:
            _scale_to(folded, qkv, qkv, matrix, scale * np.float32(LOG2_E))
            _scale_to(folded, bias, bias, width, scale * np.float32(LOG2_E))
    _fold_norm(weights, folded, at.head, at.head_bias, at.gain, at.shift, shape.classes, width)


@kernel(VOID(FLOATS, FLOATS, FLOATS, INT, SHAPE))
def unfold(weights: Any, gradient: Any, space: Any, sums: int, shape: Shape) -> None:
    """Fill `gradient`, laid out as the weights, from the sums per lane in the workspace."""
    width = shape.width
    at = model_weights(shape)
    for k in range(at.end):
        gradient[k] = total(load(space, (sums + k) * LANES))
    scale = np.float32(1.0 / math.sqrt(float(width)))
    matrix = width * width
    for layer in range(2):
        block = block_weights(at.block1 if layer else at.block0, width)
        qkv, bias = block.query_key_value, block.query_key_value_bias
        _scale_to(gradient, qkv, qkv, matrix, scale)
        _scale_to(gradient, bias, bias, width, scale)
        _scale_to(gradient, qkv + matrix, qkv + matrix, matrix, np.float32(LN_2))
        _scale_to(gradient, bias + width, bias + width, width, np.float32(LN_2))
        _unfold_norm(weights, gradient, qkv, bias, block.gain1, block.shift1, 3 * width, width)
        _unfold_norm(weights, gradient, block.expand, block.expand_bias, block.gain2, block.shift2, width, width)
    _unfold_norm(weights, gradient, at.head, at.head_bias, at.gain, at.shift, shape.classes, width)
