"""Where the vision transformer's kernel keeps things: one vector of weights per model, one workspace for all.

Weights are floats in the order of the module's `state_dict`, after a leading zero; the workspace holds vectors whose
lanes are images, as matrices [features, tokens] or [queries, tokens], after a leading vector of zeros and the patches.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from numba.core import types

from generate.engine.simd.compile import kernel

QUERY_ROWS = 4
"""Queries whose scores are computed together: their rows stay in the first-level cache."""


class Shape(NamedTuple):
    """Sizes of a model: embedding width, tokens (patches and the class token), values of a patch, classes."""

    width: int
    tokens: int
    values: int
    classes: int


class BlockWeights(NamedTuple):
    """Where the tensors of an encoder block begin in the weights, and where the block ends."""

    gain1: int
    shift1: int
    query_key_value: int
    query_key_value_bias: int
    projection: int
    projection_bias: int
    gain2: int
    shift2: int
    expand: int
    expand_bias: int
    contract: int
    contract_bias: int
    end: int


class Weights(NamedTuple):
    """Where the tensors of a model begin in the weights.

    `end` is the number of floats with a parameter, the zero included. What follows exists in folded weights only:
    `start` [width, tokens] is what the tokens are before the patches are added, `backward0` and `backward1` [3 width,
    width] the scaled matrices that take gradients of query, key and value back through the norm.
    """

    class_token: int
    embedding: int
    embedding_bias: int
    block0: int
    block1: int
    gain: int
    shift: int
    head: int
    head_bias: int
    end: int
    start: int
    backward0: int
    backward1: int
    folded_end: int


class BlockSpace(NamedTuple):
    """Where a block's activations begin in the workspace; all that the backward pass reads.

    `attention` [queries, tokens] holds exponentials, not yet divided by their sums; `inverse_sum` [queries] the
    reciprocals. `normalised1`, `normalised2` are before gain and shift, `inverse1`, `inverse2` [tokens], [queries] the
    reciprocal deviations. `activated` is GELU's output and `slope` its derivative.
    """

    normalised1: int
    inverse1: int
    query: int
    key: int
    value: int
    attention: int
    inverse_sum: int
    attended: int
    normalised2: int
    inverse2: int
    activated: int
    slope: int
    end: int


class Space(NamedTuple):
    """Where the activations of one group of images begin in the workspace.

    `output`, `normalised` and `logits` are of the class token; in the last block it alone asks a query.
    """

    tokens: int
    hidden: int
    output: int
    normalised: int
    inverse: int
    logits: int
    block0: int
    block1: int
    end: int


class Scratch(NamedTuple):
    """Where gradients begin in the workspace; `weights` has a vector for each float of the weights."""

    weights: int
    d_output: int
    d_hidden: int
    d_tokens: int
    matrix1: int
    matrix2: int
    d_query: int
    d_scores: int
    end: int


_types: Any = types


def _named(kind: Any) -> Any:
    return _types.NamedUniTuple(types.int64, len(kind._fields), kind)


SHAPE, BLOCK_WEIGHTS, WEIGHTS = _named(Shape), _named(BlockWeights), _named(Weights)
BLOCK_SPACE, SPACE, SCRATCH = _named(BlockSpace), _named(Space), _named(Scratch)
INT: Any = types.int64
FLOAT: Any = types.float32
FLOATS: Any = types.float32[::1]
FLOAT64S: Any = types.float64[::1]
UINT16S: Any = types.uint16[::1]
INT64S: Any = types.int64[::1]
PAIR: Any = _types.UniTuple(types.int64, 2)
TRIPLE: Any = _types.UniTuple(types.int64, 3)
BOOL: Any = types.boolean
VOID: Any = types.void


@kernel(BLOCK_WEIGHTS(INT, INT))
def block_weights(first: int, width: int) -> BlockWeights:
    """Return the places of a block's tensors, the block beginning at `first`."""
    query_key_value = first + 2 * width
    projection = query_key_value + 3 * width * (width + 1)
    gain2 = projection + width * (width + 1)
    expand = gain2 + 2 * width
    contract = expand + width * (width + 1)
    return BlockWeights(
        gain1=first,
        shift1=first + width,
        query_key_value=query_key_value,
        query_key_value_bias=query_key_value + 3 * width * width,
        projection=projection,
        projection_bias=projection + width * width,
        gain2=gain2,
        shift2=gain2 + width,
        expand=expand,
        expand_bias=expand + width * width,
        contract=contract,
        contract_bias=contract + width * width,
        end=contract + width * (width + 1),
    )


