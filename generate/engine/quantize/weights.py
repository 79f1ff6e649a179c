"""Fake quantization of weights in the kernels: rounding to 8 bits and back, and which gradients pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from generate.engine.quantize.observer import COLUMNS, SCALE, ZERO_POINT
from generate.engine.simd.compile import part
from generate.engine.simd.vector import LANES, load, maximum, minimum, round_even, splat, store, where_greater

LOWEST, HIGHEST = np.float32(-128), np.float32(127)
"""Levels of weights."""


@part
def round_weights(values: Any, start: int, size: int, quantizers: Any, quantizer: int, out: Any) -> None:
    """Write `size` values from `start` on to the same places of `out`, rounded to the quantizer's levels and back."""
    scale, zero = quantizers[quantizer * COLUMNS + SCALE], quantizers[quantizer * COLUMNS + ZERO_POINT]
    inverse = np.float32(1) / scale
    whole = start + size // LANES * LANES
    for j in range(start, whole, LANES):
        level = round_even(load(values, j) * inverse) + zero
        store(out, j, (minimum(splat(HIGHEST), maximum(splat(LOWEST), level)) - zero) * scale)
    for j in range(whole, start + size):
        rest = np.rint(values[j] * inverse) + zero
        out[j] = (min(max(rest, LOWEST), HIGHEST) - zero) * scale


@part
def clip_gradient(
    values: Any, start: int, size: int, quantizers: Any, quantizer: int, gradient: Any, gradient_start: int
) -> None:
    """Zero the gradient of those of `size` values from `start` on that lie beyond their quantizer's range."""
    scale, zero = quantizers[quantizer * COLUMNS + SCALE], quantizers[quantizer * COLUMNS + ZERO_POINT]
    inverse, nothing = np.float32(1) / scale, splat(np.float32(0))
    whole = size // LANES * LANES
    for j in range(0, whole, LANES):
        level = round_even(load(values, start + j) * inverse) + zero
        g = where_greater(level, splat(HIGHEST), nothing, load(gradient, gradient_start + j))
        store(gradient, gradient_start + j, where_greater(splat(LOWEST), level, nothing, g))
    for j in range(whole, size):
        rest = np.rint(values[start + j] * inverse) + zero
        if rest < LOWEST or rest > HIGHEST:
            gradient[gradient_start + j] = 0
