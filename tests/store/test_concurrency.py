"""Several processes on one store, and processes that are killed at any moment."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from store import spool
from store.errors import MinarchError
from store.results import Store
from tests.store.processes import RUNS, unit

ROOT = Path(__file__).parents[2]


def start(role: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.store.processes", role, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], timeout: float = 120) -> str:
    out, errors = process.communicate(timeout=timeout)
    assert process.returncode == 0, errors
    assert errors == ""
    return out


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results.duckdb")


@pytest.fixture
def holder(request: pytest.FixtureRequest, store: Store) -> Iterator[subprocess.Popen[str]]:
    """Another program that has the store open, read-only or not."""
    store.append(unit(0), name="first")
    process = start("hold", store.path, int(request.param))
    assert process.stdout is not None
    assert process.stdout.readline() == f"({RUNS},)\n"
    yield process
    process.communicate()


def check_whole(store: Store, units: set[int]) -> None:
    """Assert that the store holds these units at least, and no row twice or without its like."""
    assert {run.run_id for number in units for run in unit(number).runs} <= store.run_ids()
    store.prepare()
    assert spool.waiting(store.spool) == spool.damaged(store.spool) == []
    runs = store.query("SELECT count(*), count(DISTINCT run_id) FROM runs").row(0)
    assert runs[0] == runs[1] >= RUNS * len(units)
    for table, rows_per_run, key in (("epochs", 4, "epoch"), ("pruning", 3, "sparsity"), ("labels", 1, "shape")):
        found = store.query(f"SELECT count(*), count(DISTINCT (run_id, {key})) FROM {table}").row(0)
        assert found == (rows_per_run * runs[0],) * 2, table


def kill_again_and_again(store: Store, trials: int, seed: int) -> None:
    """Kill appending processes at random moments: what one acknowledged is there, and there once."""
    rng = np.random.default_rng(seed)
    acknowledged: set[int] = set()
    for _ in range(trials):
        process = start("append", store.path, max(acknowledged, default=-1) + 1, 10**6)
        assert process.stdout is not None
        acknowledged.add(int(process.stdout.readline()))
        time.sleep(rng.uniform(0, 0.3))
        process.kill()
        out, _ = process.communicate()
        acknowledged.update(int(line) for line in out.splitlines(keepends=True) if line.endswith("\n"))
        assert {run.run_id for number in acknowledged for run in unit(number).runs} <= store.run_ids()
    check_whole(store, acknowledged)


def test_a_killed_writer_loses_nothing_that_it_acknowledged(store: Store) -> None:
    kill_again_and_again(store, trials=3, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 6))
def test_killed_writers_at_many_moments(seed: int, store: Store) -> None:
    kill_again_and_again(store, trials=25, seed=seed)


def test_writers_with_the_same_runs_and_readers_do_not_disturb_each_other(store: Store) -> None:
    store.append(unit(0), name="first")
    readers = [start("poll", store.path, 9 * RUNS) for _ in range(2)]
    writers = [start("append", store.path, 1, 6), start("append", store.path, 4, 9)]
    for writer in writers:
        finish(writer)
    store.close_out()
    polls = [int(finish(reader)) for reader in readers]
    assert max(polls) > 2, "no reader looked while the writers were at work"
    assert len(store.run_ids()) == 9 * RUNS
    check_whole(store, set(range(9)))


def test_two_processes_that_make_the_store_make_one(store: Store) -> None:
    writers = [start("append", store.path, 4 * number, 4 * number + 4) for number in range(2)]
    for writer in writers:
        finish(writer)
    store.close_out()
    check_whole(store, set(range(8)))
    assert store.query("SELECT count(*) FROM migrations").item() == store.info().schema_version


@pytest.mark.parametrize("holder", [True, False], indirect=True, ids=["reader", "writer"])
def test_a_program_that_holds_the_store_never_stops_the_sweep(holder: subprocess.Popen[str], store: Store) -> None:
    begin = time.monotonic()
    assert store.append(unit(1), name="second") == 0
    first = time.monotonic() - begin
    assert store.append(unit(2), name="third") == 0
    second = time.monotonic() - begin - first
    assert second < first, "once units wait the next one does not wait as long"
    assert len(spool.waiting(store.spool)) == 2
    assert store.ingest(wait=0) == 0
    with pytest.raises(MinarchError, match=rf"2 finished units wait .*process {holder.pid}.*then run `store ingest`"):
        store.close_out(wait=0.1)
    holder.communicate()
    assert len(store.run_ids()) == 3 * RUNS
    assert store.close_out() == 2 * RUNS
    check_whole(store, {0, 1, 2})


@pytest.mark.parametrize("holder", [False], indirect=True)
def test_a_reader_gives_up_with_the_holder_s_name(
    holder: subprocess.Popen[str], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.results.READ_WAIT", 0.2)
    with pytest.raises(
        MinarchError, match=rf"is held by .* \(process {holder.pid}\); close it there, or try again later"
    ):
        store.info()
    assert store.prepare() == 0, "a sweep may start all the same"
