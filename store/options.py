"""Options of several programs, each defined once: the same words and the same values everywhere."""

from __future__ import annotations

from pathlib import Path

import click

from store.families import FAMILIES

FORMATS = ("table", "json", "csv", "parquet")

store_option = click.option(
    "--store",
    "store_path",
    type=click.Path(dir_okay=False, path_type=Path),
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
    type=click.Path(dir_okay=False, path_type=Path),
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
