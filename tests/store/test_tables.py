"""The rows that Python writes are the tables that the migrations make."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from store import migrations
from store.tables import KEYS, SCHEMAS, TABLES

SQL_TYPES = {
    pa.string(): {"VARCHAR", "JSON"},
    pa.int64(): {"INTEGER", "BIGINT"},
    pa.float64(): {"DOUBLE"},
    pa.bool_(): {"BOOLEAN"},
    pa.timestamp("us"): {"TIMESTAMP"},
    pa.list_(pa.int32()): {"INTEGER[]"},
}


@pytest.fixture(scope="module")
def columns() -> dict[str, list[tuple[str, str, bool]]]:
    with duckdb.connect() as connection:
        migrations.apply(connection)
        tables = [row[0] for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        return {
            table: [(row[0], row[1], row[2] == "YES") for row in connection.execute(f"DESCRIBE {table}").fetchall()]
            for table in tables
        }


def test_every_table_has_its_records(columns: dict[str, list[tuple[str, str, bool]]]) -> None:
    assert set(columns) == {*TABLES, "migrations"}
    assert set(KEYS) == set(TABLES)


@pytest.mark.parametrize("table", TABLES)
def test_fields_are_columns(table: str, columns: dict[str, list[tuple[str, str, bool]]]) -> None:
    schema = SCHEMAS[table]
    assert schema.names == [name for name, _, _ in columns[table]]
    for field, (name, kind, nullable) in zip(schema, columns[table], strict=True):
        assert kind in SQL_TYPES[field.type], name
        assert field.nullable == nullable, name
    assert set(KEYS[table]) <= set(schema.names)


def test_every_table_view_and_column_has_a_comment() -> None:
    with duckdb.connect() as connection:
        migrations.apply(connection)
        bare = connection.execute(
            "SELECT table_name FROM duckdb_tables() WHERE comment IS NULL"
            " UNION ALL SELECT view_name FROM duckdb_views() WHERE comment IS NULL AND NOT internal"
            " UNION ALL SELECT table_name || '.' || column_name FROM duckdb_columns()"
            " WHERE comment IS NULL AND table_name IN (SELECT table_name FROM duckdb_tables())"
        ).fetchall()
    assert bare == []
