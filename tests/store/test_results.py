"""Append, read, and what becomes of runs that come twice."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from store import spool
from store.errors import MinarchError
from store.migrations import latest
from store.records import IntegerCheck, Records
from store.results import Group, Store
from store.tables import TABLES
from tests.store.build import (
    INVOCATION,
    PROTOCOL,
    grid,
    make_cuts,
    make_epochs,
    make_post_training,
    make_pruning,
    make_records,
    make_run,
    make_store,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results.duckdb")


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store to read from."""
    return make_store(tmp_path_factory.mktemp("read") / "a.duckdb", make_records([make_run((2,)), make_run((3,))]))


def count(store: Store, table: str) -> int:
    return int(store.query(f"SELECT count(*) FROM {table}").item())


def test_a_unit_is_stored_with_all_its_rows(store: Store) -> None:
    runs = grid(widths=(2, 5), depths=(1, 2), replicates=3)
    records = make_records(runs)
    assert store.append(records, name="unit") == len(runs)
    assert {table: count(store, table) for table in TABLES} == {t: len(getattr(records, t)) for t in TABLES}
    assert spool.waiting(store.spool) == []
    row = store.query("SELECT * FROM runs WHERE run_id = $id", {"id": runs[0].run_id}).row(0, named=True)
    assert row == {**vars(runs[0]), "hidden_sizes": list(runs[0].hidden_sizes)}


def test_a_unit_appended_twice_is_stored_once(store: Store) -> None:
    records = make_records(grid(widths=(2,)))
    assert store.append(records, name="unit") == len(records.runs)
    assert store.append(records, name="unit") == 0
    assert {table: count(store, table) for table in TABLES} == {t: len(getattr(records, t)) for t in TABLES}


def test_the_first_writer_of_a_run_keeps_it_whole(store: Store) -> None:
    first = make_run((5, 5), test_accuracy=0.8, epochs=3)
    second = replace(first, test_accuracy=0.7, epochs=5)
    other = replace(INVOCATION, invocation_id="other")
    store.append(make_records([first]), name="first")
    fresh = make_run((7,), epochs=2)
    assert store.append(make_records([second, fresh], invocation=other), name="second") == 1
    assert store.query("SELECT test_accuracy FROM runs WHERE capacity = 5").item() == 0.8
    curve = store.query("SELECT epoch FROM epochs JOIN runs USING (run_id) WHERE capacity = 5 ORDER BY 1")
    assert curve["epoch"].to_list() == [1, 2, 3]
    assert (
        store.query("SELECT max(p.test_accuracy) FROM pruning p JOIN runs USING (run_id) WHERE capacity = 5").item()
        == 0.8
    )
    assert count(store, "epochs") == 5
    assert count(store, "labels") == 2
    assert count(store, "invocations") == 2


def test_two_waiting_units_with_one_run_make_one_run(store: Store) -> None:
    run = make_run()
    spool.write(store.spool, make_records([run]), "a")
    spool.write(store.spool, make_records([replace(run, test_accuracy=0.1)]), "b")
    assert store.ingest() == 1
    assert store.query("SELECT test_accuracy FROM runs").rows() == [(run.test_accuracy,)]
    assert count(store, "epochs") == run.epochs


