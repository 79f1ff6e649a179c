"""Kernels of the CNN's training step: 3x3 convolution, ReLU, linear, cross-entropy, their gradients, and Adam.

The lanes of a vector run over the positions of one convolution output. The arithmetic is five small matrix products;
each keeps a tile of sums in registers (`simd_rows`):

    forward convolution   channels x positions  += kernel taps  x shifted images
    forward linear        classes x images      += weights      x activations     lanes added up at the end
    backward activations  positions             += errors       x weights
    backward linear       classes x positions   += errors       x activations
    backward convolution  channels x taps       += errors       x shifted images  lanes added up at the end

Images are worked on in tiles and channels in blocks, so that what the five share stays in the second-level cache.

Layouts (float32, flat):
    inputs       [image, image channel, shift, plane]: columns s .. s + out_width of every row, back to back, for the
                 shifts s = 0, 1, 2. One row down is then out_width further on, and no lane is spent on the border.
    activations  [tile, channel, vector, TILE + 1, LANES]: one image more than used, which spreads a strided walk over
                 all sets of the first-level cache. Lanes past the last position are zero.
    parameters   of one model: kernels [channels, taps], biases [channels], head biases [classes], head weights
                 [classes, row]. Each part starts at a multiple of LANES. The last vector of a channel reaches into
                 the weights of the next one, that of a row into its padding.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import typeof, types

from generate.architectures import ImageShape
from generate.engine.simd import (
    LANES,
    REGISTERS,
    exp,
    kernel,
    load,
    load_bytes,
    part,
    splat,
    sqrt,
    store,
    total,
    where_positive,
)
from generate.engine.simd_rows import (
    add_products,
    add_scaled,
    combine,
    load_rows,
    load_tile,
    positive_part,
    spread_tile,
    store_rows,
    store_tile,
    zero_tile,
)

Floats = np.ndarray[tuple[int], np.dtype[np.float32]]
Integers = np.ndarray[tuple[int], np.dtype[np.int64]]
Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]

TILE = 20
ONE, TWO, THREE, FOUR, FIVE, EIGHT, TEN = ((0,) * n for n in (1, 2, 3, 4, 5, 8, 10))
MANY = REGISTERS == 32


class Layout(NamedTuple):
    """Sizes of one model, and where its parts start in the flat parameters."""

    channels: int
    taps: int
    classes: int
    out_width: int
    positions: int
    vectors: int
    line: int
    plane: int
    errors_row: int
    biases: int
    head_biases: int
    weights: int
    row: int
    size: int


class Work(NamedTuple):
    """Buffers that a pack's models take turns to use.

    by_tap [1 + taps, channels]; edge [LANES], 1 where the last vector holds a position; activations; scores [image,
    class, LANES]; errors [image, classes rounded up to LANES]; partial [TILE, LANES]; sums [channel, 1 + taps, LANES].
    """

    by_tap: Floats
    edge: Floats
    activations: Floats
    scores: Floats
    errors: Floats
    partial: Floats
    sums: Floats


def round_up(number: int, multiple: int) -> int:
    """Return the smallest multiple that is not below `number`."""
    return -(-number // multiple) * multiple


def layout_of(channels: int, image: ImageShape) -> Layout:
    """Return the layout of a model with this many convolution channels."""
    out_width = image.width - 2
    positions = (image.height - 2) * out_width
    taps = 9 * image.channels
    biases = round_up(channels * taps, LANES)
    head_biases = biases + round_up(channels, LANES)
    weights = head_biases + round_up(image.classes, LANES)
    row = round_up(channels * positions, LANES) + LANES
    return Layout(
        channels=channels,
        taps=taps,
        classes=image.classes,
        out_width=out_width,
        positions=positions,
        vectors=-(-positions // LANES),
        line=(-(-positions // LANES) | 1) * LANES,
        plane=round_up(image.height * out_width + LANES, LANES),
        errors_row=round_up(image.classes, LANES),
        biases=biases,
        head_biases=head_biases,
        weights=weights,
        row=row,
        size=weights + image.classes * row,
    )


_LAYOUT = typeof(Layout(*(0,) * len(Layout._fields)))
_WORK = typeof(Work(*(np.zeros(1, np.float32),) * len(Work._fields)))
_FLOATS = types.float32[::1]
_NUMBER = types.float32
_COUNT = types.int64


@kernel(types.void(types.uint8[::1], _COUNT, _COUNT, _COUNT, _COUNT, _COUNT, _NUMBER, _NUMBER, _FLOATS))
def prepare(
    images: Bytes, planes: int, height: int, width: int, plane: int, size: int, scale: float, shift: float, inputs: Floats
) -> None:
    """Write normalised, shifted copies of `planes` image channels into `inputs`: value * scale - shift.

    `images` needs LANES bytes more than the images take. Vectors reach past a row's end; the next row overwrites that.
    """
    out_width = width - 2
    for number in range(planes):
        for side in range(3):
            start = (number * 3 + side) * plane
            for y in range(height):
                source, target = number * size + y * width + side, start + y * out_width
                for x in range(0, out_width, LANES):
                    store(inputs, target + x, load_bytes(images, source + x) * scale - shift)


@part
def _transpose_taps(parameters: Floats, layout: Layout, by_tap: Floats) -> None:
    """Copy biases and kernels to [1 + taps, channels], so that a block of channels is contiguous."""
    for channel in range(layout.channels):
        by_tap[channel] = parameters[layout.biases + channel]
        for tap in range(layout.taps):
            by_tap[(1 + tap) * layout.channels + channel] = parameters[channel * layout.taps + tap]


@part
def _convolve_columns(
    inputs: Floats, image: int, by_tap: Floats, layout: Layout, activations: Floats, out: int, block: Any, columns: Any
) -> None:
    """Convolve and rectify one block of channels at len(columns) vectors of positions.

    `by_tap` starts at the block's first channel, `image` is where the first vector starts in `inputs`.
    """
    plane, channels = layout.plane, layout.channels
    sums = spread_tile(by_tap, 0, block, columns)
    kernels = channels
    for row in range(layout.taps // 3):
        start = image + (row // 3) * 3 * plane + (row % 3) * layout.out_width
        sums = add_scaled(sums, by_tap, kernels, load_rows(inputs, start, LANES, columns))
        sums = add_scaled(sums, by_tap, kernels + channels, load_rows(inputs, start + plane, LANES, columns))
        sums = add_scaled(sums, by_tap, kernels + 2 * channels, load_rows(inputs, start + 2 * plane, LANES, columns))
        kernels += 3 * channels
    store_tile(activations, out, TILE * layout.line, LANES, columns, positive_part(sums))


@part
def _convolve(
    inputs: Floats, images: int, count: int, by_tap: Floats, layout: Layout, edge: Floats, activations: Floats, out: int, block: Any
) -> None:
    """Write the rectified convolution of one block of channels, for `count` images, lanes past the last position zero."""
    for image in range(count):
        start = (images + image) * (layout.taps // 3) * layout.plane
        target = out + image * layout.line
        for vector in range(0, layout.vectors - 1, 2):
            place = target + vector * LANES
            _convolve_columns(inputs, start + vector * LANES, by_tap, layout, activations, place, block, TWO)
        last = target + (layout.vectors - 1) * LANES
        if layout.vectors % 2:
            _convolve_columns(inputs, start + (layout.vectors - 1) * LANES, by_tap, layout, activations, last, block, ONE)
        for channel in range(len(block)):
            place = last + channel * TILE * layout.line
            store(activations, place, where_positive(load(edge, 0), load(activations, place)))


@part
def _score_classes(
    activations: Floats, source: int, count: int, weights: Floats, layout: Layout, scores: Floats, block: Any
) -> None:
    """Add one channel's share to the scores of a block of classes, [image, class, LANES]; lanes are added up later."""
    stride = layout.classes * LANES
    for image in range(0, count, 2):
        target = image * stride
        sums = load_tile(scores, target, LANES, stride, block, TWO)
        for vector in range(layout.vectors):
            columns = load_rows(activations, source + image * layout.line + vector * LANES, layout.line, TWO)
            sums = add_products(sums, weights, vector * LANES, layout.row, columns)
        store_tile(scores, target, LANES, stride, TWO, sums)


