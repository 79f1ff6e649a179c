"""Matrix products for the kernels, from register tiles written in LLVM's vector types.

One form serves a layer's output, the gradient of its input and, from batch-major copies, the gradient of its weights:

    C[r, v] (+)= sum over k of A[r, k] * B[k, v]

where every C[r, v] and B[k, v] is a vector of `LANES` neighbouring floats and every A[r, k] is a scalar. A tile of C
stays in registers over the whole of k: `TILE_ROWS` x `TILE_VECTORS` sums, as many as there are registers for.
"""

# ruff: noqa: ARG001  # Numba fixes the arguments of whatever extends it

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from generate.engine.simd.compile import kernel
from generate.engine.simd.vector import _FLOATS, LANES, _broadcast, _lanewise

_ROW_CHOICES = (6, 4, 2, 1) if LANES == 16 else (4, 2, 1)
_VECTOR_CHOICES = (4, 3, 2, 1) if LANES == 16 else (2, 1)
TILE_ROWS = _ROW_CHOICES[0]
TILE_VECTORS = _VECTOR_CHOICES[0]
DEPTH_BLOCK = 256
"""Values of k between two visits of a tile: the rows of B that they touch stay in the first-level cache."""

Place = tuple[int, int, int]
_unpack_tuple: Any = cgutils.unpack_tuple


@dataclass(frozen=True)
class _Operand:
    """A matrix at code generation: its data, where it begins, and its strides along rows and `depth`, in floats."""

    data: Any
    start: Any
    row: Any
    step: Any


def _emit_tile(builder: Any, factors: tuple[_Operand, _Operand, _Operand], terms: Any, rows: int, vectors: int) -> None:
    """Emit one tile of `rows` x `vectors` sums; `terms` is how many there are and whether they add to the first."""
    C, A, B = factors
    depth, accumulate = terms
    number = C.start.type

    def pointer(data: Any, offset: Any, v: int) -> Any:
        at = builder.add(offset, ir.Constant(number, v * LANES))
        return builder.bitcast(builder.gep(data, [at]), _FLOATS.as_pointer())

    def row_starts(matrix: _Operand) -> list[Any]:
        return [builder.add(matrix.start, builder.mul(matrix.row, ir.Constant(number, r))) for r in range(rows)]

    c_rows, a_rows = row_starts(C), row_starts(A)
    zero = ir.Constant(_FLOATS, [0.0] * LANES)
    # LLVM keeps these stack slots in registers, since their addresses go nowhere else.
    sums = [[cgutils.alloca_once_value(builder, zero) for _ in range(vectors)] for _ in range(rows)]
    places = [(r, v) for r in range(rows) for v in range(vectors)]
    for r, v in places:
        builder.store(zero, sums[r][v])
    with builder.if_then(builder.icmp_signed("!=", accumulate, ir.Constant(number, 0))):
        for r, v in places:
            builder.store(builder.load(pointer(C.data, c_rows[r], v), align=4), sums[r][v])
    with cgutils.for_range(builder, depth, intp=number) as loop:
        b_row = builder.add(B.start, builder.mul(B.step, loop.index))
        a_offset = builder.mul(A.step, loop.index)
        b = [builder.load(pointer(B.data, b_row, v), align=4) for v in range(vectors)]
        for r in range(rows):
            a = _broadcast(builder, builder.load(builder.gep(A.data, [builder.add(a_rows[r], a_offset)])))
            for v in range(vectors):
                total = _lanewise(builder, "fmuladd", a, b[v], builder.load(sums[r][v]), flags=())
                builder.store(total, sums[r][v])
    for r, v in places:
        builder.store(builder.load(sums[r][v]), pointer(C.data, c_rows[r], v), align=4)


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
        arrays = [context.make_array(call.args[i])(context, builder, args[i]).data for i in range(3)]
        places = [_unpack_tuple(builder, place, 3) for place in args[3:6]]
        C, A, B = (_Operand(data, *place) for data, place in zip(arrays, places, strict=True))
        depth_and_accumulate, (rows, vectors) = (_unpack_tuple(builder, pair, 2) for pair in args[6:])

        def columns(r: int) -> None:
            _choose(
                builder,
                vectors,
                _VECTOR_CHOICES,
                lambda v: _emit_tile(builder, (C, A, B), depth_and_accumulate, r, v),
            )

        _choose(builder, rows, _ROW_CHOICES, columns)
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
_FLOATS32, _TRIPLE = types.float32[::1], _types.UniTuple(types.int64, 3)


@kernel(types.void(_FLOATS32, _FLOATS32, _FLOATS32, _TRIPLE, _TRIPLE, _TRIPLE, _TRIPLE))
def multiply(C: Any, A: Any, B: Any, c_place: Place, a_place: Place, b_place: Place, shape: Place) -> None:
    """Write C = A B, where C is [rows, vectors x LANES], A [rows, depth] and B [depth, vectors x LANES].

    Args:
        C: contiguous float32, like the others. Columns of C and B are neighbours.
        A: likewise.
        B: likewise.
        c_place: where the matrix begins in C, its stride from row to row, and 0; in floats, like the others.
        a_place: the same of A, with its stride along `depth` last.
        b_place: the same of B, with 0 as the stride of rows.
        shape: rows, vectors, depth.
    """
    c_start, c_row, _ = c_place
    a_start, a_row, a_step = a_place
    b_start, _, b_step = b_place
    rows, vectors, depth = shape
    for k in range(0, depth, DEPTH_BLOCK):
        terms = (min(DEPTH_BLOCK, depth - k), int(k > 0))
        v = 0
        while v < vectors:
            wide = tile_vectors(vectors - v)
            b_at = (b_start + k * b_step + v * LANES, 0, b_step)
            r = 0
            while r < rows:
                high = tile_rows(rows - r)
                c_at = (c_start + r * c_row + v * LANES, c_row, 0)
                tile(C, A, B, c_at, (a_start + r * a_row + k * a_step, a_row, a_step), b_at, terms, (high, wide))
                r += high
            v += wide
