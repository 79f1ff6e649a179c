"""Code generation for matrix products: blocks of sums that stay in registers, whatever lies in lanes and strides.

A block of sums walks once along the dimension that its factors share, so that one load serves several multiply-adds.
Blocks are emitted as LLVM code, because Numba's own loops keep no block of accumulators in registers. The products of
every family are made of what is here: `simd.tiles`, `simd.products` and `vit.products` say which blocks, in what order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from generate.engine.simd.vector import _FLOATS, LANES, _broadcast, _lanewise

INDEX = ir.IntType(64)
"""LLVM's type of places, strides and counts."""

Block = list[list[Any]]
"""Vectors at code generation, row by row."""


@dataclass(frozen=True)
class Matrix:
    """A matrix at code generation: an array's data, and as `place` where it begins there and its two strides.

    Elements are vectors or, unless `vectors`, floats that stand for a vector with the same value in every lane. The
    place is that of the first element, the stride from row to row and that from column to column; each counts `unit`
    floats.
    """

    builder: Any
    data: Any
    place: Sequence[Any]
    vectors: bool = True
    unit: int = 1

    @property
    def row(self) -> Any:
        """From one row to the next, in units."""
        return self.place[1]

    @property
    def column(self) -> Any:
        """From one column to the next, in units."""
        return self.place[2]

    def offset(self, units: Any) -> Any:
        """Return a number of units in floats."""
        return self.builder.mul(units, INDEX(self.unit))

    def pointer(self, row: Any, column: Any) -> Any:
        """Return the address of the element at (row, column)."""
        b = self.builder
        place = b.add(b.add(self.place[0], b.mul(row, self.row)), b.mul(column, self.column))
        return b.gep(self.data, [self.offset(place)])

    def at(self, pointer: Any) -> Any:
        """Return the element at an address, as a vector."""
        b = self.builder
        if self.vectors:
            return b.load(b.bitcast(pointer, _FLOATS.as_pointer()), align=4)
        return _broadcast(b, b.load(pointer, align=4))

    def pointers(self, corner: tuple[Any, Any], size: tuple[int, int]) -> Block:
        """Return the addresses of a block of `size`, rows and columns, whose first element is at `corner`."""
        b, first, (height, width) = self.builder, self.pointer(*corner), size
        lines = [b.gep(first, [self.offset(b.mul(self.row, INDEX(i)))]) for i in range(height)]
        return [[b.gep(line, [self.offset(b.mul(self.column, INDEX(j)))]) for j in range(width)] for line in lines]

    def load(self, corner: tuple[Any, Any], size: tuple[int, int]) -> Block:
        """Return the elements of a block of `size`, rows and columns, whose first element is at `corner`."""
        return [[self.at(pointer) for pointer in line] for line in self.pointers(corner, size)]

    def store(self, corner: tuple[Any, Any], block: Block) -> None:
        """Write a block of vectors whose first element is at `corner`."""
        for values, pointers in zip(block, self.pointers(corner, (len(block), len(block[0]))), strict=True):
            for value, pointer in zip(values, pointers, strict=True):
                self.builder.store(value, self.builder.bitcast(pointer, _FLOATS.as_pointer()), align=4)


@dataclass(frozen=True)
class _Walk:
    """A walk along the shared dimension: its first address, `count` elements `across` it, and the stride `along` it."""

    matrix: Matrix
    start: Any
    count: int
    across: Any
    along: Any

    def values(self, pointer: Any) -> list[Any]:
        """Return the elements across, at one address of the walk."""
        b, matrix = self.matrix.builder, self.matrix
        offsets = [matrix.offset(b.mul(self.across, INDEX(i))) for i in range(self.count)]
        return [matrix.at(b.gep(pointer, [offset])) for offset in offsets]

    def following(self, pointer: Any) -> Any:
        """Return the next address, by way of an empty piece of assembly that LLVM cannot see through.

        It would otherwise keep an address for each element across and run out of registers.
        """
        b = self.matrix.builder
        kind = ir.FunctionType(pointer.type, [pointer.type])
        return b.asm(kind, "", "=r,0", [b.gep(pointer, [self.matrix.offset(self.along)])], False)


def add_outer(builder: Any, sums: Block, rows: Iterable[Any], columns: Sequence[Any]) -> Block:
    """Return sums[i][j] + rows[i] x columns[j], lane by lane and fused where the machine can."""
    return [
        [
            _lanewise(builder, "fmuladd", row, column, total, flags=())
            for column, total in zip(columns, line, strict=True)
        ]
        for row, line in zip(rows, sums, strict=True)
    ]


def add_product(
    builder: Any, sums: Block, factors: tuple[Matrix, Matrix], corner: tuple[Any, Any], depth: Any
) -> Block:
    """Emit the loop that adds to a block of sums at `corner` its share of left x right, and return the sums after it.

    `depth` is the length of the dimension that the two factors share, at least 1.
    """
    left, right = factors
    (row, column), zero = corner, INDEX(0)
    down = _Walk(left, left.pointer(row, zero), len(sums), left.row, left.column)
    along = _Walk(right, right.pointer(zero, column), len(sums[0]), right.column, right.row)
    before, loop, after = builder.block, builder.append_basic_block("along"), builder.append_basic_block("summed")
    builder.branch(loop)
    builder.position_at_end(loop)
    term, at_left, at_right = builder.phi(INDEX), builder.phi(down.start.type), builder.phi(along.start.type)
    running = [[builder.phi(_FLOATS) for _ in line] for line in sums]
    columns = along.values(at_right)
    results = add_outer(builder, running, down.values(at_left), columns)
    following = builder.add(term, INDEX(1))
    loops: list[tuple[Any, Any, Any]] = [
        (term, zero, following),
        (at_left, down.start, down.following(at_left)),
        (at_right, along.start, along.following(at_right)),
    ]
    for lines in zip(running, sums, results, strict=True):
        loops += zip(*lines, strict=True)
    for phi, start, value in loops:
        phi.add_incoming(start, before)
        phi.add_incoming(value, loop)
    builder.cbranch(builder.icmp_unsigned("<", following, depth), loop, after)
    builder.position_at_end(after)
    return results


def load_if(condition: Any, matrix: Matrix, corner: tuple[Any, Any], size: tuple[int, int]) -> Block:
    """Emit a branch and return a matrix's block at `corner` where the condition holds, else a block of zeros."""
    builder, before = matrix.builder, matrix.builder.block
    with builder.if_then(condition):
        held, inside = matrix.load(corner, size), builder.block
    phis = [[builder.phi(_FLOATS) for _ in line] for line in held]
    for line, values in zip(phis, held, strict=True):
        for phi, value in zip(line, values, strict=True):
            phi.add_incoming(ir.Constant(_FLOATS, [0.0] * LANES), before)
            phi.add_incoming(value, inside)
    return phis


def data_of(context: Any, builder: Any, call: Any, args: Any, position: int) -> Any:
    """Return where the data of an array begins that is the argument at `position` of an intrinsic."""
    return context.make_array(call.args[position])(context, builder, args[position]).data
