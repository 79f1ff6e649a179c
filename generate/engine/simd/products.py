"""Matrix products for the kernels, from register tiles written in LLVM's vector types.

One form serves a layer's output, the gradient of its input and, from batch-major copies, the gradient of its weights:

    C[r, v] (+)= sum over k of A[r, k] * B[k, v]

where every C[r, v] and B[k, v] is a vector of `LANES` neighbouring floats and every A[r, k] is a scalar. A tile of C
stays in registers over the whole of k: `TILE_ROWS` x `TILE_VECTORS` sums, as many as there are registers for.
"""

# ruff: noqa: ARG001  # Numba fixes the arguments of whatever extends it

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from generate.engine.simd.blocks import INDEX, Matrix, add_product, data_of, load_if
from generate.engine.simd.compile import kernel
from generate.engine.simd.vector import LANES

_ROW_CHOICES = (6, 4, 2, 1) if LANES == 16 else (4, 2, 1)
_VECTOR_CHOICES = (4, 3, 2, 1) if LANES == 16 else (2, 1)
TILE_ROWS = _ROW_CHOICES[0]
TILE_VECTORS = _VECTOR_CHOICES[0]
DEPTH_BLOCK = 256
"""Values of k between two visits of a tile: the rows of B that they touch stay in the first-level cache."""

_unpack_tuple: Any = cgutils.unpack_tuple


def _choose(builder: Any, value: Any, choices: Sequence[int], emit: Callable[[int], None]) -> None:
    """Emit a switch over the numbers that `value` may be; with any other nothing is done."""
    done = builder.append_basic_block("done")
    switch = builder.switch(value, done)
    for choice in choices:
        block = builder.append_basic_block(f"is.{choice}")
        switch.add_case(ir.Constant(value.type, choice), block)
        builder.position_at_end(block)
        emit(choice)
        builder.branch(done)
    builder.position_at_end(done)


@intrinsic
def tile(
    typing_context: Any, C: Any, A: Any, B: Any, c_place: Any, a_place: Any, b_place: Any, terms: Any, size: Any
) -> Any:
    """Compute one tile of a product: C, A and B are arrays, whose places are as in `multiply`.

    `terms` is (depth, accumulate): 1 to add to C, 0 to overwrite it. `size` is (rows, vectors): one of `_ROW_CHOICES`,
    one of `_VECTOR_CHOICES`; with any other nothing is computed.
    """

    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        C, A, B = (data_of(context, builder, call, args, position) for position in range(3))
        c_place, b_place = (_unpack_tuple(builder, args[i], 2) for i in (3, 5))
        (depth, accumulate), (rows, vectors) = (_unpack_tuple(builder, pair, 2) for pair in args[6:])
        out = Matrix(builder, C, (*c_place, INDEX(LANES)))
        factors = (
            Matrix(builder, A, _unpack_tuple(builder, args[4], 3), vectors=False),
            Matrix(builder, B, (*b_place, INDEX(LANES))),
        )
        adds, corner = builder.icmp_signed("!=", accumulate, INDEX(0)), (INDEX(0), INDEX(0))

        def emit_tile(height: int, width: int) -> None:
            sums = load_if(adds, out, corner, (height, width))
            out.store(corner, add_product(builder, sums, factors, corner, depth))

        def choose_width(height: int) -> None:
            _choose(builder, vectors, _VECTOR_CHOICES, lambda width: emit_tile(height, width))

        _choose(builder, rows, _ROW_CHOICES, choose_width)
        return context.get_dummy_value()

    return types.void(C, A, B, c_place, a_place, b_place, terms, size), emit


@kernel("int64(int64)")
def tile_rows(left: int) -> int:
    """Return how many rows the next tile takes of the `left` ones that remain."""
    for rows in _ROW_CHOICES:
        if left >= rows:
            return rows
    return 1


@kernel("int64(int64)")
def tile_vectors(left: int) -> int:
    """Return how many vectors the next tile takes of the `left` ones that remain.

    Tiles of three instead of four where that spares a tile of one, which would wait for its own sums.
    """
    if TILE_VECTORS == 4 and left in (5, 6, 9):
        return 3
    return min(left, TILE_VECTORS)


_types: Any = types
_FLOATS32: Any = types.float32[::1]
_PAIR, _TRIPLE = (_types.UniTuple(types.int64, count) for count in (2, 3))


@kernel(types.void(_FLOATS32, _FLOATS32, _FLOATS32, _PAIR, _TRIPLE, _PAIR, _TRIPLE))
def multiply(
    C: Any,
    A: Any,
    B: Any,
    c_place: tuple[int, int],
    a_place: tuple[int, int, int],
    b_place: tuple[int, int],
    shape: tuple[int, int, int],
) -> None:
    """Write C = A B, where C is [rows, vectors x LANES], A [rows, depth] and B [depth, vectors x LANES].

    Args:
        C: contiguous float32, like the others. Columns of C and B are neighbours.
        A: likewise.
        B: likewise.
        c_place: where the matrix begins in C, and its stride from row to row; in floats, like the others.
        a_place: the same of A, with its stride from column to column last.
        b_place: the same of B as of C.
        shape: rows, vectors, depth; none is 0.
    """
    c_start, c_row = c_place
    a_start, a_row, a_column = a_place
    b_start, b_row = b_place
    rows, vectors, depth = shape
    for k in range(0, depth, DEPTH_BLOCK):
        terms = (min(DEPTH_BLOCK, depth - k), int(k > 0))
        v = 0
        while v < vectors:
            wide = tile_vectors(vectors - v)
            b_at = (b_start + k * b_row + v * LANES, b_row)
            r = 0
            while r < rows:
                high = tile_rows(rows - r)
                c_at = (c_start + r * c_row + v * LANES, c_row)
                a_at = (a_start + r * a_row + k * a_column, a_row, a_column)
                tile(C, A, B, c_at, a_at, b_at, terms, (high, wide))
                r += high
            v += wide
