"""An explicit SIMD vector type for Numba: `LANES` float32 values in one register.

Numba vectorises loops only where LLVM proves that arrays do not overlap, and keeps no accumulators in registers across
inner loops. Code that loads, computes with and stores `vector` values says both. A vector lives inside compiled
functions only: `a + b`, `a - b`, `a * b`, `a / b` (either side may be a float), `-a`, and the functions below. Products
and sums are fused where the machine can; NaN and infinity behave as in IEEE arithmetic.

Array arguments are C-contiguous float32; an index counts elements and is neither checked nor wrapped.
"""

# ruff: noqa: ARG001, ARG002, ARG005  # Numba fixes the arguments of whatever extends it

from __future__ import annotations

import operator
import platform
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.registry import cpu_target
from numba.core.typing import templates
from numba.extending import intrinsic, lower_builtin, models, register_model

Emitter = Callable[..., Any]


def lanes_for(features: str) -> int:
    """Return how many float32 values one register holds, given LLVM's feature list such as `"+avx2,-avx512f"`."""
    present = set(features.split(","))
    if "+avx512f" in present:
        return 16
    return 8 if "+avx2" in present else 4


# Numba's hooks for new types, of which only a few are annotated.
_infer_global: Any = templates.infer_global
_lower_builtin: Any = lower_builtin
_get_or_insert_function: Any = cgutils.get_or_insert_function

# What Numba compiles for: the host, or what NUMBA_CPU_NAME and NUMBA_CPU_FEATURES say. Both are part of its cache key.
LANES = lanes_for(cpu_target.target_context.codegen().magic_tuple()[2])
# Vector registers of the machine: AVX-512 and ARM have 32, SSE and AVX2 16.
REGISTERS = 32 if LANES == 16 or platform.machine() in {"aarch64", "arm64"} else 16

_FLOAT = ir.FloatType()
_INT = ir.IntType(32)
_FLOATS = ir.VectorType(_FLOAT, LANES)
_INTS = ir.VectorType(_INT, LANES)
# No `nnan` and `ninf`: a diverged model must show NaN. No `reassoc`: kernels choose their accumulators.
_FLAGS = ("contract", "nsz")


class VectorType(types.Type):
    """Numba's type of a vector."""


_new_type: Any = VectorType
vector = _new_type(f"vector{LANES}")


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, numba_type: Any) -> None:
        initialise: Any = super().__init__
        initialise(manager, numba_type, _FLOATS)


def _constant(value: float) -> Any:
    return ir.Constant(_FLOATS, [float(value)] * LANES)


def _broadcast(builder: Any, scalar: Any) -> Any:
    undefined = ir.Constant(_FLOATS, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_INTS, [0] * LANES))


def _as_vector(context: Any, builder: Any, value: Any, numba_type: Any) -> Any:
    if isinstance(numba_type, VectorType):
        return value
    return _broadcast(builder, context.cast(builder, value, numba_type, types.float32))


def _define_operator(function: Callable[..., Any], instruction: str) -> None:
    class Template(templates.AbstractTemplate):
        def generic(self, args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
            """Return the signature if one side is a vector and the other a vector or a float."""
            vectors = [isinstance(argument, VectorType) for argument in args]
            floats = [isinstance(argument, types.Float) for argument in args]
            if len(args) == 2 and any(vectors) and all(v or f for v, f in zip(vectors, floats, strict=True)):
                return vector(*args)
            return None

    def lower(context: Any, builder: Any, call: Any, args: Any) -> Any:
        operands = [_as_vector(context, builder, value, kind) for value, kind in zip(args, call.args, strict=True)]
        return getattr(builder, instruction)(*operands, flags=_FLAGS)

    _infer_global(function)(Template)
    for operands in ((VectorType, VectorType), (VectorType, types.Float), (types.Float, VectorType)):
        _lower_builtin(function, *operands)(lower)


for _function, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _define_operator(_function, _instruction)


@_infer_global(operator.neg)
class _Negation(templates.AbstractTemplate):
    def generic(self, args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        return vector(*args) if isinstance(args[0], VectorType) else None


def _negate(context: Any, builder: Any, call: Any, args: Any) -> Any:
    return builder.fneg(args[0], flags=_FLAGS)


_lower_builtin(operator.neg, VectorType)(_negate)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any, target: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), target.as_pointer())


def _llvm(builder: Any, name: str, result: Any, args: list[Any], flags: tuple[str, ...] = _FLAGS) -> Any:
    kind = ir.FunctionType(result, [argument.type for argument in args])
    return builder.call(_get_or_insert_function(builder.module, kind, name), args, fastmath=flags)


def _lanewise(builder: Any, name: str, *args: Any, flags: tuple[str, ...] = _FLAGS) -> Any:
    return _llvm(builder, f"llvm.{name}.v{LANES}f32", _FLOATS, list(args), flags)


def _unary(emit: Emitter, result: Any = vector) -> Any:
    def declare(typing_context: Any, x: Any) -> Any:
        return result(vector), lambda context, builder, call, args: emit(builder, *args)

    return intrinsic(declare)


