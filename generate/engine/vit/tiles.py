"""Matrix products over vectors, computed in register tiles: the arithmetic core of the vision transformer's kernel.

Every element of a matrix is a vector whose lanes are images. A tile keeps up to 4x4 sums in registers and walks
once along the shared dimension, so that one load serves several multiply-adds. The tiles are written as LLVM code,
because Numba's own loops keep no block of accumulators in registers.

Places and strides count vectors ("slots") in the workspace and floats in the weights. Slot 0 of the workspace and float
0 of the weights are zero: with strides of 0 they stand for a matrix of zeros.
"""

# ruff: noqa: ARG001  # Numba fixes the arguments of an intrinsic

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from generate.engine.simd.compile import kernel
from generate.engine.simd.vector import LANES, REGISTERS, keep_apart
from generate.engine.vit.layout import BOOL, FLOATS, TRIPLE, VOID

# Numba's functions of which the type checker knows too little.
_unpack: Any = cgutils.unpack_tuple
_for_range: Any = cgutils.for_range_slice
_get_function: Any = cgutils.get_or_insert_function

_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_INTS = ir.VectorType(ir.IntType(32), LANES)
_INDEX = ir.IntType(64)

# Rows and columns of a tile, largest first: at most 16 sums where there are 32 registers, else 8.
_HEIGHTS = (4, 2, 1)
_WIDTHS = (4, 2, 1) if REGISTERS == 32 else (2, 1)


@dataclass(frozen=True)
class _Matrix:
    """A matrix at code generation: what it is an array of, where it begins, and its strides, in elements.

    Elements are vectors, or floats that stand for a vector with the same value in every lane.
    """

    builder: Any
    data: Any
    vectors: bool
    origin: Any
    row: Any
    column: Any

    def offset(self, elements: Any) -> Any:
        """Return a number of elements in floats."""
        return self.builder.mul(elements, _INDEX(LANES if self.vectors else 1))

    def pointer(self, row: Any, column: Any) -> Any:
        """Return the address of the element at (row, column)."""
        b = self.builder
        place = b.add(b.add(self.origin, b.mul(row, self.row)), b.mul(column, self.column))
        return b.gep(self.data, [self.offset(place)])

    def load(self, pointer: Any) -> Any:
        """Return the element at an address, as a vector."""
        b = self.builder
        if self.vectors:
            return b.load(b.bitcast(pointer, _FLOATS.as_pointer()), align=4)
        undefined = ir.Constant(_FLOATS, ir.Undefined)
        first = b.insert_element(undefined, b.load(pointer, align=4), ir.Constant(ir.IntType(32), 0))
        return b.shuffle_vector(first, undefined, ir.Constant(_INTS, [0] * LANES))

    def pointers(self, row: Any, column: Any, height: int, width: int) -> list[list[Any]]:
        """Return the addresses of the block of height x width elements at (row, column)."""
        b, corner = self.builder, self.pointer(row, column)
        lines = [b.gep(corner, [self.offset(b.mul(self.row, _INDEX(i)))]) for i in range(height)]
        return [[b.gep(line, [self.offset(b.mul(self.column, _INDEX(j)))]) for j in range(width)] for line in lines]

    def block(self, row: Any, column: Any, height: int, width: int) -> list[list[Any]]:
        """Return the block's elements, loaded."""
        return [[self.load(pointer) for pointer in line] for line in self.pointers(row, column, height, width)]


@dataclass(frozen=True)
class _Walk:
    """A walk along the shared dimension: its first address, `count` elements `across` it, and the stride `along` it."""

    matrix: _Matrix
    start: Any
    count: int
    across: Any
    along: Any

    def values(self, pointer: Any) -> list[Any]:
        """Return the elements across, at one address of the walk."""
        b, matrix = self.matrix.builder, self.matrix
        offsets = [matrix.offset(b.mul(self.across, _INDEX(i))) for i in range(self.count)]
        return [matrix.load(b.gep(pointer, [offset])) for offset in offsets]

    def following(self, pointer: Any) -> Any:
        """Return the next address, by way of an empty piece of assembly that LLVM cannot see through.

        It would otherwise keep an address for each element across and run out of registers.
        """
        b = self.matrix.builder
        kind = ir.FunctionType(pointer.type, [pointer.type])
        return b.asm(kind, "", "=r,0", [b.gep(pointer, [self.matrix.offset(self.along)])], False)


def _cover(builder: Any, length: Any, sizes: tuple[int, ...], body: Callable[[Any, int], None]) -> None:
    """Emit loops that cover 0 .. length in blocks of these sizes, largest first; the last size is 1."""
    start = _INDEX(0)
    for size in sizes:
        whole = builder.mul(builder.udiv(builder.sub(length, start), _INDEX(size)), _INDEX(size))
        stop = builder.add(start, whole)
        with _for_range(builder, start, stop, _INDEX(size), _INDEX) as (index, _count):
            body(index, size)
        start = stop


