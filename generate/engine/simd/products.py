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

Operand = tuple[Any, int, int, int]


@dataclass(frozen=True)
class _Operand:
    """A matrix at code generation: its data, where it begins, and its strides, in floats."""

    data: Any
    start: Any
    row: Any
    step: Any


def _operand(context: Any, builder: Any, kind: Any, value: Any) -> _Operand:
    """Return what a tuple of an array and numbers says of a matrix; the strides that it leaves out are 0."""
    array, *numbers = (builder.extract_value(value, position) for position in range(len(kind)))
    data = context.make_array(kind[0])(context, builder, array).data
    numbers += [ir.Constant(numbers[0].type, 0)] * (3 - len(numbers))
    return _Operand(data, *numbers)


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
def tile(typing_context: Any, C: Any, A: Any, B: Any, depth: Any, accumulate: Any, size: Any) -> Any:
    """Compute one tile of a product.

    C is (array, start, row), A (array, start, row, step), B (array, start, 0, step), see `multiply`. `accumulate` is 1
    to add to C, 0 to overwrite it. `size` is (rows, vectors): one of `_ROW_CHOICES`, one of `_VECTOR_CHOICES`.
    """

    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        c, a, b = (_operand(context, builder, call.args[position], args[position]) for position in range(3))
        rows, vectors = (builder.extract_value(args[5], position) for position in range(2))

        def columns(r: int) -> None:
            _choose(builder, vectors, _VECTOR_CHOICES, lambda v: _emit_tile(builder, (c, a, b), args[3:5], r, v))

        _choose(builder, rows, _ROW_CHOICES, columns)
        return context.get_dummy_value()

    return types.void(C, A, B, types.intp, types.intp, size), emit


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
_PLACE = _types.Tuple((types.float32[::1], *(types.int64,) * 3))


@kernel(types.void(_PLACE, _PLACE, _PLACE, _types.UniTuple(types.int64, 3)))
def multiply(C: Operand, A: Operand, B: Operand, shape: tuple[int, int, int]) -> None:
    """Write C = A B, where C is [rows, vectors x LANES], A [rows, depth] and B [depth, vectors x LANES].

    Args:
        C: contiguous float32 array, where the matrix begins in it, its stride from row to row, and 0.
        A: the same, with its stride along `depth` last.
        B: the same, with 0 as the stride of rows. Columns of C and B are neighbours. All strides count floats.
        shape: rows, vectors, depth.
    """
    c, c_start, c_row, _ = C
    a, a_start, a_row, a_step = A
    b, b_start, _, b_step = B
    rows, vectors, depth = shape
    for k in range(0, depth, DEPTH_BLOCK):
        block = min(DEPTH_BLOCK, depth - k)
        v = 0
        while v < vectors:
            wide = tile_vectors(vectors - v)
            r = 0
            while r < rows:
                high = tile_rows(rows - r)
                tile(
                    (c, c_start + r * c_row + v * LANES, c_row),
                    (a, a_start + r * a_row + k * a_step, a_row, a_step),
                    (b, b_start + k * b_step + v * LANES, 0, b_step),
                    block,
                    int(k > 0),
                    (high, wide),
                )
                r += high
            v += wide
