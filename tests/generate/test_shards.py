"""A sweep in shards: claims in a shared folder, shards that die, and the rows that come of it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from generate.cli import generate
from generate.datasets import Dataset
from generate.driver import run_sweep
from generate.leases import EXPIRY_SECONDS, Lease
from generate.plan import Request, Unit, make_plan
from generate.provenance import new_invocation
from generate.shards import Shard, UnitFolder, in_turn, run_shard, unit_name
from store.errors import MinarchError
from store.results import Store
from tests.faults.processes import PROGRAM, start
from tests.generate.test_sweep import Inline

SWEEP = ("convergence", "--family", "dnn", "--depths", "1", "--capacities", "1,2", "--epochs", "2")
NAME = "0" * 32


def units_of(digits: Dataset, **settings: Any) -> tuple[Unit, ...]:
    request = Request(
        phase="convergence", families=("dnn", "cnn"), capacities=(1, 2), depths=(1,), epochs=2, **settings
    )
    return make_plan(request, [("digits", digits)], frozenset()).units


def test_shards_divide_the_units_and_end_up_helping_each_other(digits: Dataset) -> None:
    units = units_of(digits, repeats=5)
    orders = [in_turn(units, Shard(number, 3)) for number in (1, 2, 3)]
    own = [order[: len(range(number, len(units), 3))] for number, order in enumerate(orders)]
    assert sorted(name for part in own for name, _ in part) == sorted(map(unit_name, units))
    for order, part in zip(orders, own, strict=True):
        assert sorted(name for name, _ in order) == sorted(map(unit_name, units))
        assert [unit.seconds for _, unit in part] == sorted((unit.seconds for _, unit in part), reverse=True)
    assert orders[0] == in_turn(tuple(reversed(units)), Shard(1, 3))


def test_a_unit_is_claimed_by_one_until_it_is_given_back_or_done(tmp_path: Path) -> None:
    first, second = UnitFolder(tmp_path / "pool"), UnitFolder(tmp_path / "pool")
    assert first.claim(NAME)
    assert not second.claim(NAME)
    first.release(NAME)
    assert second.claim(NAME)
    first.release(NAME)  # Of what is not its own nothing happens.
    assert not first.claim(NAME)
    (tmp_path / "pool" / f"{NAME}.done").touch()
    second.release(NAME)
    assert not first.claim(NAME)
    assert first.finished() == {NAME}
    for folder in (first, second):
        folder.close()
    assert [path.name for path in (tmp_path / "pool").iterdir()] == [f"{NAME}.done"]


def leave_lease(pool: Path, *, process: int, machine: str | None = None, age: float = 0.0) -> Path:
    own = Lease.of_this_process("another", ())
    path = pool / f"{NAME}.lease"
    path.write_text(replace(own, process=process, machine=machine or own.machine, started="1").text())
    now = time.time() - age
    os.utime(path, (now, now))
    return path


def test_what_a_dead_shard_held_is_free_at_once_on_its_machine_and_elsewhere_in_time(tmp_path: Path) -> None:
    folder = UnitFolder(tmp_path)
    gone = os.getpid()  # Of a process that had this number before: it started at another time.
    leave_lease(tmp_path, process=gone)
    assert folder.claim(NAME)
    folder.release(NAME)
    leave_lease(tmp_path, process=gone, machine="another", age=EXPIRY_SECONDS / 2)
    assert not folder.claim(NAME)
    leave_lease(tmp_path, process=gone, machine="another", age=EXPIRY_SECONDS + 5)
    assert folder.claim(NAME)
    assert not list(tmp_path.glob("*.void"))


def test_the_clocks_of_machines_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_lease(tmp_path, process=1, machine="another")
    right = time.time
    for skew in (-1e6, 1e6):
        monkeypatch.setattr(time, "time", lambda skew=skew: right() + skew)
        assert not UnitFolder(tmp_path).claim(NAME)


def test_a_lease_renewed_between_two_looks_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This shard sees a void lease; before it takes it away another one has put its own there."""
    folder, other = UnitFolder(tmp_path), UnitFolder(tmp_path)
    path = leave_lease(tmp_path, process=1, machine="another", age=EXPIRY_SECONDS + 5)
    look, looks = folder._is_void, [0]

    def slow(seen: Path) -> bool:
        void = look(seen)
        looks[0] += 1
        if looks[0] == 1:
            assert other.claim(NAME)
        return void

    monkeypatch.setattr(folder, "_is_void", slow)
    assert not folder.claim(NAME)
    assert looks[0] == 2
    assert path.read_text() == Lease.of_this_process(other._owner, ()).text()


