"""Recommendations and frontiers under a budget: what fits, what the rivals are, and how often answers err."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import duckdb
import numpy as np
import pytest

from analyze import Study, frontier, recommend, statement
from analyze.questions.budget import Limits
from analyze.questions.candidates import cells_of, judge
from analyze.questions.designs import Planned
from analyze.questions.regimes import sweep_regimes
from analyze.questions.sequential import decide
from store.costs import Image, dnn_costs
from store.designs import LookSpec, Place
from store.options import BYTES, COUNT
from tests.analyze.levels import held
from tests.analyze.test_cli import call
from tests.analyze.test_recommend import planted
from tests.planted import LADDER
from tests.planted_budget import SWEEPS, budget_tally, fits, forms_tally, world
from tests.planted_recommend import accuracies
from tests.planted_search import normal
from tests.planted_store import PlantedCut, PlantedSweep, parameters, write


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sizes from 10 on are stable; 30 is 0.8 points below the best, 0.5 below 50; 8 bits cost 0.1 points."""
    return planted(tmp_path_factory.mktemp("budget") / "results.duckdb")


@pytest.fixture(scope="module")
def study(store: Path) -> Study:
    """It, read once: what takes long is found once for all budgets."""
    return Study.read(store)


def costs(capacity: int) -> tuple[int, int, int]:
    found = dnn_costs((capacity,), Image(8, 8, 1, 10), {})
    return found.macs, found.ram_fp32, found.ram_int8


def test_a_budget_that_nothing_fits_is_said_before_anything_is_advised(tmp_path: Path, study: Study) -> None:
    """Larger sizes, which stability would ask for, could not help."""
    noise = np.random.default_rng(1).normal(0.5, 0.2, (6, 5)).clip(0, 1)
    unstable = write(tmp_path / "s.duckdb", PlantedSweep(accuracy=noise, capacities=(4, 5, 6, 8, 10, 12)))
    least = costs(4)[1]
    (row,) = recommend(unstable, max_ram=least - 1)
    assert row.status == "absent"
    assert f"no form fits of the 6 networks that were trained: the least takes {least:,} bytes" in str(row.reason)
    assert "--capacities 1,2,3 " in str(row.command)
    (row,) = recommend(unstable, max_ram=least)
    assert "no form fits" not in str(row.reason)
    (row,) = recommend(study, max_macs=1)
    assert (row.status, row.command) == ("absent", None)


@pytest.mark.parametrize(
    ("kind", "text", "number"),
    [
        (BYTES, "20kB", 20_000),
        (BYTES, "64KiB", 65_536),
        (BYTES, "1.5 MB", 1_500_000),
        (BYTES, "512", 512),
        (BYTES, "0.5KiB", 512),
        (COUNT, "1M", 1_000_000),
        (COUNT, "2.5k", 2500),
        (COUNT, "-5", -5),
    ],
)
def test_amounts_are_understood(kind: Any, text: str, number: int) -> None:
    assert kind.convert(text, None, None) == number


@pytest.mark.parametrize(
    "text", ["", "kB", "1.5", "1.0001kB", "1e6", "0x10", "nan", "20 apples", "1M", "²", "1_000", "1kb"]
)
def test_other_amounts_are_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(
        click.BadParameter, match=r"is not a whole number of bytes, such as 20kB or 64KiB; units are B, kB"
    ):
        BYTES.convert(text, None, None)


def test_the_best_under_a_budget_is_the_best_that_fits(study: Study) -> None:
    """30 is too far below sizes that do not fit to be shown to be within a point of them."""
    (free,) = recommend(study)
    assert free.capacity == 50
    most = costs(30)[0]
    found = recommend(study, max_macs=most)
    (row,) = found
    assert (row.status, row.capacity, row.macs, row.ram_fp32, row.ram_int8) == ("detected", 30, *costs(30))
    assert (row.tested, row.max_macs, row.by) == (3, most, "parameters")
    assert [one.verdict for one in found.evidence][4:] == ["not shown"] * 2 + ["recommended"] + ["too large"] * 5
    assert {one.drop for one in found.evidence if one.verdict == "too large"} == {None}
    assert "every other stable architecture that fits the budget" in row.method
    assert f"can be had with at most {most:,} multiply-accumulates" in row.explanation
    assert [(one.macs, one.ram_fp32, one.ram_int8) for one in found.evidence] == [costs(size) for size in LADDER]


