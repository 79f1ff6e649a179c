"""Numbered schema changes: the SQL files in `store/migrations/`, each applied once, in order, in a transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import duckdb

from store import domains, known_costs
from store.errors import MinarchError
from store.transaction import transaction

FILLED: Mapping[str, Callable[[duckdb.DuckDBPyConnection], object]] = {"costs": known_costs.complete}
"""What a migration's tables get of the rows that are there, by its name."""
FOLDER = Path(__file__).parent / "migrations"
LEDGER = """
CREATE TABLE IF NOT EXISTS migrations (
    number     INTEGER PRIMARY KEY,
    name       VARCHAR NOT NULL,
    applied_at TIMESTAMP NOT NULL,
    hash       VARCHAR NOT NULL
);
COMMENT ON TABLE migrations IS 'The schema changes that made this store';
COMMENT ON COLUMN migrations.number IS 'Number of the change; the highest one is the version of the schema';
COMMENT ON COLUMN migrations.name IS 'Name of the change';
COMMENT ON COLUMN migrations.applied_at IS 'When it was applied, in UTC';
COMMENT ON COLUMN migrations.hash IS 'SHA-256 of its SQL file';
"""


@dataclass(frozen=True)
class Migration:
    """A schema change: its number, name and SQL."""

    number: int
    name: str
    sql: str

    @property
    def hash(self) -> str:
        """SHA-256 of the SQL."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


@cache
def packaged(folder: Path = FOLDER) -> tuple[Migration, ...]:
    """Return the migrations in `folder`, in order."""
    found = []
    for path in sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.sql")):
        number, _, name = path.stem.partition("_")
        found.append(Migration(int(number), name, path.read_text(encoding="utf-8")))
    return tuple(found)


def latest() -> int:
    """Return the schema version that this package writes."""
    return packaged()[-1].number


def version(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the schema version of an open store.

    Raises:
        MinarchError: the database is no store, or a newer package made it. The text leaves out the path.
    """
    try:
        found, first = connection.execute("SELECT max(number), arg_min(name, number) FROM migrations").fetchall()[0]
    except (duckdb.CatalogException, duckdb.BinderException):
        found = first = None
    if not isinstance(found, int) or first != packaged()[0].name:
        raise MinarchError("is not a minarch store")
    if found > latest():
        raise MinarchError(
            f"has schema version {found}, and this minarch knows versions up to {latest()}; use a newer minarch"
        )
    return found


def apply(connection: duckdb.DuckDBPyConnection, migrations: tuple[Migration, ...] | None = None) -> None:
    """Bring an open database to the newest schema: every migration that it lacks, a transaction each.

    Raises:
        MinarchError: a row is impossible by the newer schema; nothing of that migration is done, no row is lost. The
            text leaves out the path.
    """
    connection.execute(LEDGER)
    applied = {row[0] for row in connection.execute("SELECT number FROM migrations").fetchall()}
    for migration in packaged() if migrations is None else migrations:
        if migration.number in applied:
            continue
        try:
            _apply(connection, migration)
        except duckdb.ConstraintException as error:
            domains.check_store(connection)
            raise MinarchError(f"has rows that migration {migration.name} refuses: {error}") from error


def _apply(connection: duckdb.DuckDBPyConnection, migration: Migration) -> None:
    with transaction(connection):
        connection.execute(migration.sql)
        if migration.name in FILLED:
            FILLED[migration.name](connection)
        connection.execute(
            "INSERT INTO migrations VALUES (?, ?, ?, ?)",
            [migration.number, migration.name, datetime.now(UTC).replace(tzinfo=None), migration.hash],
        )