def _sum_along(builder: Any, sums: list[list[Any]], depth: Any, left: _Walk, right: _Walk) -> list[list[Any]]:
    """Emit the loop sums[i][j] += left[i] x right[j] over `depth` >= 1 terms and return the sums after it."""
    before, loop, after = builder.block, builder.append_basic_block("along"), builder.append_basic_block("summed")
    builder.branch(loop)
    builder.position_at_end(loop)
    term, at_left, at_right = builder.phi(_INDEX), builder.phi(left.start.type), builder.phi(right.start.type)
    running = [[builder.phi(_FLOATS) for _ in line] for line in sums]
    fused = _get_function(builder.module, ir.FunctionType(_FLOATS, [_FLOATS] * 3), f"llvm.fmuladd.v{LANES}f32")
    columns = right.values(at_right)
    results = [
        [builder.call(fused, [value, column, phi]) for column, phi in zip(columns, phis, strict=True)]
        for value, phis in zip(left.values(at_left), running, strict=True)
    ]
    following = builder.add(term, _INDEX(1))
    loops: list[tuple[Any, Any, Any]] = [
        (term, _INDEX(0), following),
        (at_left, left.start, left.following(at_left)),
        (at_right, right.start, right.following(at_right)),
    ]
    for lines in zip(running, sums, results, strict=True):
        loops += zip(*lines, strict=True)
    for phi, start, value in loops:
        phi.add_incoming(start, before)
        phi.add_incoming(value, loop)
    builder.cbranch(builder.icmp_unsigned("<", following, depth), loop, after)
    builder.position_at_end(after)
    return results


def _multiply(builder: Any, out: _Matrix, starts: list[_Matrix], factors: tuple[_Matrix, _Matrix], shape: Any) -> None:
    """Emit out = sum of `starts` + left x right; `shape` is rows, columns and the length of the shared dimension."""
    rows, columns, depth = shape
    left, right = factors

    def strip(row: Any, height: int) -> None:
        def tile(column: Any, width: int) -> None:
            block = (row, column, height, width)
            sums = starts[0].block(*block)
            for start in starts[1:]:
                pairs = zip(sums, start.block(*block), strict=True)
                sums = [[builder.fadd(x, y) for x, y in zip(*lines, strict=True)] for lines in pairs]
            zero = _INDEX(0)
            down = _Walk(left, left.pointer(row, zero), height, left.row, left.column)
            along = _Walk(right, right.pointer(zero, column), width, right.column, right.row)
            sums = _sum_along(builder, sums, depth, down, along)
            for values, pointers in zip(sums, out.pointers(*block), strict=True):
                for value, pointer in zip(values, pointers, strict=True):
                    builder.store(value, builder.bitcast(pointer, _FLOATS.as_pointer()), align=4)

        _cover(builder, columns, _WIDTHS, tile)

    _cover(builder, rows, _HEIGHTS, strip)


def _declare(function: Callable[..., Any]) -> Any:
    """Return the function as Numba's intrinsic, whose first argument the caller does not pass."""
    return intrinsic(function)


def _data(context: Any, builder: Any, call: Any, args: Any, position: int) -> Any:
    return context.make_array(call.args[position])(context, builder, args[position]).data


@_declare
def _emit_product(typing_context: Any, space: Any, accumulate: Any, out: Any, left: Any, right: Any, shape: Any) -> Any:
    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        data = _data(context, builder, call, args, 0)
        triples = [_unpack(builder, triple, 3) for triple in args[2:]]
        start = [builder.select(args[1], place, _INDEX(0)) for place in triples[0]]
        out, initial, left, right = (_Matrix(builder, data, True, *m) for m in (triples[0], start, *triples[1:3]))
        _multiply(builder, out, [initial], (left, right), triples[3])
        return context.get_dummy_value()

    return types.void(space, types.boolean, out, left, right, shape), emit


@_declare
def _emit_linear(
    typing_context: Any, space: Any, out: Any, start: Any, x: Any, floats: Any, weights: Any, bias: Any, shape: Any
) -> Any:
    def emit(context: Any, builder: Any, call: Any, args: Any) -> Any:
        data, floats = (_data(context, builder, call, args, position) for position in (0, 4))
        out, start, x = (_Matrix(builder, data, True, *_unpack(builder, args[i], 3)) for i in (1, 2, 3))
        weights, bias = (_Matrix(builder, floats, False, *_unpack(builder, args[i], 3)) for i in (5, 6))
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
