"""Matrix products for the kernels, from register tiles written in LLVM's vector types.

One form serves a layer's output, the gradient of its input and, from batch-major copies, the gradient of its weights:

    C[r, v] (+)= sum over k of A[r, k] * B[k, v]

where every C[r, v] and B[k, v] is a vector of `LANES` neighbouring floats and every A[r, k] is a scalar. A tile of C
stays in registers over the whole of k: `TILE_ROWS` x `TILE_VECTORS` sums, as many as there are registers for.
"""

# ruff: noqa: ARG001  # Numba fixes the arguments of whatever extends it

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from generate.engine.simd.vector import LANES, kernel

_ROW_CHOICES = (6, 4, 2, 1) if LANES == 16 else (4, 2, 1)
_VECTOR_CHOICES = (4, 3, 2, 1) if LANES == 16 else (2, 1)
TILE_ROWS = _ROW_CHOICES[0]
TILE_VECTORS = _VECTOR_CHOICES[0]
DEPTH_BLOCK = 256
"""Values of k between two visits of a tile: the rows of B that they touch stay in the first-level cache."""

_FLOAT = ir.FloatType()
_INT = ir.IntType(32)
_FLOATS = ir.VectorType(_FLOAT, LANES)


def _emit_tile(context: Any, builder: Any, call: Any, args: Any, rows: int, vectors: int) -> None:
    c_data, a_data, b_data = (context.make_array(call.args[i])(context, builder, args[i]).data for i in (0, 3, 7))
    _, c_start, c_row, _, a_start, a_row, a_step, _, b_start, b_step, depth, accumulate, _, _ = args
    number = c_start.type

    def pointer(data: Any, offset: Any, v: int) -> Any:
        at = builder.add(offset, ir.Constant(number, v * LANES))
        return builder.bitcast(builder.gep(data, [at]), _FLOATS.as_pointer())

    def row_starts(start: Any, stride: Any) -> list[Any]:
        return [builder.add(start, builder.mul(stride, ir.Constant(number, r))) for r in range(rows)]

    c_rows, a_rows = row_starts(c_start, c_row), row_starts(a_start, a_row)
    zero = ir.Constant(_FLOATS, [0.0] * LANES)
    # LLVM keeps these stack slots in registers, since their addresses go nowhere else.
    sums = [[cgutils.alloca_once_value(builder, zero) for _ in range(vectors)] for _ in range(rows)]
    places = [(r, v) for r in range(rows) for v in range(vectors)]
    for r, v in places:
        builder.store(zero, sums[r][v])
    with builder.if_then(builder.icmp_signed("!=", accumulate, ir.Constant(number, 0))):
        for r, v in places:
            builder.store(builder.load(pointer(c_data, c_rows[r], v), align=4), sums[r][v])
    fma = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(_FLOATS, [_FLOATS] * 3), f"llvm.fmuladd.v{LANES}f32"
    )
    undefined = ir.Constant(_FLOATS, ir.Undefined)
    first_lane = ir.Constant(ir.VectorType(_INT, LANES), [0] * LANES)
    with cgutils.for_range(builder, depth, intp=number) as loop:
        b_row = builder.add(b_start, builder.mul(b_step, loop.index))
        a_offset = builder.mul(a_step, loop.index)
        b = [builder.load(pointer(b_data, b_row, v), align=4) for v in range(vectors)]
        for r in range(rows):
            scalar = builder.load(builder.gep(a_data, [builder.add(a_rows[r], a_offset)]))
            lane = builder.insert_element(undefined, scalar, ir.Constant(_INT, 0))
            a = builder.shuffle_vector(lane, undefined, first_lane)
            for v in range(vectors):
                builder.store(builder.call(fma, [a, b[v], builder.load(sums[r][v])]), sums[r][v])
    for r, v in places:
        builder.store(builder.load(sums[r][v]), pointer(c_data, c_rows[r], v), align=4)


@intrinsic
def tile(
    typing_context: Any,
    C: Any,
    c_start: Any,
    c_row: Any,
    A: Any,
    a_start: Any,
    a_row: Any,
    a_step: Any,
    B: Any,
    b_start: Any,
    b_step: Any,
    depth: Any,
    accumulate: Any,
    rows: Any,
    vectors: Any,
) -> Any:
    """Compute one tile of a product; see `multiply` for the arguments.

    `rows` is one of `_ROW_CHOICES`, `vectors` one of `_VECTOR_CHOICES`; with any other nothing is computed.
    `accumulate` is 1 to add to C, 0 to overwrite it.
    """

    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        rows, vectors = args[12], args[13]
        number = rows.type
        shape = builder.add(builder.mul(rows, ir.Constant(number, 8)), vectors)
        done = builder.append_basic_block("tile.done")
        switch = builder.switch(shape, done)
        for r in _ROW_CHOICES:
            for v in _VECTOR_CHOICES:
                block = builder.append_basic_block(f"tile.{r}.{v}")
                switch.add_case(ir.Constant(number, 8 * r + v), block)
                builder.position_at_end(block)
                _emit_tile(context, builder, call, args, r, v)
                builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    index = types.intp
    return types.void(C, index, index, A, *[index] * 3, B, *[index] * 6), emit


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


@kernel(
    "void(float32[::1], int64, int64, float32[::1], int64, int64, int64,"
    " float32[::1], int64, int64, int64, int64, int64)"
)
def multiply(
    C: Any,
    c_start: int,
    c_row: int,
    A: Any,
    a_start: int,
    a_row: int,
    a_step: int,
    B: Any,
    b_start: int,
    b_step: int,
    rows: int,
    vectors: int,
    depth: int,
) -> None:
    """Write C = A B, where C is [rows, vectors x LANES], A [rows, depth] and B [depth, vectors x LANES].

    Each array is contiguous float32; its matrix begins at `_start` and has strides `_row` and `_step` (along `depth`),
    all counted in floats. Columns of C and B are neighbours.
    """
    for k in range(0, depth, DEPTH_BLOCK):
        block = min(DEPTH_BLOCK, depth - k)
        v = 0
        while v < vectors:
            wide = tile_vectors(vectors - v)
            r = 0
            while r < rows:
                high = tile_rows(rows - r)
                tile(
                    C,
                    c_start + r * c_row + v * LANES,
                    c_row,
                    A,
                    a_start + r * a_row + k * a_step,
                    a_row,
                    a_step,
                    B,
                    b_start + k * b_step + v * LANES,
                    b_step,
                    block,
                    int(k > 0),
                    high,
                    wide,
                )
                r += high
            v += wide