def test_many_waiting_units_are_taken_in_whatever_their_order(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.results.MOST_TOGETHER", 3)
    for number in [1, 2, 3, 4, 2, 5, 5, 6, 1]:
        spool.write(store.spool, make_records([make_run((number,), replicate=r) for r in range(2)]), "unit")
    assert store.ingest() == 12
    assert (count(store, "runs"), count(store, "epochs"), count(store, "pruning")) == (12, 36, 36)
    assert (count(store, "protocols"), count(store, "datasets"), count(store, "invocations")) == (1, 1, 1)


def test_results_that_a_stored_run_lacks_are_added_once(store: Store) -> None:
    run, quantized = make_run(), make_run(precision="int8")
    store.append(make_records([run, quantized], pruning=False, integer_checks=False), name="training")
    check = IntegerCheck(run_id=quantized.run_id, test_accuracy=0.88, seconds=1.0)
    later = Records(pruning=make_pruning(run), integer_checks=(check,))
    assert store.append(later, name="later") == 0
    assert (count(store, "pruning"), count(store, "integer_checks")) == (3, 1)
    again = Records(pruning=make_pruning(run, [0.0, 0.25, 0.5]), integer_checks=(replace(check, test_accuracy=0.1),))
    store.append(again, name="again")
    assert store.query("SELECT sparsity FROM pruning ORDER BY 1")["sparsity"].to_list() == [0.0, 0.5, 1.0]
    assert store.query("SELECT test_accuracy FROM integer_checks").item() == 0.88


def test_learning_curves_do_not_come_without_their_run(store: Store) -> None:
    run = make_run()
    store.append(make_records([run]), name="unit")
    longer = replace(run, epochs=9)
    store.append(Records(epochs=make_epochs(longer)), name="curve alone")
    assert count(store, "epochs") == run.epochs


def test_run_ids_count_what_waits(store: Store) -> None:
    assert store.run_ids() == set()
    stored, waiting = make_run((2,)), make_run((3,), protocol_id="other")
    store.append(make_records([stored]), name="stored")
    other = replace(PROTOCOL, protocol_id="other")
    spool.write(store.spool, replace(make_records([waiting]), protocols=(other,)), "waiting")
    assert store.run_ids() == {stored.run_id, waiting.run_id}
    assert store.run_ids("other") == {waiting.run_id}
    assert store.run_ids(stored.protocol_id) == {stored.run_id}
    assert store.run_ids("none") == set()
    assert store.query("SELECT count(*) FROM runs").item() == 1, "readers do not take in what waits"
    assert store.close_out() == 1
    assert store.run_ids() == {stored.run_id, waiting.run_id}


def test_prepare_makes_an_empty_store_and_takes_in_leftovers(store: Store) -> None:
    assert store.prepare() == 0
    assert store.run_ids() == set()
    spool.write(store.spool, make_records(), "left over")
    assert store.prepare() == 1


def test_nothing_to_take_in_makes_no_store(store: Store) -> None:
    assert store.ingest() == store.close_out() == 0
    assert not store.path.exists()


def test_a_missing_store_says_how_to_get_one(store: Store) -> None:
    for use in (store.info, lambda: store.query("SELECT 1"), lambda: store.export(store.path.parent / "out")):
        with pytest.raises(MinarchError, match=r"no store at .*results\.duckdb; `generate` makes one"):
            use()
    spool.write(store.spool, make_records(), "waiting")
    with pytest.raises(MinarchError, match=r"1 finished unit waits in .*: run `store ingest`"):
        store.info()


def test_info_counts(store: Store) -> None:
    diverged = make_run((3,), family="cnn", status="diverged", test_accuracy=None)
    store.append(make_records([*grid(widths=(2, 5), depths=(1, 2), replicates=3), diverged]), name="unit")
    spool.write(store.spool, make_records([make_run((99,))]), "waiting")
    info = store.info()
    counts = {"diverged": 0, "replicates": 3, "architectures": 4, "runs": 12}
    assert info.groups == (
        Group(dataset="digits", family="cnn", precision="fp32", runs=1, diverged=1, replicates=1, architectures=1),
        Group(dataset="digits", family="dnn", precision="fp32", **counts),
        Group(dataset="digits", family="dnn", precision="int8", **counts),
    )
    assert (info.protocols, info.invocations, info.waiting, info.damaged, info.schema_version) == (1, 1, 1, 0, latest())
    assert info.size == store.path.stat().st_size


def test_a_damaged_unit_is_set_aside_and_blocks_nobody(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    first = spool.write(store.spool, make_records([make_run((2,))]), "first")
    broken = spool.write(store.spool, make_records([make_run((3,))]), "broken")
    spool.write(store.spool, make_records([make_run((4,))]), "last")
    content = broken.read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    with caplog.at_level(logging.WARNING):
        assert store.append(make_records([make_run((5,))]), name="next") == 3
    assert store.query("SELECT capacity FROM runs ORDER BY 1")["capacity"].to_list() == [2, 4, 5]
    aside = broken.with_name(broken.name + ".damaged")
    assert aside.read_bytes() == content[: len(content) // 2], "a damaged unit is never deleted"
    assert str(aside) in caplog.text
    assert store.info().damaged == 1
    assert not first.exists()
    assert store.ingest() == 0


def spoiled(path: Path, table: str, rows: pa.Table) -> None:
    """Write a readable spool file whose `table` holds `rows`."""
    structs = rows.to_struct_array().combine_chunks()
    column = pa.ListArray.from_arrays(pa.array([0, len(rows)], pa.int32()), structs)
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({table: column}), path)


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        ("runs", {"run_id": ["a"]}),
        ("protocols", {"protocol_id": ["a"], "spec": ["{}"], "surprise": [1]}),
        ("integer_checks", {"run_id": ["a"], "test_accuracy": ["high"], "seconds": [1.0]}),
        ("surprise", {"a": [1]}),
        ("pruning", {"run_id": ["a"], "sparsity": [None], "nonzero": [1]}),
    ],
)
def test_a_unit_that_does_not_fit_is_set_aside(
    table: str, rows: dict[str, list[object]], store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.append(make_records([make_run((2,))]), name="first")
    (store.spool / "00-damaged.parquet").write_bytes(b"PAR1")
    spool.write(store.spool, make_records([make_run((3,))]), "before")
    spoiled(store.spool / "05-spoiled.parquet", table, pa.table(rows))
    spool.write(store.spool, make_records([make_run((4,))]), "after")
    with caplog.at_level(logging.WARNING):
        assert store.ingest() == 2
    assert store.query("SELECT capacity FROM runs ORDER BY 1")["capacity"].to_list() == [2, 3, 4]
    aside = [path.name for path in spool.damaged(store.spool)]
    assert aside == ["00-damaged.parquet.damaged", "05-spoiled.parquet.damaged"]
    assert len(caplog.records) == 2
    assert all("\n" not in record.message for record in caplog.records)
    assert count(store, "epochs") == 9


def test_a_crash_between_commit_and_deletion_doubles_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(paths: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(spool, "remove", crash)
        with pytest.raises(KeyboardInterrupt):
            store.append(make_records(), name="unit")
    assert len(spool.waiting(store.spool)) == 1
    assert len(store.run_ids()) == count(store, "runs") == 1
    assert store.ingest() == 0
    assert spool.waiting(store.spool) == []
    assert (count(store, "runs"), count(store, "epochs")) == (1, 3)


def test_an_interrupt_stops_a_query(store: Store) -> None:
    store.prepare()
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # A script's background job ignores it.
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            store.query(
                "SELECT count(*) AS n FROM range(1000000) a, range(1000000) b WHERE (a.range * b.range) % 7 = 3"
            )
        timer.join()
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_store_may_be_renamed(store: Store, tmp_path: Path) -> None:
    store.append(make_records(grid(widths=(2,))), name="unit")
    moved = Store(store.path.rename(tmp_path / "o'ther [1].db"))
    assert moved.query("SELECT count(*) FROM cells").item() > 0
    assert moved.append(make_records([make_run((50,))]), name="unit") == 1


def test_one_connection_of_this_process_that_reads_delays_nothing(store: Store) -> None:
    import duckdb

    store.append(make_records(), name="first")
    with duckdb.connect(store.path, read_only=True):
        assert store.query("SELECT count(*) FROM runs").item() == 1
        begin = time.monotonic()
        assert store.append(make_records([make_run((3,))]), name="second") == 0
        assert store.append(make_records([make_run((4,))]), name="third") == 0
        assert time.monotonic() - begin < 10
        with pytest.raises(MinarchError, match=r"2 finished units wait in .* held by .*; then run `store ingest`"):
            store.close_out(wait=0.1)
        assert len(store.run_ids()) == 3
    assert store.close_out() == 2


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("", "one statement is wanted, and here are none"),
        ("-- nothing", "one statement is wanted, and here are none"),
        ("SELECT 1; SELECT 2", "one statement is wanted, and here are 2"),
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("SELECT accuracy FROM runs", 'Referenced column "accuracy" not found'),
        ("SELECT * FROM experiments", "Table with name experiments does not exist"),
        ("SELECT * FROM pl", "Table with name pl does not exist"),
        ("SELECT 'a'::INTEGER", "Could not convert string 'a' to INT32"),
        (
            "SELECT max(created_at) - min(created_at) FROM runs",
            "has a type that data frames lack",
        ),
        ("INSERT INTO runs SELECT * FROM runs", "INSERT is refused"),
        ("DELETE FROM runs", "DELETE is refused"),
        ("UPDATE runs SET depth = 1", "UPDATE is refused"),
        ("DROP TABLE runs", "DROP is refused"),
        ("CREATE TABLE a (b INTEGER)", "CREATE is refused"),
        ("COPY runs TO 'runs.csv'", "COPY is refused"),
        ("ATTACH 'other.duckdb'", "ATTACH is refused"),
        ("EXPLAIN ANALYZE DELETE FROM runs", "DELETE is refused"),
        ("WITH d AS (DELETE FROM runs RETURNING *) SELECT * FROM d", ""),
        ("SELECT ?", ""),
        ("SELECT [INTERVAL 1 DAY] AS x", "column x has a type that data frames lack"),
        ("SELECT {} AS x", "column x has a type that data frames lack"),
        ("SELECT [{'a': {}}] AS x", "column x has a type that data frames lack"),
        ("SELECT {'a': INTERVAL 1 DAY} AS x", "column x has a type that data frames lack"),
        ("SELECT union_value(a := 1) AS x", "column x has a type that data frames lack"),
        ("SELECT DATE 'infinity' AS x", "column x has a time outside of the years 1 to 9999"),
        ("SELECT TIMESTAMP '-infinity' AS x", "column x has a time outside of the years 1 to 9999"),
        ("SELECT [DATE '-4000-01-01'] AS x", "column x has a time outside of the years 1 to 9999"),
        ("SELECT 1 AS x, 2 AS x", "two columns are named x; name one of them with AS"),
        ("SELECT '\udcff'", "the query is not UTF-8"),
    ],
)
def test_statements_that_do_not_read_are_refused_in_a_line(sql: str, message: str, two_runs: Store) -> None:
    with pytest.raises(MinarchError, match=r"^SQL: ") as caught:
        two_runs.query(sql)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert count(two_runs, "runs") == 2


