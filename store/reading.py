"""Reading statements on an open store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

import duckdb
import polars as pl

from store.database import first_sentence
from store.errors import MinarchError

# What the sum of a column of integers is to DuckDB.
_HUGEINT = pl.Decimal(38, 0)
_SIGNAL_SECONDS = 0.1
_READING = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.PRAGMA)


def select(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    parameters: Sequence[object] | Mapping[str, object] | None = None,
) -> pl.DataFrame:
    """Return the rows of one reading statement; JSON columns as text.

    Raises:
        MinarchError: `sql` is no statement, several, or one that writes; DuckDB refuses it; or the result has a type
            that data frames lack.
    """
    # Without this a table name that is missing in the store would be looked up among Python's variables.
    connection.execute("SET python_enable_replacements = false")
    try:
        _check(connection.extract_statements(sql))
        frame = _run(connection, sql, parameters)
        return frame.with_columns(_whole(frame, name) for name, kind in frame.schema.items() if kind == _HUGEINT)
    except duckdb.Error as error:
        raise MinarchError(f"SQL: {first_sentence(error)}") from error
    except pl.exceptions.PolarsError as error:
        raise MinarchError(
            "SQL: a column has a type that data frames lack, such as INTERVAL; cast it, for example CAST(x AS VARCHAR)"
        ) from error


def _run(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[object] | Mapping[str, object] | None
) -> pl.DataFrame:
    # DuckDB looks for a Ctrl-C only between its own tasks, and never while another of its threads has them all. And the
    # signal may reach one of those threads, which does not wake ours: it must not wait for long.
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(lambda: connection.sql(sql, params=parameters).pl())
        try:
            while not wait([future], timeout=_SIGNAL_SECONDS).done:
                pass
        except KeyboardInterrupt:
            connection.interrupt()
            raise
        frame: pl.DataFrame = future.result()
        return frame


def _whole(frame: pl.DataFrame, name: str) -> pl.Series:
    narrow = frame[name].cast(pl.Int64, strict=False)
    return narrow if narrow.null_count() == frame[name].null_count() else frame[name]


def _check(statements: Sequence[duckdb.Statement]) -> None:
    if len(statements) != 1:
        raise MinarchError(f"SQL: one statement is wanted, and here are {len(statements) or 'none'}")
    kind = statements[0].type
    if kind not in _READING:
        raise MinarchError(f"SQL: {kind.name} is refused: queries only read; `store import` adds rows")
