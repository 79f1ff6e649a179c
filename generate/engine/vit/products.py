"""Matrix products over vectors: the arithmetic core of the vision transformer's kernel.

Every element of a matrix is a vector whose lanes are images. A tile keeps up to 4x4 sums in registers (`simd.blocks`).

Places and strides count vectors ("slots") in the workspace and floats in the weights. Slot 0 of the workspace and float
0 of the weights are zero: with strides of 0 they stand for a matrix of zeros.
"""

# ruff: noqa: ARG001  # Numba fixes the arguments of an intrinsic

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import cgutils, types
from numba.extending import intrinsic

from generate.engine.simd.blocks import INDEX, Matrix, add_product, data_of
from generate.engine.simd.compile import kernel
from generate.engine.simd.vector import LANES, REGISTERS, keep_apart
from generate.engine.vit.layout import BOOL, FLOATS, TRIPLE, VOID

# Numba's functions of which the type checker knows too little.
_unpack: Any = cgutils.unpack_tuple
_for_range: Any = cgutils.for_range_slice

# Rows and columns of a tile, largest first: at most 16 sums where there are 32 registers, else 8.
_HEIGHTS = (4, 2, 1)
_WIDTHS = (4, 2, 1) if REGISTERS == 32 else (2, 1)


def _cover(builder: Any, length: Any, sizes: tuple[int, ...], body: Callable[[Any, int], None]) -> None:
    """Emit loops that cover 0 .. length in blocks of these sizes, largest first; the last size is 1."""
    start = INDEX(0)
    for size in sizes:
        whole = builder.mul(builder.udiv(builder.sub(length, start), INDEX(size)), INDEX(size))
        stop = builder.add(start, whole)
        with _for_range(builder, start, stop, INDEX(size), INDEX) as (index, _count):
            body(index, size)
        start = stop


def _multiply(builder: Any, out: Matrix, starts: list[Matrix], factors: tuple[Matrix, Matrix], shape: Any) -> None:
    """Emit out = sum of `starts` + left x right; `shape` is rows, columns and the length of the shared dimension."""
    rows, columns, depth = shape

    def strip(row: Any, height: int) -> None:
        def tile(column: Any, width: int) -> None:
            corner = (row, column)
            sums, *others = (start.load(corner, (height, width)) for start in starts)
            for other in others:
                pairs = zip(sums, other, strict=True)
                sums = [[builder.fadd(x, y) for x, y in zip(*lines, strict=True)] for lines in pairs]
            out.store(corner, add_product(builder, sums, factors, corner, depth))

        _cover(builder, columns, _WIDTHS, tile)

    _cover(builder, rows, _HEIGHTS, strip)


def _slots(builder: Any, data: Any, place: Any) -> Matrix:
    """Return a matrix of vectors in the workspace."""
    return Matrix(builder, data, place, unit=LANES)


@intrinsic
def _emit_product(typing_context: Any, space: Any, accumulate: Any, out: Any, left: Any, right: Any, shape: Any) -> Any:
    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        data = data_of(context, builder, call, args, 0)
        out, left, right, shape = (_unpack(builder, triple, 3) for triple in args[2:])
        start = [builder.select(args[1], place, INDEX(0)) for place in out]
        written, initial, *both = (_slots(builder, data, place) for place in (out, start, left, right))
        _multiply(builder, written, [initial], (both[0], both[1]), shape)
        return context.get_dummy_value()

    return types.void(space, types.boolean, out, left, right, shape), emit


@intrinsic
def _emit_linear(
    typing_context: Any, space: Any, out: Any, start: Any, x: Any, floats: Any, weights: Any, bias: Any, shape: Any
) -> Any:
    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        data, floats = (data_of(context, builder, call, args, position) for position in (0, 4))
        out, start, x = (_slots(builder, data, _unpack(builder, args[i], 3)) for i in (1, 2, 3))
        weights, bias = (Matrix(builder, floats, _unpack(builder, args[i], 3), vectors=False) for i in (5, 6))
        _multiply(builder, out, [start, bias], (x, weights), _unpack(builder, args[7], 3))
        return context.get_dummy_value()

    return types.void(space, out, start, x, floats, weights, bias, shape), emit


@kernel(VOID(FLOATS, BOOL, TRIPLE, TRIPLE, TRIPLE, TRIPLE))
def product(
    space: Any,
    accumulate: bool,
    out: tuple[int, int, int],
    left: tuple[int, int, int],
    right: tuple[int, int, int],
    shape: tuple[int, int, int],
) -> None:
    """Compute out = left x right, or add it to `out`, for matrices of the workspace.

    Args:
        space: the workspace.
        accumulate: add to what `out` holds.
        out: place of the first element, stride of a row, stride of a column.
        left: the same, of the matrix [rows, terms].
        right: the same, of the matrix [terms, columns].
        shape: rows, columns, terms; none is 0.
    """
    keep_apart()
    _emit_product(space, accumulate, out, left, right, shape)


@kernel(VOID(FLOATS, TRIPLE, TRIPLE, TRIPLE, FLOATS, TRIPLE, TRIPLE, TRIPLE))
def linear(
    space: Any,
    out: tuple[int, int, int],
    start: tuple[int, int, int],
    x: tuple[int, int, int],
    floats: Any,
    weights: tuple[int, int, int],
    bias: tuple[int, int, int],
    shape: tuple[int, int, int],
) -> None:
    """Compute out = start + bias + x weights, with the same weights for every image.

    Args:
        space: the workspace, which holds `out`, `start` [rows, columns] and `x` [rows, terms].
        out: place of the first element, stride of a row, stride of a column; so are all other matrices.
        start: what the sums begin with, such as a residual connection.
        x: the input; a row is a token.
        floats: what holds `weights` [terms, columns] and `bias` [rows, columns].
        weights: the weights of the layer, transposed by its strides.
        bias: the bias; a row stride of 0 gives every token the same.
        shape: rows, columns, terms; none is 0.
    """
    keep_apart()
    _emit_linear(space, out, start, x, floats, weights, bias, shape)