def rows(store: Store) -> dict[str, pl.DataFrame]:
    """All that training left, but for times and who trained it."""
    tables = {"runs": ["seconds", "created_at", "invocation_id"], "post_training": ["seconds"]}
    names = ("datasets", "protocols", "runs", "labels", "epochs", "pruning", "post_training")
    found = {name: store.query(f"FROM {name}").drop(tables.get(name, [])) for name in names}
    return {name: frame.sort(frame.columns[:2] if frame.width > 1 else frame.columns) for name, frame in found.items()}


def test_shards_leave_the_rows_of_a_driver(digits: Dataset, tmp_path: Path) -> None:
    units = units_of(digits, repeats=3)
    whole, shared = Store(tmp_path / "whole.duckdb"), Store(tmp_path / "shared.duckdb")
    run_sweep(units, whole, Inline(), new_invocation())
    first, second = UnitFolder(tmp_path / "pool"), UnitFolder(tmp_path / "pool")
    claimed = in_turn(units, Shard(2, 2))[0][0]
    assert second.claim(claimed)

    def free(progress: Any) -> None:
        if progress.held and not progress.running:
            second.release(claimed)

    done = run_shard(units, first, Inline(), new_invocation(), Shard(1, 2), show=free)
    assert done.models_done == 6 * 2
    assert shared.take_in(tmp_path / "pool", most=4) == (len(units), 12)
    assert shared.take_in(tmp_path / "pool") == (0, 0)
    for name, frame in rows(whole).items():
        assert frame.equals(rows(shared)[name]), name
    again = run_shard(units, second, Inline(), new_invocation(), Shard(2, 2))
    assert (again.models_done, again.elsewhere) == (0, 12)


