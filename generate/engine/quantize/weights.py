"""Fake quantization of weights in the kernels: rounding to few bits and back, and which gradients pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from generate.engine.quantize.rows import COLUMNS, FIRST, LAST, SCALE, ZERO_POINT
from generate.engine.simd.compile import part
from generate.engine.simd.vector import LANES, load, maximum, minimum, round_even, splat, store, where_greater


@part
def round_weights(values: Any, start: int, size: int, quantizers: Any, quantizer: int, out: Any) -> None:
    """Write `size` values from `start` on to the same places of `out`, rounded to the quantizer's levels and back."""
    scale, zero = quantizers[quantizer * COLUMNS + SCALE], quantizers[quantizer * COLUMNS + ZERO_POINT]
    lowest, highest = quantizers[quantizer * COLUMNS + FIRST], quantizers[quantizer * COLUMNS + LAST]
    inverse = np.float32(1) / scale
    whole = start + size // LANES * LANES
    for j in range(start, whole, LANES):
        level = round_even(load(values, j) * inverse) + zero
        store(out, j, (minimum(splat(highest), maximum(splat(lowest), level)) - zero) * scale)
    for j in range(whole, start + size):
        rest = np.rint(values[j] * inverse) + zero
        out[j] = (min(max(rest, lowest), highest) - zero) * scale


@part
def clip_gradient(
    values: Any, start: int, size: int, quantizers: Any, quantizer: int, gradient: Any, gradient_start: int
) -> None:
    """Zero the gradient of those of `size` values from `start` on that lie beyond their quantizer's range."""
    scale, zero = quantizers[quantizer * COLUMNS + SCALE], quantizers[quantizer * COLUMNS + ZERO_POINT]
    lowest, highest = quantizers[quantizer * COLUMNS + FIRST], quantizers[quantizer * COLUMNS + LAST]
    inverse, nothing = np.float32(1) / scale, splat(np.float32(0))
    whole = size // LANES * LANES
    for j in range(0, whole, LANES):
        level = round_even(load(values, start + j) * inverse) + zero
        g = where_greater(level, splat(highest), nothing, load(gradient, gradient_start + j))
        store(gradient, gradient_start + j, where_greater(splat(lowest), level, nothing, g))
    for j in range(whole, size):
        rest = np.rint(values[start + j] * inverse) + zero
        if rest < lowest or rest > highest:
            gradient[gradient_start + j] = 0
