"""Query results for programs: CSV, JSON and Parquet, whole or not at all."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
from polars import selectors

from store.database import system_fault
from store.display import print_frame
from store.errors import MinarchError

FORMATS = ("table", "csv", "json", "parquet")


def emit(frame: pl.DataFrame, form: str, out: Path | None) -> None:
    """Print a result in one of `FORMATS`, or write it to the file `out`; Parquet needs `out`.

    Raises:
        MinarchError: `out` cannot be written; what it held before then stays.
    """
    if out is not None:
        _write(_parquet(frame) if form == "parquet" else TEXT[form](frame).encode(), out)
    elif form == "table":
        print_frame(frame, sys.stdout)
    else:
        sys.stdout.write(TEXT[form](frame))


def _csv(frame: pl.DataFrame) -> str:
    frame = _plain(frame)
    # CSV has no lists: they become JSON text, such as [10, 10].
    nested = [name for name, kind in frame.schema.items() if kind.is_nested()]
    texts = [
        pl.Series(name, [None if v is None else json.dumps(v, default=str) for v in frame[name].to_list()], pl.String)
        for name in nested
    ]
    return frame.with_columns(texts).write_csv()


def _json(frame: pl.DataFrame) -> str:
    return _plain(frame).write_json() + "\n"


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with decimals as numbers and bytes as hexadecimal text, which CSV and JSON can hold."""
    return frame.with_columns(selectors.decimal().cast(pl.Float64), selectors.binary().bin.encode("hex"))


def _table(frame: pl.DataFrame) -> str:
    text = io.StringIO()
    print_frame(frame, text)
    return text.getvalue()


def _parquet(frame: pl.DataFrame) -> bytes:
    file = io.BytesIO()
    frame.write_parquet(file)
    return file.getvalue()


TEXT: dict[str, Callable[[pl.DataFrame], str]] = {"csv": _csv, "json": _json, "table": _table}


def _write(content: bytes, out: Path) -> None:
    if out.is_dir():
        raise MinarchError(f"{out} is a folder; --out wants a file")
    partial = out.with_name(f".{out.name}.part-{os.getpid()}")
    try:
        partial.write_bytes(content)
        partial.replace(out)
    except OSError as error:
        raise system_fault(error, out) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
