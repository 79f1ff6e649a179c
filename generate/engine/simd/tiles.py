"""Register tiles for Numba kernels: tuples of vectors whose length is known when the kernel is compiled.

The innermost loops of a matrix product keep a tile of accumulators in registers. Here the tile is a tuple, each
function below unrolls over its length, and so one loop serves every tile size: pass a tuple of that length, such as
`(0,) * 8`, as `like`.
"""

# ruff: noqa: ARG001  # Numba fixes the arguments of whatever extends it

from __future__ import annotations

from itertools import chain
from typing import Any

from numba.core import cgutils, types
from numba.extending import intrinsic

from generate.engine.simd.blocks import INDEX, Block, Matrix, add_outer, data_of
from generate.engine.simd.vector import (
    _FLAGS,
    _broadcast,
    _constant,
    _emit_maximum,
    _emit_minimum,
    _lanewise,
    vector,
)

_pack_array: Any = cgutils.pack_array
_unpack_tuple: Any = cgutils.unpack_tuple
_CORNER = (INDEX(0), INDEX(0))


def _rows_type(count: int) -> Any:
    tuple_type: Any = types.UniTuple  # type: ignore[attr-defined]  # Numba binds it at run time
    return tuple_type(vector, count)


def _pack(builder: Any, block: Block) -> Any:
    return _pack_array(builder, list(chain.from_iterable(block)))


def _unpack(builder: Any, tile: Any, width: int) -> Block:
    vectors = _unpack_tuple(builder, tile)
    return [vectors[first : first + width] for first in range(0, len(vectors), width)]


def _numbers(builder: Any, data: Any, index: Any) -> Matrix:
    """Return a column of neighbouring floats that begins at `index`."""
    return Matrix(builder, data, (index, INDEX(1), INDEX(0)), vectors=False)


def _outer(builder: Any, tile: Any, rows: Matrix, columns: Any) -> Any:
    """Return a tile plus the outer product of the first column of `rows` and a tuple of vectors."""
    across = _unpack_tuple(builder, columns)
    sums = _unpack(builder, tile, len(across))
    # One row is loaded at a time: all at once would take registers from the sums.
    values = (rows.at(pointer) for (pointer,) in rows.pointers(_CORNER, (len(sums), 1)))
    return _pack(builder, add_outer(builder, sums, values, across))


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
        numbers = _numbers(builder, data_of(context, builder, call, args, 0), args[1])
        return _pack(builder, [line * width for line in numbers.load(_CORNER, (height, 1))])

    return _rows_type(height * width)(array, types.intp, rows, columns), emit


@intrinsic
def load_rows(typing_context: Any, array: Any, index: Any, stride: Any, like: Any) -> Any:
    """Return vectors from `array[index + i * stride]` on, i < len(like)."""
    height = len(like)

    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        rows = Matrix(builder, data_of(context, builder, call, args, 0), (*args[1:3], INDEX(0)))
        return _pack(builder, rows.load(_CORNER, (height, 1)))

    return _rows_type(height)(array, types.intp, types.intp, like), emit


@intrinsic
def load_tile(
    typing_context: Any, array: Any, index: Any, row_stride: Any, column_stride: Any, rows: Any, columns: Any
) -> Any:
    """Return a tile with element i * len(columns) + j from index + i * row_stride + j * column_stride of `array` on."""
    height, width = len(rows), len(columns)

    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        matrix = Matrix(builder, data_of(context, builder, call, args, 0), args[1:4])
        return _pack(builder, matrix.load(_CORNER, (height, width)))

    return _rows_type(height * width)(array, types.intp, types.intp, types.intp, rows, columns), emit


@intrinsic
def store_rows(typing_context: Any, array: Any, index: Any, stride: Any, rows: Any) -> Any:
    """Write vector i of `rows` to `array` from index + i * stride on."""

    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        matrix = Matrix(builder, data_of(context, builder, call, args, 0), (*args[1:3], INDEX(0)))
        matrix.store(_CORNER, _unpack(builder, args[3], 1))
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, rows), emit


@intrinsic
def store_tile(
    typing_context: Any, array: Any, index: Any, row_stride: Any, column_stride: Any, columns: Any, tile: Any
) -> Any:
    """Write element i * len(columns) + j of a tile to `array` from index + i * row_stride + j * column_stride on."""
    width = len(columns)

    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        matrix = Matrix(builder, data_of(context, builder, call, args, 0), args[1:4])
        matrix.store(_CORNER, _unpack(builder, args[5], width))
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
        numbers = _numbers(builder, data_of(context, builder, call, args, 1), args[2])
        return _outer(builder, args[0], numbers, args[3])

    return tile(tile, array, types.intp, columns), emit


@intrinsic
def add_products(typing_context: Any, tile: Any, array: Any, index: Any, stride: Any, columns: Any) -> Any:
    """Return tile + outer product, lane by lane, of vectors loaded from `array` and the vectors `columns`.

    Tile element i * len(columns) + j grows by array[index + i * stride :] * columns[j].
    """

    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        rows = Matrix(builder, data_of(context, builder, call, args, 1), (*args[2:4], INDEX(0)))
        return _outer(builder, args[0], rows, args[4])

    return tile(tile, array, types.intp, types.intp, columns), emit


@intrinsic
def combine(typing_context: Any, array: Any, index: Any, rows: Any) -> Any:
    """Return the sum over i of `array[index + i]` * rows[i], a vector. Added up in two halves: half the wait."""

    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        rows = _unpack_tuple(builder, args[2])
        numbers = _numbers(builder, data_of(context, builder, call, args, 0), args[1])
        halves = [_constant(0), _constant(0)]
        for i, (number, row) in enumerate(zip(chain(*numbers.load(_CORNER, (len(rows), 1))), rows, strict=True)):
            halves[i % 2] = _lanewise(builder, "fmuladd", number, row, halves[i % 2])
        return builder.fadd(*halves, flags=_FLAGS)

    return vector(array, types.intp, rows), emit
