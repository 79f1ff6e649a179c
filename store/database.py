"""Opening the database file: for a moment, with patience, and with faults that say what to do.

DuckDB lets one process write, or many read, never both at once, and refuses at once instead of waiting. So whoever
needs the file tries again for a while, and everybody holds it as briefly as possible.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb

from store import files, migrations, sandbox, spool
from store.errors import MinarchError
from store.sandbox import Limits, Settings
from store.words import counted

FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.1
# What DuckDB and the system say when the disk is full, or the file larger than the user may make it.
FULL = ("no space left", "file too large", "quota exceeded", "out of disk space")
# The same for a file of another kind. One named a.csv or a.parquet is to DuckDB a database in memory that reads it; for
# an SQLite database it looks for an extension.
FOREIGN = (
    "not a valid duckdb database file",
    "in-memory database",
    "sqlite_scanner",
    "no magic bytes found",
    "too small to be a parquet file",
)
INTERRUPTED = "Query interrupted"


class BusyError(MinarchError):
    """Another program holds the database for longer than we wait."""


@contextlib.contextmanager
def reader(path: Path, wait: float, limits: Limits | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the store read-only, waiting up to `wait` seconds for a writer to let go of it.

    A store of an older schema is brought up to date first. SQL can reach nothing but the store, unless this program
    itself has it open with other settings: a database has one set of them in a process.

    Raises:
        MinarchError: there is no store, it cannot be read, or a writer still holds it.
    """
    settings = sandbox.reading(limits or Limits())
    with _faults(path):
        path = _absolute(path)
        check_exists(path)
        with contextlib.closing(_connect(path, wait, settings, read_only=True)) as connection:
            outdated = _version(connection, path) < migrations.latest()
            if not outdated:
                yield connection
                return
        with writer(path, wait):
            pass  # Opening it for writing applies the missing migrations.
        with contextlib.closing(_connect(path, wait, settings, read_only=True)) as connection:
            yield connection


@contextlib.contextmanager
def writer(path: Path, wait: float) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the store to write, alone, waiting up to `wait` seconds; create it if it is missing.

    Raises:
        BusyError: other programs still hold it.
        MinarchError: it cannot be written, or is no store that this package knows.
    """
    with _faults(path):
        path = _absolute(path)
        if not path.exists():
            _create(path)
        with contextlib.closing(_connect(path, wait, sandbox.writing(), read_only=False)) as connection:
            if _version(connection, path) < migrations.latest():
                _migrate(connection, path)
            yield connection


def _absolute(path: Path) -> Path:
    str(path).encode()  # DuckDB knows no other names.
    return path.absolute()


def check_exists(path: Path) -> None:
    """Accept a path where a store is.

    Raises:
        MinarchError: there is none.
    """
    if not path.exists():
        raise MinarchError(_missing(path))


def first_sentence(error: Exception) -> str:
    """Return what a DuckDB error says, without its kind and without the query's text, on one line."""
    text = re.split(r"\n\s*(?:LINE \d+:|Stack Trace)", str(error))[0]
    text = re.sub(r"^(TransactionContext Error: )?[A-Za-z ]+ Error: ", "", text.strip())
    return " ".join(text.split())


def _connect(path: Path, wait: float, settings: Settings, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    """Return a connection, after as many attempts as `wait` seconds allow (one at least)."""
    kind = files.kind_of(path)
    if kind:
        raise MinarchError(f"{path} is {kind}, not a store")
    deadline = time.monotonic() + wait
    pause = FIRST_PAUSE
    while True:
        try:
            return _open(path, settings, read_only=read_only)
        except (duckdb.IOException, duckdb.ConnectionException, duckdb.BinderException) as error:
            holder = _holder(error)
            if holder is None:
                raise
            if time.monotonic() + pause > deadline:
                raise BusyError(f"{path} is held by {holder}; close it there, or try again later") from error
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def _open(path: Path, settings: Settings, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    try:
        return duckdb.connect(path, read_only=read_only, config=settings)
    except duckdb.ConnectionException as error:
        # A notebook that holds the store open, and now reads it through us.
        if not read_only or "different configuration" not in str(error):
            raise
        return duckdb.connect(path, read_only=True)


def _holder(error: duckdb.Error) -> str | None:
    """Return who holds the database, if that is what the error is about."""
    text = str(error)
    found = re.search(r"held in (\S+)(?: \(deleted\))? \(PID (\d+)\)", text)
    if found:
        return f"{Path(found[1]).name} (process {found[2]})"
    if "Could not set lock" in text:
        return "another program"
    # Two connections of one process must agree on whether they write.
    if "different configuration" in text or "already attached" in text or "Unique file handle conflict" in text:
        return "another connection of this program"
    return None


def _version(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    try:
        return migrations.version(connection)
    except MinarchError as error:
        raise MinarchError(f"{path} {error}") from error


def _migrate(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    try:
        migrations.apply(connection)
    except MinarchError as error:
        text = f"{path} is of an older schema and has rows that cannot be: {error}"
        raise MinarchError(f"{text}; correct or delete them with DuckDB, as docs/store.md shows") from error


def _create(path: Path) -> None:
    """Make an empty store under another name, then rename it: no reader ever meets a store without tables."""
    folder = spool.folder_of(path)
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return
        target = Path(os.path.realpath(path))  # A link stays, and the store appears where it points.
        new = target.with_name(f".{target.name}.new")
        _make(new)
        new.rename(target)
        spool.sync_folder(target.parent)
    finally:
        os.close(lock)


def _make(path: Path) -> None:
    log = path.with_name(path.name + ".wal")
    for leftover in (path, log):
        leftover.unlink(missing_ok=True)
    try:
        with contextlib.closing(duckdb.connect(path, config=sandbox.writing())) as connection:
            migrations.apply(connection)
            # Closing would do this too, but keep silent about a full disk.
            connection.execute("CHECKPOINT")
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        log.unlink(missing_ok=True)


def _missing(path: Path) -> str:
    folder = spool.folder_of(path)
    waiting = len(spool.waiting(folder))
    if waiting:
        units = counted(waiting, "finished unit", one="waits", many="wait")
        return f"no store at {path} yet, but {units} in {folder}: run `store ingest`"
    return f"no store at {path}; `generate` makes one, and --store or MINARCH_STORE names another"


@contextlib.contextmanager
def _faults(path: Path) -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        raise _fault(error, path) from error
    except OSError as error:
        raise files.system_fault(error, path) from error
    except UnicodeError as error:
        raise MinarchError(f"{path}: the path is not UTF-8, which DuckDB needs") from error
    except RuntimeError as error:
        # DuckDB stops its query for a Ctrl-C, but then raises this instead of what the signal's handler raised.
        if str(error) == INTERRUPTED:
            raise KeyboardInterrupt from None
        raise


def _fault(error: duckdb.Error, path: Path) -> MinarchError:
    text = str(error)
    lower = text.lower()
    if any(sign in lower for sign in FULL):
        return MinarchError(f"no space left to write {path}: nothing stored is lost; free some")
    if any(sign in lower for sign in FOREIGN):
        return MinarchError(f"{path} is not a minarch store")
    if "newer version of duckdb" in lower or "storage version" in lower:
        return MinarchError(f"{path} was written by a newer DuckDB than {duckdb.__version__}; upgrade duckdb")
    if "permission denied" in lower:
        return MinarchError(f"no permission to read or write {path}")
    if "read-only file system" in lower:
        return MinarchError(f"{path} lies on a read-only file system")
    return MinarchError(f"{path}: {first_sentence(error)}")
