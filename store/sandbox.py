"""What SQL may do: read the open store within limits. No other file, no network, no extension, no other setting.

A store may come from a stranger as a query may, and views in it run with every query: so each connection is made so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from store.errors import MinarchError

Settings = dict[str, str | bool | int | float | list[str]]

# Set when a connection is made, for later is too late: the last one forbids to change any.
LOCKED: Settings = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_persistent_secrets": "false",
    # A table name that is missing in the store would be looked up among Python's variables.
    "python_enable_replacements": "false",
    "lock_configuration": "true",
}
# Sorting and grouping what does not fit into the memory may take this much more of the disk.
_SPILL = 4

_COMMENT = r"\s|--[^\n]*(?:\n|$)|/\*.*?\*/"
_EXPLAIN = re.compile(rf"(?:{_COMMENT})*EXPLAIN(?:{_COMMENT}|(?=\())+(?:ANALYZE(?:{_COMMENT}|(?=\())+)?", re.I | re.S)
_OPTIONS = re.compile(r"\([^()']*\)", re.S)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a query may take: `memory` in bytes, one half for DuckDB and one for the result; `rows` of the result."""

    memory: int = 4 * 10**9
    rows: int | None = None

    @property
    def share(self) -> int:
        """Bytes that DuckDB may take, and likewise the result."""
        return self.memory // 2


def reading(limits: Limits) -> Settings:
    """Return the settings of a connection that reads."""
    memory = {"memory_limit": f"{limits.share}B", "max_temp_directory_size": f"{_SPILL * limits.share}B"}
    return {**memory, **LOCKED}


def writing() -> Settings:
    """Return the settings of a connection that writes."""
    # One thread is enough for an append, and a sweep's workers have the other cores.
    return {"threads": "1", **LOCKED}


def check(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Accept one statement that reads.

    Raises:
        MinarchError: there is none, there are several, or it does something else.
        duckdb.Error: it cannot be parsed.
        UnicodeError: it is not UTF-8.
    """
    sql.encode()
    statement = _only(connection.extract_statements(sql))
    kind = _kind(statement)
    if kind == "EXPLAIN":
        # EXPLAIN ANALYZE runs what it explains.
        kind = _kind(_only(_explained(connection, statement.query)))
    if kind != "SELECT":
        raise MinarchError(f"SQL: {kind} is refused: queries only read; `store import` adds rows")


def _kind(statement: duckdb.Statement) -> str:
    try:
        return str(statement.type.name)
    except ValueError:  # There are kinds of which Python's interface does not know.
        return "a statement of this kind"


def _only(statements: Sequence[duckdb.Statement]) -> duckdb.Statement:
    if len(statements) != 1:
        raise MinarchError(f"SQL: one statement is wanted, and here are {len(statements) or 'none'}")
    return statements[0]


def _explained(connection: duckdb.DuckDBPyConnection, query: str) -> Sequence[duckdb.Statement]:
    """Return what an EXPLAIN explains, parsed on its own."""
    inner = _EXPLAIN.sub("", query, count=1)
    try:
        return connection.extract_statements(inner)
    except duckdb.ParserException:
        # Options such as (FORMAT json) stand before the statement.
        return connection.extract_statements(_OPTIONS.sub("", inner, count=1))
