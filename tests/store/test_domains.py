"""What cannot be is refused: by an import, by the spool and by the schema."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from store import domains, migrations, spool
from store.errors import MinarchError
from store.records import Design, IntegerCheck, Look, Pruned, Records
from store.results import Store
from store.tables import ADDED_TABLES, TABLES
from tests.store.build import grid, make_post_training, make_records, make_run, make_store

SHARES = [7.0, -1.0, 1e308, 1.0000001]
METRICS = [
    f"{which}{part}_{what}"
    for which in ("", "last_")
    for part in ("train", "validation", "test")
    for what in ("accuracy", "loss")
]

NOW = datetime(2026, 3, 1)
EARLIER = [table for table in TABLES if table not in ADDED_TABLES]

# Table, column, impossible values, what the message says is allowed.
IMPOSSIBLE: list[tuple[str, str, list[Any], str]] = [
    *(("runs", name, SHARES if name.endswith("accuracy") else [-0.1, 1e308], "0 to 1") for name in METRICS),
    *(("epochs", name, SHARES if name.endswith("accuracy") else [-0.1, 1e308], "0 to 1") for name in METRICS[:6]),
    ("runs", "family", ["rnn", "", "DNN"], "one of dnn, cnn, vit"),
    ("runs", "precision", ["fp64", "int-8"], "one of fp32, int8"),
    ("runs", "engine", ["jax"], "one of torch, kernel"),
    ("runs", "status", ["fine"], "one of ok, diverged"),
    ("runs", "depth", [0, -1], "1 or more"),
    ("runs", "capacity", [0, -3], "1 or more"),
    ("runs", "hidden_sizes", [[], [2, 0], [3], [2, -5]], "capacity first"),
    ("runs", "parameters", [0, -1], "1 or more"),
    ("runs", "replicate", [-1], "0 or more"),
    ("runs", "epochs", [0, -2], "1 or more"),
    ("runs", "best_epoch", [0, 4, -1], "1 to the run's epochs"),
    ("runs", "seconds", [-1.0, 1e300], "0 to 1e10"),
    *(("datasets", name, [0, -1], "1 or more") for name in ("train_images", "test_images", "height", "width")),
    *(("datasets", name, [0, -1], "1 or more") for name in ("channels", "classes")),
    ("datasets", "chance_accuracy", SHARES, "0 to 1"),
    ("labels", "shape", ["up", "+ -", "\n"], "one of +, -, ="),
    ("epochs", "epoch", [0, -1], "1 or more"),
    ("pruning", "sparsity", [9.0, -0.1], "0 to 1"),
    ("pruning", "test_accuracy", SHARES, "0 to 1"),
    ("pruning", "test_loss", [-1.0, 1e40], "0 to 1e39"),
    ("pruning", "nonzero", [-1], "0 or more"),
    ("integer_checks", "test_accuracy", SHARES, "0 to 1"),
    ("integer_checks", "seconds", [-1.0], "0 to 1e10"),
    ("looks", "number", [-1], "0 or more"),
    ("pruning", "method", ["size", ""], "one of magnitude, random, layerwise, units"),
    ("pruning", "finetune_epochs", [-1], "0 or more"),
    *(("post_training", name, [1, 9, -8], "2 to 8") for name in ("weight_bits", "activation_bits")),
    ("post_training", "test_accuracy", SHARES, "0 to 1"),
    ("post_training", "test_loss", [-1.0, 1e40], "0 to 1e39"),
    ("post_training", "seconds", [-1.0], "0 to 1e10"),
    *(("costs", name, [-1], "0 or more") for name in ("weights", "macs")),
    *(("costs", name, [0, -4], "1 or more") for name in ("ram_fp32", "ram_int8")),
]  # fmt: skip
CASES = [(table, column, value, allowed) for table, column, values, allowed in IMPOSSIBLE for value in values]
# Columns with the same rule are told from one another by one value each; the schema tries all of them.
IMPORTED = [
    (table, column, value, allowed)
    for table, column, values, allowed in IMPOSSIBLE
    for value in (values[:1] if column in METRICS and (table, column) != ("runs", "test_accuracy") else values)
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("domains")
    runs = [make_run((2,) * depth, precision=precision) for depth in (1, 2) for precision in ("fp32", "int8")]
    designs = Design(design_id="d", dataset_fingerprint="f", spec="{}", created_at=NOW)
    looks = Look(design_id="d", number=0, spec="{}", taken_at=NOW)
    after = tuple(row for run in runs if run.precision == "fp32" for row in make_post_training(run))
    records = replace(make_records(runs), designs=(designs,), looks=(looks,), post_training=after)
    make_store(folder / "a.duckdb", records).export(folder / "out")
    return folder / "out"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """An empty store that refuses what the tests import."""
    return make_store(tmp_path_factory.mktemp("domains") / "b.duckdb")


@pytest.fixture(scope="module")
def filled(exported: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The export's rows under the newest schema."""
    with duckdb.connect() as connection:
        migrations.apply(connection)
        for table in TABLES:
            connection.execute(f"INSERT INTO {table} BY NAME FROM read_parquet('{exported}/{table}.parquet')")
        yield connection


