"""Register tiles for Numba kernels: tuples of vectors whose length is known when the kernel is compiled.

The innermost loops of a matrix product keep a tile of accumulators in registers. Here the tile is a tuple, each
function below unrolls over its length, and so one loop serves every tile size: pass a tuple of that length, such as
`(0,) * 8`, as `like`.
"""

# ruff: noqa: ARG001  # Numba fixes the arguments of whatever extends it

from __future__ import annotations

from typing import Any

from numba.core import cgutils, types
from numba.extending import intrinsic

from generate.engine.simd.vector import (
    _FLAGS,
    _FLOAT,
    _FLOATS,
    _broadcast,
    _constant,
    _emit_maximum,
    _emit_minimum,
    _lanewise,
    _pointer,
    vector,
)

_pack_array: Any = cgutils.pack_array
_unpack_tuple: Any = cgutils.unpack_tuple


def _rows_type(count: int) -> Any:
    tuple_type: Any = types.UniTuple  # type: ignore[attr-defined]  # Numba binds it at run time
    return tuple_type(vector, count)


def _step(context: Any, builder: Any, index: Any, stride: Any, count: int) -> Any:
    """Return the LLVM value index + count * stride."""
    return builder.add(index, builder.mul(stride, context.get_constant(types.intp, count)))


