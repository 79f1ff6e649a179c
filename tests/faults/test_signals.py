"""Ctrl-C, SIGTERM and SIGHUP, once and again, at moments from the first import to the end of a sweep."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from store.results import Store
from tests.faults.processes import LIMIT, messages, start, wait_until_all_are_gone, wait_until_it_listens

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")

SWEEP = (
    "convergence",
    "--family",
    "dnn",
    "--capacities",
    "1,2,5",
    "--epochs",
    "4",
    "--repeats",
    "24",
    "--workers",
    "2",
)
MODELS = 12 * 24
INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


def interrupt(folder: Path, moment: float, number: signal.Signals, times: int, pause: float) -> bool:
    """Signal a sweep and its workers, as a terminal does, and check its answer; True if it was done by then."""
    process = start(SWEEP, folder)
    wait_until_it_listens(process)
    time.sleep(moment)
    for _ in range(times):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        time.sleep(pause)
    output, errors = process.communicate(timeout=LIMIT)
    what = f"{number.name} x {times} after {moment:.2f} s: exit code {process.returncode}\n{output}{errors}"
    wait_until_all_are_gone(process.pid)
    done = f"s.duckdb holds {MODELS} of the {MODELS} asked for" in output or "nothing to do" in output
    assert "Traceback" not in output + errors, what
    assert process.returncode == 130 or (done and process.returncode == 0), what
    assert [line.startswith("generate: interrupted") for line in messages(errors)] in ([True], [] if done else [True])
    return done


def check_the_rest(folder: Path) -> None:
    """Let the same command complete the sweep: every run is there once, with all of its rows."""
    process = start(SWEEP, folder)
    output, errors = process.communicate(timeout=LIMIT)
    assert (process.returncode, messages(errors)) == (0, []), errors
    store = Store(folder / "s.duckdb")
    assert store.query("SELECT count(*), count(DISTINCT run_id) FROM runs").row(0) == (MODELS, MODELS), output
    assert store.query("SELECT count(*) FROM epochs").item() == 4 * MODELS
    assert not [path for path in store.spool.rglob("*") if path.is_file() and path.name != ".lock"]


def test_every_stop_is_a_line_and_130(tmp_path: Path) -> None:
    """From the first import over plan, kernels and fork server to training and its end."""
    cases = ((0.0, INT, 1), (0.4, INT, 2), (1.2, TERM, 1), (2.5, INT, 3), (4.0, HUP, 1))
    for moment, number, times in cases:
        interrupt(tmp_path, moment, number, times, pause=0.1)
    check_the_rest(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_stops_at_many_moments(seed: int, tmp_path: Path) -> None:
    moments = random.Random(seed)
    for _ in range(15):
        if interrupt(
            tmp_path,
            moments.uniform(0, 9),
            moments.choice((INT, TERM, HUP)),
            moments.choice((1, 2, 3)),
            moments.choice((0.0, 0.02, 0.3)),
        ):
            break
    check_the_rest(tmp_path)


@pytest.mark.parametrize("program", ["generate", "analyze", "store", "reports"])
def test_every_program_answers_while_it_imports(program: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", program, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_until_it_listens(process)
    process.terminate()
    _, errors = process.communicate(timeout=LIMIT)
    assert (process.returncode, errors) == (130, f"{program}: interrupted\n")


@pytest.mark.parametrize("number", [INT, TERM, HUP])
def test_a_query_ends_at_every_signal(number: signal.Signals, tmp_path: Path) -> None:
    Store(tmp_path / "s.duckdb").prepare()
    query = "SELECT count(*) FROM range(100000) a, range(10000000) b WHERE hash(a.range, b.range) = 1"
    process = subprocess.Popen(
        [sys.executable, "-m", "store", "sql", query, "--store", str(tmp_path / "s.duckdb")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until_it_listens(process)
    time.sleep(1.5)
    process.send_signal(number)
    _, errors = process.communicate(timeout=LIMIT)
    assert (process.returncode, errors.split()) == (130, ["store:", "interrupted"])


def test_what_the_caller_ignores_stays_ignored(tmp_path: Path) -> None:
    """A job in the background of a script, and one under nohup: SIGTERM still stops it."""
    program = [sys.executable, "-m", "generate", *SWEEP, "--store", str(tmp_path / "s.duckdb")]
    process = subprocess.Popen(
        ["sh", "-c", 'trap "" INT HUP; exec "$@"', "sh", *program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until_it_listens(process)
    process.send_signal(INT)
    process.send_signal(HUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.5)
    process.send_signal(TERM)
    _, errors = process.communicate(timeout=LIMIT)
    assert (process.returncode, [line.split(";")[0] for line in messages(errors)]) == (130, ["generate: interrupted"])