def _binary(emit: Emitter) -> Any:
    def declare(typing_context: Any, x: Any, y: Any) -> Any:
        return vector(vector, vector), lambda context, builder, call, args: emit(builder, *args)

    return intrinsic(declare)


def _horizontal(operation: str, result: Any = types.float32, *start: float) -> Any:
    def emit(builder: Any, x: Any) -> Any:
        initial = [ir.Constant(_FLOAT, value) for value in start]
        # `reassoc` lets the sum be a tree of shuffles; without it lanes are added one after the other.
        return _llvm(builder, f"llvm.vector.reduce.{operation}.v{LANES}f32", _FLOAT, [*initial, x], ("reassoc",))

    return _unary(emit, result)


@intrinsic
def load(typing_context: Any, array: Any, index: Any) -> Any:
    """Return the vector `array[index : index + LANES]`."""

    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        return builder.load(_pointer(context, builder, call.args[0], args[0], args[1], _FLOATS), align=4)

    return vector(array, types.intp), emit


@intrinsic
def store(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
    """Write a vector to `array[index : index + LANES]`."""

    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        array, index, value = args
        builder.store(value, _pointer(context, builder, call.args[0], array, index, _FLOATS), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), emit


@intrinsic
def broadcast(typing_context: Any, array: Any, index: Any) -> Any:
    """Return a vector that holds `array[index]` in every lane; cheaper than indexing, which may wrap."""

    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        return _broadcast(
            builder, builder.load(_pointer(context, builder, call.args[0], args[0], args[1], _FLOAT), align=4)
        )

    return vector(array, types.intp), emit


@intrinsic
def splat(typing_context: Any, value: Any) -> Any:
    """Return a vector that holds the number `value` in every lane."""

    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        return _broadcast(builder, context.cast(builder, args[0], call.args[0], types.float32))

    return vector(value), emit


@intrinsic
def where_greater(typing_context: Any, a: Any, b: Any, x: Any, y: Any) -> Any:
    """Return x where a > b, else y, lane by lane."""

    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        a, b, x, y = args
        return builder.select(builder.fcmp_ordered(">", a, b), x, y)

    return vector(vector, vector, vector, vector), emit


@intrinsic
def keep_apart(typing_context: Any) -> Any:
    """Forbid LLVM to inline the function this is called in: large kernels compile several times faster in parts."""

    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), emit


def _emit_where_positive(builder: Any, a: Any, x: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", a, _constant(0)), x, _constant(0))


def _emit_maximum(builder: Any, x: Any, y: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", x, y), x, y)


def _emit_minimum(builder: Any, x: Any, y: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", x, y), x, y)


def _emit_exp(builder: Any, x: Any) -> Any:
    """Emit exp(x) = 2^n exp(r), |r| <= ln(2) / 2, the latter by the polynomial of Cephes' `expf`."""
    below = builder.fcmp_ordered("<", x, _constant(-87))
    above = builder.fcmp_ordered(">", x, _constant(88.3))
    safe = builder.select(below, _constant(-87), builder.select(above, _constant(88.3), x))
    n = _lanewise(builder, "rint", builder.fmul(safe, _constant(1.44269504)))
    r = _lanewise(builder, "fmuladd", n, _constant(-0.693359375), safe)
    r = _lanewise(builder, "fmuladd", n, _constant(2.12194440e-4), r)
    p = _constant(1.9875691500e-4)
    for c in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        p = _lanewise(builder, "fmuladd", p, r, _constant(c))
    p = builder.fadd(_lanewise(builder, "fmuladd", builder.fmul(p, r), r, r), _constant(1))
    biased = builder.add(builder.fptosi(n, _INTS), ir.Constant(_INTS, [127] * LANES))
    power = builder.bitcast(builder.shl(biased, ir.Constant(_INTS, [23] * LANES)), _FLOATS)
    finite = builder.select(below, _constant(0), builder.fmul(p, power))
    result = builder.select(above, _constant(float("inf")), finite)
    return builder.select(builder.fcmp_unordered("uno", x, x), x, result)


maximum = _binary(_emit_maximum)
"""The larger of x and y in every lane; y where either is NaN."""
minimum = _binary(_emit_minimum)
"""The smaller of x and y in every lane; y where either is NaN."""
where_positive = _binary(_emit_where_positive)
"""`where_positive(a, x)`: x where a > 0, else 0."""
copysign = _binary(lambda builder, x, y: _lanewise(builder, "copysign", x, y))
"""`copysign(x, y)`: |x| with the sign of y."""
sqrt = _unary(lambda builder, x: _lanewise(builder, "sqrt", x))
"""Square root, correctly rounded."""
absolute = _unary(lambda builder, x: _lanewise(builder, "fabs", x))
"""Absolute value."""
round_even = _unary(lambda builder, x: _lanewise(builder, "rint", x))
"""The nearest integer, ties to even, as `torch.round`."""
exp = _unary(_emit_exp)
"""Exponential, within 2 units in the last place for -87 <= x <= 88; 0 below, infinity above 88.3."""
total = _horizontal("fadd", types.float32, 0.0)
"""Sum of the lanes, a float."""
largest = _horizontal("fmax")
"""Largest lane, a float."""
smallest = _horizontal("fmin")
"""Smallest lane, a float."""