def _load_vector(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    return builder.load(_pointer(context, builder, kind, array, index, _FLOATS), align=4)


def _load_everywhere(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    value = builder.load(_pointer(context, builder, kind, array, index, _FLOAT), align=4)
    return _broadcast(builder, value)


@intrinsic
def zero_tile(typing_context: Any, rows: Any, columns: Any) -> Any:
    """Return len(rows) * len(columns) zero vectors."""

    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        return _pack_array(builder, [_constant(0)] * call.return_type.count)

    return _rows_type(len(rows) * len(columns))(rows, columns), emit


@intrinsic
def spread_tile(typing_context: Any, array: Any, index: Any, rows: Any, columns: Any) -> Any:
    """Return a tile whose row i holds `array[index + i]` in every lane of its len(columns) vectors."""
    height, width = len(rows), len(columns)

    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        starts = [_step(context, builder, args[1], context.get_constant(types.intp, 1), i) for i in range(height)]
        numbers = [_load_everywhere(context, builder, call.args[0], args[0], start) for start in starts]
        return _pack_array(builder, [number for number in numbers for _ in range(width)])

    return _rows_type(height * width)(array, types.intp, rows, columns), emit


@intrinsic
def load_rows(typing_context: Any, array: Any, index: Any, stride: Any, like: Any) -> Any:
    """Return vectors from `array[index + i * stride]` on, i < len(like)."""

    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        array, index, stride, _ = args
        starts = [_step(context, builder, index, stride, i) for i in range(call.return_type.count)]
        return _pack_array(builder, [_load_vector(context, builder, call.args[0], array, start) for start in starts])

    return _rows_type(len(like))(array, types.intp, types.intp, like), emit


@intrinsic
def load_tile(
    typing_context: Any, array: Any, index: Any, row_stride: Any, column_stride: Any, rows: Any, columns: Any
) -> Any:
    """Return a tile with element i * len(columns) + j from index + i * row_stride + j * column_stride of `array` on."""
    height, width = len(rows), len(columns)

    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        array, index, row_stride, column_stride, *_ = args
        tile = []
        for number in range(height * width):
            start = _step(context, builder, index, row_stride, number // width)
            start = _step(context, builder, start, column_stride, number % width)
            tile.append(_load_vector(context, builder, call.args[0], array, start))
        return _pack_array(builder, tile)

    return _rows_type(height * width)(array, types.intp, types.intp, types.intp, rows, columns), emit


@intrinsic
def store_rows(typing_context: Any, array: Any, index: Any, stride: Any, rows: Any) -> Any:
    """Write vector i of `rows` to `array` from index + i * stride on."""

    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        array, index, stride, rows = args
        for i, row in enumerate(_unpack_tuple(builder, rows)):
            start = _step(context, builder, index, stride, i)
            builder.store(row, _pointer(context, builder, call.args[0], array, start, _FLOATS), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, rows), emit


@intrinsic
def store_tile(
    typing_context: Any, array: Any, index: Any, row_stride: Any, column_stride: Any, columns: Any, tile: Any
) -> Any:
    """Write element i * len(columns) + j of a tile to `array` from index + i * row_stride + j * column_stride on."""
    width = len(columns)

    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        array, index, row_stride, column_stride, _, tile = args
        for number, value in enumerate(_unpack_tuple(builder, tile)):
            start = _step(context, builder, index, row_stride, number // width)
            start = _step(context, builder, start, column_stride, number % width)
            builder.store(value, _pointer(context, builder, call.args[0], array, start, _FLOATS), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, types.intp, columns, tile), emit


@intrinsic
def round_rows(typing_context: Any, rows: Any, inverse: Any, scale: Any, highest: Any) -> Any:
    """Return min(round(row * inverse), highest) * scale of every vector; ties to even, NaN stays."""

    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        rows, *numbers = args
        inverse, scale, highest = (_broadcast(builder, number) for number in numbers)
        levels = [_lanewise(builder, "rint", builder.fmul(row, inverse)) for row in _unpack_tuple(builder, rows)]
        bounded = [_emit_minimum(builder, highest, level) for level in levels]
        return _pack_array(builder, [builder.fmul(level, scale) for level in bounded])

    return rows(rows, types.float32, types.float32, types.float32), emit


@intrinsic
def positive_part(typing_context: Any, rows: Any) -> Any:
    """Return max(row, 0) of every vector."""

    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        rows = _unpack_tuple(builder, args[0])
        return _pack_array(builder, [_emit_maximum(builder, _constant(0), row) for row in rows])

    return rows(rows), emit


@intrinsic
def add_scaled(typing_context: Any, tile: Any, array: Any, index: Any, columns: Any) -> Any:
    """Return tile + outer product of the numbers `array[index], array[index + 1], ...` and the vectors `columns`.

    Tile element i * len(columns) + j grows by array[index + i] * columns[j].
    """

    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        tile, array, index, columns = args
        sums, columns = _unpack_tuple(builder, tile), _unpack_tuple(builder, columns)
        one = context.get_constant(types.intp, 1)
        for i in range(len(sums) // len(columns)):
            number = _load_everywhere(context, builder, call.args[1], array, _step(context, builder, index, one, i))
            for j, column in enumerate(columns, start=i * len(columns)):
                sums[j] = _lanewise(builder, "fmuladd", number, column, sums[j])
        return _pack_array(builder, sums)

    return tile(tile, array, types.intp, columns), emit


@intrinsic
def add_products(typing_context: Any, tile: Any, array: Any, index: Any, stride: Any, columns: Any) -> Any:
    """Return tile + outer product, lane by lane, of vectors loaded from `array` and the vectors `columns`.

    Tile element i * len(columns) + j grows by array[index + i * stride :] * columns[j].
    """

    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        tile, array, index, stride, columns = args
        sums, columns = _unpack_tuple(builder, tile), _unpack_tuple(builder, columns)
        for i in range(len(sums) // len(columns)):
            row = _load_vector(context, builder, call.args[1], array, _step(context, builder, index, stride, i))
            for j, column in enumerate(columns, start=i * len(columns)):
                sums[j] = _lanewise(builder, "fmuladd", row, column, sums[j])
        return _pack_array(builder, sums)

    return tile(tile, array, types.intp, types.intp, columns), emit


@intrinsic
def combine(typing_context: Any, array: Any, index: Any, rows: Any) -> Any:
    """Return the sum over i of `array[index + i]` * rows[i], a vector. Added up in two halves: half the wait."""

    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        array, index, rows = args
        one = context.get_constant(types.intp, 1)
        halves = [_constant(0), _constant(0)]
        for i, row in enumerate(_unpack_tuple(builder, rows)):
            number = _load_everywhere(context, builder, call.args[0], array, _step(context, builder, index, one, i))
            halves[i % 2] = _lanewise(builder, "fmuladd", number, row, halves[i % 2])
        return builder.fadd(*halves, flags=_FLAGS)

    return vector(array, types.intp, rows), emit