def spoil(folder: Path, table: str, column: str, value: object) -> None:
    """Give the first row of an exported table another value."""
    path = folder / f"{table}.parquet"
    frame = pl.read_parquet(path)
    values = frame[column].to_list()
    frame.with_columns(pl.Series(column, [value, *values[1:]], frame.schema[column])).write_parquet(path)


def test_every_column_with_a_domain_is_tried() -> None:
    tried = {(table, column) for table, column, *_ in IMPOSSIBLE}
    assert tried == {(table, rule.column) for table in domains.RULES for rule in domains.rules(table)}


@pytest.mark.parametrize(("table", "column", "value", "allowed"), IMPORTED)
def test_an_import_of_the_impossible_is_refused_by_table_column_and_row(
    table: str, column: str, value: object, allowed: str, exported: Path, target: Store, tmp_path: Path
) -> None:
    folder = shutil.copytree(exported, tmp_path / "out")
    spoil(folder, table, column, value)
    with pytest.raises(MinarchError) as caught:
        target.import_(folder)
    text = str(caught.value)
    assert text.startswith(f"{table}: column ")
    identity = {"datasets": "dataset_fingerprint", "looks": "design_id", "costs": "protocol_id"}.get(table, "run_id")
    assert f" in the row of {identity} " in text
    assert "allowed is " in text
    assert "\n" not in text
    # A depth, say, that cannot be shows where the widths do not fit it, too.
    assert f"column {column} is" in text or column in ("depth", "capacity", "epochs")
    assert allowed in text or column in ("depth", "capacity", "epochs", "hidden_sizes")
    assert target.query("SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM datasets)").row(0) == (0, 0)


@pytest.mark.parametrize(("table", "column", "value", "allowed"), CASES)
def test_the_schema_refuses_the_impossible(
    table: str, column: str, value: object, allowed: str, filled: duckdb.DuckDBPyConnection
) -> None:
    rules = [rule for rule in domains.rules(table) if rule.column == column]
    held = any(rule.in_schema for rule in rules)  # A vocabulary is not: it may grow.
    change = f"UPDATE {table} SET {column} = ?"
    with pytest.raises(duckdb.ConstraintException, match="CHECK") if held else contextlib.nullcontext():
        filled.execute(change, [value])


def test_the_schema_has_the_rules_and_no_others() -> None:
    sql = "".join(migration.sql for migration in migrations.packaged()[3:])
    wanted = [f"CHECK ({rule.holds})" for rules in domains.RULES.values() for rule in rules if rule.in_schema]
    assert all(check in sql for check in wanted)
    with duckdb.connect() as connection:
        migrations.apply(connection)
        found = connection.execute("SELECT count(*) FROM duckdb_constraints() WHERE constraint_type = 'CHECK'")
        assert found.fetchall() == [(len(wanted),)]


def test_what_is_missing_is_no_fault(tmp_path: Path) -> None:
    nothing: dict[str, Any] = dict.fromkeys(METRICS)
    run = replace(make_run(status="diverged"), **nothing)
    store = make_store(tmp_path / "a.duckdb", make_records([run]))
    store.export(tmp_path / "out")
    assert Store(tmp_path / "b.duckdb").import_(tmp_path / "out")["runs"] == 1