@pytest.mark.parametrize(
    "sql",
    [
        "SHOW TABLES",
        "DESCRIBE runs",
        "SUMMARIZE runs",
        "FROM runs",
        "EXPLAIN FROM runs",
        "FROM pragma_table_info('runs')",
    ],
)
def test_statements_that_look_around_are_welcome(sql: str, two_runs: Store) -> None:
    assert two_runs.query(sql).height > 0


def test_sums_of_integers_are_integers(two_runs: Store) -> None:
    frame = two_runs.query("SELECT sum(capacity) AS s, sum(capacity::HUGEINT * 2**70::HUGEINT) AS big FROM runs")
    assert frame.schema["s"] == pl.Int64
    assert frame.row(0) == (5, 5 << 70)


def test_times_are_utc_without_a_zone(two_runs: Store) -> None:
    assert two_runs.query("SELECT DISTINCT created_at FROM runs").item() == datetime(2025, 1, 2, 3, 5)


def test_views(tmp_path: Path) -> None:
    store = make_store(tmp_path / "a.duckdb", make_records(grid(widths=(5,), depths=(2,), replicates=3)))
    cell = store.query("SELECT n, diverged, mean, lowest, highest, shape FROM cells WHERE precision = 'fp32'").row(0)
    accuracies = [0.9, 0.892, 0.884]
    assert cell == pytest.approx((3, 0, sum(accuracies) / 3, 0.884, 0.9, "="))
    gaps = store.query("SELECT gap FROM quantization_gaps")["gap"].to_list()
    assert gaps == pytest.approx([0.01] * 3)
    curve = store.query("SELECT sparsity, mean_loss_of_accuracy, n FROM pruning_curves ORDER BY sparsity").rows()
    assert [row[0] for row in curve] == [0.0, 0.5, 1.0]
    assert curve[2] == pytest.approx((1.0, sum(accuracies) / 3 - 0.1, 3))


