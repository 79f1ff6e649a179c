"""A sweep as a shell runs it, in a process group of its own, and what tests do to it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

PROGRAM = (sys.executable, "-m", "generate")
LIMIT = 240.0
"""Seconds that a sweep of the tests may take, on a machine that is busy with other work."""
# The plan's table, its summary, and progress once a minute: everything else on standard error is a message.
_PROGRESS = re.compile(r"[┏┃┡│└]|[\d,]+ models? in |[\d,]+ of [\d,]+ models?, ")


def start(arguments: Iterable[str], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PROGRAM, *arguments],
        env={**os.environ, "MINARCH_STORE": str(folder / "s.duckdb"), "OMP_NUM_THREADS": "1"},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def messages(errors: str) -> list[str]:
    return [line for line in errors.splitlines() if not _PROGRESS.match(line)]


def wait_until_it_listens(process: subprocess.Popen[str]) -> None:
    """Wait for the first moment that a program can answer for: before that it is the interpreter that starts."""
    bit, deadline = 1 << (signal.SIGTERM - 1), time.monotonic() + LIMIT
    while process.poll() is None and time.monotonic() < deadline:
        caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{process.pid}/status").read_text())
        if caught and int(caught[1], 16) & bit:
            return
        time.sleep(0.001)
    raise AssertionError("the program never listened to signals")


def family(process: int) -> dict[int, str]:
    """The command lines of all descendants, by process id."""
    parents: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            parents.setdefault(int(fields[1]), []).append(int(status.parent.name))
    found: dict[int, str] = {}
    todo = [process]
    while todo:
        for child in parents.get(todo.pop(), []):
            todo.append(child)
            try:
                found[child] = Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ")
            except OSError:
                found[child] = ""
    return found


def server(process: int) -> int | None:
    """The fork server of a sweep, if it has one now."""
    return next((p for p, command in family(process).items() if "forkserver" in command and is_child(p, process)), None)


def workers(process: int) -> list[int]:
    parent = server(process)
    return [] if parent is None else [p for p in family(process) if is_child(p, parent)]


def is_child(process: int, parent: int) -> bool:
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1]) == parent
    except OSError:
        return False


def wait_until_all_are_gone(group: int) -> None:
    """Fail if a process of the group lives on."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("a process of the sweep lives on")


def reached(aim: str, process: subprocess.Popen[str], folder: Path) -> bool:
    """Return whether a sweep is just now where a fault is aimed at."""
    spool = folder / "s.duckdb.spool"
    if aim == "server":
        return server(process.pid) is not None
    if aim == "worker":
        return bool(workers(process.pid))
    if aim == "log":
        return (folder / "s.duckdb.wal").exists()
    return any(spool.glob({"write": ".*.part", "spool": "[!.]*.parquet"}[aim]))


def wait_for(aim: str, process: subprocess.Popen[str], folder: Path) -> bool:
    """Wait until a sweep is where a fault is aimed at; False if it ended before."""
    deadline = time.monotonic() + LIMIT
    while process.poll() is None and time.monotonic() < deadline:
        if reached(aim, process, folder):
            return True
        time.sleep(0 if aim in ("write", "spool", "log") else 0.01)
    return False
