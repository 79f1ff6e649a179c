"""All of a change, or nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import duckdb


@contextlib.contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Commit what is done inside, or take all of it back where anything fails."""
    connection.begin()
    try:
        yield
        connection.commit()
    except BaseException:
        # A failed commit, as on a full disk, has gone back by itself; what failed says more than this would.
        with contextlib.suppress(duckdb.Error):
            connection.rollback()
        raise
