"""The driver with workers that die, fail and are interrupted; and as a process that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from generate.datasets import Dataset
from generate.datasets.dataset import Split
from generate.driver import ATTEMPTS, Progress, run_sweep
from generate.executors import DaskWorkers, LocalWorkers
from generate.leases import Leases
from generate.plan import Request, Unit, make_plan
from generate.provenance import new_invocation
from generate.worker import run_unit
from store.errors import MinarchError
from store.results import Store
from tests.generate.datasets.files import write_tree

PROGRAM = Path(sys.executable).parent / "generate"
SWEEP = ["convergence", "--family", "dnn", "--capacities", "1,2,5", "--epochs", "4"]


class Inline:
    """Workers that run each task at once in this process, after `before` has had its say."""

    slots = 1

    def __init__(self, before: Callable[[Unit], None] = lambda unit: None) -> None:
        self.before, self.started = before, 0

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.started += 1
        future: Future[Any] = Future()
        try:
            self.before(args[0])
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future

    def stop(self) -> None:
        pass


def units_of(digits: Dataset, **settings: Any) -> tuple[Unit, ...]:
    request = Request(phase="convergence", families=("dnn",), capacities=(1, 2), depths=(1,), epochs=2, **settings)
    return make_plan(request, [("digits", digits)], frozenset()).units


def test_a_sweep_stores_every_run_with_its_rows(digits: Dataset, tmp_path: Path) -> None:
    store, units = Store(tmp_path / "s.duckdb"), units_of(digits, repeats=3)
    progress = run_sweep(units, store, Inline(), new_invocation())
    assert progress.models_done == progress.models == 6
    assert not progress.failures
    runs = store.query("SELECT * FROM runs")
    assert set(runs["run_id"]) == {unit.run_id(c.architecture) for unit in units for c in unit.cells}
    assert store.query("SELECT count(*) AS n FROM epochs")["n"].item() == 12
    assert store.query("SELECT count(*) AS n FROM labels WHERE NOT degenerate")["n"].item() == 6
    assert store.query("SELECT count(*) AS n FROM runs JOIN protocols USING (protocol_id)")["n"].item() == 6
    assert store.query("SELECT count(*) AS n FROM runs JOIN invocations USING (invocation_id)")["n"].item() == 6
    assert store.query("SELECT chance_accuracy FROM datasets").item() == pytest.approx(48 / 360)
    assert runs.filter(pl.col("best_epoch") > 2).is_empty()


def test_short_units_are_merged_together(digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generate.driver.MERGING_SHARE", 1e-6)  # The next merge is due after hours.
    store, units = Store(tmp_path / "s.duckdb"), units_of(digits, repeats=4)
    held: list[tuple[int, int, int]] = []

    def look(progress: Progress) -> None:
        if progress.models_done:
            merged = store.query("SELECT count(*) AS n FROM runs")["n"].item()
            held.append((progress.models_done, merged, len(store.run_ids())))

    run_sweep(units, store, Inline(), new_invocation(), show=look)
    assert held == [(2, 2, 2), (4, 2, 4), (6, 2, 6), (8, 8, 8)]


def test_a_unit_that_fails_is_tried_again(digits: Dataset, tmp_path: Path) -> None:
    failed: list[Unit] = []

    def once(unit: Unit) -> None:
        if unit.replicate == 1 and not failed:
            failed.append(unit)
            raise BrokenProcessPool("a worker died")

    store, units = Store(tmp_path / "s.duckdb"), units_of(digits, repeats=3)
    progress = run_sweep(units, store, Inline(once), new_invocation())
    assert failed
    assert not progress.failures
    assert len(store.run_ids()) == 6


def test_a_unit_that_always_fails_costs_only_itself(digits: Dataset, tmp_path: Path) -> None:
    def always(unit: Unit) -> None:
        if unit.replicate == 0:
            raise MemoryError("too large\nfor this machine")

    workers = Inline(always)
    store, units = Store(tmp_path / "s.duckdb"), units_of(digits, repeats=3)
    progress = run_sweep(units, store, workers, new_invocation())
    assert [(unit.replicate, error) for unit, error in progress.failures] == [(0, "MemoryError: too large")]
    assert workers.started == len(units) - 1 + ATTEMPTS
    assert len(store.run_ids()) == 4


def test_changed_data_is_noticed(digits: Dataset) -> None:
    (unit,) = units_of(digits, repeats=1)
    changed = replace(unit, dataset=replace(unit.dataset, fingerprint="0" * 16))
    with pytest.raises(Exception, match="changed while the sweep was running"):
        run_unit(changed, "i")


def die(marker: Path) -> str:
    """Kill this process the first time, survive the second."""
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def test_a_worker_s_death_is_known_and_its_slot_is_used_again(tmp_path: Path) -> None:
    workers = LocalWorkers(2)
    try:
        doomed, fine = workers.submit(die, tmp_path / "marker"), workers.submit(os.getpid)
        assert isinstance(doomed.exception(timeout=60), BrokenProcessPool)
        assert fine.result(timeout=60) != os.getpid()
        with_new_process = workers.submit(die, tmp_path / "marker")
        assert with_new_process.result(timeout=60) == "alive"
    finally:
        workers.stop()


def generate(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "MINARCH_STORE": str(folder / "s.duckdb")}
    return subprocess.Popen(
        [PROGRAM, *arguments], env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def stored(folder: Path) -> int:
    """Runs that a reader sees now: what was reported as done before this returns can never go away."""
    store = Store(folder / "s.duckdb")
    return len(store.run_ids())


def wait_for_runs(folder: Path, number: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while stored(folder) < number and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.3)


def check_whole(folder: Path, replicates: int) -> None:
    store = Store(folder / "s.duckdb")
    counts = store.query(
        "SELECT count(*) AS runs, count(DISTINCT run_id) AS ids, count(DISTINCT (hidden_sizes, replicate)) AS models"
        " FROM runs"
    ).row(0)
    assert counts == (12 * replicates,) * 3
    assert store.query("SELECT count(*) AS n FROM epochs")["n"].item() == 12 * replicates * 4
    per_run = store.query("SELECT run_id FROM epochs GROUP BY run_id HAVING count(*) <> 4")
    assert per_run.is_empty()


def test_the_same_command_twice_and_a_kill_in_between(tmp_path: Path) -> None:
    """`kill -9` of the driver in the middle; then the command once more, and once more. More: `tests/faults`."""
    command = [*SWEEP, "--repeats", "6", "--workers", "2"]
    process = generate(*command, folder=tmp_path)
    wait_for_runs(tmp_path, 6, process)
    process.kill()
    process.communicate(timeout=60)
    before = stored(tmp_path)
    assert 6 <= before < 72
    process = generate(*command, folder=tmp_path)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert trained(output) <= 72 - before
    check_whole(tmp_path, 6)
    again = generate(*command, folder=tmp_path)
    output, _ = again.communicate(timeout=60)
    assert again.returncode == 0
    assert "holds all of 72 models asked for" in output
    check_whole(tmp_path, 6)


def children(process: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == process:
            found.append(int(status.parent.name))
    return found + [grandchild for child in found for grandchild in children(child)]


def runs(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False


def test_interrupted_it_says_how_to_go_on(tmp_path: Path) -> None:
    process = generate(*SWEEP, "--repeats", "200", "--workers", "2", folder=tmp_path)
    wait_for_runs(tmp_path, 12, process)
    family = children(process.pid)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "interrupted" in errors.splitlines()[-1]
    assert "the same command goes on from there" in errors
    assert "Traceback" not in output + errors
    deadline = time.monotonic() + 30
    while any(map(runs, family)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [process for process in family if runs(process)]
    assert stored(tmp_path) >= 12


def test_models_that_never_got_a_validation_image_right_are_counted(tmp_path: Path) -> None:
    """A tenth of 40 images is held out: 4 of random pixels, at which a network that saw 36 for one epoch guesses."""
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(40, 1, 8, 8), dtype=np.uint8)
    split = Split(images, np.arange(40) % 4)
    write_tree(tmp_path / "noise", split, split)
    wanted = ("--dataset", "noise", "--depths", "1", "--capacities", "1", "--epochs", "1", "--repeats", "12")
    process = generate("convergence", "--family", "dnn", *wanted, folder=tmp_path)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    query = "SELECT count(*) FILTER (validation_accuracy = 0) AS none, count(*) AS n FROM runs"
    none, runs = Store(tmp_path / "s.duckdb").query(query).row(0)
    assert 0 < none < runs == 12
    assert f"generate: {none} models never got a validation image right" in errors, output


def trained(output: str) -> int:
    """The models that a driver says it has trained itself."""
    return int(output.partition(" ")[0].replace(",", ""))


def test_two_drivers_share_the_work(tmp_path: Path) -> None:
    """On one store they train each model once between them, though their packs differ."""
    command = ["convergence", "--family", "dnn", "--epochs", "20", "--repeats", "4", "--workers", "1"]
    first = generate(*command, "--capacities", "1,2,5", folder=tmp_path)
    second = generate(*command, "--capacities", "5,2", folder=tmp_path)
    outputs = [process.communicate(timeout=300) for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outputs
    counts = [trained(output) for output, _ in outputs]
    store = Store(tmp_path / "s.duckdb")
    assert store.query("SELECT count(*), count(DISTINCT run_id) FROM runs").row(0) == (12 * 4, 12 * 4)
    assert sum(counts) == 12 * 4, counts
    assert not list(store.spool.rglob("*.lease"))


def test_a_driver_takes_over_from_one_that_was_killed(tmp_path: Path) -> None:
    command = [*SWEEP, "--repeats", "8", "--workers", "1"]
    first = generate(*command, folder=tmp_path)
    second = generate(*command, folder=tmp_path)
    wait_for_runs(tmp_path, 12, first)
    first.kill()
    first.communicate(timeout=60)
    output, errors = second.communicate(timeout=300)
    assert second.returncode == 0, errors
    assert "holds 96 of the 96 asked for" in output
    check_whole(tmp_path, 8)


def test_units_that_another_driver_trains_are_left_to_it(digits: Dataset, tmp_path: Path) -> None:
    """They come last: stored by then they are done, and free again they are trained."""
    store, units = Store(tmp_path / "s.duckdb"), units_of(digits, repeats=3)
    other, workers = Leases(tmp_path / "leases"), Inline()
    stored_by_it, given_up = units[0], units[1]
    for unit in (stored_by_it, given_up):
        assert other.claim([unit.run_id(cell.architecture) for cell in unit.cells])
    seen: list[int] = []

    def show(progress: Progress) -> None:
        seen.append(progress.held)
        if seen.count(2) == 2 and progress.models_done:
            run_sweep([stored_by_it], store, Inline(), new_invocation())
            other.close()

    progress = run_sweep(units, store, workers, new_invocation(), leases=Leases(tmp_path / "leases"), show=show)
    assert (progress.models_done, progress.elsewhere, progress.models) == (4, 2, 4)
    assert workers.started == 2
    assert len(store.run_ids()) == 6


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to find the server")
def test_the_fork_server_is_killed(tmp_path: Path) -> None:
    """Its workers go on; when one of them dies too, a new server starts the next."""
    process = generate(*SWEEP, "--repeats", "10", "--workers", "2", folder=tmp_path)
    wait_for_runs(tmp_path, 12, process)
    family = sorted(children(process.pid))
    servers = [p for p in family if "forkserver" in Path(f"/proc/{p}/cmdline").read_text()]
    os.kill(servers[0], signal.SIGKILL)
    os.kill(family[-1], signal.SIGKILL)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    check_whole(tmp_path, 10)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see a process end")
def test_workers_start_again_after_the_fork_server_s_death(tmp_path: Path) -> None:
    workers = LocalWorkers(1)
    try:
        for _ in range(3):
            process = workers.submit(os.getpid).result(timeout=60)
            os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)  # type: ignore[attr-defined]
            assert workers.submit(os.getpid).result(timeout=60) == process, "it takes no worker with it"
            os.kill(process, signal.SIGKILL)
            # Its pipe is closed when the last of its threads is gone; the first one is reported dead before that.
            while runs(process) or len(list(Path(f"/proc/{process}").glob("task/*"))) > 1:
                time.sleep(0.01)
    finally:
        workers.stop()


def complain(text: str) -> None:
    raise UnportableError(text, 1)


class UnportableError(Exception):
    """An error that pickle cannot restore."""

    def __init__(self, text: str, number: int) -> None:
        super().__init__(text)


def test_an_error_comes_back_from_a_worker() -> None:
    workers = LocalWorkers(1)
    try:
        error = workers.submit(complain, "no such thing").exception(timeout=60)
        assert isinstance(error, RuntimeError)
        assert str(error) == "UnportableError: no such thing"
        assert workers.submit(os.getpid).result(timeout=60)
    finally:
        workers.stop()


@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_runs_the_units(digits: Dataset, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
    store, units = Store(tmp_path / "s.duckdb"), units_of(digits, repeats=3)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        workers = DaskWorkers(cluster.scheduler_address)
        try:
            progress = run_sweep(units, store, workers, new_invocation())
        finally:
            workers.stop()
    assert not progress.failures
    assert len(store.run_ids()) == 6


@pytest.mark.filterwarnings("ignore")
def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")

    def refuse(address: str, **_: Any) -> None:
        raise OSError(f"Timed out trying to connect to {address}")

    monkeypatch.setattr(distributed, "Client", refuse)
    with pytest.raises(MinarchError, match="no Dask scheduler answers at tcp://nowhere:1"):
        DaskWorkers("tcp://nowhere:1")
