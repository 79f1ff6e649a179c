"""Printing results as a table, JSON, CSV or Parquet, to a terminal, a pipe or a file."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from store.options import chosen_format

if TYPE_CHECKING:
    from rich.console import RenderableType

    from analyze.results import Results

WIDTH = 80


@dataclass(frozen=True)
class Destination:
    """Where results go and in which format; no file means standard output, no format the file's ending or a table."""

    format: str | None = None
    file: Path | None = None


def emit(results: Results[Any], destination: Destination, table: Callable[[Results[Any]], RenderableType]) -> None:
    """Write the results where and as the destination says; remarks go to standard error.

    Raises:
        click.UsageError: Parquet was asked for without a file.
        MinarchError: the file cannot be written.
    """
    file = destination.file
    chosen = chosen_format(destination.format, file)
    for note in results.notes:
        click.echo(f"analyze: {note}", err=True)
    if chosen == "table":
        _emit_table(table(results), file)
        return
    from store import output

    output.emit(results.frame(), chosen, file)


def _emit_table(renderable: RenderableType, file: Path | None) -> None:
    from rich.console import Console

    if file is None:
        console = Console(highlight=False)
        # A pipe has no width of its own: 80 columns there, and no more are needed on a wide terminal.
        console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
        console.print(renderable)
        return
    text = io.StringIO()
    Console(file=text, width=WIDTH, no_color=True).print(renderable)
    from store import files

    files.write(file, text.getvalue().encode())