@pytest.mark.parametrize(
    ("limits", "capacity", "form"),
    [
        ({"max_parameters": parameters(30, 1)}, 30, "int8"),
        ({"max_ram": costs(30)[2]}, 30, "int8"),
        ({"max_ram": costs(1000)[1]}, 50, "int8"),
        ({"max_bytes": 2400}, 30, "int8"),
        ({"by": "macs"}, 50, "int8"),
        ({"by": "ram"}, 50, "int8"),
        ({"by": "bytes", "max_macs": 10**9}, 50, "int8"),
    ],
)
def test_every_budget_and_measure(study: Study, limits: dict[str, Any], capacity: int, form: str) -> None:
    (row,) = recommend(study, **limits)
    assert (row.status, row.capacity, row.safe_form) == ("detected", capacity, form)
    assert (row.safe_macs, row.safe_ram) == (row.macs, row.ram_int8)


def test_a_rival_is_what_fits_in_its_smallest_form_whether_that_is_safe_or_not(study: Study) -> None:
    """At 95% pruned, which is not safe, 50 takes 2,500 bytes; its 8-bit form takes more."""
    found = recommend(study, max_bytes=2500)
    verdicts = {row.capacity: row.verdict for row in found.evidence}
    assert (verdicts[30], verdicts[50], verdicts[100]) == ("recommended", "no safe form fits", "too large")
    assert found[0].tested == 4


