"""The `store` command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import click

from store.console import run
from store.options import chosen_format, format_option, out_option, store_option


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="minarch", prog_name="store")
def group() -> None:
    """Look into a results store, move it, merge it.

    A store is one DuckDB file. Finished units of a sweep wait in the folder STORE.spool when they cannot be written
    to it at once.

    \b
    Examples:
      store info
      store sql "SELECT family, count(*) AS runs FROM runs GROUP BY ALL"
    """


@group.command()
@store_option
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def info(store_path: Path, form: str) -> None:
    """Say what the store holds: runs per dataset, family and precision.

    \b
    Example:
      store info --store results.duckdb
    """
    from store import describe
    from store.results import Store

    describe.show(Store(store_path).info(), form)


@group.command()
@click.argument("query")
@store_option
@format_option
@out_option
def sql(query: str, store_path: Path, format_: str | None, out: Path | None) -> None:
    """Run one SQL query and print its rows.

    QUERY only reads; "-" takes it from standard input. "SHOW TABLES" and "DESCRIBE runs" list tables and columns,
    docs/store.md explains them.

    \b
    Example:
      store sql "SELECT capacity, mean FROM cells WHERE depth = 1" --format csv
    """
    form = chosen_format(format_, out)
    from store.output import emit
    from store.results import Store

    emit(Store(store_path).query(sys.stdin.read() if query == "-" else query), form, out)


@group.command("export")
@click.argument("directory", type=click.Path(path_type=Path))
@store_option
def export_(directory: Path, store_path: Path) -> None:
    """Write the store as Parquet files.

    DIRECTORY gets one file per table; an earlier export there is replaced.

    \b
    Example:
      store export backup/
    """
    from store.results import Store

    _say("wrote", Store(store_path).export(directory), "rows")


@group.command("import")
@click.argument("directory", type=click.Path(path_type=Path))
@store_option
def import_(directory: Path, store_path: Path) -> None:
    """Add the rows of an export.

    Rows that the store has stay as they are, and a missing store is made: this rebuilds a store, or merges two.

    \b
    Example:
      store import backup/ --store merged.duckdb
    """
    from store.results import Store

    _say("added", Store(store_path).import_(directory), "new rows")


@group.command()
@store_option
def ingest(store_path: Path) -> None:
    """Take in units that wait in the spool.

    They wait there while another program holds the store; `generate` takes them in by itself whenever it can.

    \b
    Example:
      store ingest --store results.duckdb
    """
    from store.results import Store

    click.echo(f"{Store(store_path).close_out():,} new runs")


def _say(verb: str, counts: dict[str, int], noun: str) -> None:
    click.echo(f"{verb} {noun}: " + ", ".join(f"{table} {count:,}" for table, count in counts.items()))


def main() -> NoReturn:
    """Run the command and exit."""
    run(group, "store")


if __name__ == "__main__":
    main()
