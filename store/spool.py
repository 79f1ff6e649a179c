"""The spool: finished units of work as files beside the store, safe on the disk before the database is touched.

A spool file is one Parquet row with one column per table, a list of that table's rows. It appears by an atomic rename,
so that a file with a spool file's name is whole; pages carry checksums, so that later damage is noticed.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from store import files, parquet
from store.errors import MinarchError
from store.records import Records
from store.tables import KEYS, SCHEMAS

SUFFIX, PARTIAL, DAMAGED = ".parquet", ".part", ".damaged"
TAKEN = ".done"
"""Ending of the empty file that stays of a unit which was taken in from a folder of shards."""
# A partial file this old, in seconds, was left by a process that died: no write takes as long.
STALE = 3600.0
_LONGEST_NAME = 255


class DamagedError(Exception):
    """A spool file that cannot be read; the text says why."""


def folder_of(store: Path) -> Path:
    """Return the folder in which units wait for this store."""
    return store.parent / (store.name + ".spool")


def write(folder: Path, records: Records, name: str) -> Path:
    """Return the path of a new spool file that holds `records`, once it is safe on the disk.

    Files sort by the time of their writing. Values that are not finite become NULL.

    Raises:
        MinarchError: two rows of a table have one key, or a column that needs a value has none.
        OSError: the file cannot be written; nothing of it stays.
    """
    slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip(".-")[:80] or "unit"
    return write_as(folder, records, f"{time.time_ns():020d}-{slug}-{uuid.uuid4().hex[:8]}")


def write_as(folder: Path, records: Records, stem: str) -> Path:
    """Return the path of the spool file of that name, as `write` does; one that is there is replaced."""
    table = _as_table(records)
    folder.mkdir(parents=True, exist_ok=True)
    partial, path = folder / f".{stem}-{uuid.uuid4().hex[:8]}{PARTIAL}", folder / f"{stem}{SUFFIX}"
    try:
        with partial.open("wb") as file:
            pq.write_table(table, file, compression="zstd", write_page_checksum=True)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(folder)
    return path


def sync_folder(folder: Path) -> None:
    """Make new names in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def waiting(folder: Path) -> list[Path]:
    """Return the spool files in the order of their writing."""
    return sorted(folder.glob(f"[!.]*{SUFFIX}"))


def damaged(folder: Path) -> list[Path]:
    """Return the spool files that were set aside."""
    return sorted(folder.glob(f"[!.]*{SUFFIX}{DAMAGED}"))


def read(path: Path) -> dict[str, pa.Table]:
    """Return the rows of a spool file, one Arrow table per table of the store.

    Raises:
        DamagedError: it is not a whole spool file.
        FileNotFoundError: another process has taken it in meanwhile.
    """
    with _reading():
        _check_file(path)
        with parquet.opened(path) as file:
            unknown = [name for name in file.schema_arrow.names if name not in SCHEMAS]
            if unknown:
                raise DamagedError(f"it has a table {unknown[0]}, which the store lacks")
            table = parquet.read(file)
        return {name: _rows(table.column(name)) for name in table.column_names}


def run_ids(path: Path, protocol_id: str | None = None) -> set[str]:
    """Return the runs in a spool file, of one protocol if it is given; none if the file is damaged or gone."""
    with contextlib.suppress(DamagedError, FileNotFoundError):
        runs = read(path).get("runs", SCHEMAS["runs"].empty_table())
        if not {"run_id", "protocol_id"} <= {*runs.column_names}:
            return set()
        pairs = zip(runs.column("run_id").to_pylist(), runs.column("protocol_id").to_pylist(), strict=True)
        return {str(run) for run, protocol in pairs if protocol_id in (None, protocol)}
    return set()


def set_aside(path: Path, reason: str) -> str:
    """Rename a damaged spool file so that it no longer waits, and return the warning to show."""
    aside = path.with_name(path.name + DAMAGED)
    if os.path.lexists(aside) or len(os.fsencode(aside.name)) > _LONGEST_NAME:
        # What was set aside before stays, and a name has room for so much.
        aside = path.with_name(f"{path.stem[:60]}-{uuid.uuid4().hex[:8]}{SUFFIX}{DAMAGED}")
    path.rename(aside)
    # A name need not be text, and logs are.
    shown = os.fsencode(aside).decode(errors="backslashreplace")
    return f"set aside {shown}, which could not be stored ({reason}); its runs will be trained again"


def remove(paths: Sequence[Path]) -> None:
    """Delete spool files whose rows are in the database."""
    for path in paths:
        path.unlink(missing_ok=True)


def leave_marks(paths: Sequence[Path]) -> None:
    """Put an empty file in the place of each spool file whose rows are in the database: the unit stays done."""
    for path in paths:
        path.with_suffix(TAKEN).touch()
    remove(paths)


def remove_stale(folder: Path) -> None:
    """Delete the partial files of processes that died while they wrote one: nobody was told that those were stored."""
    for partial in folder.glob(f".*{PARTIAL}"):
        with contextlib.suppress(OSError):
            if time.time() - partial.lstat().st_mtime > STALE:
                partial.unlink()


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except parquet.TooLargeError as error:
        raise DamagedError(str(error)) from error
    except (pa.ArrowException, OSError, KeyError, TypeError, UnicodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # The system's fault, such as a missing permission; what Arrow finds in the file has no number.
        raise DamagedError(" ".join(str(error).split())[:200]) from error


def _check_file(path: Path) -> None:
    """Refuse what is no file: reading a pipe could wait for ever."""
    try:
        kind = files.kind_of(path)
    except OSError as error:
        if not path.is_symlink():
            raise
        raise DamagedError(f"it is a link that leads nowhere: {error.strerror}") from error
    if kind:
        raise DamagedError(f"it is {kind}, not a file")


def _rows(column: pa.ChunkedArray[pa.Scalar[pa.DataType]]) -> pa.Table:
    structs = column.combine_chunks().flatten()  # type: ignore[attr-defined]  # A list column: the stubs know no kinds.
    return parquet.plain(pa.Table.from_struct_array(structs))


def _as_table(records: Records) -> pa.Table:
    columns = {name: _as_list(name, getattr(records, name)) for name in SCHEMAS}
    return pa.table(columns)


def _as_list(name: str, rows: Sequence[object]) -> pa.Array[pa.Scalar[pa.DataType]]:
    """Return one list that holds all rows; typed by the schema, so that it has its type when it is empty too."""
    schema = SCHEMAS[name]
    keys = {tuple(getattr(row, column) for column in KEYS[name]) for row in rows}
    if len(keys) < len(rows):
        raise MinarchError(f"{name}: two rows have the same {', '.join(KEYS[name])}")
    arrays = []
    for field in schema:
        array = _as_array([getattr(row, field.name) for row in rows], field.type)
        if array.null_count and not field.nullable:
            raise MinarchError(f"{name}: {field.name} has no finite value in {array.null_count} of {len(rows)} rows")
        arrays.append(array)
    structs = pa.StructArray.from_arrays(arrays, fields=list(schema))
    return pa.ListArray.from_arrays(pa.array([0, len(rows)], pa.int32()), structs)


def _as_array(values: list[object], kind: pa.DataType) -> pa.Array[pa.Scalar[pa.DataType]]:
    if pa.types.is_floating(kind):
        numbers = np.array(values, dtype=np.float64)
        return pa.array(numbers, kind, mask=~np.isfinite(numbers))
    return pa.array(values, kind)
