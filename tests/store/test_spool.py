"""Spool files: what goes in comes out, and damage never does."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from store import spool
from store.errors import MinarchError
from store.records import Epoch, Records
from store.tables import SCHEMAS
from tests.store.build import grid, make_records, make_run, make_store


def rows_of(path: Path, table: str) -> list[dict[str, object]]:
    return spool.read(path)[table].to_pylist()


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    records = make_records(grid(widths=(2, 5), replicates=2))
    path = spool.write(tmp_path, records, "unit")
    for field in fields(Records):
        written = [asdict(row) for row in getattr(records, field.name)]
        for row in written:
            row.update({name: list(value) for name, value in row.items() if isinstance(value, tuple)})
        assert rows_of(path, field.name) == written


def test_empty_tables_have_their_types(tmp_path: Path) -> None:
    tables = spool.read(spool.write(tmp_path, Records(), "unit"))
    assert {name: table.schema.types for name, table in tables.items()} == {n: s.types for n, s in SCHEMAS.items()}
    assert all(table.num_rows == 0 for table in tables.values())


def test_values_that_are_not_finite_become_null(tmp_path: Path) -> None:
    run = make_run(test_accuracy=None, test_loss=float("nan"), last_test_loss=float("inf"), status="diverged")
    (row,) = rows_of(spool.write(tmp_path, Records(runs=(run,)), "unit"), "runs")
    assert (row["test_accuracy"], row["test_loss"], row["last_test_loss"]) == (None, None, None)
    assert row["train_loss"] == run.train_loss


def test_a_needed_value_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MinarchError, match="runs: seconds has no finite value in 1 of 1 rows"):
        spool.write(tmp_path, Records(runs=(make_run(seconds=float("nan")),)), "unit")
    assert list(tmp_path.iterdir()) == []


def test_doubles_are_refused(tmp_path: Path) -> None:
    records = make_records()
    twice = replace(records, epochs=(*records.epochs, records.epochs[0]))
    with pytest.raises(MinarchError, match="epochs: two rows have the same run_id, epoch"):
        spool.write(tmp_path, twice, "unit")


def test_names_sort_by_time_and_never_collide(tmp_path: Path) -> None:
    names = [spool.write(tmp_path, Records(), "same/../name ü").name for _ in range(5)]
    assert len(set(names)) == 5
    assert [path.name for path in spool.waiting(tmp_path)] == names
    assert all(re.fullmatch(r"\d{20}-same-\.\.-name-[0-9a-f]{8}\.parquet", name) for name in names)


def test_a_failing_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        spool.write(tmp_path, make_records(), "unit")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.99])
def test_a_truncated_file_is_noticed(share: float, tmp_path: Path) -> None:
    path = spool.write(tmp_path, make_records(grid()), "unit")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(spool.DamagedError):
        spool.read(path)
    assert spool.run_ids(path) == set()


def test_changed_bytes_are_noticed_or_harmless(tmp_path: Path) -> None:
    """Pages have checksums. The footer has none: a change there shows, or touches what reading does not use."""
    path = spool.write(tmp_path, make_records(grid(widths=(2,), replicates=2)), "unit")
    content, truth = path.read_bytes(), spool.read(path)
    rng = np.random.default_rng(1)
    noticed = 0
    for position in rng.integers(4, len(content) - 8, 150):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x10]) + content[position + 1 :])
        try:
            found = spool.read(path)
        except spool.DamagedError:
            noticed += 1
            continue
        assert set(found) == set(truth)
        for table, rows in found.items():
            if rows.column_names == truth[table].column_names:
                assert rows.to_pylist() == truth[table].to_pylist()
    assert noticed > 50


def test_a_file_that_another_process_took_in_has_no_runs(tmp_path: Path) -> None:
    assert spool.run_ids(tmp_path / "gone.parquet") == set()


def test_only_stale_partial_files_are_removed(tmp_path: Path) -> None:
    old, new = tmp_path / ".old.part", tmp_path / ".new.part"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * spool.STALE,) * 2)
    spool.remove_stale(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".new.part"]


def test_partial_files_do_not_wait(tmp_path: Path) -> None:
    (tmp_path / ".unit.part").write_bytes(b"half")
    (tmp_path / ".hidden.parquet").write_bytes(b"half")
    assert spool.waiting(tmp_path) == []


def test_epoch_rows_keep_missing_values(tmp_path: Path) -> None:
    epoch = Epoch(
        run_id="a",
        epoch=1,
        train_loss=None,
        train_accuracy=0.5,
        validation_loss=None,
        validation_accuracy=None,
        test_loss=0.25,
        test_accuracy=None,
    )
    assert rows_of(spool.write(tmp_path, Records(epochs=(epoch,)), "unit"), "epochs") == [asdict(epoch)]


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (pipe, "it is a pipe, not a file"),
        (listening, "it is a socket, not a file"),
        (Path.mkdir, "it is a folder, not a file"),
        (lambda path: path.symlink_to(os.devnull), "it is a device, not a file"),
        (lambda path: path.symlink_to("nowhere"), "it is a link that leads nowhere: No such file"),
        (lambda path: path.symlink_to(path), "it is a link that leads nowhere: Too many levels"),
    ],
)
def test_what_is_no_file_is_set_aside_and_hangs_nobody(
    make: Callable[[Path], None], reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = make_store(tmp_path / "a.duckdb")
    strange = store.spool / "00-strange.parquet"
    make(strange)
    spool.write(store.spool, make_records(), "unit")
    assert len(store.run_ids()) == 1
    assert store.append(make_records([make_run((3,))]), name="next") == 2
    assert reason in caplog.text
    assert not os.path.lexists(strange)
    assert os.path.lexists(strange.with_name(strange.name + spool.DAMAGED))
    assert spool.waiting(store.spool) == []
    assert store.ingest() == 0


def test_what_was_set_aside_before_stays(tmp_path: Path) -> None:
    for content in (b"first", b"second"):
        (tmp_path / "a.parquet").write_bytes(content)
        spool.set_aside(tmp_path / "a.parquet", "no reason")
    assert {path.read_bytes() for path in spool.damaged(tmp_path)} == {b"first", b"second"}


@pytest.mark.parametrize("name", ["x" * 240, "\udcff\udcfe"])
def test_a_name_that_is_too_long_or_no_text_blocks_nobody(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = make_store(tmp_path / "a.duckdb")
    (store.spool / f"{name}.parquet").write_bytes(b"no Parquet")
    assert store.append(make_records(), name="unit") == 1
    assert len(spool.damaged(store.spool)) == 1
    assert b"set aside" in caplog.text.encode(), "a log is text, whatever a file is called"


def test_a_spool_file_without_runs_counts_none(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"labels": pa.array([[{"run_id": "a", "shape": "", "degenerate": False}]])}), tmp_path / "a"
    )
    assert spool.run_ids(tmp_path / "a") == set()
