"""Options of several programs, each defined once: the same words and the same values everywhere."""

from __future__ import annotations

import os
from pathlib import Path

import click

from store.families import FAMILIES

FORMATS = ("table", "json", "csv", "parquet")


class PlainPath(click.Path):
    """A path that a file can have: `click.Path` ends in a traceback at a NUL."""

    def __init__(self, *, file_okay: bool = True, dir_okay: bool = True) -> None:
        super().__init__(file_okay=file_okay, dir_okay=dir_okay, path_type=Path)

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """Return the path, or fail where it holds a NUL."""
        if "\0" in os.fspath(value):
            self.fail("a path holds no NUL", param, ctx)
        return super().convert(value, param, ctx)


store_option = click.option(
    "--store",
    "store_path",
    type=PlainPath(dir_okay=False),
    envvar="MINARCH_STORE",
    default=Path("results.duckdb"),
    show_default=True,
    show_envvar=True,
    help="The results store.",
)
datasets_option = click.option(
    "--dataset", "datasets", metavar="NAME", multiple=True, help="Only this dataset; repeatable."
)
families_option = click.option(
    "--family", "families", type=click.Choice(tuple(FAMILIES)), multiple=True, help="Only this family; repeatable."
)
protocol_option = click.option(
    "--protocol", metavar="ID", help="Only runs under this protocol; default: the one with most runs."
)
format_option = click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    help="Default: what the ending of --out says, else table.",
)
out_option = click.option(
    "--out",
    type=PlainPath(dir_okay=False),
    help="Write to this file, not to the screen.",
)


def chosen_format(asked: str | None, out: Path | None) -> str:
    """Return the format asked for, else the one that the ending of `--out` names, else a table.

    Raises:
        click.UsageError: Parquet was asked for without a file.
    """
    ending = out.suffix.removeprefix(".") if out else ""
    chosen = asked or (ending if ending in FORMATS else "table")
    if chosen == "parquet" and out is None:
        raise click.UsageError("--format parquet needs --out FILE", click.get_current_context(silent=True))
    return chosen
