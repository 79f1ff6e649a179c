"""Functions of a vector that the vision transformer's kernel needs: 2^x, GELU with its slope, and masks of lanes."""

# ruff: noqa: ARG001  # Numba fixes the arguments of an intrinsic

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit
from numba.core import types
from numba.extending import intrinsic

from generate.engine.simd import vector as simd
from generate.engine.simd.vector import _FLOATS, _INTS, LANES, _constant, _lanewise

_absolute: Any = simd.absolute
_copysign: Any = simd.copysign
_splat: Any = simd.splat

_ROUNDER = 1.5 * 2.0**23
# 2^r on [-1/2, 1/2], Cephes' `exp2f`.
_POWERS = (1.535336188e-4, 1.339887440e-3, 9.618437357e-3, 5.550332471e-2, 2.402264791e-1, 6.931472028e-1, 1.0)

LOG2_E = 1.4426950408889634
LN_2 = 0.6931471805599453


def _type_exp2(typing_context: Any, x: Any) -> Any:
    """Declare `exp2`: 2^x within 2 units in the last place for -125 <= x < 128; 2^-125 below, NaN for NaN.

    Adding 1.5 x 2^23 leaves the nearest integer in the low bits of the sum, ready to be added to the exponent.
    """

    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        low = _constant(-125.0)
        safe = builder.select(builder.fcmp_ordered("<", args[0], low), low, args[0])
        shifted = builder.fadd(safe, _constant(_ROUNDER))
        rest = builder.fsub(safe, builder.fsub(shifted, _constant(_ROUNDER)))
        power = _constant(_POWERS[0])
        for coefficient in _POWERS[1:]:
            power = _lanewise(builder, "fmuladd", power, rest, _constant(coefficient), flags=())
        exponent = builder.shl(builder.bitcast(shifted, _INTS), ir.Constant(_INTS, [23] * LANES))
        return builder.bitcast(builder.add(builder.bitcast(power, _INTS), exponent), _FLOATS)

    return x(x), emit


exp2: Any = intrinsic(_type_exp2)


def _type_within(typing_context: Any, x: Any, low: Any, high: Any) -> Any:
    """Declare `within`: an integer whose bit l says whether low <= x <= high in lane l."""

    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        x, low, high = args
        inside = builder.and_(builder.fcmp_ordered(">=", x, low), builder.fcmp_ordered("<=", x, high))
        return builder.zext(builder.bitcast(inside, ir.IntType(LANES)), ir.IntType(64))

    return types.uint64(x, low, high), emit


def _type_keep(typing_context: Any, bits: Any, x: Any) -> Any:
    """Declare `keep`: x in the lanes whose bit is set, else 0."""

    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        lanes = ir.VectorType(ir.IntType(1), LANES)
        mask = builder.bitcast(builder.trunc(args[0], ir.IntType(LANES)), lanes)
        return builder.select(mask, args[1], _constant(0.0))

    return x(types.uint64, x), emit


within: Any = intrinsic(_type_within)
keep: Any = intrinsic(_type_keep)


@njit
def gelu(x: Any) -> Any:
    """Return GELU(x) = x Phi(x) and its derivative Phi(x) + x phi(x), for a vector.

    Phi by formula 7.1.26 of Abramowitz and Stegun, off by at most 7.5e-8.
    """
    bell = exp2(x * x * (-0.5 * LOG2_E))
    t = _splat(1.0) / (_absolute(x) * (0.3275911 * 0.7071067811865476) + 1.0)
    tail = ((((t * 1.061405429 - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t * bell
    below = (_copysign(_splat(1.0) - tail, x) + 1.0) * 0.5
    return x * below, below + x * bell * 0.3989422804014327
