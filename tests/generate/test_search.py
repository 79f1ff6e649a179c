"""`generate search` as a user calls it: from data to an answer, interrupted, killed, repeated."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from generate.cli import generate
from generate.datasets import load_dataset
from generate.plan import Request
from generate.searching import _propose_epochs
from generate.sequential import Clock, SearchRequest, coarse, design_of
from store.designs import Place, read_design
from store.errors import MinarchError
from store.families import FAMILIES
from store.results import Store

SIZES = (2, 5, 10, 20, 40)
SMALL = (
    *("--family", "dnn", "--depths", "1", "--capacities", ",".join(map(str, SIZES))),
    *("--epochs", "20", "--max-drop", "5%", "--looks", "3,5", "--workers", "2"),
)
ROWS = "SELECT * EXCLUDE (invocation_id, seconds, created_at) FROM runs ORDER BY run_id"


def search(store: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "generate", "search", *SMALL, "--store", str(store), *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which a search went through."""
    path = tmp_path_factory.mktemp("search") / "whole.duckdb"
    done = search(path)
    assert done.returncode == 0, done.stderr
    assert "digits" in done.stdout
    return path


def test_the_design_is_stored_before_the_first_run(undisturbed: Path) -> None:
    store = Store(undisturbed)
    order = store.query(
        "SELECT (SELECT min(created_at) FROM designs) AS design, (SELECT min(taken_at) FROM looks) AS look,"
        " (SELECT min(created_at) FROM runs) AS run"
    ).row(0, named=True)
    assert order["design"] <= order["look"] < order["run"]
    spec = json.loads(store.query("SELECT spec FROM designs")["spec"].item())
    assert spec["looks"] == [3, 5]
    assert [part["capacities"] for part in spec["ladders"]] == [list(SIZES)]
    looks = store.query("SELECT number, spec FROM looks ORDER BY number")
    assert looks["number"].to_list() == list(range(len(looks)))
    assert all(n == 3 for *_, n in json.loads(looks["spec"][0])["asked"])


def test_the_same_command_goes_on_and_trains_nothing_twice(undisturbed: Path) -> None:
    before = Store(undisturbed).query(ROWS)
    done = search(undisturbed)
    assert done.returncode == 0, done.stderr
    assert Store(undisturbed).query(ROWS).equals(before)
    assert Store(undisturbed).query("SELECT count(*) FROM designs").item() == 1


def kill(path: Path, after: float) -> None:
    """Start the search and kill all of it some seconds after its store is there."""
    command = [sys.executable, "-m", "generate", "search", *SMALL, "--store", str(path)]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(after)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()


def check_it_ends_as(undisturbed: Path, path: Path) -> None:
    """Let the same command complete a search: its rows and looks are those of the other."""
    done = search(path)
    assert done.returncode == 0, done.stderr
    assert Store(path).query(ROWS).equals(Store(undisturbed).query(ROWS))
    looks = "SELECT number, spec FROM looks ORDER BY number"
    assert Store(path).query(looks).equals(Store(undisturbed).query(looks))


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.2 + 0.7 * step for step in range(20)])
def test_a_killed_search_ends_as_an_undisturbed_one(after: float, undisturbed: Path, tmp_path: Path) -> None:
    kill(tmp_path / "killed.duckdb", after)
    check_it_ends_as(undisturbed, tmp_path / "killed.duckdb")


def test_stopped_and_killed_it_ends_as_an_undisturbed_one(undisturbed: Path, tmp_path: Path) -> None:
    """Ctrl-C is one line and code 130; `kill -9` of all its processes comes later."""
    path = tmp_path / "stopped.duckdb"
    command = [sys.executable, "-m", "generate", "search", *SMALL, "--store", str(path)]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert driver.stderr is not None
    while "which sizes learn" not in driver.stderr.readline():
        assert driver.poll() is None
    driver.send_signal(signal.SIGINT)
    _, errors = driver.communicate(timeout=120)
    assert driver.returncode == 130
    lines = [line for line in errors.splitlines() if line.startswith("generate:")]
    assert len(lines) == 1
    assert "the same command goes on from there" in lines[0]
    kill(path, 3.0)
    check_it_ends_as(undisturbed, path)


def test_a_budget_ends_the_search_with_what_is_open(tmp_path: Path) -> None:
    done = search(tmp_path / "short.duckdb", "--budget", "1s")
    assert done.returncode == 0
    assert "no results" in done.stdout  # Nothing was trained: there is nothing to recommend from.
    assert "the budget is used up" in done.stderr
    assert "which sizes learn at all?" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_clock_counts_against_the_budget() -> None:
    times = iter([0.0, 10.0, 10.0, 55.0])
    clock = Clock(60.0, lambda: next(times))
    assert clock.elapsed == 10.0
    assert clock.allows(50.0)
    assert not clock.allows(10.0)
    assert Clock(None).allows(1e9)


def test_a_search_begins_with_few_sizes() -> None:
    assert coarse(FAMILIES["dnn"].capacities) == (1, 2, 5, 10, 20, 50)
    assert coarse(FAMILIES["cnn"].capacities) == (1, 2, 4, 8, 16, 32)
    assert coarse(FAMILIES["vit"].capacities) == (1, 2, 4, 8, 16)


