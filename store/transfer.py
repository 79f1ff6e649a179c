"""Export and import: one Parquet file per table, with the table's named columns."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from store import conflicts, files, folders, merge, parquet, paths, reading
from store.errors import MinarchError
from store.tables import ADDED, ADDED_TABLES, KEYS, SCHEMAS, TABLES
from store.transaction import transaction

OnConflict = Literal["refuse", "keep"]

_EXPORTED_ROWS = 100_000
_WIDTHS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
WHOLE = (*_WIDTHS, *(f"U{width}" for width in _WIDTHS))

log = logging.getLogger(__name__)


def export(connection: duckdb.DuckDBPyConnection, directory: Path, *, anonymous: bool = False) -> dict[str, int]:
    """Write every table of an open store into `directory` and return the rows of each.

    Paths in command lines are shortened to their last parts, in requests too where the export is `anonymous`.

    Raises:
        MinarchError: `directory` is not empty and no earlier export, or cannot be written.
    """
    with files.faults(directory):
        directory = directory.absolute()
        _check_target(directory)
        directory.parent.mkdir(parents=True, exist_ok=True)
        with folders.replacing(directory) as partial:
            counts = {table: _write_table(connection, table, partial, anonymous=anonymous) for table in TABLES}
    return counts


def read(directory: Path, most: int = parquet.MOST_BYTES) -> dict[str, pa.Table]:
    """Return the tables of an export, which may take `most` bytes of memory.

    Raises:
        MinarchError: the folder or a file is missing, damaged or too large, or a column is unknown or missing.
    """
    if not directory.is_dir():
        for earlier in folders.moved_away(directory):
            raise MinarchError(
                f"no folder {directory} to import from: an export to it was stopped half way. What it held before is in"
                f" {earlier}: give that its name back, or export again"
            )
        raise MinarchError(f"no folder {directory} to import from; `store export` writes one")
    missing = [table for table in TABLES if not (directory / f"{table}.parquet").is_file()]
    lacking = [table for table in missing if table not in ADDED_TABLES]
    if lacking:
        raise MinarchError(f"{directory} is no complete export: it lacks {', '.join(f'{t}.parquet' for t in lacking)}")
    content = {table: SCHEMAS[table].empty_table() for table in missing}
    for table in [table for table in TABLES if table not in missing]:
        content[table] = _read_table(directory / f"{table}.parquet", table, most)
        most -= content[table].nbytes
    return content


def add(
    connection: duckdb.DuckDBPyConnection, content: Mapping[str, pa.Table], on_conflict: OnConflict = "refuse"
) -> dict[str, int]:
    """Add an export's rows to an open store in one transaction and return how many were new, per table.

    Raises:
        MinarchError: a column has another type than in the store, or a value that does not fit or cannot be; rows
            contradict stored ones, and `on_conflict` is "refuse".
    """
    with transaction(connection):
        for table, rows in content.items():
            connection.register(f"candidate_{table}", rows)
            _check(connection, table, f"candidate_{table}")
        found = conflicts.describe(connection, {table: f"candidate_{table}" for table in content})
        if found and on_conflict == "refuse":
            raise MinarchError(
                f"{found} say something else than the store; nothing was added. --on-conflict keep adds the others and"
                " keeps what is stored"
            )
        counts = merge.merge(connection, content)
    if found:
        log.warning(f"{found} say something else than the store, which keeps what it had")
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


def _write_table(connection: duckdb.DuckDBPyConnection, table: str, folder: Path, *, anonymous: bool) -> int:
    columns = connection.execute(f"DESCRIBE {table}").fetchall()
    # Parquet's own JSON type is bytes to most readers.
    chosen = ", ".join(f"{name}::VARCHAR AS {name}" if kind == "JSON" else name for name, kind, *_ in columns)
    rows = 0
    reader = reading.batches_of(connection, f"SELECT {chosen} FROM {table}", _EXPORTED_ROWS)
    with (
        (folder / f"{table}.parquet").open("wb") as file,
        pq.ParquetWriter(file, reader.schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        for batch in reader:
            if table == "invocations":
                batch = paths.without_folders(batch, requests=anonymous)
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def _read_table(path: Path, table: str, most: int) -> pa.Table:
    try:
        parquet.check_declared(path, most)
        with parquet.opened(path) as file:
            _check_columns(table, file.schema_arrow.names)
            rows = parquet.plain(parquet.read(file, most), most)
    except (pa.ArrowException, duckdb.Error, parquet.TooLargeError, OSError, UnicodeError) as error:
        raise MinarchError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from error

    for column, value in ADDED[table].items():
        if column not in rows.column_names:
            field = SCHEMAS[table].field(column)
            rows = rows.append_column(field, pa.repeat(pa.scalar(value, field.type), len(rows)))
    return rows


def _check_columns(table: str, found: Sequence[str]) -> None:
    expected = SCHEMAS[table].names
    for column in found:
        if column not in expected:
            raise MinarchError(f"{table}: column {column} is unknown; the store has {', '.join(expected)}")
    for column in expected:
        if found.count(column) != 1 and (column in found or column not in ADDED[table]):
            raise MinarchError(f"{table}: column {column} is {'double' if column in found else 'missing'}")


def _check(connection: duckdb.DuckDBPyConnection, table: str, candidate: str) -> None:
    """Compare an import's rows with the table's columns, so that a refusal can name the column."""
    described = connection.execute(f"DESCRIBE {table}").fetchall()
    found = {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE {candidate}").fetchall()}
    for column, wanted, *_ in described:
        if not _holds(found[column], wanted):
            raise MinarchError(f"{table}: column {column} is {found[column]}, and the store wants {wanted}")
    asked = ", ".join(_misfits(column, found[column], wanted) for column, wanted, *_ in described)
    row = connection.execute(f"SELECT {asked} FROM {candidate}").fetchall()[0]
    for (column, wanted, nullable, *_), empty, misfit in zip(described, row[::2], row[1::2], strict=True):
        if misfit is not None:
            raise MinarchError(f"{table}: column {column} has the value {misfit}, which does not fit {wanted}")
        if empty and nullable != "YES":
            raise MinarchError(f"{table}: column {column} has no value in {empty} rows")
    key = ", ".join(KEYS[table])
    doubles = connection.execute(f"SELECT {key} FROM {candidate} GROUP BY ALL HAVING count(*) > 1 LIMIT 1").fetchall()
    if doubles:
        raise MinarchError(f"{table}: two rows have the same {key} ({', '.join(map(str, doubles[0]))})")


def _misfits(column: str, found: str, wanted: str) -> str:
    """Return two SQL expressions: in how many rows a column has no value, and a value of it that does not fit."""
    converted = f"TRY_CAST({column} AS {wanted})"
    unfit = f"{converted} IS NULL"
    if wanted == "DOUBLE":
        unfit += f" OR NOT isfinite({converted})"
    if wanted.endswith("[]"):
        unfit = f"{converted}::{found} IS DISTINCT FROM {column}"  # An element that does not fit becomes NULL.
    return (
        f"count(*) FILTER ({column} IS NULL), any_value({column}) FILTER ({column} IS NOT NULL AND ({unfit}))::VARCHAR"
    )


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
