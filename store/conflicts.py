"""Rows of an import that say something else than the stored rows with the same key."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from store.tables import ADDED, KEYS, TABLES

# What may differ between two accounts of one thing: who found it, when and how fast; and what its folders were called.
CIRCUMSTANCES: dict[str, tuple[str, ...]] = {
    "datasets": ("dataset",),
    "invocations": ("argv", "request"),
    "runs": ("invocation_id", "dataset", "engine", "seconds", "created_at"),
    "integer_checks": ("seconds",),
    "post_training": ("seconds",),
}
# A run's rows are compared where the run, or its results of that kind, are stored.
_STORED = {
    "labels": "runs",
    "epochs": "runs",
    "pruning": "pruning",
    "integer_checks": "integer_checks",
    "post_training": "post_training",
}
_NAMED = 3


def describe(connection: duckdb.DuckDBPyConnection, incoming: Mapping[str, str]) -> str | None:
    """Return what contradicts the store, on one line, or None; `incoming` has a relation per table.

    A row that the store has with the same key and other content counts, as does a row of a stored run that the store
    lacks while it has others of its kind: neither would be added.
    """
    runs: set[str] = set()
    others: list[str] = []
    for table in TABLES:
        if table not in incoming:
            continue
        found = [row[0] for row in connection.execute(_differing(connection, table, incoming[table])).fetchall()]
        if "run_id" in KEYS[table]:
            runs.update(found)
        elif found:
            others.append(f"{len(found):,} {'row' if len(found) == 1 else 'rows'} of {table} ({_names(found)})")
    if runs:
        total = connection.execute(f"SELECT count(*) FROM {incoming['runs']}").fetchall()[0][0]
        others.insert(0, f"{len(runs):,} of {total:,} runs ({_names(sorted(runs))})")
    return " and ".join(others) or None


def _names(keys: list[str]) -> str:
    return ", ".join(keys[:_NAMED]) + (", ..." if len(keys) > _NAMED else "")


def _differing(connection: duckdb.DuckDBPyConnection, table: str, incoming: str) -> str:
    """Return the query for the keys, or the runs, whose rows differ."""
    key = KEYS[table]
    same = " AND ".join(f"i.{name} = s.{name}" for name in key)
    kinds = connection.execute(f"DESCRIBE {incoming}").fetchall()
    compared = [(name, kind) for name, kind, *_ in kinds if name not in (*key, *CIRCUMSTANCES.get(table, ()))]
    differs = " OR ".join(_distinct(name, kind, name in ADDED[table]) for name, kind in compared) or "false"
    if table not in _STORED:
        return f"SELECT DISTINCT i.{key[0]} FROM {incoming} i JOIN {table} s ON {same} WHERE {differs} ORDER BY ALL"
    return (
        f"SELECT DISTINCT i.run_id FROM {incoming} i LEFT JOIN {table} s ON {same}"
        f" WHERE i.run_id IN (SELECT run_id FROM {_STORED[table]}) AND (s.run_id IS NULL OR {differs}) ORDER BY ALL"
    )


def _distinct(name: str, kind: str, later: bool) -> str:
    """Return the condition that a column differs, at the precision that the import has.

    An export of an earlier version says nothing where a `later` one added a column.
    """
    if kind == '"NULL"':
        return "false" if later else f"s.{name} IS NOT NULL"
    differs = f"i.{name} IS DISTINCT FROM TRY_CAST(s.{name} AS {kind})"
    return f"(i.{name} IS NOT NULL AND {differs})" if later else differs