def test_where_epochs_are_short_more_of_them_are_proposed(capsys: pytest.CaptureFixture[str]) -> None:
    digits = load_dataset("digits", None)
    own = replace(digits, name="own")
    request = Request(phase="convergence")
    _propose_epochs(request, "digits", digits)  # 100 epochs are its default.
    _propose_epochs(replace(request, epochs=20), "own", own)
    assert capsys.readouterr().err == ""
    _propose_epochs(request, "own", own)
    said = capsys.readouterr().err
    assert said.startswith("generate: an epoch of own has 13 steps, and 20 epochs are few; --epochs 100 ")


def test_a_design_depends_on_the_question_and_the_data_only() -> None:
    digits = load_dataset("digits", None)
    request = Request(phase="convergence", families=("cnn", "dnn"))
    first = design_of(request, SearchRequest(), "digits", digits)
    assert first.design_id == design_of(request, SearchRequest(budget=60.0), "digits", digits).design_id
    assert first.design_id != design_of(request, SearchRequest(max_drop=0.02), "digits", digits).design_id
    assert [(part.family, part.depth) for part in first.ladders] == [("cnn", 1), ("dnn", 1), ("dnn", 2)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--budget", "soon"), "'soon' is not a time, such as 90s or 2h"),
        (("--budget", "0"), "'0' is not a time"),
        (("--max-drop", "150%"), "'150%' is not a share between 0 and 1, such as 0.01 or 1%"),
        (("--max-bytes", "20 apples"), "'20 apples' is not a whole number of bytes, such as 20kB"),
        (("--max-macs", "0"), "0 is not in the range x>=1"),
        (("--looks", "10"), "takes two numbers of replicates or more"),
        (("--capacities", "1,2,3"), "a search takes 5 sizes or more to begin with"),
        (("--repeats", "10"), "--repeats goes with sweeps; a search decides it by itself"),
        (("--resolution", "nan"), "'nan' is not a share between 0 and 1"),
    ],
)
def test_impossible_values_are_one_line(options: tuple[str, str], said: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "generate", "search", *options, "--store", str(tmp_path / "no.duckdb")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "no.duckdb").exists()


@pytest.mark.parametrize(("text", "seconds"), [("90", 90.0), ("90s", 90.0), ("1.5h", 5400.0), ("30 min", 1800.0)])
def test_times_have_units(text: str, seconds: float) -> None:
    from generate.options import DURATION

    assert DURATION.convert(text, None, None) == seconds


def test_what_a_search_found_is_what_recommend_says(undisturbed: Path) -> None:
    from analyze import recommend

    found = recommend(undisturbed, max_drop=0.05)
    assert all(row.design for row in found)
    assert {row.planned_looks for row in found} == {"3, 5"}
    help_text = CliRunner().invoke(generate, ["search", "--help"]).output
    assert "keeps the chance of any wrong statement at 5%" in " ".join(help_text.split())
    assert isinstance(found.frame(), pl.DataFrame)


def test_no_network_beyond_the_budget_is_trained() -> None:
    """16 channels take 576 pixels' worth of outputs: 64 + 576 bytes; the DNN's image and first layer 64 + its width."""
    request, digits = Request(phase="convergence", families=("dnn", "cnn")), load_dataset("digits", None)
    wanted = SearchRequest(max_ram=64 + 36 * 16, max_macs=6000, by="macs")
    design = design_of(request, wanted, "digits", digits)
    most = {(family, depth): size for family, depth, size in design.most}
    # 74 multiply-accumulates per unit, and the square of the width in a second layer; 684 per channel.
    assert most == {("dnn", 1): 81, ("dnn", 2): 48, ("cnn", 1): 8}
    sizes = {(part.family, part.depth): part.capacities for part in design.ladders}
    assert sizes == {("dnn", 1): (1, 2, 5, 10, 20, 50), ("dnn", 2): (1, 2, 5, 10, 20), ("cnn", 1): (1, 2, 3, 4, 6, 8)}
    assert not design.allows(Place("dnn", 1, 100))
    assert design.allows(Place("dnn", 1, 81))
    assert read_design({"design_id": "", "spec": design.canonical()}) == design
    free = design_of(request, SearchRequest(), "digits", digits)
    assert "macs" not in free.canonical()
    assert free.allows(Place("dnn", 1, 1000))


def test_a_budget_for_too_few_sizes_says_so() -> None:
    request, digits = Request(phase="convergence", families=("cnn",)), load_dataset("digits", None)
    with pytest.raises(MinarchError, match=r"--max-macs 2100 leaves no CNN of 1 convolution of 1, 2, 3 alone"):
        design_of(request, SearchRequest(max_macs=2100), "digits", digits)
    with pytest.raises(
        MinarchError, match=r"--max-ram 10 leaves no CNN of 1 convolution at all; a search takes 5 sizes"
    ):
        design_of(request, SearchRequest(max_ram=10), "digits", digits)
