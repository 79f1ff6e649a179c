"""One minibatch through one vision transformer: loss, correct answers and gradient, group of images after group.

A group is as many images as a vector has lanes. Lanes without an image repeat the last one and have no gradient.
"""

from __future__ import annotations

from typing import Any

from generate.engine.simd.compile import kernel
from generate.engine.simd.vector import LANES
from generate.engine.vit.backward import backward
from generate.engine.vit.forward import cross_entropy, forward
from generate.engine.vit.layout import (
    BOOL,
    FLOAT64S,
    FLOATS,
    INT,
    INT64S,
    SHAPE,
    UINT16S,
    Shape,
    block_space,
    group_space,
    model_weights,
    scratch_space,
)
from generate.engine.vit.weights import fold, unfold


@kernel(INT(FLOATS, UINT16S, INT, INT64S, INT, FLOATS, FLOATS, FLOATS, FLOATS, FLOAT64S, BOOL, SHAPE))
def run(
    space: Any,
    no_masks: Any,
    free: int,
    labels: Any,
    count: int,
    weights: Any,
    positions: Any,
    folded: Any,
    gradient: Any,
    loss: Any,
    differentiate: bool,
    shape: Shape,
) -> int:
    """Add the losses of all images to `loss[0]` and return the number of correct answers.

    Args:
        space: the workspace, which begins with the patches.
        no_masks: empty.
        free: first slot after the patches.
        labels: labels of the images.
        count: number of images.
        weights: the model's weights.
        positions: positional embedding [tokens, width].
        folded: scratch for the folded weights.
        gradient: gradient of the mean loss, laid out as the weights; written if asked for.
        loss: float64 [1].
        differentiate: whether to compute the gradient.
        shape: sizes of the model.
    """
    where, scratch = model_weights(shape), scratch_space(shape, free)
    at = group_space(shape, scratch.end)
    last = block_space(at.block1, shape.width, shape.tokens, 1)
    fold(weights, positions, folded, shape, False)
    if differentiate:
        space[scratch.weights * LANES : (scratch.weights + where.end) * LANES] = 0.0
    correct = 0
    for first in range(0, count, LANES):
        group = 1 + first // LANES * shape.values * (shape.tokens - 1)
        live = min(LANES, count - first)
        forward(space, folded, at, where, shape, group, differentiate)
        correct += cross_entropy(space, at.logits, shape.classes, labels, first, live, count, loss, differentiate)
        if differentiate:
            backward(space, folded, no_masks, at, last, scratch, where, shape, group)
    if differentiate:
        unfold(weights, gradient, space, scratch.weights, shape)
    return correct
