"""Forms of networks side by side: their bytes, prune or train small, the frontier; planted, and from a store."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from analyze import Study, frontier, prune_or_small
from analyze.questions import designs
from analyze.questions.forms import pruned_forms, whole_forms
from analyze.stats.comparison import compare
from analyze.stats.frontier import frontier as frontier_of
from analyze.stats.result import FloatArray
from tests.analyze.levels import held
from tests.analyze.shown import body, documented
from tests.analyze.test_cli import call
from tests.planted_forms import comparison_tally, frontier_tally
from tests.planted_store import PlantedCut, PlantedSweep, write

CAPACITIES = (10, 20, 40, 50, 100)
GRID = (0.5, 0.55, 0.75, 0.9)


@pytest.mark.parametrize(("kind", "replicates"), [("normal", 10), ("skewed", 10)])
def test_verdicts_on_many_pairs_are_rarely_wrong(kind: str, replicates: int) -> None:
    """Without Holm's adjustment nine in ten families of 20 pairs have a wrong verdict."""
    tally = comparison_tally(kind, replicates, range(81_000, 81_100))
    held(tally.wrong, tally.families, 0.05, 0.2)


def test_differences_and_equivalence_are_found_with_thirty_replicates() -> None:
    tally = comparison_tally("normal", 30, range(82_000, 82_010))
    assert tally.better == tally.pairs
    assert tally.equal >= 0.95 * tally.pairs


@pytest.mark.parametrize("kind", ["normal", "skewed"])
def test_forms_on_the_frontier_are_rarely_called_beaten(kind: str) -> None:
    tally = frontier_tally(kind, 10, range(83_000, 83_100))
    held(tally.wrong, tally.frontiers, 0.05, 0.2)


def test_forms_far_below_are_beaten_with_thirty_replicates() -> None:
    tally = frontier_tally("normal", 30, range(84_000, 84_005))
    assert tally.beaten >= 0.95 * tally.far


def test_a_form_is_beaten_by_one_that_takes_no_more_alone() -> None:
    rng = np.random.default_rng(1)
    drawn: FloatArray = np.array([0.9, 0.95, 0.8, 0.95])[:, None] + 0.001 * rng.standard_normal((4, 10))
    values = list(drawn)
    found = frontier_of(values, [10.0, 20.0, 20.0, 30.0])
    assert found.beaten_by.tolist() == [-1, -1, 1, -1]
    assert found.best.tolist()[:3] == [True, True, False]
    assert found.rivals.tolist()[:3] == [0, 0, 2]
    short = frontier_of([values[0][:4], values[2]], [1.0, 2.0])
    assert (np.isnan(short.mean[0]), short.beaten_by.tolist(), short.best.tolist()) == (True, [-1, -1], [False, True])
    assert frontier_of(values, [1.0] * 4, level=0.0).beaten_by.tolist() == [-1] * 4


