"""Reading statements on an open store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from store import sandbox
from store.database import first_sentence
from store.errors import MinarchError
from store.sandbox import Limits

Parameters = Sequence[object] | Mapping[str, object] | None

# What the sum of a column of integers is to DuckDB.
_HUGEINT = pl.Decimal(38, 0)
_SIGNAL_SECONDS = 0.1
# Rows that are converted at a time.
_BATCH = 16_384
_PLAIN = (
    *(pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null, pa.types.is_decimal),
    *(pa.types.is_string, pa.types.is_large_string),
    *(pa.types.is_date, pa.types.is_timestamp, pa.types.is_time),
)
_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
# The years that Python knows, as days since 1970.
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
_PER_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}


def select(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Parameters = None, limits: Limits | None = None
) -> pl.DataFrame:
    """Return the rows of one reading statement; JSON columns as text.

    Raises:
        MinarchError: `sql` is no statement, several, or one that does not read; DuckDB refuses it; the result has a
            type that data frames lack; or it takes more than `limits`.
    """
    limits = limits or Limits()
    parts: list[pl.DataFrame] = []
    taken = 0.0
    for part in frames(connection, sql, parameters, limits):
        parts.append(part)
        taken += part.estimated_size()
        if taken > limits.share:
            raise _too_large(limits)
    return whole_numbers(pl.concat(parts, rechunk=False))


def frames(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Parameters, limits: Limits
) -> Iterator[pl.DataFrame]:
    """Yield the rows of one reading statement in parts, at least one, as they are found.

    Raises:
        MinarchError: as `select`, but for the memory that all parts together take.
    """
    try:
        sandbox.check(connection, sql)
        found = 0
        for rows in _batches(connection, sql, parameters):
            found += rows.num_rows
            if limits.rows is not None and found > limits.rows:
                raise MinarchError(f"SQL: more than {limits.rows:,} rows; add a LIMIT, or raise --max-rows")
            yield _frame(rows)
    except duckdb.OutOfMemoryException as error:
        raise _too_large(limits) from error
    except duckdb.Error as error:
        raise MinarchError(f"SQL: {first_sentence(error)}") from error
    except UnicodeError as error:
        raise MinarchError("SQL: the query is not UTF-8") from error


def batches_of(
    connection: duckdb.DuckDBPyConnection, sql: str, size: int, parameters: Parameters = None
) -> pa.RecordBatchReader:
    """Return a reader of a query's rows, about `size` at a time; nothing else may run on the connection until its end.

    Raises:
        duckdb.Error: DuckDB refuses the query.
    """
    relation: Any = connection.sql(sql, params=parameters)
    read = relation.to_arrow_reader if hasattr(relation, "to_arrow_reader") else relation.fetch_arrow_reader
    reader: pa.RecordBatchReader = read(size)
    return reader


def whole_numbers(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with columns of DuckDB's HUGEINT as 64-bit integers, where all of a column fits."""
    narrow = frame.select(pl.col(name).cast(pl.Int64, strict=False) for name in frame.columns if _is_huge(frame, name))
    return frame.with_columns(column for column in narrow if column.null_count() == frame[column.name].null_count())


def _is_huge(frame: pl.DataFrame, name: str) -> bool:
    return frame.schema[name] == _HUGEINT


def _too_large(limits: Limits) -> MinarchError:
    return MinarchError(
        f"SQL: this takes more than {limits.memory / 1e9:.3g} GB of memory; select less, or raise --memory-limit"
    )


def _batches(connection: duckdb.DuckDBPyConnection, sql: str, parameters: Parameters) -> Iterator[pa.RecordBatch]:
    # DuckDB looks for a Ctrl-C only between its own tasks, and never while another of its threads has them all. And the
    # signal may reach one of those threads, which does not wake ours: it must not wait for long.
    with ThreadPoolExecutor(1) as pool:

        def result(call: Any, *arguments: Any) -> Any:
            future = pool.submit(call, *arguments)
            try:
                while not wait([future], timeout=_SIGNAL_SECONDS).done:
                    pass
            except KeyboardInterrupt:
                connection.interrupt()
                raise
            return future.result()

        reader = result(batches_of, connection, sql, _BATCH, parameters)
        _check_schema(reader.schema)
        # `from_pylist` and `pa.array` would import pandas.
        yield pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in reader.schema], schema=reader.schema)
        while (rows := result(_next, reader)) is not None:
            yield rows