def test_a_crash_between_merge_and_mark_doubles_nothing(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    units, store, folder = units_of(digits, repeats=2), Store(tmp_path / "s.duckdb"), UnitFolder(tmp_path / "pool")
    run_shard(units, folder, Inline(), new_invocation(), Shard(1, 1))

    def crash(paths: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("store.spool.leave_marks", crash)
        with pytest.raises(MinarchError, match="Input/output error"):
            store.take_in(tmp_path / "pool")
    assert store.query("SELECT count(*) FROM runs").item() == 8
    assert store.take_in(tmp_path / "pool") == (4, 0)
    assert store.query("SELECT count(*), count(DISTINCT run_id) FROM runs").row(0) == (8, 8)


def test_a_damaged_unit_is_set_aside_and_trained_again(digits: Dataset, tmp_path: Path) -> None:
    units, store, folder = units_of(digits, repeats=1), Store(tmp_path / "s.duckdb"), UnitFolder(tmp_path / "pool")
    run_shard(units, folder, Inline(), new_invocation(), Shard(1, 1))
    victim = tmp_path / "pool" / f"{unit_name(units[0])}.parquet"
    victim.write_bytes(victim.read_bytes()[:-100])
    assert store.take_in(tmp_path / "pool")[0] == len(units) - 1
    assert run_shard(units, folder, Inline(), new_invocation(), Shard(1, 1)).models_done == len(units[0].cells)
    assert store.take_in(tmp_path / "pool")[0] == 1
    assert store.query("SELECT count(*) FROM runs").item() == 4


def test_a_unit_that_always_fails_is_named_and_costs_only_itself(digits: Dataset, tmp_path: Path) -> None:
    def always(unit: Unit) -> None:
        if unit.replicate == 0 and unit.family == "cnn":
            raise MemoryError("too large")

    units, folder = units_of(digits, repeats=2), UnitFolder(tmp_path)
    progress = run_shard(units, folder, Inline(always), new_invocation(), Shard(1, 1))
    assert [(unit.family, text) for unit, text in progress.failures] == [("cnn", "MemoryError: too large")]
    assert progress.models_done == 6
    folder.close()
    assert {path.suffix for path in tmp_path.iterdir()} == {".parquet"}


def shards(pool: Path, folder: Path, number: int, repeats: int, seed: int, kills: int) -> None:
    """Run shards as processes, kill some at random moments and start them again, until all have ended."""
    moments = random.Random(seed)
    line = ("work", *SWEEP, "--repeats", str(repeats), "--spool", str(pool))

    def begin(shard: int) -> subprocess.Popen[str]:
        return start((*line, "--shard", f"{shard}/{number}"), folder)

    running = {shard: begin(shard) for shard in range(1, number + 1)}
    deadline = time.monotonic() + 120
    while not list(pool.glob("*.lease")) and time.monotonic() < deadline:
        time.sleep(0.05)
    for _ in range(kills):
        time.sleep(moments.uniform(0, 1))
        shard = moments.choice(list(running))
        how = moments.choice((signal.SIGKILL, signal.SIGTERM))
        running[shard].send_signal(how)
        _, errors = running[shard].communicate(timeout=120)
        assert running[shard].returncode in (0, -signal.SIGKILL, 130), errors
        assert "Traceback" not in errors
        running[shard] = begin(shard)
    for process in running.values():
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors


@pytest.mark.parametrize(
    ("number", "repeats", "kills"), [(2, 4, 1), pytest.param(8, 60, 16, marks=pytest.mark.slow)], ids=["two", "eight"]
)
def test_shards_that_are_killed_and_started_again_leave_the_rows_of_a_driver(
    number: int, repeats: int, kills: int, tmp_path: Path
) -> None:
    shards(tmp_path / "pool", tmp_path, number, repeats, seed=number, kills=kills)
    shared = Store(tmp_path / "shared.duckdb")
    shared.take_in(tmp_path / "pool")
    assert shared.query("SELECT count(*), count(DISTINCT run_id) FROM runs").row(0) == (2 * repeats, 2 * repeats)
    done = subprocess.run(
        [*PROGRAM, *SWEEP, "--repeats", str(repeats), "--store", str(tmp_path / "whole.duckdb")],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    whole = rows(Store(tmp_path / "whole.duckdb"))
    for name, frame in rows(shared).items():
        assert frame.equals(whole[name]), name
    left = {path.suffix for path in (tmp_path / "pool").iterdir() if not path.name.startswith(".")}
    assert left == {".done"}


def test_the_batch_file_runs_the_shards_of_its_array(tmp_path: Path) -> None:
    """What Slurm would do, a shell does here: the file with each number in the environment."""
    line = ("array", "--tasks", "2", *SWEEP, "--repeats", "1", "--spool", str(tmp_path / "my pool"))
    found = CliRunner().invoke(generate, line)
    assert found.exit_code == 0, found.output
    assert "#SBATCH --array=1-2" in found.output
    job = tmp_path / "job.sh"
    job.write_text(found.output)
    (tmp_path / "generate").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "generate").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_ARRAY_TASK_ID": "2"}
    done = subprocess.run(["bash", str(job)], env=environment, capture_output=True, text=True, check=True)
    words = done.stdout.splitlines()
    assert words[words.index("--spool") + 1] == str(tmp_path / "my pool")
    assert words[-2:] == ["--shard", "2/2"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (("work",), "Missing option '--spool'"),
        (("work", "--spool", "x", "--shard", "0/2"), "'0/2' is no shard K/N"),
        (("work", "--spool", "x", "--shard", "3/2"), "'3/2' is no shard K/N"),
        (("work", "--spool", "x", "--repeats", "auto"), "shards take a number"),
        (("work", "--spool", "x", "--store", "y"), "--store goes with `store ingest --spool FOLDER`"),
        (("work", "convergence", "--spool", "x", "--precision", "int4"), "--precision goes with"),
        (("array", "--tasks", "3", "all"), "Missing option '--spool'"),
        (("array", "--tasks", "3", "all", "--spool", "x", "--dataset", "imagenet"), "no dataset 'imagenet'"),
        (("array", "--tasks", "3", "all", "--spool", "x", "--shard", "1/3"), "--shard is decided by the array"),
        (("array", "--tasks", "3", "--time", "soon", "all", "--spool", "x"), "'soon' is no time limit"),
        (("array", "--tasks", "3", "--partition", "a b", "all", "--spool", "x"), "'a b' is no name of a partition"),
    ],
)
def test_wrong_usage_is_said(line: tuple[str, ...], expected: str, tmp_path: Path) -> None:
    found = CliRunner().invoke(generate, line)
    assert found.exit_code == 2
    assert expected in " ".join(found.output.split())


def test_a_folder_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MinarchError, match="file"):
        UnitFolder(tmp_path / "file" / "pool")