def test_a_loss_of_nothing_may_come_out_below(tmp_path: Path) -> None:
    assert make_store(tmp_path / "a.duckdb", make_records([make_run(train_loss=-3e-8)])).run_ids()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"test_accuracy": 7.0}, "runs: column train_accuracy is 7.0 in the row of run_id"),
        ({"family": "rnn"}, "runs: column family is rnn"),
        ({"best_epoch": 9}, "runs: column best_epoch is 9"),
        ({"dataset_fingerprint": "other"}, "runs: column dataset_fingerprint is other in 1 rows, and neither they nor"),
        ({"protocol_id": "other"}, "runs: column protocol_id is other in 1 rows, and neither they nor the store have"),
    ],
)
def test_the_spool_sets_the_impossible_aside(
    changes: dict[str, Any], reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = make_store(tmp_path / "a.duckdb")
    run = replace(make_run((3,)), **changes)
    if "test_accuracy" in changes:
        run = replace(run, train_accuracy=7.0)
    spool.write(store.spool, make_records([make_run((2,))]), "before")
    spool.write(store.spool, make_records([run], pruning=False), "impossible")
    spool.write(store.spool, make_records([make_run((4,))]), "after")
    assert store.ingest() == 2
    (damaged,) = spool.damaged(store.spool)
    assert "impossible" in damaged.name
    assert reason in caplog.text
    assert store.query("SELECT capacity FROM runs ORDER BY 1")["capacity"].to_list() == [2, 4]


@pytest.mark.parametrize(
    "records",
    [
        Records(pruning=(Pruned(run_id="x", sparsity=0.5, test_accuracy=0.5, test_loss=1.0, nonzero=1),)),
        Records(integer_checks=(IntegerCheck(run_id="x", test_accuracy=0.5, seconds=1.0),)),
        Records(post_training=make_post_training(replace(make_run(), run_id="x"))),
    ],
)
def test_results_of_unknown_runs_are_set_aside(
    records: Records, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = make_store(tmp_path / "a.duckdb")
    spool.write(store.spool, records, "orphan")
    assert store.ingest() == 0
    assert len(spool.damaged(store.spool)) == 1
    assert re.search(r"column run_id is x in \d rows, and neither they nor the store have that run", caplog.text)


@pytest.mark.parametrize("table", ["protocols", "datasets", "invocations", "runs"])
def test_an_import_without_what_it_names_is_refused(table: str, exported: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(exported, tmp_path / "out")
    path = folder / f"{table}.parquet"
    pl.read_parquet(path).clear().write_parquet(path)
    with pytest.raises(MinarchError, match=r"column \w+ is \S+ in \d+ rows, and neither they nor the store have"):
        Store(tmp_path / "b.duckdb").import_(folder)


def older(path: Path, **changes: object) -> Path:
    """A store of the schema before the rules, with one row changed."""
    with duckdb.connect(path) as connection:
        migrations.apply(connection, migrations.packaged()[:3])
    rows = make_store(path.with_name("new.duckdb"), make_records(grid(widths=(2, 3), replicates=3)))
    rows.export(path.with_name("export"))
    with duckdb.connect(path) as connection:
        for table in EARLIER:
            columns = ", ".join(name for name, *_ in connection.execute(f"DESCRIBE {table}").fetchall())
            file = f"{path.with_name('export')}/{table}.parquet"
            connection.execute(f"INSERT INTO {table} BY NAME SELECT {columns} FROM '{file}'")
        for column, value in changes.items():
            connection.execute(f"UPDATE runs SET {column} = ? WHERE run_id = (SELECT min(run_id) FROM runs)", [value])
    return path


def contents(store: Store) -> dict[str, set[str]]:
    return {table: set(map(repr, store.query(f"FROM {table}").iter_rows())) for table in TABLES}


def test_an_older_store_keeps_every_row_and_comment(tmp_path: Path) -> None:
    store = Store(older(tmp_path / "a.duckdb"))
    with duckdb.connect(store.path, read_only=True) as connection:
        before = {t: set(map(repr, connection.execute(f"FROM {t}").fetchall())) for t in EARLIER}
    before["pruning"] = {f"{row[:-1]}, 'magnitude', 0)" for row in before["pruning"]}
    found = contents(store)
    assert found.pop("costs"), "of the architectures that were there"
    assert found == before | {table: set() for table in ADDED_TABLES if table != "costs"}
    assert contents(store) == contents(Store(tmp_path / "new.duckdb"))
    query = "SELECT count(*) FROM duckdb_columns() WHERE comment IS NULL AND table_name = 'runs'"
    assert store.query(query).item() == 0
    assert store.query("SELECT count(*) FROM cells").item() == 8


@pytest.mark.parametrize("use", [Store.info, Store.prepare, Store.run_ids, lambda store: store.query("SELECT 1")])
def test_an_older_store_with_the_impossible_is_refused_and_left_alone(
    use: Callable[[Store], object], tmp_path: Path
) -> None:
    path = older(tmp_path / "a.duckdb", test_accuracy=1e308)
    before = path.read_bytes()
    with pytest.raises(
        MinarchError,
        match=r"a\.duckdb is of an older schema and has rows that cannot be: runs: column"
        r" test_accuracy is 1e\+308 in the row of run_id \w+; allowed is 0 to 1; correct or delete",
    ):
        use(Store(path))  # fmt: skip
    with duckdb.connect(path) as connection:
        assert connection.execute("SELECT count(*), max(test_accuracy) FROM runs").fetchall() == [(24, 1e308)]
        assert connection.execute("SELECT max(number) FROM migrations").fetchall() == [(3,)]
        connection.execute("DELETE FROM runs WHERE test_accuracy > 1")
    assert len(before) > 0
    assert len(Store(path).run_ids()) == 23
