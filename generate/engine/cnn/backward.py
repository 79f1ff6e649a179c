"""The CNN kernels' backward pass, from the errors of the logits to all gradients; buffers as in `layout`."""

from __future__ import annotations

from typing import Any

import numpy as np

from generate.engine.cnn.forward import EIGHT, FOUR, MANY, ONE, TEN, THREE, TWO, class_blocks
from generate.engine.cnn.layout import TILE, Layout, Work
from generate.engine.simd.compile import part
from generate.engine.simd.memory import Floats
from generate.engine.simd.tiles import (
    add_products,
    add_scaled,
    combine,
    load_rows,
    load_tile,
    round_rows,
    store_rows,
    store_tile,
    zero_tile,
)
from generate.engine.simd.vector import LANES, load, round_even, splat, store, total, where_greater, where_positive


@part
def backward(
    inputs: Floats, count: int, parameters: Floats, gradient: Floats, layout: Layout, work: Work, rounding: Any
) -> None:
    """Write the gradient of the mean loss on the images that the forward pass has just seen.

    Activations count as rounded as `rounding` says (None: not at all), and errors pass where they were in range.
    Overwrites the activations. Padding gets no gradient: it keeps its zeros.
    """
    for k in range(layout.classes):
        bias = np.float32(0)
        for image in range(count):
            bias += work.errors[image * layout.error_row + k]
        gradient[layout.start + layout.head_biases + k] = bias
    if MANY:
        for channel in range(0, layout.channels & -8, 8):
            _backward_block(inputs, count, parameters, gradient, layout, channel, work, rounding, EIGHT)
    for channel in range(layout.channels & -8 if MANY else 0, layout.channels & -4, 4):
        _backward_block(inputs, count, parameters, gradient, layout, channel, work, rounding, FOUR)
    if layout.channels & 2:
        _backward_block(inputs, count, parameters, gradient, layout, layout.channels & -4, work, rounding, TWO)
    if layout.channels & 1:
        _backward_block(inputs, count, parameters, gradient, layout, layout.channels & -2, work, rounding, ONE)


@part
def _backward_block(
    inputs: Floats, count: int, parameters: Floats, gradient: Floats, layout: Layout, channel: int, work: Work,
    rounding: Any, block: Any
) -> None:  # fmt: skip
    """Write the gradients of one block of channels: biases, kernels, and weights of the linear layer."""
    stride = (1 + layout.taps) * LANES
    for index in range(0, len(block) * stride, LANES):
        store(work.sums, index, splat(np.float32(0)))
    for images in range(0, count, TILE):
        some = min(TILE, count - images)
        for number in range(len(block)):
            _backward_linear(
                images, some, channel + number, parameters, gradient, layout, work, number * stride, rounding
            )
        _backward_convolution(inputs, images, some, layout, channel, work, block)
    for number in range(len(block)):
        gradient[layout.start + layout.biases + channel + number] = total(load(work.sums, number * stride))
        for tap in range(layout.taps):
            sums = load(work.sums, number * stride + (1 + tap) * LANES)
            gradient[layout.start + (channel + number) * layout.taps + tap] = total(sums)


@part
def _backward_linear(
    images: int, count: int, channel: int, parameters: Floats, gradient: Floats, layout: Layout, work: Work,
    bias: int, rounding: Any
) -> None:  # fmt: skip
    """Turn one channel's activations into errors, and add one tile's share to the gradient of its weights."""
    tens, fours = class_blocks(layout.classes)
    row = layout.row
    source = ((images // TILE) * layout.channels + channel) * TILE * layout.line
    weights = layout.start + layout.weights + channel * layout.positions
    for vector in range(0, layout.vectors * LANES, LANES):
        place, start = source + vector, weights + vector
        if MANY:
            for k in range(0, tens, 10):
                at = start + k * row
                _backward_classes(images, count, place, parameters, gradient, at, layout, work, bias, k, rounding, TEN)
        for k in range(tens, fours, 4):
            at = start + k * row
            _backward_classes(images, count, place, parameters, gradient, at, layout, work, bias, k, rounding, FOUR)
        for k in range(fours, layout.classes):
            at = start + k * row
            _backward_classes(images, count, place, parameters, gradient, at, layout, work, bias, k, rounding, ONE)


@part
def _backward_classes(
    images: int, count: int, place: int, parameters: Floats, gradient: Floats, weights: int, layout: Layout,
    work: Work, bias: int, k: int, rounding: Any, block: Any
) -> None:  # fmt: skip
    """Take one vector of activations back through a block of classes, for one tile of images.

    Adds to the weights' gradient (writes it at the first tile). What the activations' errors get from the blocks of
    classes adds up in `work.partial`; with the last block they replace the activations.
    """
    last = k + len(block) == layout.classes
    rows = load_rows(parameters, weights, layout.row, block)
    sums = zero_tile(block, ONE)
    if images > 0:
        sums = load_rows(gradient, weights, layout.row, block)
    bias_sum = load(work.sums, bias)
    errors = images * layout.error_row + k
    for image in range(count):
        value = load(work.activations, place)
        error = combine(work.errors, errors, rows)
        used = (value,)
        if rounding is not None:
            used = round_rows(used, rounding.inverse, rounding.scale, rounding.last)
        sums = add_scaled(sums, work.errors, errors, used)
        if k > 0:
            error = error + load(work.partial, image * LANES)
        if last:
            error = where_positive(value, error)
            if rounding is not None:
                level = round_even(value * rounding.inverse)
                error = where_greater(level, splat(rounding.last), splat(np.float32(0)), error)
            store(work.activations, place, error)
            bias_sum = bias_sum + error
        else:
            store(work.partial, image * LANES, error)
        errors += layout.error_row
        place += layout.line
    store_rows(gradient, weights, layout.row, sums)
    store(work.sums, bias, bias_sum)


@part
def _backward_convolution(
    inputs: Floats, images: int, count: int, layout: Layout, channel: int, work: Work, block: Any
) -> None:
    """Add one tile's products of errors and shifted images to the sums of the kernels of one block of channels."""
    plane, between, stride = layout.plane, TILE * layout.line, (1 + layout.taps) * LANES
    source = ((images // TILE) * layout.channels + channel) * between
    for image in range(count):
        start = (images + image) * (layout.taps // 3) * plane
        place = source + image * layout.line
        for row in range(layout.taps // 3):
            here = start + (row // 3) * 3 * plane + (row % 3) * layout.out_width
            target = (1 + 3 * row) * LANES
            sums = load_tile(work.sums, target, stride, LANES, block, THREE)
            for vector in range(0, layout.vectors * LANES, LANES):
                columns = load_rows(inputs, here + vector, plane, THREE)
                sums = add_products(sums, work.activations, place + vector, between, columns)
            store_tile(work.sums, target, stride, LANES, THREE, sums)
