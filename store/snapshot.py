"""A store as it stood at one moment, in memory: what is asked of it fits together, whoever writes meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import duckdb

from store import reading, sandbox

if TYPE_CHECKING:
    import polars
    import pyarrow

# What a view that is put over missing tables raises.
_MISSING = duckdb.CatalogException


class Snapshot:
    """Tables of a store, read in one transaction, with the store's views over them."""

    def __init__(self, tables: Mapping[str, pyarrow.Table], views: Sequence[str]) -> None:
        self.names = frozenset(tables)
        self._views = tuple(views)
        self._connection = duckdb.connect(":memory:", config=sandbox.LOCKED)
        for name, rows in tables.items():
            self._connection.register("incoming", rows)
            self._connection.execute(f"CREATE TABLE {name} AS FROM incoming")
            self._connection.unregister("incoming")
        for view in views:
            self._create(view)

    def query(self, sql: str, parameters: Sequence[object] | Mapping[str, object] | None = None) -> polars.DataFrame:
        """Return the rows of one reading SQL statement.

        Raises:
            MinarchError: the statement writes, or DuckDB refuses it.
        """
        return reading.select(self._connection, sql, parameters)

    def where(self, table: str, condition: str) -> Snapshot:
        """Return a snapshot of the same moment with only those rows of one table that meet a condition, in SQL."""
        only = {table: f" WHERE {condition}"}
        rows = {name: self._connection.sql(f"FROM {name}{only.get(name, '')}").to_arrow_table() for name in self.names}
        return Snapshot(rows, self._views)

    def _create(self, view: str) -> None:
        try:
            self._connection.execute(view)
        except _MISSING:
            return  # Over a table that was not asked for.


def read(connection: duckdb.DuckDBPyConnection, tables: Sequence[str]) -> Snapshot:
    """Return a snapshot of some tables of an open store."""
    connection.begin()
    try:
        views = "SELECT sql FROM duckdb_views() WHERE NOT internal ORDER BY view_oid"
        return Snapshot(
            {name: connection.sql(f"FROM {name}").to_arrow_table() for name in tables},
            [sql for (sql,) in connection.execute(views).fetchall()],
        )
    finally:
        connection.rollback()