@kernel(WEIGHTS(SHAPE))
def model_weights(shape: Shape) -> Weights:
    """Return the places of a model's tensors."""
    width = shape.width
    embedding = 1 + width
    bias = embedding + width * shape.values
    block0 = bias + width
    block1 = block_weights(block0, width).end
    gain = block_weights(block1, width).end
    head = gain + 2 * width
    end = head + (width + 1) * shape.classes
    backward0 = end + width * shape.tokens
    backward1 = backward0 + 3 * width * width
    return Weights(
        class_token=1,
        embedding=embedding,
        embedding_bias=bias,
        block0=block0,
        block1=block1,
        gain=gain,
        shift=gain + width,
        head=head,
        head_bias=head + width * shape.classes,
        end=end,
        start=end,
        backward0=backward0,
        backward1=backward1,
        folded_end=backward1 + 3 * width * width,
    )


@kernel(BLOCK_SPACE(INT, INT, INT, INT))
def block_space(first: int, width: int, tokens: int, queries: int) -> BlockSpace:
    """Return the places of a block's activations, which begin at `first`."""
    inverse1 = first + width * tokens
    query = inverse1 + tokens
    key = query + width * queries
    value = key + width * tokens
    attention = value + width * tokens
    inverse_sum = attention + queries * tokens
    attended = inverse_sum + queries
    normalised2 = attended + width * queries
    inverse2 = normalised2 + width * queries
    activated = inverse2 + queries
    slope = activated + width * queries
    return BlockSpace(
        normalised1=first,
        inverse1=inverse1,
        query=query,
        key=key,
        value=value,
        attention=attention,
        inverse_sum=inverse_sum,
        attended=attended,
        normalised2=normalised2,
        inverse2=inverse2,
        activated=activated,
        slope=slope,
        end=slope + width * queries,
    )


@kernel(SPACE(SHAPE, INT))
def group_space(shape: Shape, first: int) -> Space:
    """Return the places of the activations of a group, which begin at `first`."""
    width, tokens = shape.width, shape.tokens
    hidden = first + width * tokens
    output = hidden + width * tokens
    normalised = output + width
    inverse = normalised + width
    logits = inverse + 1
    block0 = logits + shape.classes
    block1 = block_space(block0, width, tokens, tokens).end
    end = block_space(block1, width, tokens, 1).end
    return Space(
        tokens=first,
        hidden=hidden,
        output=output,
        normalised=normalised,
        inverse=inverse,
        logits=logits,
        block0=block0,
        block1=block1,
        end=end,
    )


@kernel(SCRATCH(SHAPE, INT))
def scratch_space(shape: Shape, first: int) -> Scratch:
    """Return the places of the gradients, which begin at `first`."""
    matrix = shape.width * shape.tokens
    d_output = first + model_weights(shape).end
    d_hidden = d_output + shape.width
    d_tokens = d_hidden + matrix
    matrix1 = d_tokens + matrix
    matrix2 = matrix1 + matrix
    d_query = matrix2 + matrix
    d_scores = d_query + 3 * matrix
    return Scratch(
        weights=first,
        d_output=d_output,
        d_hidden=d_hidden,
        d_tokens=d_tokens,
        matrix1=matrix1,
        matrix2=matrix2,
        d_query=d_query,
        d_scores=d_scores,
        end=d_scores + QUERY_ROWS * shape.tokens,
    )
