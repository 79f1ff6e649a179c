"""Random command lines of all programs: each ends in time, with a line where something is wrong, and harms no store."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from generate import calibration, commands, searching
from generate.datasets.torchvision_sets import TorchvisionSet
from store.errors import MinarchError
from store.results import Store
from store.tables import TABLES
from tests import fuzzed_lines, planted_store
from tests.fuzzed_lines import PROGRAMS
from tests.planted_curves import RISING_CURVES
from tests.planted_pruning import gentle

ROOT = Path(__file__).parents[1]
CODES = (0, 1, 2, 130)
SECONDS = 30
"""Far above what any line takes on the planted store."""
LINES = 30
"""Lines of a test."""
SIZES, REPLICATES = (1, 2, 5, 10, 20, 50), 5
WRITING = {
    ("store", "import"),
    ("store", "ingest"),
    *(("generate", name) for name in ("all", "shapes", "convergence", "quantization")),
}
"""Commands that may add rows; none may change any."""
INPUTS = (b"SELECT 1 AS a", b"", b"\xff\xfe\x00", b"FROM runs", b"\x00", None)
"""What standard input holds; None: it is closed."""


@dataclass(frozen=True)
class Planted:
    """A store, an export of it, and its rows, by table."""

    store: Path
    export: Path
    rows: Mapping[str, set[tuple[object, ...]]]


@dataclass(frozen=True)
class Ended:
    """What a program left: its exit code, what it printed and complained of, and how long it took."""

    code: object
    out: str
    errors: str
    seconds: float


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    folder = tmp_path_factory.mktemp("fuzz")
    rng = np.random.default_rng(0)
    spread = np.array([0.1, 0.1, 0.01, 0.01, 0.01, 0.01])[:, None]
    accuracy = np.linspace(0.6, 0.95, len(SIZES))[:, None] + spread * rng.standard_normal((len(SIZES), REPLICATES))
    accuracy = np.clip(accuracy, 0.0, 1.0)
    sweep = partial(
        planted_store.PlantedSweep, dataset=fuzzed_lines.DATASET, protocol=fuzzed_lines.PROTOCOL, capacities=SIZES
    )
    curves = [next(iter(RISING_CURVES.values()))(rng, REPLICATES) for _ in SIZES]
    pruned = [gentle(rng, REPLICATES).accuracy for _ in SIZES]
    store = planted_store.write(
        folder / "planted.duckdb",
        sweep(accuracy=accuracy, curves=curves, pruned=pruned),
        sweep(accuracy=accuracy - 0.01, precision="int8", converted=accuracy),
        sweep(accuracy=accuracy, depth=2, shape="+"),
        sweep(accuracy=accuracy, depth=2, shape="="),
    )
    Store(store).export(folder / "export")
    return Planted(store, folder / "export", rows_of(store))


def rows_of(store: Path) -> dict[str, set[tuple[object, ...]]]:
    with duckdb.connect(store, read_only=True) as connection:
        return {t: {tuple(map(str, r)) for r in connection.execute(f"FROM {t}").fetchall()} for t in TABLES}


class NoWorkers:
    """Workers that fail at every task: what is planned, started and told of a sweep, without its training."""

    def __init__(self, _: int) -> None:
        self.slots = 64

    def submit(self, *_: object) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(RuntimeError("nothing is trained\nhere"))
        return future

    def stop(self) -> None:
        """Have nothing to stop."""


@pytest.fixture
def harmless(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the programs from the network, from browsers, from the user's folders and from long work."""

    def no_download(*_: object) -> None:
        raise MinarchError("the download failed: no network in tests")

    monkeypatch.setattr(TorchvisionSet, "download", no_download)
    for module in (commands, searching):
        monkeypatch.setattr(module, "LocalWorkers", NoWorkers)
    for name in ("_measure", "_measure_in"):
        monkeypatch.setattr(calibration, name, lambda *_: 1.0)
    monkeypatch.setattr("webbrowser.open", lambda _: False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("MINARCH_STORE", "MINARCH_DATA"):
        monkeypatch.delenv(name, raising=False)
    distributed = pytest.importorskip("distributed")
    client = distributed.Client
    monkeypatch.setattr(distributed, "Client", lambda address, timeout: client(address, timeout="0.1s"))


def run(program: str, words: list[str], given: bytes | None, monkeypatch: pytest.MonkeyPatch) -> Ended:
    """Run a program in this process, with standard streams of its own."""
    streams = {name: io.TextIOWrapper(io.BytesIO(), "utf-8") for name in ("stdout", "stderr")}
    stdin = io.TextIOWrapper(io.BytesIO(given or b""), "utf-8")
    if given is None:
        stdin.close()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", [program, *words])
        patch.setattr(sys, "stdin", stdin)
        for name, stream in streams.items():
            patch.setattr(sys, name, stream)
        began = time.monotonic()
        code: object = "none: it returned"
        try:
            PROGRAMS[program][1]()
        except SystemExit as stop:
            code = stop.code
        except Exception:
            code = f"none: {traceback.format_exc()[-1500:]}"
        seconds = time.monotonic() - began
    texts = []
    for stream in streams.values():
        stream.flush()
        raw = stream.buffer
        assert isinstance(raw, io.BytesIO)
        texts.append(raw.getvalue().decode())
    return Ended(code, texts[0], texts[1], seconds)


def faults_of(program: str, command: str, ended: Ended) -> list[str]:
    """Return what is wrong with how a program ended."""
    found: list[str] = []
    if ended.code not in CODES:
        found.append(f"exit code {ended.code}")
    if ended.seconds > SECONDS:
        found.append(f"{ended.seconds:.0f} s")
    if "Traceback" in ended.out + ended.errors:
        found.append("a traceback")
    complaints = [text for text in ended.errors.split("\n") if text.startswith(f"{program}: ")]
    if ended.code in (1, 2) and not ended.errors.startswith("Usage: "):
        if not complaints or not ended.errors.endswith(f"{complaints[-1]}\n"):
            found.append("no line at the end says what is wrong")
        if (program, command) not in WRITING and ended.errors.count("\n") != 1:
            found.append("more than a line")
    return found


def harm_to(planted: Planted, folder: Path, program: str, command: str) -> list[str]:
    """Return what a line did to the store that it should not have done."""
    store = folder / fuzzed_lines.STORE
    if store.read_bytes() == planted.store.read_bytes():
        return []
    if (program, command) not in WRITING:
        return ["it changed the store"]
    now = rows_of(store)
    return [f"{table} lost rows" for table, rows in planted.rows.items() if not rows <= now[table]]


def check_lines(
    seed: int, lines: int, planted: Planted, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[str, list[str], list[str]]]:
    """Return the lines of a seed after which something was wrong, with what that was."""
    rng, wrong = random.Random(seed), []
    known = list(fuzzed_lines.commands())
    for number in range(lines):
        program, command = rng.choice(known)
        place = folder / str(number)
        fuzzed_lines.furnish(place, planted.store, planted.export)
        monkeypatch.chdir(place)
        words = fuzzed_lines.line(rng, program, command)
        print(f"{number}: {program} {words!a}")  # Shown where the test fails, or is stopped.
        ended = run(program, words, rng.choice(INPUTS), monkeypatch)
        found = faults_of(program, str(command.name), ended)
        print(f"   {ended.seconds:.2f} {ended.code}")
        found += harm_to(planted, place, program, str(command.name))
        if found:
            wrong.append((program, words, [*found, ended.errors[-500:]]))
    return wrong


@pytest.mark.usefixtures("harmless")
@pytest.mark.parametrize("seed", range(3))
def test_any_line_ends_well(seed: int, planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_lines(seed, LINES, planted, tmp_path, monkeypatch) == []


OUTSIDE = {
    "analyze": ("regimes",),
    "generate": ("plan", "convergence", "--family=dnn", "--capacities=2", "--depths=1", "--repeats=1"),
    "reports": ("figure", "convergence", "--out=/dev/stdout"),
}
"""A command of each program that prints; `store` has its own tests."""


@pytest.mark.parametrize("program", OUTSIDE)
@pytest.mark.parametrize("state", ["closed output", "full output", "no folder", "no temporary folder"])
def test_a_process_in_a_bad_state_ends_well(state: str, program: str, planted: Planted, tmp_path: Path) -> None:
    gone, missing = tmp_path / "gone", tmp_path / "missing"
    gone.mkdir()
    leave = "import os; os.rmdir(os.getcwd()); " if state == "no folder" else ""
    script = f"{leave}from {program}.__main__ import main; main()"
    store = fuzzed_lines.STORE if state == "no folder" else planted.store
    command = [sys.executable, "-c", script, *OUTSIDE[program], "--store", str(store)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    if state == "no temporary folder":
        environment["TMPDIR"] = str(missing)
    closing = (lambda: os.close(1)) if state == "closed output" else None
    with Path("/dev/full" if state == "full output" else "/dev/null").open("wb") as out:
        done = subprocess.run(
            command, cwd=gone, env=environment, stdout=out, stderr=subprocess.PIPE, check=False, preexec_fn=closing
        )
    assert "Traceback" not in done.stderr.decode()
    if state == "no temporary folder":
        assert (done.returncode, done.stderr) == (0, b"")
    else:
        assert done.returncode == 1
        assert done.stderr.startswith(f"{program}: ".encode())
        assert done.stderr.count(b"\n") == 1


@pytest.mark.slow
@pytest.mark.usefixtures("harmless")
@pytest.mark.parametrize("seed", range(1000, 1050))
def test_thousands_of_lines_end_well(
    seed: int, planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check_lines(seed, 100, planted, tmp_path, monkeypatch) == []