def test_what_the_store_does_not_know_is_a_rival_and_no_answer(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "unknown.duckdb"
    path.write_bytes(store.read_bytes())
    with duckdb.connect(path) as connection:
        connection.execute("DELETE FROM costs WHERE hidden_sizes IN ([50], [1000])")
    found = recommend(path, max_macs=costs(30)[0])
    verdicts = {row.capacity: row.verdict for row in found.evidence}
    assert (verdicts[50], verdicts[100], found[0].tested) == ("no safe form fits", "too large", 5)
    assert recommend(path)[0].capacity == 50
    with duckdb.connect(path) as connection:
        connection.execute("DELETE FROM costs")
    (row,) = recommend(path, by="ram")
    assert row.reason is not None
    assert "the store does not know how many bytes of activations it takes" in row.reason
    points = frontier(path, by="macs")
    assert (len(points), points.notes) == (0, ("planted, dnn: not all forms have known multiply-accumulates",))


def test_where_nothing_is_shown_the_best_guess_is_named_as_such(tmp_path: Path) -> None:
    path = planted(tmp_path / "few.duckdb", replicates=5)
    most = costs(100)[2]
    (row,) = recommend(path, max_ram=most, max_drop=0.006)
    assert row.guess_capacity is not None
    assert row.guess_reason is not None
    assert "bytes of activations, not shown to be safe)" in row.guess_reason
    assert costs(row.guess_capacity)[2] <= most
    assert "Best guess, not proven" in row.explanation


def test_the_statement_names_the_budget(study: Study) -> None:
    (said,) = statement(study, max_bytes=2400, by="bytes")
    text = said.markdown()
    assert "the one with the fewest bytes that is shown to be good enough is **DNN, 1 hidden layer, 30 wide" in text
    assert "as int8: 2,380 bytes, 2,220 multiply-accumulates, 94 bytes of activations" in text
    assert "every other stable one of which some measured form takes at most 2,400 bytes" in text
    (nothing,) = statement(study, max_bytes=300)
    assert "The budget: at most 300 bytes." in nothing.markdown()


def test_the_command_line_takes_units_and_says_what_was_asked(store: Path) -> None:
    done = call("recommend", "--store", store, "--max-bytes", "2.4kB", "--max-ram", "1KiB", "--by", "macs")
    table = done.stdout.decode()
    said = " ".join(table.split())
    assert "at most 2,400 bytes, at most 1,024 bytes of activations: the best is the best that fits" in said
    assert "smallest in multiply-accumulates" in said
    assert "dnn: int8: 2,220 MACs, 94 bytes of activations" in said
    assert max(map(len, table.splitlines())) <= 80
    rows = json.loads(
        call("recommend", "--store", store, "--max-bytes", "2400", "--max-ram", "1024", "--format", "json").stdout
    )
    assert [row["capacity"] for row in rows] == [30]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--max-bytes", "20 apples"],
            "'20 apples' is not a whole number of bytes, such as 20kB or 64KiB; units are B",
        ),
        (["--max-macs", "1kB"], "'1kB' is not a whole number, such as 50000, 50k or 1.5M; units are k, K, M, G"),
        (["--max-ram", "0"], "0 is not in the range x>=1"),
        (["--by", "weight"], "'weight' is not one of 'parameters', 'bytes', 'macs', 'ram'"),
    ],
)
def test_wrong_budgets_are_one_line(store: Path, arguments: list[str], message: str) -> None:
    done = call("recommend", "--store", store, *arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert message in done.stderr.decode()
    assert done.stderr.decode().count("\n") == 1


def test_the_frontier_is_that_of_what_is_asked(tmp_path: Path) -> None:
    """Half of the units removed: half of the operations. Half of the weights pruned: as many as whole."""
    accuracy = accuracies(np.random.default_rng(1), 10)
    cut = [
        PlantedCut(capacity=50, accuracy=accuracy[7][:, None], sparsities=(0.5,), method=method)
        for method in ("units", "layerwise")
    ]
    path = write(tmp_path / "cut.duckdb", PlantedSweep(accuracy=accuracy, cuts=cut))
    rows = {(row.capacity, row.form): row for row in frontier(path, by="macs")}
    assert (rows[50, "fp32"].macs, rows[50, "fp32"].ram) == costs(50)[:2]
    assert (rows[50, "fp32 units 50%"].macs, rows[50, "fp32 units 50%"].ram) == costs(25)[:2]
    assert (rows[50, "fp32 layerwise 50%"].macs, rows[50, "fp32 layerwise 50%"].ram) == costs(50)[:2]
    assert [row.macs for row in rows.values()] == sorted(row.macs or 0 for row in rows.values())
    for by in ("bytes", "ram", "parameters"):
        best = [row for row in frontier(path, by=by) if row.best]
        taken = [{"bytes": row.bytes, "ram": row.ram or 0, "parameters": row.nonzero}[by] for row in best]
        assert taken == sorted(taken)
        assert [row.mean for row in best] == sorted(row.mean for row in best)
    header = call("frontier", "--store", path, "--by", "ram").stdout.decode().splitlines()[1]
    assert header.split()[:4] == ["network", "form", "verdict", "RAM"]


def test_answers_at_exactly_the_margin_seldom_err() -> None:
    """The largest that fits is the only rival that is hard to beat; those beyond the budget are better still."""
    once = budget_tally(normal, 0.8, range(5000, 5060), "fixed")
    held(once["cnn"], once["stores"], 0.05, 0.25)
    held(once["all"], once["stores"], 0.05, 0.25)
    assert once["within"] >= 55, "without the budget none would be shown"
    looked = budget_tally(normal, 0.8, range(5000, 5060), "design")
    held(looked["all"], looked["stores"], 0.05, 0.25)
    assert looked["within"] >= 55


def test_forms_at_exactly_the_margin_are_seldom_called_safe() -> None:
    held(forms_tally("normal", 10, range(5000, 5250)), 250, 0.05, 0.15)


def test_a_design_drops_what_does_not_fit_and_keeps_its_levels() -> None:
    """What does not fit is neither tested nor a rival; the next smaller one has its share. Nothing else changes."""
    planted_world = world(np.random.default_rng(7), normal, 0.5)
    for (family, depth), sizes in SWEEPS.items():
        for size in sizes:
            planted_world.train(Place(family, depth, size), 30)
    sweeps = planted_world.sweeps()
    cells = cells_of(sweeps, [sweep_regimes(sweep, seed=0)[0] for sweep in sweeps])
    shares = Planned("planted", planted_world.spec, ()).shares
    planned = Planned("planted", planted_world.spec, (LookSpec(held=dict.fromkeys(shares, 30), asked={}),))
    free, bounded = decide(planned, cells, seed=0), decide(planned, cells, seed=0, fits=fits)
    assert free.cells == bounded.cells or [c.key for c in free.cells] == [c.key for c in bounded.cells]
    for row, cell in enumerate(bounded.cells):
        if not fits(cell):
            assert (bounded.verdicts.level[row], bounded.verdicts.passed[row], row in bounded.rivals) == (
                0,
                False,
                False,
            )
    at = {(cell.family, cell.capacity): row for row, cell in enumerate(bounded.cells)}
    own = planned.spec.level / len(planned.spec.ladders)
    assert bounded.verdicts.level[at["dnn", 20]] == pytest.approx(
        own * (shares[Place("dnn", 1, 50)] + shares[Place("dnn", 1, 20)])
    )
    assert not free.verdicts.passed[at["dnn", 20]], "two points below the best of all"
    assert bounded.verdicts.passed[at["dnn", 20]]


def test_the_largest_that_fits_is_tested_first() -> None:
    """It has half of the sweep's level."""
    planted_world = world(np.random.default_rng(7), normal, 0.5)
    for (family, depth), sizes in SWEEPS.items():
        for size in sizes:
            planted_world.train(Place(family, depth, size), 20)
    sweeps = [sweep for sweep in planted_world.sweeps() if sweep.family == "cnn"]
    cells = cells_of(sweeps, [sweep_regimes(sweep, seed=0)[0] for sweep in sweeps])
    judged = judge(cells, "cnn", Limits(by="macs"), seed=0, fits=fits)
    levels = {row.capacity: row.level for row in judged if row.level is not None}
    assert max(levels) == 16
    assert levels[16] == pytest.approx(0.025)
