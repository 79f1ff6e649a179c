"""Query results for people: a table as wide as the terminal, or one block per row where a table would not fit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import TextIO

import polars as pl
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

MOST_ROWS, MOST_BLOCKS = 200, 20
# Text wider than this may be folded to make a table fit.
FOLD = 24


def print_frame(frame: pl.DataFrame, file: TextIO) -> None:
    """Print a result; without a terminal 80 columns wide, unless COLUMNS says otherwise."""
    console = Console(file=file, highlight=False)
    cells = [[_cell(value) for value in row] for row in frame.head(MOST_ROWS).iter_rows()]
    fits = _fits(frame.columns, cells, console.width)
    if fits:
        console.print(_table(frame, cells))
    else:
        cells = cells[:MOST_BLOCKS]
        for row in cells:
            console.print(_block(frame.columns, row))
    if len(cells) < frame.height:
        console.print(f"{len(cells):,} of {frame.height:,} rows; --format csv, json or parquet gives all of them")
    elif fits:
        console.print(f"{frame.height:,} row{'' if frame.height == 1 else 's'}")


def _fits(names: Sequence[str], cells: list[list[str]], width: int) -> bool:
    if not names:
        return True
    # A name is never folded: it must remain readable.
    needed = (max([len(name), *(min(len(row[i]), FOLD) for row in cells)]) for i, name in enumerate(names))
    return sum(needed) + 2 * len(names) + 1 <= width


def _table(frame: pl.DataFrame, cells: list[list[str]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name, kind in frame.schema.items():
        column = Text(name)
        table.add_column(column, justify="right" if kind.is_numeric() else "left", overflow="fold", min_width=len(name))
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _block(names: Sequence[str], row: list[str]) -> Table:
    block = Table(box=box.SIMPLE_HEAD, show_header=False, show_edge=False, pad_edge=False, padding=(0, 1))
    block.add_column(no_wrap=True)
    block.add_column(overflow="fold")
    for name, cell in zip(names, row, strict=True):
        block.add_row(Text(name), Text(cell))
    block.add_section()
    return block


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return json.dumps(value, default=str)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return str(value)
