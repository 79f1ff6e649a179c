"""Adding rows to an open store without ever doubling one: for units of work and for imports alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from store import domains, known_costs
from store.tables import KEYS

# Rows of these tables stand for themselves: the first one with a key stays.
INDEPENDENT = ("protocols", "datasets", "invocations", "designs", "looks", "costs")
# Rows that come with their run, and only with it: another writer's must not mix with those already there.
WITH_RUN = ("labels", "epochs")
# Results that a stored run may still lack.
LATER = ("pruning", "integer_checks", "post_training")
# What a run's columns name.
NAMED = {"protocol_id": "protocols", "dataset_fingerprint": "datasets", "invocation_id": "invocations"}

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

    Raises:
        DomainError: a value cannot be, or a row names another that is neither here nor in the store.
    """
    # They stay registered, until the next call or the connection's end: in a transaction that has failed DuckDB would
    # refuse to forget them.
    for table, content in rows.items():
        connection.register(f"incoming_{table}", content)
        if content.num_rows:
            domains.check(connection, table, f"incoming_{table}")
    counts = {table: _insert(connection, table) for table in INDEPENDENT if table in rows}
    _check_named(connection, rows)
    # Runs go last: what comes with a run is added while the store does not have it yet.
    with_run = (*WITH_RUN, "runs") if "runs" in rows else ()
    counts |= {table: _insert(connection, table) for table in (*LATER, *with_run) if table in rows}
    if "runs" in rows and _has_costs(connection):
        counts["costs"] = counts.get("costs", 0) + known_costs.complete(connection, "incoming_runs")
    return counts


def _has_costs(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether the store is of a version that keeps costs."""
    return bool(connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'costs'").fetchall())


def _check_named(connection: duckdb.DuckDBPyConnection, rows: Rows) -> None:
    """Refuse runs whose protocol, dataset or invocation is unknown, and results of unknown runs."""
    known = "SELECT run_id FROM runs" + (" UNION ALL SELECT run_id FROM incoming_runs" if "runs" in rows else "")
    pairs = [("runs", column, f"SELECT {column} FROM {table}") for column, table in NAMED.items()]
    pairs.append(("looks", "design_id", "SELECT design_id FROM designs"))
    pairs += [("costs", column, f"SELECT {column} FROM {NAMED[column]}") for column in KEYS["costs"][:2]]
    pairs += [(table, "run_id", known) for table in (*WITH_RUN, *LATER)]
    queries = [
        f"SELECT '{table}', '{column}', min({column}), count(*) FROM incoming_{table} WHERE {column} NOT IN ({those})"
        for table, column, those in pairs
        if table in rows and rows[table].num_rows
    ]
    if not queries:
        return
    for table, column, name, count in connection.execute(" UNION ALL ".join(queries)).fetchall():
        if count:
            what = "that run" if column == "run_id" else f"such a row of {NAMED.get(column, 'designs')}"
            raise domains.DomainError(
                f"{table}: column {column} is {name} in {count:,} rows, and neither they nor the store have {what}"
            )


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
    elif table == "costs":
        same = " AND ".join(f"s.{name} = i.{name}" for name in KEYS[table])
        query += f" WHERE NOT EXISTS (SELECT 1 FROM costs s WHERE {same})"
    else:
        query += " ON CONFLICT DO NOTHING"
    if table == "runs":
        # A fingerprint tells datasets apart: the name that the store has for it is that of all its runs.
        name = "SELECT any_value(d.dataset) FROM datasets d WHERE d.dataset_fingerprint = i.dataset_fingerprint"
        query = query.replace("i.*", f"i.* REPLACE (coalesce(({name}), i.dataset) AS dataset)")
    return int(connection.execute(query).fetchall()[0][0])
