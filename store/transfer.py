"""Export and import: one Parquet file per table, with the table's named columns."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from store import merge, spool
from store.database import system_fault
from store.errors import MinarchError
from store.tables import ADDED, KEYS, SCHEMAS, TABLES

_WIDTHS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
WHOLE = (*_WIDTHS, *(f"U{width}" for width in _WIDTHS))


def export(connection: duckdb.DuckDBPyConnection, directory: Path) -> dict[str, int]:
    """Write every table of an open store into `directory` and return the rows of each.

    Raises:
        MinarchError: `directory` is not empty and no earlier export, or cannot be written.
    """
    directory = directory.absolute()
    _check_target(directory)
    partial = directory.with_name(f".{directory.name}.part-{os.getpid()}")
    try:
        partial.mkdir(parents=True)
        counts = {table: _write_table(connection, table, partial / f"{table}.parquet") for table in TABLES}
        spool.sync_folder(partial)
        _put_in_place(partial, directory)
    except OSError as error:
        raise system_fault(error, directory) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return counts


def read(directory: Path) -> dict[str, pa.Table]:
    """Return the tables of an export.

    Raises:
        MinarchError: the folder or one of its files is missing or damaged, or a column is unknown or missing.
    """
    if not directory.is_dir():
        raise MinarchError(f"no folder {directory} to import from; `store export` writes one")
    missing = [table for table in TABLES if not (directory / f"{table}.parquet").is_file()]
    if missing:
        raise MinarchError(f"{directory} is no complete export: it lacks {', '.join(f'{t}.parquet' for t in missing)}")
    return {table: _read_table(directory / f"{table}.parquet", table) for table in TABLES}


def add(connection: duckdb.DuckDBPyConnection, content: Mapping[str, pa.Table]) -> dict[str, int]:
    """Add an export's rows to an open store in one transaction and return how many were new, per table.

    Raises:
        MinarchError: a column has another type than in the store, or a value that does not fit.
    """
    connection.begin()
    try:
        for table, rows in content.items():
            _check(connection, table, rows)
        counts = merge.merge(connection, content)
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return {table: counts[table] for table in TABLES}


def _check_target(directory: Path) -> None:
    if not directory.exists():
        return
    if not directory.is_dir():
        raise MinarchError(f"{directory} is a file; export wants a folder")
    ours = {f"{table}.parquet" for table in TABLES}
    other = sorted(entry.name for entry in directory.iterdir() if entry.name not in ours)
    if other:
        raise MinarchError(f"{directory} holds something else than an export ({other[0]}); name a new folder")


def _write_table(connection: duckdb.DuckDBPyConnection, table: str, path: Path) -> int:
    target = str(path).replace("'", "''")
    columns = connection.execute(f"DESCRIBE {table}").fetchall()
    # Parquet's own JSON type is bytes to most readers.
    chosen = ", ".join(f"{name}::VARCHAR AS {name}" if kind == "JSON" else name for name, kind, *_ in columns)
    rows = connection.execute(
        f"COPY (SELECT {chosen} FROM {table}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
    ).fetchall()
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return int(rows[0][0])


def _put_in_place(partial: Path, directory: Path) -> None:
    earlier = directory.with_name(f".{directory.name}.old-{os.getpid()}")
    if directory.exists():
        directory.rename(earlier)
    partial.rename(directory)
    shutil.rmtree(earlier, ignore_errors=True)
    spool.sync_folder(directory.parent)


def _read_table(path: Path, table: str) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            rows = file.read()
    except (pa.ArrowException, OSError) as error:
        raise MinarchError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from error
    expected = SCHEMAS[table].names
    for column in rows.column_names:
        if column not in expected:
            raise MinarchError(f"{table}: column {column} is unknown; the store has {', '.join(expected)}")
    for column in ADDED[table]:
        if column not in rows.column_names:
            rows = rows.append_column(
                SCHEMAS[table].field(column), pa.nulls(len(rows), SCHEMAS[table].field(column).type)
            )
    for column in expected:
        if rows.column_names.count(column) != 1:
            raise MinarchError(f"{table}: column {column} is {'double' if column in rows.column_names else 'missing'}")
    return rows


def _check(connection: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> None:
    """Compare an import's rows with the table's columns, so that a refusal can name the column."""
    described = connection.execute(f"DESCRIBE {table}").fetchall()
    connection.register("candidate", rows)
    found = {name: kind for name, kind, *_ in connection.execute("DESCRIBE candidate").fetchall()}
    for column, kind, nullable, *_ in described:
        _check_column(connection, table, column, (found[column], kind), nullable == "YES")
    key = ", ".join(KEYS[table])
    doubles = connection.execute(f"SELECT {key} FROM candidate GROUP BY ALL HAVING count(*) > 1 LIMIT 1").fetchall()
    if doubles:
        raise MinarchError(f"{table}: two rows have the same {key} ({', '.join(map(str, doubles[0]))})")


def _check_column(
    connection: duckdb.DuckDBPyConnection, table: str, column: str, kinds: tuple[str, str], nullable: bool
) -> None:
    found, wanted = kinds
    if not _holds(found, wanted):
        raise MinarchError(f"{table}: column {column} is {found}, and the store wants {wanted}")
    converted = f"TRY_CAST({column} AS {wanted})"
    unfit = f"{converted} IS NULL"
    if wanted == "DOUBLE":
        unfit += f" OR NOT isfinite({converted})"
    if wanted.endswith("[]"):
        unfit = f"{converted}::{found} IS DISTINCT FROM {column}"  # An element that does not fit becomes NULL.
    rows = connection.execute(
        f"SELECT count(*) FILTER ({column} IS NULL),"
        f" any_value({column}) FILTER ({column} IS NOT NULL AND ({unfit}))::VARCHAR FROM candidate"
    ).fetchall()
    empty, misfit = rows[0]
    if misfit is not None:
        raise MinarchError(f"{table}: column {column} has the value {misfit}, which does not fit {wanted}")
    if empty and not nullable:
        raise MinarchError(f"{table}: column {column} has no value in {empty} rows")


def _holds(found: str, wanted: str) -> bool:
    """Return whether values of the DuckDB type `found` may be values of `wanted`, whatever their width."""
    if found == '"NULL"':
        return True
    if wanted.endswith("[]"):
        return found.endswith("[]") and _holds(found[:-2], wanted[:-2])
    kinds = {"INTEGER": WHOLE, "BIGINT": WHOLE, "DOUBLE": (*WHOLE, "DOUBLE", "FLOAT"), "JSON": ("JSON", "VARCHAR")}
    if wanted == "TIMESTAMP":
        return found in ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS")
    return found in kinds.get(wanted, (wanted,))