def _next(reader: pa.RecordBatchReader) -> pa.RecordBatch | None:
    try:
        return reader.read_next_batch()
    except StopIteration:
        return None


def _check_schema(schema: pa.Schema) -> None:
    doubles = [name for name in schema.names if schema.names.count(name) > 1]
    if doubles:
        raise MinarchError(f"SQL: two columns are named {doubles[0]}; name one of them with AS")
    for field in schema:
        if not (_is_plain(field.type) or pa.types.is_binary(field.type)):
            raise MinarchError(
                f"SQL: column {field.name} has a type that data frames lack, such as INTERVAL; cast it, for example"
                " CAST(x AS VARCHAR)"
            )


def _is_plain(kind: pa.DataType) -> bool:
    """Return whether data frames and all output formats have this type."""
    if isinstance(kind, pa.DictionaryType):
        return _is_plain(kind.value_type)
    if isinstance(kind, pa.StructType | pa.MapType) or any(of(kind) for of in _LISTS):
        # Parquet has no structs without fields.
        return kind.num_fields > 0 and all(_is_plain(kind.field(i).type) for i in range(kind.num_fields))
    return any(of(kind) for of in _PLAIN)


def _simplified(kind: Any) -> pa.DataType:
    """Return the type with lists of pairs for maps, which JSON has for text keys alone, and text for enumerations."""
    if isinstance(kind, pa.DictionaryType):
        text: pa.DataType = kind.value_type
        return text
    if isinstance(kind, pa.MapType):
        pair = [("key", _simplified(kind.key_type)), ("value", _simplified(kind.item_type))]
        return pa.list_(pa.struct(pair))
    if isinstance(kind, pa.StructType):
        return pa.struct([pa.field(inner.name, _simplified(inner.type)) for inner in kind])
    if any(of(kind) for of in _LISTS):
        return pa.list_(_simplified(kind.field(0).type))
    plain: pa.DataType = kind
    return plain


def _frame(rows: pa.RecordBatch) -> pl.DataFrame:
    columns = {}
    for field, column in zip(rows.schema, rows.columns, strict=True):
        simple = _simplified(field.type)
        columns[field.name] = column if simple == field.type else column.cast(simple)
        _check_times(field.name, columns[field.name])
    frame: pl.DataFrame = pl.from_arrow(pa.table(columns))  # type: ignore[assignment]
    return frame


def _check_times(name: str, column: pa.Array[Any]) -> None:
    """Refuse a time that neither Python nor text formats can express."""
    for part in _leaves(column):
        kind = part.type
        if pa.types.is_date32(kind):
            per_day, numbers = 1, part.view(pa.int32()).cast(pa.int64())
        elif isinstance(kind, pa.TimestampType):
            per_day, numbers = _PER_DAY[kind.unit], part.view(pa.int64())
        else:
            continue
        ends: Any = pc.min_max(numbers).as_py()
        first, last = ends["min"], ends["max"]
        if first is not None and not (_FIRST_DAY * per_day <= first and last < (_LAST_DAY + 1) * per_day):
            raise MinarchError(
                f"SQL: column {name} has a time outside of the years 1 to 9999, such as infinity; cast it, for example"
                " CAST(x AS VARCHAR)"
            )


def _leaves(column: pa.Array[Any]) -> Iterator[pa.Array[Any]]:
    """Yield the arrays of plain values within nested ones."""
    if isinstance(column, pa.StructArray):
        for part in column.flatten():
            yield from _leaves(part)
    elif isinstance(column, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray):
        yield from _leaves(column.flatten())
    else:
        yield column