def test_views_of_pruning_see_what_they_saw_before_there_were_other_ways(tmp_path: Path) -> None:
    runs = grid(widths=(5,), depths=(1, 2), replicates=3, precisions=("fp32", "int8", "int4"))
    records = make_records(runs)
    cuts = tuple(row for run in runs for row in make_cuts(run, [("random", 0), ("magnitude", 5), ("units", 0)]))
    quantized = tuple(row for run in runs if run.precision != "fp32" for row in make_pruning(run))
    plain = make_store(tmp_path / "a.duckdb", records)
    rich = make_store(tmp_path / "b.duckdb", replace(records, pruning=(*cuts, *records.pruning, *quantized)))
    for view in ("magnitude_pruning", "pruning_curves"):
        found = rich.query(f"FROM {view} ORDER BY ALL")
        assert found.height > 0
        assert found.rows() == plain.query(f"FROM {view} ORDER BY ALL").rows()
    ways = rich.query("SELECT precision, method, finetune_epochs, sum(n) AS n FROM cuts GROUP BY ALL").rows()
    curves = {(precision, "magnitude", 0, 18) for precision in ("fp32", "int8", "int4")}
    assert set(ways) == curves | {
        (precision, method, epochs, 6)
        for precision in ("fp32", "int8", "int4")
        for method, epochs in (("random", 0), ("magnitude", 5), ("units", 0))
    }


def test_a_run_with_rows_of_pruning_gets_no_others(tmp_path: Path) -> None:
    run = make_run()
    records = make_records([run])
    store = make_store(tmp_path / "a.duckdb", records)
    richer = (*records.pruning, *make_cuts(run, [("random", 0), ("magnitude", 5)]))
    store.append(replace(records, pruning=richer, post_training=make_post_training(run)), name="again")
    assert store.query("SELECT DISTINCT method, finetune_epochs FROM pruning").rows() == [("magnitude", 0)]
    assert store.query("FROM post_training").height == 3
    store.append(replace(records, post_training=make_post_training(replace(run, test_accuracy=0.1))), name="again")
    assert store.query("SELECT max(test_accuracy) FROM post_training").item() == 0.9
