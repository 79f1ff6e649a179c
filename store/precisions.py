"""Precisions that networks are trained in: their names, and the bits of weights and activations."""

from __future__ import annotations

import typing
from typing import Literal, NamedTuple

Precision = Literal["fp32", "int8", "int4", "int2", "w4a8", "w2a8"]

PRECISIONS: tuple[Precision, ...] = typing.get_args(Precision)
"""All of them, fp32 first."""

WEIGHT_BITS, ACTIVATION_BITS = (8, 6, 4), 8
"""Bits of the weights, and of all else, that a network trained in fp32 is quantized to after training."""


class Bits(NamedTuple):
    """Bits of the weights and of the activations.

    Weights of b bits have the levels -2^(b-1) .. 2^(b-1) - 1, symmetric; activations 0 .. 2^b - 1, affine.
    """

    weights: int
    activations: int


_BITS: dict[Precision, Bits] = {
    "int8": Bits(8, 8),
    "int4": Bits(4, 4),
    "int2": Bits(2, 2),
    "w4a8": Bits(4, 8),
    "w2a8": Bits(2, 8),
}

QUANTIZED: tuple[Precision, ...] = tuple(_BITS)
"""Those under fake quantization."""


def bits_of(precision: Precision) -> Bits | None:
    """Return the bits of a precision; None for fp32, which is not quantized.

    Raises:
        KeyError: there is no such precision.
    """
    return None if precision == "fp32" else _BITS[precision]
