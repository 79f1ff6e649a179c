"""What other processes do to a store in the tests: `python -m tests.store.processes ROLE ARGUMENTS`."""

from __future__ import annotations

import sys
import time

import duckdb

from store.records import Records
from store.results import Store
from tests.store.build import make_records, make_run

RUNS = 3


def unit(number: int) -> Records:
    return make_records([make_run((number + 1, 7), replicate=replicate, epochs=4) for replicate in range(RUNS)])


def append(path: str, first: str, last: str) -> None:
    """Append units, and say so after each."""
    store = Store(path)
    for number in range(int(first), int(last)):
        store.append(unit(number), name=f"unit-{number}")
        print(number, flush=True)


def poll(path: str, until: str) -> None:
    """Query again and again until the store has `until` runs, or for two minutes; then print how often."""
    store, polls, counted, deadline = Store(path), 0, 0, time.monotonic() + 120
    while counted < int(until):
        runs, curves = store.query("SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM epochs)").row(0)
        assert curves == 4 * runs, "half a unit was seen"
        assert runs >= counted, "a run was lost"
        polls, counted = polls + 1, runs
        assert time.monotonic() < deadline, f"only {runs} runs came"
        time.sleep(0.1)
    print(polls, flush=True)


def hold(path: str, read_only: str) -> None:
    """Keep the database open until standard input ends."""
    with duckdb.connect(path, read_only=bool(int(read_only))) as connection:
        print(connection.execute("SELECT count(*) FROM runs").fetchone(), flush=True)
        sys.stdin.read()


ROLES = {role.__name__: role for role in (append, poll, hold)}


if __name__ == "__main__":
    ROLES[sys.argv[1]](*sys.argv[2:])
