"""Query results for people: a table as wide as the terminal, or one block per row where a table would not fit."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TextIO

import polars as pl
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

MOST_ROWS, MOST_BLOCKS = 200, 20
# Text wider than this may be folded to make a table fit.
FOLD = 24


def print_frame(frame: pl.DataFrame, file: TextIO, *, height: int | None = None, encoding: str | None = None) -> None:
    """Print a result; 80 columns wide where there is no terminal and COLUMNS does not say otherwise.

    `height` counts the rows where `frame` holds the first ones of more. Lines are plain in an encoding that lacks them.
    """
    width = shutil.get_terminal_size((80, 24)).columns
    height = frame.height if height is None else height
    plain = not (encoding or file.encoding or "utf-8").lower().startswith("utf")
    cells = [[_cell(value) for value in row] for row in frame.head(MOST_ROWS).iter_rows()]
    if _fits(frame.columns, cells, width, 3 if plain else 2):
        shown, body = len(cells), _render(_table(frame, cells, plain), width)
    else:
        shown = min(len(cells), MOST_BLOCKS)
        body = "".join(_render(_block(frame.columns, row), width) for row in cells[:shown])
    if shown < height:
        end = f"{shown:,} of {height:,} rows; --format csv, json or parquet gives all of them"
    else:
        end = f"{height:,} row{'' if height == 1 else 's'}"
    file.write(f"{body}{end}\n")


def _fits(names: Sequence[str], cells: list[list[str]], width: int, gap: int) -> bool:
    if not cells:
        return True
    # A name is never folded: it must remain readable.
    needed = (max([len(name), *(min(len(row[i]), FOLD) for row in cells)]) for i, name in enumerate(names))
    return sum(needed) + gap * len(names) <= width


def _table(frame: pl.DataFrame, cells: list[list[str]], plain: bool) -> RenderableType:
    lines, padding = (box.ASCII, (0, 1)) if plain else (box.SIMPLE_HEAD, (0, 1, 0, 0))
    table = Table(box=lines, padding=padding, show_edge=False, pad_edge=False)
    for name, kind in frame.schema.items():
        side: Literal["left", "right"] = "right" if kind.is_numeric() else "left"
        table.add_column(Text(name), justify=side, overflow="fold", min_width=min(len(name), FOLD))
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _block(names: Sequence[str], row: list[str]) -> RenderableType:
    block = Table.grid(padding=(0, 2))
    block.add_column(no_wrap=True)
    block.add_column(overflow="fold")
    for name, cell in zip(names, row, strict=True):
        block.add_row(Text(name), Text(cell))
    return Group(block, Text(""))


def _render(item: RenderableType, width: int) -> str:
    """Return text without colours and without spaces at the ends of lines."""
    console = Console(file=io.StringIO(), width=width, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(item)
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | dict):
        return json.dumps(value, default=str)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return str(value)
