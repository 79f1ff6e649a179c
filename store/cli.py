"""The `store` command."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Literal, NoReturn

import click

from store import signals
from store.console import run, standard_input
from store.options import PlainPath, chosen_format, format_option, out_option, store_option
from store.words import counted

LEAST_MEMORY, MOST_MEMORY = 32 * 10**6, 10**15


class Size(click.ParamType[int]):
    """A number of bytes, such as 500MB."""

    name = "size"
    _units: ClassVar[dict[str, int]] = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the bytes."""
        found = re.fullmatch(r"\s*(\d{1,6}(?:\.\d{1,6})?)\s*([KMGT]?B|)\s*", str(value), re.IGNORECASE | re.ASCII)
        size = int(float(found[1]) * self._units[found[2].upper()]) if found else 0
        if not LEAST_MEMORY <= size <= MOST_MEMORY:
            self.fail(f"{value!r} is no size from 32MB to 1000TB, such as 500MB or 8GB", param, ctx)
        return size


memory_option = click.option(
    "--memory-limit",
    type=Size(),
    default="4GB",
    show_default=True,
    metavar="SIZE",
    help="Most memory to take, such as 500MB.",
)


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
@memory_option
@click.option(
    "--max-rows",
    type=click.IntRange(min=1),
    default=10_000_000,
    show_default=True,
    metavar="N",
    help="Most rows of the result.",
)
def sql(query: str, store_path: Path, format_: str | None, out: Path | None, memory_limit: int, max_rows: int) -> None:
    """Run one SQL query and print its rows.

    QUERY only reads, and only the store; "-" takes it from standard input. "SHOW TABLES" and "DESCRIBE runs" list
    tables and columns, docs/store.md explains them.

    \b
    Example:
      store sql "SELECT capacity, mean FROM cells WHERE depth = 1" --format csv
    """
    form = chosen_format(format_, out)
    from store.output import emit_query
    from store.sandbox import Limits

    signals.hear_interrupts()
    text = standard_input() if query == "-" else query
    emit_query(store_path, text, Limits(memory=memory_limit, rows=max_rows), form, out)


@group.command("export")
@click.argument("directory", type=PlainPath())
@store_option
@click.option(
    "--anonymous",
    is_flag=True,
    help="Shorten paths in requests too, for an export that is given away: commands that analyses advise then lack"
    " where your folders are.",
)
def export_(directory: Path, store_path: Path, anonymous: bool) -> None:
    """Write the store as Parquet files.

    DIRECTORY gets one file per table; an earlier export there is replaced. Paths in the recorded command lines are
    shortened to their last parts.

    \b
    Example:
      store export backup/
    """
    from store.results import Store

    _say("wrote", Store(store_path).export(directory, anonymous=anonymous), "rows")
    click.echo("paths in invocations.argv" + (" and request" if anonymous else "") + " have their last parts alone")


@group.command("import")
@click.argument("directory", type=PlainPath())
@store_option
@click.option(
    "--on-conflict",
    type=click.Choice(["refuse", "keep"]),
    default="refuse",
    show_default=True,
    help="Where rows contradict the store: add nothing, or add the others.",
)
@memory_option
def import_(directory: Path, store_path: Path, on_conflict: Literal["refuse", "keep"], memory_limit: int) -> None:
    """Add the rows of an export.

    Rows that the store has stay as they are, and a missing store is made: this rebuilds a store, or merges two. A run
    with other results than the store has of it is a contradiction: the import is refused, and says which.

    \b
    Example:
      store import backup/ --store merged.duckdb
    """
    from store.results import Store
    from store.sandbox import Limits

    counts = Store(store_path).import_(directory, on_conflict=on_conflict, limits=Limits(memory=memory_limit))
    _say("added", counts, "new rows")


@group.command()
@store_option
@click.option(
    "--spool",
    "folder",
    type=PlainPath(file_okay=False),
    metavar="FOLDER",
    help="Take units from a folder of `generate work`. Default: the store's own spool.",
)
@click.option("--watch", is_flag=True, help="With --spool: go on, whenever there are new units, until stopped.")
def ingest(store_path: Path, folder: Path | None, watch: bool) -> None:
    """Take in units that wait in the spool, or in a folder that shards of `generate work` share.

    In the spool they wait while another program holds the store; `generate` takes them in by itself whenever it can. Of
    a unit from such a folder a mark stays there, so that no shard trains it again.

    \b
    Examples:
      store ingest --store results.duckdb
      store ingest --spool shared/mnist --watch
    """
    from store.results import Store

    store = Store(store_path)
    if folder is not None:
        from store.watching import ingest_from

        ingest_from(store, folder, watch=watch)
        return
    if watch:
        raise click.UsageError("--watch goes with --spool FOLDER", click.get_current_context())
    new = store.close_out()
    store.check()
    click.echo(counted(new, "new run"))


def _say(verb: str, counts: dict[str, int], noun: str) -> None:
    click.echo(f"{verb} {noun}: " + ", ".join(f"{table} {count:,}" for table, count in counts.items()))


def main() -> NoReturn:
    """Run the command and exit."""
    run(group, "store")


if __name__ == "__main__":
    main()