@part
def _score(activations: Floats, source: int, count: int, weights: Floats, layout: Layout, scores: Floats) -> None:
    """Add one channel's share to the scores of all classes."""
    done = 0
    while done < layout.classes:
        left = layout.classes - done
        rows, sums = weights[done * layout.row :], scores[done * LANES :]
        if MANY and left >= 10:
            _score_classes(activations, source, count, rows, layout, sums, TEN)
            done += 10
        elif left >= 5:
            _score_classes(activations, source, count, rows, layout, sums, FIVE)
            done += 5
        elif left >= 2:
            _score_classes(activations, source, count, rows, layout, sums, TWO)
            done += 2
        else:
            _score_classes(activations, source, count, rows, layout, sums, ONE)
            done += 1


@part
def _forward_block(
    inputs: Floats, images: int, count: int, parameters: Floats, layout: Layout, channel: int, work: Work, block: Any
) -> None:
    """Convolve and score one tile of images with one block of channels."""
    per_channel = TILE * layout.line
    out = ((images // TILE) * layout.channels + channel) * per_channel
    _convolve(inputs, images, count, work.by_tap[channel:], layout, work.edge, work.activations, out, block)
    scores = work.scores[images * layout.classes * LANES :]
    for number in range(len(block)):
        weights = parameters[layout.weights + (channel + number) * layout.positions :]
        _score(work.activations, out + number * per_channel, count, weights, layout, scores)


@part
def _forward(inputs: Floats, count: int, parameters: Floats, layout: Layout, work: Work) -> None:
    _transpose_taps(parameters, layout, work.by_tap)
    work.scores[: (count + 1) * layout.classes * LANES] = 0
    for images in range(0, count, TILE):
        some = min(TILE, count - images)
        done = 0
        while done < layout.channels:
            left = layout.channels - done
            if MANY and left >= 8:
                _forward_block(inputs, images, some, parameters, layout, done, work, EIGHT)
                done += 8
            elif left >= 4:
                _forward_block(inputs, images, some, parameters, layout, done, work, FOUR)
                done += 4
            elif left >= 2:
                _forward_block(inputs, images, some, parameters, layout, done, work, TWO)
                done += 2
            else:
                _forward_block(inputs, images, some, parameters, layout, done, work, ONE)
                done += 1


@part
def _cross_entropy(labels: Integers, count: int, parameters: Floats, layout: Layout, work: Work) -> tuple[float, int]:
    """Write the errors, d(mean loss) / d(logit) [image, classes rounded up to LANES]; return loss sum and correct answers."""
    loss, correct = 0.0, 0
    width = layout.errors_row
    share = np.float32(1) / np.float32(count)
    for image in range(count):
        row = work.errors[image * width : (image + 1) * width]
        row[:] = -np.float32(np.inf)
        answer = 0
        for k in range(layout.classes):
            row[k] = total(load(work.scores, (image * layout.classes + k) * LANES)) + parameters[layout.head_biases + k]
            if row[k] > row[answer]:
                answer = k
        label = labels[image]
        highest, wanted = row[answer], row[label]
        sums = splat(np.float32(0))
        for k in range(0, width, LANES):
            powers = exp(load(row, k) - highest)
            store(row, k, powers)
            sums = sums + powers
        norm = total(sums)
        for k in range(0, width, LANES):
            store(row, k, load(row, k) * (share / norm))
        row[label] -= share
        loss += math.log(norm) + (highest - wanted)
        correct += answer == label
    return loss, correct


@part
def _backward_vector(
    place: int, count: int, errors: Floats, weights: Floats, gradient: Floats, layout: Layout, work: Work,
    bias: int, fresh: bool, first: bool, last: bool, block: Any
) -> None:  # fmt: skip
    """Take one vector of activations of one channel back through a block of classes, for one tile of images.

    Adds to the weights' gradient (writes it if `fresh`), and turns the activations into errors once the `last` block
    of classes is in; until then they add up in `work.partial`.
    """
    width = layout.errors_row
    rows = load_rows(weights, 0, layout.row, block)
    sums = zero_tile(block, ONE) if fresh else load_rows(gradient, 0, layout.row, block)
    bias_sum = load(work.sums, bias)
    for image in range(count):
        value = load(work.activations, place + image * layout.line)
        error = combine(errors, image * width, rows)
        sums = add_scaled(sums, errors, image * width, (value,))
        if not first:
            error = error + load(work.partial, image * LANES)
        if last:
            error = where_positive(value, error)
            store(work.activations, place + image * layout.line, error)
            bias_sum = bias_sum + error
        else:
            store(work.partial, image * LANES, error)
    store_rows(gradient, 0, layout.row, sums)
    store(work.sums, bias, bias_sum)


@part
def _backward_channel(
    place: int, count: int, errors: Floats, weights: Floats, gradient: Floats, layout: Layout, work: Work,
    bias: int, fresh: bool
) -> None:  # fmt: skip
    """Take one tile of one channel's activations back through the linear layer."""
    classes = layout.classes
    for vector in range(layout.vectors):
        done, here = 0, place + vector * LANES
        while done < classes:
            left = classes - done
            start = done * layout.row + vector * LANES
            some, rows, slopes = errors[done:], weights[start:], gradient[start:]
            if MANY and left >= 10:
                last = left == 10
                _backward_vector(here, count, some, rows, slopes, layout, work, bias, fresh, done == 0, last, TEN)
                done += 10
            elif left >= 5:
                last = left == 5
                _backward_vector(here, count, some, rows, slopes, layout, work, bias, fresh, done == 0, last, FIVE)
                done += 5
            elif left >= 2:
                last = left == 2
                _backward_vector(here, count, some, rows, slopes, layout, work, bias, fresh, done == 0, last, TWO)
                done += 2
            else:
                _backward_vector(here, count, some, rows, slopes, layout, work, bias, fresh, done == 0, True, ONE)
                done += 1


@part
def _backward_taps(
    inputs: Floats, images: int, count: int, source: int, layout: Layout, work: Work, block: Any
) -> None:
    """Add one tile's products of errors and shifted images to the kernels' sums of one block of channels."""
    plane = layout.plane
    per_channel, stride = TILE * layout.line, (1 + layout.taps) * LANES
    for image in range(count):
        start = (images + image) * (layout.taps // 3) * plane
        for row in range(layout.taps // 3):
            here = start + (row // 3) * 3 * plane + (row % 3) * layout.out_width
            target = (1 + 3 * row) * LANES
            sums = load_tile(work.sums, target, stride, LANES, block, THREE)
            for vector in range(layout.vectors):
                columns = load_rows(inputs, here + vector * LANES, plane, THREE)
                sums = add_products(sums, work.activations, source + image * layout.line + vector * LANES, per_channel, columns)
            store_tile(work.sums, target, stride, LANES, THREE, sums)


@part
def _backward_block(
    inputs: Floats, count: int, parameters: Floats, gradient: Floats, layout: Layout, channel: int, work: Work, block: Any
) -> None:
    """Write the gradients of one block of channels: kernels, biases, and their weights in the linear layer."""
    per_channel, stride = TILE * layout.line, (1 + layout.taps) * LANES
    width = layout.errors_row
    work.sums[: len(block) * stride] = 0
    for images in range(0, count, TILE):
        some = min(TILE, count - images)
        source = ((images // TILE) * layout.channels + channel) * per_channel
        for number in range(len(block)):
            start = layout.weights + (channel + number) * layout.positions
            _backward_channel(
                source + number * per_channel, some, work.errors[images * width :], parameters[start:],
                gradient[start:], layout, work, number * stride, images == 0,
            )  # fmt: skip
        _backward_taps(inputs, images, some, source, layout, work, block)
    for number in range(len(block)):
        gradient[layout.biases + channel + number] = total(load(work.sums, number * stride))
        for tap in range(layout.taps):
            sums = load(work.sums, number * stride + (1 + tap) * LANES)
            gradient[(channel + number) * layout.taps + tap] = total(sums)


@part
def _backward(inputs: Floats, count: int, parameters: Floats, gradient: Floats, layout: Layout, work: Work) -> None:
    """Write the gradient of the mean loss; needs the activations and errors that the forward pass left."""
    width = layout.errors_row
    for k in range(layout.classes):
        gradient[layout.head_biases + k] = 0
        for image in range(count):
            gradient[layout.head_biases + k] += work.errors[image * width + k]
    done = 0
    while done < layout.channels:
        left = layout.channels - done
        if MANY and left >= 8:
            _backward_block(inputs, count, parameters, gradient, layout, done, work, EIGHT)
            done += 8
        elif left >= 4:
            _backward_block(inputs, count, parameters, gradient, layout, done, work, FOUR)
            done += 4
        elif left >= 2:
            _backward_block(inputs, count, parameters, gradient, layout, done, work, TWO)
            done += 2
        else:
            _backward_block(inputs, count, parameters, gradient, layout, done, work, ONE)
            done += 1


@kernel(types.Tuple((types.float64, types.int64))(_FLOATS, types.int64[::1], _COUNT, _FLOATS, _LAYOUT, _WORK))
def evaluate(
    inputs: Floats, labels: Integers, count: int, parameters: Floats, layout: Layout, work: Work
) -> tuple[float, int]:
    """Return the summed cross-entropy and the number of correct answers of one model on `count` prepared images."""
    _forward(inputs, count, parameters, layout, work)
    return _cross_entropy(labels, count, parameters, layout, work)


@kernel(types.void(_FLOATS, _COUNT, _FLOATS, _FLOATS, _LAYOUT, _WORK))
def backward(inputs: Floats, count: int, parameters: Floats, gradient: Floats, layout: Layout, work: Work) -> None:
    """Write the gradient of the mean loss on the images that `evaluate` has just seen, padding zero or untouched."""
    _backward(inputs, count, parameters, gradient, layout, work)


@kernel(types.void(_FLOATS, _FLOATS, _FLOATS, _FLOATS, _NUMBER, _NUMBER, _NUMBER, _NUMBER, _NUMBER))
def adam(
    parameters: Floats, gradient: Floats, first: Floats, second: Floats,
    rate: float, decay_first: float, decay_second: float, epsilon: float, root_correction: float
) -> None:  # fmt: skip
    """Take one step of Adam: rate is lr / (1 - beta1^t), root_correction 1 / sqrt(1 - beta2^t); lengths in LANES."""
    for index in range(0, len(parameters), LANES):
        slope, mean, square = load(gradient, index), load(first, index), load(second, index)
        mean = mean + (slope - mean) * decay_first
        square = square + (slope * slope - square) * decay_second
        store(first, index, mean)
        store(second, index, square)
        update = mean / (sqrt(square) * root_correction + epsilon)
        store(parameters, index, load(parameters, index) - update * rate)
