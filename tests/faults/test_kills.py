"""`kill -9` of a sweep's processes at random and at chosen moments; then the same command: the store is as it would be.

Three kills unless `--kills N` asks for more; `make faults` makes 200.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from store.results import Store
from store.tables import SCHEMAS
from tests.faults.processes import LIMIT, messages, server, start, wait_for, wait_until_all_are_gone, workers

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc"),
    pytest.mark.timeout(6 * 3600),
]

SWEEP = (
    *("all", "--family", "dnn", "--capacities", "1,2,3", "--depths", "1,2", "--epochs", "2", "--repeats", "6"),
    *("--sparsities", "0,0.5,1", "--workers", "2"),
)
PER_STORE = 2
"""Sweeps that are ended by a kill before one goes on to its end, to be compared."""
# Who dies, and when: at any time, or just when a spool file is written, when one waits (renamed, in a transaction, at a
# checkpoint, before it is deleted), or when the database's log is there (a commit).
ENDING = (("driver", "any"), ("driver", "write"), ("group", "any"), ("driver", "spool"), ("driver", "log"))
ENDURED = (("worker", "any"), ("server", "any"))


def tables(folder: Path) -> dict[str, pl.DataFrame]:
    """All rows of a store, less the times and the invocations that differ from sweep to sweep."""
    store, found = Store(folder / "s.duckdb"), {}
    for table in sorted(set(SCHEMAS) - {"invocations"}):
        frame = store.query(f"FROM {table}")
        frame = frame.drop("seconds", "created_at", "invocation_id", strict=False)
        found[table] = frame.select(sorted(frame.columns)).sort(pl.all())
    return found


def complete(folder: Path) -> float:
    """Run the sweep to its end and return how long that took, in seconds."""
    began = time.monotonic()
    process = start(SWEEP, folder)
    output, errors = process.communicate(timeout=LIMIT)
    assert (process.returncode, messages(errors)) == (0, []), output + errors
    wait_until_all_are_gone(process.pid)
    return time.monotonic() - began


def kill(who: str, process: subprocess.Popen[str]) -> bool:
    """Kill one or all of a sweep's processes; False if there is none such now."""
    if who == "group":
        os.killpg(process.pid, signal.SIGKILL)
        return True
    victim = process.pid if who == "driver" else server(process.pid)
    if who == "worker":
        victim = max(workers(process.pid), default=None)
    if victim is None:
        return False
    os.kill(victim, signal.SIGKILL)
    return True


def disturb(who: str, aim: str, folder: Path, seconds: float, moments: random.Random) -> bool:
    """Start the sweep and kill of it what is wanted; return whether that came in time."""
    process = start(SWEEP, folder)
    if aim == "any":
        time.sleep(moments.uniform(0, seconds))
        came = who in ("driver", "group") or wait_for(who, process, folder)
    else:
        came = wait_for(aim, process, folder)
        time.sleep(moments.choice((0, 0.001, 0.01, 0.05)))
    came = came and process.poll() is None and kill(who, process)
    output, errors = process.communicate(timeout=LIMIT)
    if who in ("worker", "server") or not came:
        # The sweep goes on without them: one line less, and nobody would know.
        assert (process.returncode, messages(errors)) == (0, []), f"{who} at {aim}: {output}{errors}"
    wait_until_all_are_gone(process.pid)
    return came


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, pl.DataFrame], float]:
    """What the sweep stores, and how long it takes in seconds."""
    folder = tmp_path_factory.mktemp("undisturbed")
    seconds = complete(folder)
    return tables(folder), seconds


def test_killed_at_any_moment_it_stores_the_same(
    undisturbed: tuple[dict[str, pl.DataFrame], float],
    tmp_path: Path,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected, seconds = undisturbed
    assert {"runs", "labels", "epochs", "pruning", "integer_checks"} <= {t for t, rows in expected.items() if len(rows)}
    wanted = request.config.getoption("--kills")
    moments, killed, stores = random.Random(15), Counter[tuple[str, str]](), 0
    while killed.total() < wanted:
        folder = tmp_path / str(stores)
        folder.mkdir()
        safe: set[str] = set()
        for faults in (*[ENDING] * min(PER_STORE, wanted - killed.total()), ENDURED):
            who, aim = min(faults, key=lambda fault: (killed[fault], moments.random()))
            came = disturb(who, aim, folder, seconds, moments)
            killed[who, aim] += came
            now = Store(folder / "s.duckdb").run_ids()
            assert safe <= now, f"{who} at {aim}: a stored run is gone"
            safe = now
            if not came:
                break  # The sweep was complete before.
        for table, rows in tables(folder).items():
            assert rows.equals(expected[table]), f"{table} differs after {dict(killed)}"
        stores += 1
    with capsys.disabled():
        counts = ", ".join(f"{who} ({aim}) {count}" for (who, aim), count in sorted(killed.items()))
        print(f"\n{killed.total()} kills, {stores} stores compared: {counts}")
