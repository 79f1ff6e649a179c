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

    from analyze.questions.statement import Statements
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


def emit_statements(found: Statements, destination: Destination) -> None:
    """Write citable statements where the destination says, as Markdown, or as JSON where it says that.

    Raises:
        click.UsageError: another format was asked for.
        MinarchError: the file cannot be written.
    """
    chosen = chosen_format(destination.format, destination.file)
    if chosen not in ("table", "json"):
        raise click.UsageError(f"--statement is Markdown, or JSON with --format json, not {chosen}")
    for note in found.notes:
        click.echo(f"analyze: {note}", err=True)
    text = found.json() if chosen == "json" else found.markdown() or "no results\n"
    if destination.file is None:
        click.echo(text, nl=False)
        return
    from store import files

    files.write(destination.file, text.encode())


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
