"""The CNN kernels' forward pass: convolution, ReLU, linear layer, cross-entropy; buffers as in `layout`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from generate.engine.cnn.layout import TILE, Integers, Layout, Work
from generate.engine.simd.compile import part
from generate.engine.simd.memory import Floats
from generate.engine.simd.tiles import (
    add_products,
    add_scaled,
    load_rows,
    load_tile,
    positive_part,
    round_rows,
    spread_tile,
    store_tile,
)
from generate.engine.simd.vector import LANES, REGISTERS, exp, load, splat, store, total, where_positive

ONE, TWO, THREE, FOUR, EIGHT, TEN = ((0,) * n for n in (1, 2, 3, 4, 8, 10))
MANY = REGISTERS == 32


@part
def start_forward(count: int, parameters: Floats, layout: Layout, work: Work) -> None:
    """Lay the kernels out for `convolve`, and clear the scores of `count` images."""
    _transpose_taps(parameters, layout, work.taps)
    for index in range(0, count * layout.classes * LANES, LANES):
        store(work.scores, index, splat(np.float32(0)))


@part
def convolve(inputs: Floats, images: int, count: int, layout: Layout, work: Work) -> None:
    """Write the rectified convolution of one tile of images."""
    if MANY:
        for channel in range(0, layout.channels & -8, 8):
            _convolve(inputs, images, count, layout, channel, work, EIGHT)
    for channel in range(layout.channels & -8 if MANY else 0, layout.channels & -4, 4):
        _convolve(inputs, images, count, layout, channel, work, FOUR)
    if layout.channels & 2:
        _convolve(inputs, images, count, layout, layout.channels & -4, work, TWO)
    if layout.channels & 1:
        _convolve(inputs, images, count, layout, layout.channels & -2, work, ONE)


@part
def score(images: int, count: int, parameters: Floats, layout: Layout, work: Work, rounding: Any) -> None:
    """Add up the scores of one tile of images, from activations rounded as `rounding` says (None: not at all)."""
    tens, fours = class_blocks(layout.classes)
    for channel in range(layout.channels):
        if MANY:
            for k in range(0, tens, 10):
                _score(images, count, channel, k, parameters, layout, work, rounding, TEN)
        for k in range(tens, fours, 4):
            _score(images, count, channel, k, parameters, layout, work, rounding, FOUR)
        for k in range(fours, layout.classes):
            _score(images, count, channel, k, parameters, layout, work, rounding, ONE)


@part
def class_blocks(classes: int) -> tuple[int, int]:
    """Return where the blocks of ten classes end, and those of four; the others are single."""
    tens = classes - classes % 10 if MANY else 0
    return tens, classes - (classes - tens) % 4


@part
def _transpose_taps(parameters: Floats, layout: Layout, taps: Floats) -> None:
    for channel in range(layout.channels):
        taps[channel] = parameters[layout.start + layout.biases + channel]
        for tap in range(layout.taps):
            taps[(1 + tap) * layout.channels + channel] = parameters[layout.start + channel * layout.taps + tap]


@part
def _convolve(inputs: Floats, images: int, count: int, layout: Layout, channel: int, work: Work, block: Any) -> None:
    """Write the rectified convolution of one tile of images with one block of channels."""
    plane, channels = layout.plane, layout.channels
    stride = TILE * layout.line
    out = ((images // TILE) * channels + channel) * stride
    for image in range(count):
        source = (images + image) * (layout.taps // 3) * plane
        target = out + image * layout.line
        for vector in range(0, layout.vectors, 2):
            sums = spread_tile(work.taps, channel, block, TWO)
            kernels = channel + channels
            for row in range(layout.taps // 3):
                start = source + (row // 3) * 3 * plane + (row % 3) * layout.out_width + vector * LANES
                for _ in range(3):
                    sums = add_scaled(sums, work.taps, kernels, load_rows(inputs, start, LANES, TWO))
                    kernels += channels
                    start += plane
            place = target + vector * LANES
            store_tile(work.activations, place, stride, LANES, TWO, positive_part(sums))
        for number in range(len(block)):
            last = target + number * stride + (layout.vectors - 1) * LANES
            store(work.activations, last, where_positive(load(work.edge, 0), load(work.activations, last)))


@part
def _score(
    images: int, count: int, channel: int, k: int, parameters: Floats, layout: Layout, work: Work, rounding: Any,
    block: Any
) -> None:  # fmt: skip
    """Add one channel's share to the scores of a block of classes, two images at a time."""
    source = ((images // TILE) * layout.channels + channel) * TILE * layout.line
    weights = layout.start + layout.weights + k * layout.row + channel * layout.positions
    target, stride = (images * layout.classes + k) * LANES, layout.classes * LANES
    for _ in range(0, count, 2):
        sums = load_tile(work.scores, target, LANES, stride, block, TWO)
        for vector in range(0, layout.vectors * LANES, LANES):
            columns = load_rows(work.activations, source + vector, layout.line, TWO)
            if rounding is not None:
                columns = round_rows(columns, rounding.inverse, rounding.scale, rounding.last)
            sums = add_products(sums, parameters, weights + vector, layout.row, columns)
        store_tile(work.scores, target, LANES, stride, TWO, sums)
        source += 2 * layout.line
        target += 2 * stride


@part
def add_lanes(count: int, parameters: Floats, layout: Layout, work: Work) -> None:
    """Write the logits of `count` images in place of their errors, minus infinity in the padding."""
    biases = layout.start + layout.head_biases
    for index in range(0, count * layout.error_row, LANES):
        store(work.errors, index, splat(-np.float32(np.inf)))
    for image in range(count):
        for k in range(layout.classes):
            logit = total(load(work.scores, (image * layout.classes + k) * LANES)) + parameters[biases + k]
            work.errors[image * layout.error_row + k] = logit


@part
def cross_entropy(labels: Integers, count: int, layout: Layout, work: Work) -> tuple[float, int]:
    """Turn logits into errors, d(mean loss) / d(logit); return the summed loss and the number of correct answers."""
    loss, correct = 0.0, 0
    share = np.float32(1) / np.float32(count)
    for image in range(count):
        first = image * layout.error_row
        answer, wanted = first, first + labels[image]
        for k in range(first, first + layout.classes):
            if work.errors[k] > work.errors[answer]:
                answer = k
        highest = work.errors[answer]
        loss += highest - work.errors[wanted]
        sums = splat(np.float32(0))
        for index in range(first, first + layout.error_row, LANES):
            powers = exp(load(work.errors, index) - highest)
            store(work.errors, index, powers)
            sums = sums + powers
        norm = total(sums)
        for index in range(first, first + layout.error_row, LANES):
            store(work.errors, index, load(work.errors, index) * (share / norm))
        work.errors[wanted] -= share
        loss += math.log(norm)
        correct += answer == wanted
    return loss, correct
