"""Adam (Kingma and Ba, 2015), arranged as in `torch.optim.Adam`, for the kernels of every family.

Each family rounds in an order of its own: what is fused, and whether 1 - beta is taken before or after rounding to
float32. The orders differ in the last place only, but trainings amplify that, and stored results must come out again
bit by bit: so every family keeps its order. All are held to PyTorch's optimiser in the tests.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import typeof, types

from generate.engine.simd.compile import kernel, part
from generate.engine.simd.vector import LANES, load, sqrt, store
from generate.protocol import Training


class Adam(NamedTuple):
    """One step's settings, float32, t being the number of the step, from 1.

    `rest1` and `rest2` are 1 - beta1 and 1 - beta2, `keep2` is beta2, `rate` lr / (1 - beta1^t), `correction`
    1 / sqrt(1 - beta2^t).
    """

    rest1: np.float32
    keep2: np.float32
    rest2: np.float32
    epsilon: np.float32
    rate: np.float32
    correction: np.float32


ADAM: Any = typeof(Adam(*(np.float32(0),) * len(Adam._fields)))
_FLOATS: Any = types.float32[::1]
_INT: Any = types.int64


def adam_settings(training: Training, step: int, *, round_first: bool = False) -> Adam:
    """Return the settings of a step, counted from 1; with `round_first` the betas are rounded before 1 - beta."""
    beta1, beta2 = training.betas
    if round_first:
        rest1, rest2 = np.float32(1) - np.float32(beta1), np.float32(1) - np.float32(beta2)
    else:
        rest1, rest2 = np.float32(1 - beta1), np.float32(1 - beta2)
    return Adam(
        rest1=rest1,
        keep2=np.float32(beta2),
        rest2=rest2,
        epsilon=np.float32(training.epsilon),
        rate=np.float32(training.learning_rate / (1 - beta1**step)),
        correction=np.float32(1 / math.sqrt(1 - beta2**step)),
    )


@part
def _apply(parameters: Any, at: int, mean: Any, square: Any, adam: Adam) -> None:
    step = mean / (sqrt(square) * adam.correction + adam.epsilon)
    store(parameters, at, load(parameters, at) - step * adam.rate)


@kernel(types.void(_FLOATS, _FLOATS, _FLOATS, _INT, _FLOATS, _INT, ADAM))
def update_by_shares(
    parameters: Any, moments1: Any, moments2: Any, start: int, gradient: Any, floats: int, adam: Adam
) -> None:
    """Take a step for the parameters from `start` on that `gradient` belongs to: v = v x beta2 + g^2 x (1 - beta2).

    `floats` is a number of whole vectors.
    """
    for j in range(0, floats, LANES):
        at = start + j
        g = load(gradient, j)
        m = load(moments1, at)
        m = m + (g - m) * adam.rest1
        v = load(moments2, at) * adam.keep2 + g * g * adam.rest2
        store(moments1, at, m)
        store(moments2, at, v)
        _apply(parameters, at, m, v, adam)


@part
def update_by_difference(
    parameters: Any, moments1: Any, moments2: Any, start: int, gradient: Any, floats: int, adam: Adam
) -> None:
    """Take a step for the parameters from `start` on, `gradient` beginning there too: v = v + (g^2 - v) x (1 - beta2).

    `floats` is a number of whole vectors.
    """
    for at in range(start, start + floats, LANES):
        g = load(gradient, at)
        m, v = load(moments1, at), load(moments2, at)
        m = m + (g - m) * adam.rest1
        v = v + (g * g - v) * adam.rest2
        store(moments1, at, m)
        store(moments2, at, v)
        _apply(parameters, at, m, v, adam)


@kernel("void(float32[::1], float32[::1], float32[::1], float32[::1], int64, float64, float64, float64, float64)")
def update_without_fusing(
    weights: Any,
    gradient: Any,
    mean: Any,
    square: Any,
    step: int,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
) -> None:
    """Take a step for all parameters, nothing fused; `step` counts from 1, `mean` and `square` are the moments."""
    size = np.float32(learning_rate / (1.0 - beta1**step))
    root = np.float32(math.sqrt(1.0 - beta2**step))
    keep1, keep2 = np.float32(1.0 - beta1), np.float32(beta2)
    add2, eps = np.float32(1.0 - beta2), np.float32(epsilon)
    for k in range(len(weights)):
        g = gradient[k]
        m = mean[k] + (g - mean[k]) * keep1
        v = square[k] * keep2 + add2 * g * g
        mean[k] = m
        square[k] = v
        weights[k] -= size * (m / (np.sqrt(v) / root + eps))
