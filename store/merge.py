"""Adding rows to an open store without ever doubling one: for units of work and for imports alike."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
import pyarrow as pa

# Rows of these tables stand for themselves: the first one with a key stays.
INDEPENDENT = ("protocols", "datasets", "invocations")
# Rows that come with their run, and only with it: another writer's must not mix with those already there.
WITH_RUN = ("labels", "epochs")
# Results that a stored run may still lack.
LATER = ("pruning", "integer_checks")


def merge(connection: duckdb.DuckDBPyConnection, rows: Mapping[str, pa.Table]) -> dict[str, int]:
    """Return the number of rows added per table; inside the caller's transaction.

    Of a run that is stored already, only results that it lacks are added. `rows` has one Arrow table per table name,
    with the columns by name; keys are unique within each.
    """
    # They stay registered, until the next call or the connection's end: in a transaction that has failed DuckDB would
    # refuse to forget them.
    for table, content in rows.items():
        connection.register(f"incoming_{table}", content)
    # Runs go last: what comes with a run is added while the store does not have it yet.
    with_run = (*WITH_RUN, "runs") if "runs" in rows else ()
    return {table: _insert(connection, table) for table in (*INDEPENDENT, *LATER, *with_run) if table in rows}


def _insert(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    query = f"INSERT INTO {table} BY NAME SELECT i.* FROM incoming_{table} i"
    if table in WITH_RUN:
        query += (
            " WHERE i.run_id IN (SELECT run_id FROM incoming_runs)"
            " AND NOT EXISTS (SELECT 1 FROM runs s WHERE s.run_id = i.run_id)"
        )
    elif table in LATER:
        query += f" WHERE NOT EXISTS (SELECT 1 FROM {table} s WHERE s.run_id = i.run_id)"
    else:
        query += " ON CONFLICT DO NOTHING"
    return int(connection.execute(query).fetchall()[0][0])
