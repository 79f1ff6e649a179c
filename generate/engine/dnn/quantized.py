"""Fake quantization of fully connected layers: weights before the product, outputs after the ReLU."""

from __future__ import annotations

from typing import Any

import numpy as np

from generate.engine.dnn.layout import BOOL, FLOATS, INPUTS, INT, INTS, OUTPUTS, ROW, STATE, VOID, WEIGHTS, WORK
from generate.engine.quantize.observer import extremes, update_quantizer
from generate.engine.quantize.rows import COLUMNS, FIRST, LAST, SCALE, ZERO_POINT
from generate.engine.quantize.weights import round_weights
from generate.engine.simd.compile import kernel
from generate.engine.simd.vector import (
    LANES,
    load,
    maximum,
    minimum,
    round_even,
    splat,
    store,
    where_greater,
)


@kernel(VOID(STATE, INTS, INT, BOOL))
def quantize_weights(state: Any, layer: Any, quantizer: int, observe: bool) -> None:
    """Write a layer's fake-quantized weights to `state.weights`; observe the weights first if asked to."""
    inputs, row, outputs, start = layer[INPUTS], layer[ROW], layer[OUTPUTS], layer[WEIGHTS]
    parameters = state.parameters
    if observe:
        some = parameters[start]
        low, high = extremes(parameters, start, outputs, row, inputs, some, some)
        update_quantizer(state.quantizers, quantizer, low, high, True)
    round_weights(parameters, start, outputs * row, state.quantizers, quantizer, state.weights)


@kernel(VOID(STATE, WORK, INT, INT, INT, INT, INT, BOOL, BOOL))
def quantize_outputs(
    state: Any, work: Any, at: int, outputs: int, lanes: int, images: int, quantizer: int, relu: bool, observe: bool
) -> None:
    """Fake-quantize a layer's outputs in place and note in `work.gate` where a gradient passes.

    It passes where the value was not clipped and, with `relu`, was positive. Lanes behind the last image are not
    observed.
    """
    hidden, gate = work.hidden, work.gate
    if observe:
        low, high = extremes(hidden, at, outputs, lanes, images, hidden[at], hidden[at])
        update_quantizer(state.quantizers, quantizer, low, high, False)
    scale = state.quantizers[quantizer * COLUMNS + SCALE]
    zero = splat(state.quantizers[quantizer * COLUMNS + ZERO_POINT])
    lowest, highest = state.quantizers[quantizer * COLUMNS + FIRST], state.quantizers[quantizer * COLUMNS + LAST]
    inverse, first, last = splat(np.float32(1) / scale), splat(lowest), splat(highest)
    nothing, passes = splat(np.float32(0)), splat(np.float32(1))
    for b in range(at, at + outputs * lanes, LANES):
        value = load(hidden, b)
        level = round_even(value * inverse) + zero
        inside = where_greater(level, last, nothing, where_greater(first, level, nothing, passes))
        store(gate, b, where_greater(value, nothing, inside, nothing) if relu else inside)
        store(hidden, b, (minimum(last, maximum(first, level)) - zero) * scale)


@kernel(VOID(FLOATS, INT, FLOATS, INT))
def pass_gate(gate: Any, at: int, gradient: Any, floats: int) -> None:
    """Multiply a gradient by the gate that begins at `at`."""
    for j in range(0, floats, LANES):
        store(gradient, j, load(gradient, j) * load(gate, at + j))
