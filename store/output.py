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

from store.database import system_fault
from store.display import print_frame

FORMATS = ("table", "csv", "json", "parquet")


def emit(frame: pl.DataFrame, form: str, out: Path | None) -> None:
    """Print a result in one of `FORMATS`, or write it to the file `out`; Parquet needs `out`.

    Raises:
        MinarchError: `out` cannot be written; what it held before then stays.
    """
    if form == "parquet":
        content: bytes | str = _parquet(frame)
    elif form == "table" and out is None:
        print_frame(frame, sys.stdout)
        return
    else:
        content = TEXT[form](frame)
    if out is None:
        sys.stdout.write(str(content))
    else:
        _write(content if isinstance(content, bytes) else content.encode(), out)


def _csv(frame: pl.DataFrame) -> str:
    # CSV has no lists: they become JSON text, such as [10, 10].
    nested = [name for name, kind in frame.schema.items() if kind.is_nested()]
    texts = [
        pl.Series(name, [None if v is None else json.dumps(v, default=str) for v in frame[name].to_list()], pl.String)
        for name in nested
    ]
    return frame.with_columns(texts).write_csv()


def _json(frame: pl.DataFrame) -> str:
    return frame.write_json() + "\n"


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
    partial = out.with_name(f".{out.name}.part-{os.getpid()}")
    try:
        partial.write_bytes(content)
        partial.replace(out)
    except OSError as error:
        raise system_fault(error, out) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