def test_pairs_of_few_replicates_are_not_tested() -> None:
    few, enough = compare([np.full(4, 0.1), np.linspace(0.1, 0.104, 5)], margin=0.01)
    assert (few.verdict, few.difference) == ("too few", None)
    assert enough.verdict == "better"
    assert compare([np.linspace(0.1, 0.104, 5)], margin=0.01, level=0.0)[0].verdict == "open"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five widths, all alike at 95%, and width 20 pruned: by magnitude bad, fine-tuned good, in 8 bits as good."""
    rng = np.random.default_rng(11)

    def near(level: float, columns: int) -> FloatArray:
        return level + 0.002 * rng.standard_normal((10, columns))

    cuts = [
        PlantedCut(capacity=20, accuracy=near(0.80, 4), sparsities=GRID),
        PlantedCut(capacity=20, accuracy=near(0.98, 1), sparsities=GRID[1:2], finetune_epochs=5),
        PlantedCut(capacity=20, accuracy=near(0.90, 1), sparsities=(0.5,), method="units"),
        PlantedCut(capacity=20, accuracy=near(0.95, 4)[:4], sparsities=GRID, method="random"),
    ]
    fp32, int8, int4 = (near(0.95, 5).T for _ in range(3))
    return write(
        tmp_path_factory.mktemp("forms") / "results.duckdb",
        PlantedSweep(accuracy=fp32, capacities=CAPACITIES, cuts=cuts, post_training={6: near(0.94, 5).T}),
        PlantedSweep(
            accuracy=int8,
            capacities=CAPACITIES,
            precision="int8",
            cuts=[PlantedCut(capacity=20, accuracy=near(0.95, 4), sparsities=GRID)],
        ),
        PlantedSweep(accuracy=int4, capacities=CAPACITIES, precision="int4"),
    )


def test_bytes_of_every_form(store: Path) -> None:
    """A DNN on 8x8 images, 20 wide, ten classes: 1,480 weights and 30 biases; half of its units gone, 740 and 20."""
    study = Study.read(store)
    forms = (*whole_forms(study).content, *pruned_forms(study).content)
    found = {one.form.name: (one.bytes, one.nonzero) for one in forms if one.key.capacity == 20}
    assert found["fp32"] == (4 * 1510, 1510)
    assert found["int8"] == (1480 + 120, 1510)
    assert found["int4"] == (740 + 120, 1510)
    assert found["post-training w6a8"] == (1110 + 120, 1510)
    assert found["fp32 magnitude 55%"] == (185 + 4 * 666 + 120, 696)
    assert found["fp32 magnitude 55% +5 epochs"] == found["fp32 magnitude 55%"]
    assert found["int8 magnitude 90%"] == (185 + 148 + 120, 178)
    assert found["fp32 units 50%"] == (4 * 760, 760)
    assert [one.bytes for one in forms if one.key.capacity == 10 and one.form.name == "fp32"] == [4 * 760]


def test_pruned_larger_networks_beside_small_ones(store: Path) -> None:
    rows = {(row.small_form, row.small_capacity, row.form): row for row in prune_or_small(store)}
    assert set(rows) == {
        ("fp32", 10, "fp32 magnitude 55%"),
        ("fp32", 10, "fp32 magnitude 55% +5 epochs"),
        ("fp32", 10, "fp32 units 50%"),
        ("fp32", 10, "fp32 random 55%"),
        ("int8", 10, "int8 magnitude 75%"),
    }
    worse = rows["fp32", 10, "fp32 magnitude 55%"]
    assert (worse.verdict, worse.bytes, worse.small_bytes, worse.capacity) == ("small better", 2969, 3040, 20)
    assert worse.difference == pytest.approx(-0.15, abs=0.003)
    assert (worse.replicates, worse.comparisons) == (10, 4)
    assert rows["fp32", 10, "fp32 magnitude 55% +5 epochs"].verdict == "pruned better"
    assert rows["int8", 10, "int8 magnitude 75%"].verdict == "equivalent"
    few = rows["fp32", 10, "fp32 random 55%"]
    assert (few.verdict, few.reason) == ("too few", "4 of 5 needed replicates: run with --repeats 5 or more")


def test_parameters_left_are_matched_too(store: Path) -> None:
    rows = prune_or_small(store, by="nonzero")
    assert {(row.form, row.nonzero, row.small_nonzero) for row in rows if row.bits == "int8"} == {
        ("int8 magnitude 55%", 696, 760)
    }
    assert all(0.75 * row.small_nonzero <= row.nonzero <= row.small_nonzero for row in rows)


def test_frontier_of_a_store(store: Path) -> None:
    rows = frontier(store)
    assert [row.bytes for row in rows] == sorted(row.bytes for row in rows)
    assert len(rows) == 5 * 4 + 4 + 1 + 1 + 4 + 4
    by_name = {(row.capacity, row.form): row for row in rows}
    assert by_name[20, "fp32 magnitude 55%"].verdict == "beaten"
    assert by_name[20, "fp32 magnitude 55%"].beaten_by is not None
    assert by_name[20, "fp32 random 55%"].verdict == "too few"
    best = by_name[20, "fp32 magnitude 55% +5 epochs"]
    assert (best.verdict, best.best, best.rivals, best.forms) == ("frontier", True, 0, 30)
    means = [row.mean for row in rows if row.best]
    assert means == sorted(means)


@pytest.mark.parametrize(
    ("command", "option"), [("prune-or-small", []), ("prune-or-small", ["--by", "nonzero"]), ("frontier", [])]
)
def test_command_prints_every_documented_field(store: Path, command: str, option: list[str]) -> None:
    rows = json.loads(call(command, *option, "--store", store, "--format", "json").stdout)
    assert set(rows[0]) == documented(command)
    table = call(command, *option, "--store", store).stdout.decode()
    assert max(map(len, table.splitlines())) <= 80
    assert "…" not in table
    assert len(body(table)) == len(rows)
    for row, line in zip(rows, body(table), strict=True):
        value = row.get("difference", row["mean"])
        assert value is None or f"{100 * value:.2f}" in line


def test_all_forms_are_printed_on_request(store: Path) -> None:
    rows = json.loads(call("frontier", "--all", "--store", store, "--format", "json").stdout)
    assert len(rows) == len(frontier(store))


def test_a_store_without_pruned_networks_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "none.duckdb", PlantedSweep(accuracy=np.full((3, 8), 0.9), capacities=(1, 2, 3)))
    done = call("prune-or-small", "--store", path)
    assert b"holds no pruned networks yet; `generate convergence " in done.stderr
    done = call("prune-or-small", "--by", "weights", "--store", path)
    assert done.returncode == 2
    assert len(frontier(path)) == 3


def test_a_frontier_of_few_replicates_says_what_is_missing(tmp_path: Path) -> None:
    path = write(tmp_path / "few.duckdb", PlantedSweep(accuracy=np.full((2, 4), 0.9), capacities=(1, 2)))
    done = call("frontier", "--store", path)
    assert done.stdout.decode().strip() == "no results"
    assert b"planted, dnn: 4 of 5 needed replicates: run with --repeats 5 or more" in done.stderr


def test_tests_that_share_a_level_have_the_least_that_any_number_of_replicates_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the order: forms of one sweep may have different numbers, and a design allows less after fewer."""
    study = Study.read(write(tmp_path / "s.duckdb", PlantedSweep(accuracy=np.full((2, 4), 0.9), capacities=(1, 2))))
    key = whole_forms(study).content[0].key.sweep
    monkeypatch.setattr(designs, "level_at", lambda _study, _sweep, n: 0.001 * n)
    for numbers in ((30, 10, 20), (10, 20, 30), (20, 30, 10)):
        assert designs.least_level(study, [(key, n) for n in numbers]) == pytest.approx(0.01)
    assert designs.least_level(study, [(key, 2)]) == 0.05  # Too few to be tested.
