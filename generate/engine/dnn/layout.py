"""How packs of fully connected networks lie in memory, and the types of their kernels' arguments.

Activations are feature-major, [units, lanes], with the batch in the SIMD lanes; `lanes` is the number of images rounded
up to whole vectors. A model's parameters are one stretch of a flat buffer: per layer the weights [outputs, row] with
rows padded by zeros to whole vectors, then the biases, padded likewise. Padding stays zero: its gradient is zero, and
so are Adam's moments of it.

A layer is a row of `layers`, int64 [layers, 5], whose columns are named here. Model m has the rows `first[m]` to
`first[m + 1]`. Layer k's weights have quantizer 1 + 2k, its outputs 2 + 2k; quantizer 0 is that of the input, which all
models share.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import typeof, types

INPUTS, ROW, OUTPUTS, WEIGHTS, BIASES = range(5)
"""Columns of `layers`: inputs, floats in a row of weights, outputs, offset of the weights, offset of the biases."""

Floats = np.ndarray[tuple[int], np.dtype[np.float32]]


class State(NamedTuple):
    """What a pack learns: parameters, Adam's moments, and with quantization the observers.

    `weights` is what the layers multiply by: the parameters themselves, or a buffer for their fake-quantized copy.
    """

    parameters: Floats
    moments1: Floats
    moments2: Floats
    weights: Floats
    quantizers: Floats


class Work(NamedTuple):
    """Working memory, which the models of a pack take turns to use.

    `hidden` holds the activations of all layers of a model and `gate`, with quantization, 1 where a gradient passes;
    `delta` and `below` the gradient of one layer's outputs each (with two rows to spare), `batch_major` one layer's
    activations transposed, `gradient` that of as many rows of weights as are updated at once.
    """

    hidden: Floats
    gate: Floats
    delta: Floats
    below: Floats
    batch_major: Floats
    gradient: Floats


def _argument(kind: Any, example: Any) -> Any:
    return typeof(kind(*(example,) * len(kind._fields)))


VOID, INT, FLOAT, DOUBLE, BOOL = types.void, types.int64, types.float32, types.float64, types.boolean
FLOATS, DOUBLES, INTS = types.float32[::1], types.float64[::1], types.int64[::1]
LAYERS = types.int64[:, ::1]
STATE, WORK = _argument(State, np.zeros(1, np.float32)), _argument(Work, np.zeros(1, np.float32))
