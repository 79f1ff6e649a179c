"""Schema changes: applied once, in order, whole, and on record."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import duckdb
import polars as pl
import pytest

from store import merge, migrations, spool
from store.errors import MinarchError
from store.migrations import Migration
from store.records import Label, Records
from store.results import Store
from store.tables import ADDED, ADDED_TABLES, TABLES
from tests.store.build import make_records, make_run, make_store

NEXT = Migration(migrations.latest() + 1, "add_note", "ALTER TABLE runs ADD COLUMN note VARCHAR")


def test_packaged_migrations_are_numbered_without_gaps() -> None:
    assert [m.number for m in migrations.packaged()] == list(range(1, migrations.latest() + 1))


def test_applied_migrations_are_on_record(tmp_path: Path) -> None:
    store = make_store(tmp_path / "a.duckdb")
    rows = store.query("SELECT number, name, hash, applied_at IS NOT NULL FROM migrations ORDER BY number").rows()
    files = sorted(migrations.FOLDER.glob("*.sql"))
    assert rows == [(int(f.name[:4]), f.stem[5:], hashlib.sha256(f.read_bytes()).hexdigest(), True) for f in files]


def test_a_migration_is_applied_once() -> None:
    with duckdb.connect() as connection:
        migrations.apply(connection)
        before = connection.execute("FROM migrations").fetchall()
        migrations.apply(connection)
        assert connection.execute("FROM migrations").fetchall() == before


def test_a_failing_migration_leaves_nothing() -> None:
    bad = Migration(NEXT.number, "bad", "CREATE TABLE half (a INTEGER); INSERT INTO nowhere VALUES (1)")
    with duckdb.connect() as connection:
        migrations.apply(connection)
        with pytest.raises(duckdb.CatalogException):
            migrations.apply(connection, (*migrations.packaged(), bad))
        assert migrations.version(connection) == migrations.latest()
        assert connection.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'half'").fetchone() == (0,)


@pytest.mark.parametrize("way", ["read", "write"])
def test_an_older_store_is_brought_up_to_date(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(tmp_path / "a.duckdb", make_records())
    newer = (*migrations.packaged(), NEXT)
    monkeypatch.setattr(migrations, "packaged", lambda: newer)
    if way == "write":
        store.prepare()
    assert store.query("SELECT note FROM runs").rows() == [(None,)]
    assert store.info().schema_version == NEXT.number


def of_version(path: Path, version: int, records: Records) -> dict[str, list[tuple[object, ...]]]:
    """Make a store of an earlier version with what it can hold of these records; return its tables."""
    rows = spool.read(spool.write(path.with_name("spool"), records, "unit"))
    with duckdb.connect(path) as connection:
        migrations.apply(connection, migrations.packaged()[:version])
        tables = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        known = {
            name: content.select([column for column, *_ in connection.execute(f"DESCRIBE {name}").fetchall()])
            for name, content in rows.items()
            if name in tables
        }
        merge.merge(connection, known)
        return {table: connection.execute(f"FROM {table} ORDER BY ALL").fetchall() for table in known}


@pytest.mark.parametrize("version", range(1, migrations.latest()))
def test_a_store_of_an_earlier_version_keeps_its_rows(version: int, tmp_path: Path) -> None:
    path = tmp_path / "a.duckdb"
    before = of_version(path, version, make_records([make_run(), make_run(precision="int8")]))
    assert len(before["pruning"]) == 3
    if version < 6:
        before["pruning"] = [(*row, "magnitude", 0) for row in before["pruning"]]
    if version < 2:
        before["invocations"] = [(*row, None) for row in before["invocations"]]
    after = {table: Store(path).query(f"FROM {table} ORDER BY ALL").rows() for table in TABLES}
    if version < 7:
        assert after.pop("costs") == [("protocol0", "fingerprint-digits", "dnn", [10], 740, 740, 296, 74)]
    new = [table for table in TABLES if table not in before and table in after]
    assert [after.pop(table) for table in new] == [[] for _ in new]
    assert {t: [list(row) for row in found] for t, found in after.items()} == {
        t: [list(row) for row in found] for t, found in before.items()
    }
    assert Store(path).info().schema_version == migrations.latest()


def test_units_that_an_earlier_version_left_in_the_spool_are_taken_in(tmp_path: Path) -> None:
    store = make_store(tmp_path / "a.duckdb", make_records([make_run((3,))]))
    earlier = spool.write(tmp_path / "elsewhere", make_records([make_run((4,))]), "unit")
    rows = {name: content for name, content in spool.read(earlier).items() if name not in ADDED_TABLES}
    table = pl.DataFrame(
        {
            name: [pl.from_arrow(content.drop_columns([*ADDED[name]])).to_struct()]  # type: ignore[union-attr]
            for name, content in rows.items()
        }
    )
    store.spool.mkdir(exist_ok=True)
    table.write_parquet(store.spool / "0-unit.parquet")
    spool.write(store.spool, make_records([make_run((5,))]), "unit")
    assert store.ingest() == 2
    found = store.query("SELECT DISTINCT method, finetune_epochs, count(*) FROM pruning GROUP BY ALL").rows()
    assert found == [("magnitude", 0, 9)]


def test_a_store_from_before_the_view_of_equal_widths_gets_it(tmp_path: Path) -> None:
    path = tmp_path / "a.duckdb"
    runs = [make_run((10,)), make_run((10, 10)), make_run((10, 20)), make_run((4,), family="cnn"), make_run((1, 1, 1))]
    cut_short = Label(run_id=runs[1].run_id, shape="+", degenerate=True)
    records = make_records(runs)
    of_version(path, 2, replace(records, labels=(*records.labels, cut_short)))
    with duckdb.connect(path) as connection:
        connection.execute("UPDATE labels SET degenerate = true WHERE run_id = ?", [runs[4].run_id])
    found = Store(path).query("FROM equal_widths").get_column("run_id").to_list()
    assert sorted(found) == sorted(runs[n].run_id for n in (0, 1, 3)), "no wider layer, none that the end cut short"


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    store = make_store(tmp_path / "a.duckdb", make_records())
    with duckdb.connect(store.path) as connection:
        connection.execute("INSERT INTO migrations VALUES (999, 'future', TIMESTAMP '2030-01-01', 'x')")
    for use in (store.info, store.prepare, store.run_ids):
        with pytest.raises(
            MinarchError, match=r"has schema version 999, and this minarch knows .* use a newer minarch"
        ):
            use()
    with pytest.raises(MinarchError, match="999"):
        store.append(make_records(), name="unit")
    assert store.spool.exists()
    assert len(list(store.spool.glob("*.parquet"))) == 1, "the unit must wait for the newer package"


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE runs (a INTEGER)",
        "CREATE TABLE migrations (number VARCHAR)",
        "CREATE TABLE migrations (number INTEGER, name VARCHAR)",
        "CREATE TABLE migrations AS SELECT 1 AS number, 'theirs' AS name",
    ],
)
def test_another_duckdb_database_is_refused_and_left_alone(sql: str, tmp_path: Path) -> None:
    path = tmp_path / "other.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute(sql)
    for use in (Store(path).info, Store(path).prepare):
        with pytest.raises(MinarchError, match=r"other\.duckdb is not a minarch store"):
            use()
    with duckdb.connect(path) as connection:
        assert len(connection.execute("FROM duckdb_tables()").fetchall()) == 1
