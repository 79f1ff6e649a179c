"""Reading Parquet files that may come from anywhere: no more of one than fits, whatever a small file unfolds to."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

# Bytes of rows in memory. 50,000 runs with 100 epochs each are 0.5 GB.
MOST_BYTES = 4 * 10**9
# A value takes 8 bytes at most, but for text; DOUBLE, since the file may claim what it likes.
_DECLARED = "SELECT sum(greatest(total_uncompressed_size, 8.0 * num_values)::DOUBLE) FROM parquet_metadata(?)"


class TooLargeError(Exception):
    """The rows take more memory than they may."""

    def __init__(self, most: int) -> None:
        super().__init__(f"it unfolds to more than {most / 1e9:.3g} GB")


@contextmanager
def opened(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a file for `read`."""
    with pq.ParquetFile(path) as file:
        texts = _text_columns(file)
    # Text that repeats is kept once, so that its real size can be added up before it is written out.
    with pq.ParquetFile(path, read_dictionary=texts, page_checksum_verification=True) as file:
        yield file


def check_declared(path: Path, most: int) -> None:
    """Accept a file whose rows, by its own account, take no more than `most` bytes; repeated text counts once.

    DuckDB reads the account: PyArrow ends the program where it is damaged.

    Raises:
        TooLargeError: they take more.
        duckdb.Error, OSError: the file is damaged, or is none.
    """
    with path.open("rb") as file, _reading().cursor() as connection:
        # A descriptor's name has no characters that stand for several files.
        found = connection.execute(_DECLARED, [f"/proc/self/fd/{file.fileno()}"]).fetchall()
    if (found[0][0] or 0) > most:
        raise TooLargeError(most)


@functools.cache
def _reading() -> duckdb.DuckDBPyConnection:
    """Return an empty database of this process: making one takes longer than to read what a file declares."""
    return duckdb.connect()


def read(file: pq.ParquetFile, most: int = MOST_BYTES) -> pa.Table:
    """Return all rows of an open file, its text still as dictionaries, which `plain` writes out.

    Raises:
        TooLargeError: they take more than `most` bytes of memory.
        pyarrow.ArrowException, OSError: the file is damaged.
    """
    parts, taken = [file.schema_arrow.empty_table()], 0
    for group in range(file.num_row_groups):
        parts.append(file.read_row_group(group))
        taken += parts[-1].nbytes
        if taken > most:
            raise TooLargeError(most)
    return pa.concat_tables(parts)


def plain(rows: pa.Table, most: int = MOST_BYTES) -> pa.Table:
    """Return the rows with each text written out.

    Raises:
        TooLargeError: they take more than `most` bytes of memory then.
    """
    texts = [name for name in rows.column_names if pa.types.is_dictionary(rows.schema.field(name).type)]
    taken = rows.nbytes
    for name in texts:
        for chunk in rows.column(name).chunks:
            taken += _text_bytes(chunk)
        if taken > most:
            raise TooLargeError(most)
    for name in texts:
        column = rows.column(name)
        rows = rows.set_column(rows.column_names.index(name), name, column.cast(column.type.value_type))
    return rows


def _text_columns(file: pq.ParquetFile) -> list[str]:
    columns = [file.metadata.schema.column(i) for i in range(file.metadata.num_columns)]
    return [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]


def _text_bytes(chunk: Any) -> int:
    lengths: Any = pc.binary_length(chunk.dictionary)
    total = pc.sum(pc.take(lengths.cast(pa.int64()), chunk.indices)).as_py()
    return int(total or 0)
