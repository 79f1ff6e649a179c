"""Moving-average observers of fake quantization: observed range, scale and zero point of a tensor.

What `torch.fused_moving_avg_obs_fake_quant` computes, per tensor: the observed range moves towards that of the
minibatch and gives scale and zero point; values become (clamp(round(x / scale) + zero point) - zero point) x scale.
Quantizers are rows as in `rows`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from generate.engine.quantize.rows import COLUMNS, FIRST, HIGH, LAST, LOW, SCALE, ZERO_POINT
from generate.engine.simd.compile import kernel, part
from generate.engine.simd.vector import LANES, largest, load, maximum, minimum, smallest, splat

AVERAGING = 0.01
_SMALLEST_SCALE = np.float32(6.1e-5)


@kernel("void(float32[::1], int64, float32, float32, boolean)")
def update_quantizer(quantizers: Any, row: int, low: Any, high: Any, symmetric: bool) -> None:
    """Move the observed range towards [low, high] and set scale and zero point.

    Weights are `symmetric`, activations affine. The zero point of a symmetric tensor whose values have one sign is not
    0, as in PyTorch.
    """
    state = quantizers[row * COLUMNS : (row + 1) * COLUMNS]
    averaging = np.float32(AVERAGING)
    low, high = np.float32(low), np.float32(high)
    state[LOW] = low if math.isinf(state[LOW]) else state[LOW] + averaging * (low - state[LOW])
    state[HIGH] = high if math.isinf(state[HIGH]) else state[HIGH] + averaging * (high - state[HIGH])
    first, last = state[FIRST], state[LAST]
    steps = last - first
    low, high = state[LOW], state[HIGH]
    both = low < 0 and high > 0
    if symmetric and both:
        extent = max(np.float64(abs(low / first)), np.float64(abs(high / last)))
        low, high = np.float32(extent * first), np.float32(extent * last)
    low, high = min(low, np.float32(0)), max(high, np.float32(0))
    rounded = np.float32((np.float64(high) - low) / steps)
    if rounded == 0 or math.isinf(np.float32(1) / rounded):
        rounded = np.float32(0.1)
    if rounded < _SMALLEST_SCALE:
        growth = _SMALLEST_SCALE / rounded
        rounded = _SMALLEST_SCALE
        if low == 0:
            high = _SMALLEST_SCALE * steps
        elif high == 0:
            low = -_SMALLEST_SCALE * steps
        else:
            low, high = low * growth, high * growth
    scale = np.float64(rounded)
    from_low, from_high = abs(first) - abs(low / scale), abs(last) - abs(high / scale)
    zero_point: Any = first - low / scale if from_low < from_high else last - high / scale
    if symmetric and both:
        zero_point = 0.0
    state[SCALE] = rounded
    state[ZERO_POINT] = np.float32(min(max(np.rint(zero_point), first), last))


@part
def extremes(
    values: Any, first: int, rows: int, stride: int, size: int, low: np.float32, high: np.float32
) -> tuple[np.float32, np.float32]:
    """Return the smallest and largest of `low`, `high` and `size` values of each of `rows` rows, `stride` apart."""
    lows, highs, whole = splat(low), splat(high), size // LANES * LANES
    for row in range(rows):
        begin = first + row * stride
        for j in range(begin, begin + whole, LANES):
            value = load(values, j)
            lows, highs = minimum(value, lows), maximum(value, highs)
        for j in range(begin + whole, begin + size):
            low, high = min(low, values[j]), max(high, values[j])
    return min(low, smallest(lows)), max(high, largest(highs))
