"""The store as the other packages use it: append finished units, query, export, import."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl

from store import database, files, merge, migrations, reading, snapshot, spool, transfer
from store.database import BusyError
from store.domains import DomainError
from store.errors import MinarchError
from store.records import Records
from store.sandbox import Limits
from store.snapshot import Snapshot
from store.tables import TABLES
from store.transaction import transaction
from store.words import counted

# Seconds to wait for the database. A sweep must not stall for a notebook that holds it: the unit is safe in the spool.
APPEND_WAIT, REPEATED_WAIT = 2.0, 0.2
READ_WAIT = 10.0
CLOSE_WAIT = 30.0
# Waiting units that are merged at a time: enough to share the cost of a merge, few enough for the memory.
MOST_TOGETHER = 64
# Files of shards that one transaction takes: a crash repeats no more than these.
MOST_FROM_SHARDS = 1000

# What a unit's rows, rather than the disk or another program, can do wrong.
_DATA_FAULTS = (duckdb.DataError, duckdb.IntegrityError, duckdb.ProgrammingError, DomainError)

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Group:
    """What a store holds of one dataset, family and precision."""

    dataset: str
    family: str
    precision: str
    runs: int
    diverged: int
    replicates: int
    architectures: int


@dataclass(frozen=True, kw_only=True)
class Info:
    """What a store holds; `size` in bytes, `waiting` and `damaged` count spool files."""

    path: str
    size: int
    schema_version: int
    groups: tuple[Group, ...]
    protocols: int
    invocations: int
    waiting: int
    damaged: int


class Store:
    """A results store at a path. The database is open only while a method runs."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.spool = spool.folder_of(self.path)

    def prepare(self) -> int:
        """Create the store if it is missing, take in what waits, and return the number of new runs.

        A store that another program holds is left for later.

        Raises:
            MinarchError: it cannot be written, or is no store; better known before hours of training than after.
        """
        return self._take_in_if_free(APPEND_WAIT)

    def append(self, records: Records, *, name: str, take_in: bool = True) -> int:
        """Store a finished unit and return the number of runs that are new in the database.

        When this returns the unit is safe on the disk: in the database, or, if another program holds that, in the
        spool (0 is returned then) until the next append. Rows of runs that the store has already are dropped, except
        pruning and integer checks that those lack. `name` shows in the spool file's name. With `take_in` False the unit
        stays in the spool: a merge costs as much for many units as for one.

        Raises:
            MinarchError: the unit could not be written, or it is safe in the spool and the database cannot be written.
        """
        held_before = bool(spool.waiting(self.spool))
        try:
            spool.write(self.spool, records, name)
        except OSError as error:
            raise files.system_fault(error, self.spool) from error
        return self.ingest(REPEATED_WAIT if held_before else APPEND_WAIT) if take_in else 0

    def ingest(self, wait: float = APPEND_WAIT) -> int:
        """Take waiting spool files into the database and return the number of new runs.

        Returns 0 if other programs hold the database for `wait` seconds; the files then stay where they are.

        Raises:
            MinarchError: the database cannot be written; the files stay.
        """
        return self._take_in_if_free(wait) if spool.waiting(self.spool) else 0

    def take_in(self, folder: Path, *, wait: float = CLOSE_WAIT, most: int = MOST_FROM_SHARDS) -> tuple[int, int]:
        """Take units from a folder of shards (`generate work`) into the database, `most` files in a transaction.

        A mark stays of each unit, so that no shard trains it again. Returns the numbers of units and of new runs.

        Raises:
            MinarchError: the folder or the database cannot be used; what was taken in before stays taken in.
        """
        try:
            waiting = spool.waiting(folder) if folder.is_dir() else None
        except OSError as error:
            raise files.system_fault(error, folder) from error
        if waiting is None:
            raise MinarchError(f"no folder {folder}; `generate work --spool {folder}` makes one")
        units = new = 0
        for first in range(0, len(waiting), most):
            with database.writer(self.path, wait) as connection:
                done, runs = self._merge(connection, waiting[first : first + most])
                connection.execute("CHECKPOINT")
            try:
                spool.leave_marks(done)
            except OSError as error:
                raise files.system_fault(error, folder) from error
            units, new = units + len(done), new + runs
        return units, new

    def close_out(self, wait: float = CLOSE_WAIT) -> int:
        """Take in what waits at the end of a sweep and return the number of new runs.

        Raises:
            MinarchError: the database cannot be written, or other programs hold it for `wait` seconds: the text says
                who, and what to do once they have let go.
        """
        waiting = len(spool.waiting(self.spool))
        if not waiting:
            return 0
        try:
            return self._take_in(wait)
        except BusyError as error:
            units = counted(waiting, "finished unit", one="waits", many="wait")
            text = f"{units} in {self.spool}: {error}; then run `store ingest`"
            raise MinarchError(text) from error

    def check(self) -> None:
        """Accept a store that is there and can be read.

        Raises:
            MinarchError: it is missing, damaged, held by another program, or no store.
        """
        with database.reader(self.path, READ_WAIT):
            pass

    def run_ids(self, protocol_id: str | None = None) -> set[str]:
        """Return the ids of the stored runs, of one protocol if it is given; runs that wait in the spool count too.

        A store that does not exist has none.
        """
        # The spool first: a unit that another process takes in meanwhile is then seen in the database.
        found = {run for path in spool.waiting(self.spool) for run in spool.run_ids(path, protocol_id)}
        if self.path.exists():
            sql = "SELECT run_id FROM runs WHERE $1 IS NULL OR protocol_id = $1"
            found.update(self.query(sql, [protocol_id])["run_id"])
        return found

    def query(self, sql: str, parameters: reading.Parameters = None, *, limits: Limits | None = None) -> pl.DataFrame:
        """Return the rows of one reading SQL statement; units that still wait in the spool are not among them.

        Waits up to 10 seconds for a writer to let go of the database. SQL reaches the store's tables and nothing else:
        no files, no network, no variables of Python.

        Raises:
            MinarchError: there is no store, the statement does not read, DuckDB refuses it, or it takes more than
                `limits`, by default 4 GB of memory.
        """
        with database.reader(self.path, READ_WAIT, limits) as connection:
            return reading.select(connection, sql, parameters, limits)

    def stream(
        self, sql: str, parameters: reading.Parameters = None, *, limits: Limits | None = None
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows of one reading SQL statement in parts, at least one; as `query`, but never all at once.

        The database is open until the last part was taken: nobody can write to it meanwhile.
        """
        limits = limits or Limits()
        with database.reader(self.path, READ_WAIT, limits) as connection:
            yield from reading.frames(connection, sql, parameters, limits)

    def snapshot(self, tables: Sequence[str] = TABLES) -> Snapshot:
        """Return some tables as they stand now, in memory: whoever writes later does not change them.

        Raises:
            MinarchError: there is no store, or it cannot be read.
        """
        with database.reader(self.path, READ_WAIT) as connection:
            return snapshot.read(connection, tables)

    def export(self, directory: Path | str, *, anonymous: bool = False) -> dict[str, int]:
        """Write one Parquet file per table into `directory` and return the number of rows of each.

        The folder appears whole or not at all; an earlier export in its place is replaced. Paths in the command lines
        of `invocations` are shortened to their last parts, in their requests too if `anonymous`.

        Raises:
            MinarchError: there is no store, or `directory` holds something else than an export.
        """
        with database.reader(self.path, READ_WAIT) as connection:
            return transfer.export(connection, Path(directory), anonymous=anonymous)

    def import_(
        self, directory: Path | str, *, on_conflict: transfer.OnConflict = "refuse", limits: Limits | None = None
    ) -> dict[str, int]:
        """Add the rows of an export and return how many were new, per table; all of them, or none on an error.

        Importing twice adds nothing. Of runs stored already only missing pruning and integer checks are added.

        Raises:
            MinarchError: a file is missing or too large, does not fit the schema, or has a value that cannot be: the
                text names the table, the column and the row. Or rows contradict stored ones, unless `on_conflict` is
                "keep": then those stay as they are, and a warning says so.
        """
        content = transfer.read(Path(directory), (limits or Limits()).memory)
        with database.writer(self.path, READ_WAIT) as connection:
            self._take_in_open(connection)
            return transfer.add(connection, content, on_conflict)

    def info(self) -> Info:
        """Return what the store holds."""
        with database.reader(self.path, READ_WAIT) as connection:
            groups = reading.select(connection, _GROUPS)
            counts = {
                table: reading.select(connection, f"FROM {table}").height for table in ("protocols", "invocations")
            }
            version = migrations.version(connection)
        return Info(
            path=str(self.path),
            size=self.path.stat().st_size,
            schema_version=version,
            groups=tuple(Group(**row) for row in groups.iter_rows(named=True)),
            waiting=len(spool.waiting(self.spool)),
            damaged=len(spool.damaged(self.spool)),
            **counts,
        )

    def _take_in_if_free(self, wait: float) -> int:
        try:
            return self._take_in(wait)
        except BusyError:
            return 0

    def _take_in(self, wait: float) -> int:
        with database.writer(self.path, wait) as connection:
            return self._take_in_open(connection)

    def _take_in_open(self, connection: duckdb.DuckDBPyConnection) -> int:
        """Move all waiting files into the database in one transaction.

        While we hold the database no other process is here, so that nobody else lists or deletes these files. A crash
        before the deletion leaves files whose runs are stored already: the next time adds nothing of them.
        """
        done, new = self._merge_waiting(connection)
        if done:
            # The rows must be in the database file, not merely in its log, before the files go.
            connection.execute("CHECKPOINT")
            spool.remove(done)
        spool.remove_stale(self.spool)
        return new

    def _merge_waiting(self, connection: duckdb.DuckDBPyConnection) -> tuple[list[Path], int]:
        """Merge all waiting files in one transaction; return them with the number of new runs."""
        return self._merge(connection, spool.waiting(self.spool))

    def _merge(self, connection: duckdb.DuckDBPyConnection, paths: Sequence[Path]) -> tuple[list[Path], int]:
        """Merge spool files in one transaction, without those that are damaged or gone; return which, and new runs."""
        most = MOST_TOGETHER
        while paths:
            done: list[Path] = []
            batch: list[Path] = []
            new = 0
            try:
                with transaction(connection):
                    for batch, rows in merge.batches(self._readable(paths), most):
                        new += merge.merge(connection, rows).get("runs", 0)
                        done += batch
                return done, new
            except _DATA_FAULTS as error:
                # The transaction is lost with the statement: begin again, one by one, and then without the culprit.
                if most == 1:
                    log.warning(spool.set_aside(batch[0], database.first_sentence(error)))
                most = 1
                paths = [path for path in paths if path.exists()]
        return [], 0

    def _readable(self, paths: Sequence[Path]) -> Iterator[tuple[Path, merge.Rows]]:
        for path in paths:
            try:
                yield path, spool.read(path)
            except spool.DamagedError as error:
                log.warning(spool.set_aside(path, str(error)))
            except FileNotFoundError:
                continue  # Taken in by another process.


_GROUPS = """
SELECT dataset, family, precision, count(*) AS runs, count(*) FILTER (status = 'diverged') AS diverged,
       count(DISTINCT replicate) AS replicates, count(DISTINCT hidden_sizes) AS architectures
FROM runs GROUP BY ALL ORDER BY ALL
"""
