"""`--repeats auto` as a user calls it: every phase on a fixed grid, killed, repeated, planned."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast

import pytest

from generate import searching
from generate.datasets import load_dataset
from generate.plan import Request
from generate.sequential import SearchRequest, design_of
from store.advice import Advice
from store.designs import Goal
from store.families import FAMILIES
from store.results import Store

SIZES = (5, 10, 20, 30, 50)
GRID = ("--family", "dnn", "--depths", "2", "--capacities", ",".join(map(str, SIZES)), "--epochs", "8")
SMALL = (*GRID, "--repeats", "auto", "--max-drop", "5%", "--looks", "3,5")
ROWS = "SELECT * EXCLUDE (invocation_id, seconds, created_at) FROM runs ORDER BY run_id"
LOOKS = "SELECT number, spec FROM looks ORDER BY number"


def call(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "generate", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def killed(phase: str, path: Path, after: float) -> None:
    """Begin a phase with `--repeats auto`, and kill it with its workers some seconds after the store appeared."""
    command = [sys.executable, "-m", "generate", phase, *SMALL, "--workers", "2", "--store", str(path)]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(after)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()


@pytest.fixture(scope="module", params=["shapes", pytest.param("all", marks=pytest.mark.slow)])
def swept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A phase, and a store in which its sweep with `--repeats auto` was killed once and then went through."""
    path = tmp_path_factory.mktemp("auto") / "killed.duckdb"
    killed(request.param, path, after=2.0)
    done = call(request.param, *SMALL, "--workers", "2", "--store", str(path))
    assert done.returncode == 0, done.stderr
    assert "digits" in done.stdout
    return request.param, path


def test_every_look_was_stored_before_what_it_asked_for(swept: tuple[str, Path]) -> None:
    phase, path = swept
    store = Store(path)
    looks = store.query("SELECT number, spec, taken_at FROM looks ORDER BY number")
    assert looks["number"].to_list() == list(range(len(looks)))
    specs = [json.loads(spec) for spec in looks["spec"]]
    assert specs[0]["topologies"] == [["dnn", 2, size, 3] for size in SIZES]
    assert specs[0]["asked"] == []
    kinds = [next(kind for kind in ("topologies", "quantized", "asked") if spec.get(kind)) for spec in specs]
    assert kinds == sorted(kinds, key=["topologies", "asked", "quantized"].index)  # Phases in order.
    assert ("quantized" in kinds) == (phase == "all")
    assert store.query("SELECT count(DISTINCT run_id) = count(*) FROM runs").item()
    begun = dict(store.query("SELECT precision, min(created_at) FROM runs GROUP BY precision").iter_rows())
    assert looks["taken_at"][0] < begun["fp32"]
    if phase == "all":
        assert looks["taken_at"][kinds.index("quantized")] < begun["int8"]
    # No more was trained than the looks asked for.
    most = max(n for spec in specs for kind in ("topologies", "asked") for *_, n in spec.get(kind, []))
    assert store.query("SELECT max(replicate) + 1 FROM runs").item() == most


@pytest.mark.slow
def test_the_same_command_trains_nothing_more(swept: tuple[str, Path]) -> None:
    phase, path = swept
    before, looks = Store(path).query(ROWS), Store(path).query(LOOKS)
    done = call(phase, *SMALL, "--store", str(path))
    assert done.returncode == 0, done.stderr
    assert Store(path).query(ROWS).equals(before)
    assert Store(path).query(LOOKS).equals(looks)
    assert Store(path).query("SELECT count(*) FROM designs").item() == 1


