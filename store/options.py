"""Options of several programs, each defined once: the same words and the same values everywhere."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
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


class WholeAmount(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases only
    """A whole number of single things, which may be given in larger units: `20kB`, `64KiB`, `1.5M`."""

    def __init__(self, name: str, noun: str, units: Mapping[str, int], example: str) -> None:
        self.name, self.noun, self.units, self.example = name, noun, units, example

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number, or fail with what is allowed."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"([+-]?)(\d{1,15})(?:\.(\d{1,15}))?\s?([A-Za-z]*)", value.strip(), re.ASCII)
        if found and found[4] in self.units:
            decimals = found[3] or ""
            scale = int("1" + "0" * len(decimals))
            number, rest = divmod(int(found[2] + decimals) * self.units[found[4]], scale)
            if not rest:
                return -number if found[1] == "-" else number
        known = ", ".join(unit for unit in self.units if unit)
        raise click.BadParameter(
            f"{value!r} is not a whole {self.noun}, such as {self.example}; units are {known}", ctx, param
        )


class AtLeastOne(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases only
    """A whole amount of 1 or more."""

    def __init__(self, kind: WholeAmount) -> None:
        self.kind, self.name = kind, kind.name

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number, or fail with what is allowed."""
        number = self.kind.convert(value, param, ctx)
        if number < 1:
            raise click.BadParameter(f"{value} is not in the range x>=1", ctx, param)
        return number


BYTES = WholeAmount(
    "BYTES",
    "number of bytes",
    {"": 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30},
    "20kB or 64KiB",
)
COUNT = WholeAmount("N", "number", {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9}, "50000, 50k or 1.5M")

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
