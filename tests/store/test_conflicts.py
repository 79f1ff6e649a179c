"""An import that contradicts the store says of which runs, and is refused unless told to keep what is stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from store.errors import MinarchError
from store.records import Records
from store.results import Store
from tests.store.build import INVOCATION, make_pruning, make_records, make_run, make_store

RUNS = [make_run((width,), replicate=replicate) for width in (2, 3) for replicate in range(3)]
Spoil = Callable[[pl.DataFrame], pl.DataFrame]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "a.duckdb", make_records(RUNS))


def export(folder: Path, *units: Records) -> Path:
    make_store(folder / "other.duckdb", *units).export(folder / "out")
    return folder / "out"


def counts(store: Store) -> dict[str, int]:
    tables = ("runs", "labels", "epochs", "pruning", "invocations")
    return {table: store.query(f"SELECT count(*) FROM {table}").item() for table in tables}


def test_runs_with_other_results_are_counted_named_and_refused(store: Store, tmp_path: Path) -> None:
    changed = [replace(run, test_accuracy=0.123) for run in RUNS[:2]]
    new = make_run((5,))
    folder = export(tmp_path, make_records([*changed, *RUNS[2:], new]))
    before = counts(store)
    with pytest.raises(MinarchError) as caught:
        store.import_(folder)
    names = ", ".join(sorted(run.run_id for run in changed))
    assert str(caught.value) == (
        f"2 of 7 runs ({names}) say something else than the store; nothing was added."
        " --on-conflict keep adds the others and keeps what is stored"
    )
    assert counts(store) == before


def test_what_is_stored_may_be_kept(store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    changed, new = replace(RUNS[0], test_accuracy=0.123), make_run((5,))
    folder = export(tmp_path, make_records([changed, new]))
    assert store.import_(folder, on_conflict="keep")["runs"] == 1
    assert f"1 of 2 runs ({changed.run_id}) say something else than the store, which keeps what it had" in caplog.text
    rows = store.query(
        "SELECT test_accuracy FROM runs WHERE run_id IN ($1, $2) ORDER BY capacity", [changed.run_id, new.run_id]
    )
    assert rows["test_accuracy"].to_list() == [0.9, 0.9]


def test_the_same_results_found_elsewhere_are_no_contradiction(store: Store, tmp_path: Path) -> None:
    elsewhere = replace(INVOCATION, invocation_id="elsewhere")
    later = [replace(run, seconds=99.0, created_at=datetime(2026, 1, 1)) for run in RUNS]
    added = store.import_(export(tmp_path, make_records(later, invocation=elsewhere)))
    assert {table for table, count in added.items() if count} == {"invocations"}


def test_results_that_are_missing_are_no_contradiction(tmp_path: Path) -> None:
    bare = make_store(tmp_path / "bare.duckdb", make_records(RUNS, pruning=False))
    folder = export(tmp_path, make_records(RUNS))
    assert bare.import_(folder)["pruning"] == 3 * len(RUNS)
    bare.export(tmp_path / "again")
    assert sum(bare.import_(folder).values()) == 0


@pytest.mark.parametrize(
    ("table", "spoil", "message"),
    [
        ("epochs", lambda f: f.with_columns(test_loss=pl.col("test_loss") + 1), "6 of 6 runs ("),
        ("epochs", lambda f: pl.concat([f, f.head(1).with_columns(epoch=pl.lit(99, pl.Int32))]), "1 of 6 runs ("),
        ("pruning", lambda f: f.with_columns(nonzero=pl.lit(1, pl.Int64)), "6 of 6 runs ("),
        ("labels", lambda f: f.with_columns(degenerate=True), "6 of 6 runs ("),
        ("runs", lambda f: f.with_columns(parameters=pl.lit(1, pl.Int64)), "6 of 6 runs ("),
        ("protocols", lambda f: f.with_columns(spec=pl.lit("{}")), "1 row of protocols (protocol0)"),
        ("datasets", lambda f: f.with_columns(classes=pl.lit(7, pl.Int32)), "1 row of datasets (fingerprint-digits)"),
        ("invocations", lambda f: f.with_columns(torch_version=pl.lit("x")), "1 row of invocations (invocation0)"),
    ],
)
def test_every_table_is_compared(table: str, spoil: Spoil, message: str, store: Store, tmp_path: Path) -> None:
    folder = export(tmp_path, make_records(RUNS))
    path = folder / f"{table}.parquet"
    spoil(pl.read_parquet(path)).write_parquet(path)
    before = counts(store)
    with pytest.raises(MinarchError) as caught:
        store.import_(folder)
    assert str(caught.value).startswith(message)
    assert counts(store) == before
    assert sum(store.import_(folder, on_conflict="keep").values()) == 0
    assert counts(store) == before


def test_an_export_of_the_same_rows_in_single_precision_agrees(store: Store, tmp_path: Path) -> None:
    folder = export(tmp_path, make_records(RUNS))
    for table in ("runs", "epochs", "pruning"):
        path = folder / f"{table}.parquet"
        frame = pl.read_parquet(path)
        frame.with_columns(pl.col(pl.Float64).cast(pl.Float32)).write_parquet(path)
    assert sum(store.import_(folder).values()) == 0


def test_a_pruning_grid_beside_a_stored_one_is_a_contradiction(store: Store, tmp_path: Path) -> None:
    records = make_records(RUNS, pruning=False)
    finer = tuple(row for run in RUNS for row in make_pruning(run, [0.0, 0.25, 0.5, 1.0]))
    with pytest.raises(MinarchError, match="6 of 6 runs"):
        store.import_(export(tmp_path, replace(records, pruning=finer)))


def test_a_folder_of_another_name_with_the_same_images_is_the_same_data(store: Store, tmp_path: Path) -> None:
    folder = export(tmp_path, make_records(RUNS))
    for table in ("datasets", "runs"):
        path = folder / f"{table}.parquet"
        pl.read_parquet(path).with_columns(dataset=pl.lit("renamed")).write_parquet(path)
    assert sum(store.import_(folder).values()) == 0