def test_the_command_that_goes_on_is_the_one_that_was_given() -> None:
    dataset = {"source": "digits", "dataset": "digits", "fingerprint": "f"}
    auto = {"phase": "convergence", "datasets": [dataset], "families": ["dnn"], "capacities": [5, 10], "repeats": None}
    asked = (
        {"phase": "shapes", "datasets": [dataset], "families": ["dnn"], "auto": {}},
        auto | {"auto": {"max_drop": 0.05, "looks": [3, 5], "goal": "claims"}},
        {"phase": "search", "datasets": [dataset], "families": ["dnn"], "search": {}},
    )
    advice = Advice(store=Path("s.duckdb"), runs=(), protocols={}, asked=asked)
    assert advice.command("search", ("digits",)) == (
        "generate convergence --dataset digits --family dnn --capacities 5,10 --repeats auto --max-drop 0.05"
        " --looks 3,5 --for claims --store s.duckdb"
    )


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.5 + 2.0 * step for step in range(8)])
def test_a_sweep_ends_as_another_that_was_killed_elsewhere(
    after: float, swept: tuple[str, Path], tmp_path: Path
) -> None:
    phase, whole = swept
    path = tmp_path / "killed.duckdb"
    killed(phase, path, after)
    assert call(phase, *SMALL, "--store", str(path)).returncode == 0
    assert Store(path).query(ROWS).equals(Store(whole).query(ROWS))
    assert Store(path).query(LOOKS).equals(Store(whole).query(LOOKS))


@pytest.mark.slow
def test_ctrl_c_is_one_line_and_exit_code_130(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "generate", "shapes", *SMALL, "--store", str(tmp_path / "stopped.duckdb")]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert driver.stderr is not None
    while "how far are topologies apart?" not in driver.stderr.readline():
        assert driver.poll() is None
    driver.send_signal(signal.SIGINT)
    _, errors = driver.communicate(timeout=120)
    assert driver.returncode == 130
    (line,) = [line for line in errors.splitlines() if line.startswith("generate:")]
    assert "the same command goes on from there" in line


@pytest.mark.parametrize(("goal", "passes"), [("claims", 3), ("answer", 1)])
def test_datasets_take_turns_while_claims_ask(goal: Goal, passes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    asked = iter([True, True, False, True, False, False])

    def searched(self: object, source: str, dataset: object, stopping: object) -> bool:
        calls.append(source)
        return next(asked)

    monkeypatch.setattr(searching._Driver, "_search", searched)
    wanted = SearchRequest(resolution=None, goal=goal)
    nothing = cast(Any, None)
    driver = searching._Driver(Request(phase="all"), wanted, nothing, nothing, nothing, nothing)
    driver.search([("a", nothing), ("b", nothing)], lambda: False)
    assert calls == ["a", "b"] * passes


def test_eight_bits_of_nothing_are_refused_in_a_line(tmp_path: Path) -> None:
    done = call("quantization", *SMALL, "--store", str(tmp_path / "none.duckdb"))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "no network of digits with 3 replicates to train in 8 bits too; generate convergence trains them" in line


def test_a_plan_says_what_the_first_look_takes_and_all_of_them_at_most(tmp_path: Path) -> None:
    done = call("plan", "shapes", *SMALL, "--store", str(tmp_path / "none.duckdb"))
    assert done.returncode == 0, done.stderr
    first, most, looks = done.stdout.splitlines()
    # Two hidden layers: three topologies of each of five sizes.
    assert first.startswith("first look: 45 distinct models with replicates, 0 of them stored;")
    assert most.startswith("all looks, at most: 75 distinct models")
    assert looks == "looks at 3, 5 replicates; only open questions get more of them"
    assert not (tmp_path / "none.duckdb").exists()


def test_a_design_has_the_whole_grid_of_its_phase() -> None:
    digits = load_dataset("digits", None)

    grid = FAMILIES["dnn"].grid("digits")
    convergence = design_of(Request(phase="convergence"), SearchRequest(resolution=None), "digits", digits)
    assert [(part.family, part.depth) for part in convergence.ladders] == [
        *(("dnn", depth) for depth in (1, 2, 3, 4)),
        ("cnn", 1),
        ("vit", 2),
    ]
    assert convergence.ladders[0].capacities == grid
    assert sum(convergence.ladders[0].shares) == pytest.approx(1.0)
    assert convergence.phases == ("convergence",)
    searched = design_of(Request(phase="convergence"), SearchRequest(), "digits", digits)
    assert searched.resolution == 0.1
    assert searched.design_id != convergence.design_id
    cnn = design_of(Request(phase="all", families=("cnn",)), SearchRequest(resolution=None), "digits", digits)
    assert cnn.phases == ("convergence", "quantization")
    claims = design_of(Request(phase="all"), SearchRequest(resolution=None, goal="claims"), "digits", digits)
    assert claims.goal == "claims"
