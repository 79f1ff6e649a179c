"""Query results for programs: CSV, JSON and Parquet, to standard output or to a file."""

from __future__ import annotations

import io
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import polars as pl
from polars import selectors

from store import files
from store.display import MOST_ROWS, print_frame
from store.reading import whole_numbers
from store.results import Store
from store.sandbox import Limits

FORMATS = ("table", "csv", "json", "parquet")
_SLICE = 16_384


def emit(frame: pl.DataFrame, form: str, out: Path | None) -> None:
    """Print a result in one of `FORMATS`, or write it to the file `out`; Parquet needs `out`.

    Raises:
        MinarchError: `out` cannot be written; what it held before then stays.
    """
    parts = itertools.chain([frame.clear()], frame.iter_slices(_SLICE))
    emit_parts(parts, form, out)


def emit_query(path: Path, sql: str, limits: Limits, form: str, out: Path | None) -> None:
    """Print what a query finds in the store at `path`, or write it to the file `out`; Parquet needs `out`.

    Raises:
        MinarchError: as `Store.query`, or `out` cannot be written; what it held before then stays.
    """
    if out is not None:
        files.check_writable(out)
    store = Store(path)
    if form == "table" or (form != "parquet" and out is not None and not files.goes_through(out)):
        emit_parts(store.stream(sql, limits=limits), form, out)
    else:
        # Whoever reads a pipe may take all day, and the store must not be open meanwhile.
        emit(store.query(sql, limits=limits), form, out)


def emit_parts(parts: Iterable[pl.DataFrame], form: str, out: Path | None) -> None:
    """As `emit`, for a result that comes in parts, at least one: no more than a part is in memory, except for Parquet.

    Raises:
        MinarchError: `out` cannot be written; what it held before then stays.
    """
    if out is None:
        for text in TEXT[form](parts, sys.stdout.encoding):
            sys.stdout.write(text)
        return
    with files.writing(out) as file:
        if form == "parquet":
            # Its columns have one type throughout, which only all rows together tell.
            whole_numbers(pl.concat([*parts])).write_parquet(file)
            return
        for text in TEXT[form](parts, "utf-8"):
            file.write(text.encode())


def _csv(parts: Iterable[pl.DataFrame], _: str) -> Iterator[str]:
    for number, part in enumerate(parts):
        frame = _plain(part)
        # CSV has no lists: they become JSON text, such as [10, 10].
        nested = [name for name, kind in frame.schema.items() if kind.is_nested()]
        texts = [
            pl.Series(
                name, [None if v is None else json.dumps(v, default=str) for v in frame[name].to_list()], pl.String
            )
            for name in nested
        ]
        yield frame.with_columns(texts).write_csv(include_header=number == 0)


def _json(parts: Iterable[pl.DataFrame], _: str) -> Iterator[str]:
    between = "["
    for part in parts:
        if part.height:
            yield between + _plain(part).write_json().removeprefix("[").removesuffix("]")
            between = ","
    yield "[]\n" if between == "[" else "]\n"


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with decimals as numbers and bytes as hexadecimal text, which CSV and JSON can hold."""
    return whole_numbers(frame).with_columns(selectors.decimal().cast(pl.Float64), selectors.binary().bin.encode("hex"))


def _table(parts: Iterable[pl.DataFrame], encoding: str) -> Iterator[str]:
    head, height = None, 0
    for part in parts:
        room = MOST_ROWS - min(height, MOST_ROWS)
        head = part.head(room) if head is None else pl.concat([head, part.head(room)])
        height += part.height
    if head is not None:
        text = io.StringIO()
        print_frame(whole_numbers(head), text, height=height, encoding=encoding)
        yield text.getvalue()


TEXT: dict[str, Callable[[Iterable[pl.DataFrame], str], Iterator[str]]] = {"csv": _csv, "json": _json, "table": _table}
