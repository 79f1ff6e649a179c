"""Adding rows to an open store without ever doubling one: for units of work and for imports alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from store.tables import KEYS

# Rows of these tables stand for themselves: the first one with a key stays.
INDEPENDENT = ("protocols", "datasets", "invocations")
# Rows that come with their run, and only with it: another writer's must not mix with those already there.
WITH_RUN = ("labels", "epochs")
# Results that a stored run may still lack.
LATER = ("pruning", "integer_checks")

Rows = Mapping[str, pa.Table]


def batches(units: Iterable[tuple[Path, Rows]], most: int) -> Iterator[tuple[list[Path], Rows]]:
    """Yield units joined into larger ones, of `most` at most: what a merge costs grows with the store, not the unit.

    Units stay in order. Two that know the same run are never joined, for the first one has precedence; nor are two
    whose columns differ, as after an update.
    """
    paths: list[Path] = []
    members: list[Rows] = []
    known: set[object] = set()
    for path, rows in units:
        runs = _runs(rows)
        if members and (len(members) == most or not known.isdisjoint(runs) or not _alike(members[0], rows)):
            yield paths, _join(members)
            paths, members, known = [], [], set()
        paths.append(path)
        members.append(rows)
        known |= runs
    if members:
        yield paths, _join(members)


def _runs(rows: Rows) -> set[object]:
    tables = [table for table in rows.values() if "run_id" in table.column_names]
    return {run for table in tables for run in pc.unique(table.column("run_id")).to_pylist()}


def _alike(first: Rows, second: Rows) -> bool:
    return first.keys() == second.keys() and all(first[name].schema == second[name].schema for name in first)


def _join(members: list[Rows]) -> Rows:
    return {name: pa.concat_tables([rows[name] for rows in members]) for name in members[0]}


def merge(connection: duckdb.DuckDBPyConnection, rows: Rows) -> dict[str, int]:
    """Return the number of rows added per table; inside the caller's transaction.

    Of a run that is stored already, only results that it lacks are added. `rows` has one Arrow table per table name,
    with the columns by name; keys are unique within those that belong to runs.
    """
    # They stay registered, until the next call or the connection's end: in a transaction that has failed DuckDB would
    # refuse to forget them.
    for table, content in rows.items():
        connection.register(f"incoming_{table}", content)
    # Runs go last: what comes with a run is added while the store does not have it yet.
    with_run = (*WITH_RUN, "runs") if "runs" in rows else ()
    return {table: _insert(connection, table) for table in (*INDEPENDENT, *LATER, *with_run) if table in rows}


def _insert(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    distinct = f"DISTINCT ON ({', '.join(KEYS[table])}) " if table in INDEPENDENT else ""
    query = f"INSERT INTO {table} BY NAME SELECT {distinct}i.* FROM incoming_{table} i"
    if table in WITH_RUN:
        query += (
            " WHERE i.run_id IN (SELECT run_id FROM incoming_runs)"
            " AND NOT EXISTS (SELECT 1 FROM runs s WHERE s.run_id = i.run_id)"
        )
    elif table in LATER:
        query += f" WHERE NOT EXISTS (SELECT 1 FROM {table} s WHERE s.run_id = i.run_id)"
    else:
        query += " ON CONFLICT DO NOTHING"
    if table == "runs":
        # A fingerprint tells datasets apart: the name that the store has for it is that of all its runs.
        name = "SELECT any_value(d.dataset) FROM datasets d WHERE d.dataset_fingerprint = i.dataset_fingerprint"
        query = query.replace("i.*", f"i.* REPLACE (coalesce(({name}), i.dataset) AS dataset)")
    return int(connection.execute(query).fetchall()[0][0])
