"""The paper's claims: evidence, verdicts over whole tables, and what stores without the data are told."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import click
import numpy as np
import pytest
from scipy import stats

import generate.cli
from analyze import claims
from analyze.paper.claims.rows import SCALES, ClaimVerdict, Unit
from analyze.paper.figures import DATASETS, DECLINE, LARGEST_ACCURACY, LARGEST_GAP, TABLE_ONE
from analyze.stats.contrasts import all_small, difference_of, mean_of
from analyze.stats.decline import first_loss, phase_evidence, tolerance
from analyze.stats.dominance import dominance
from analyze.stats.locations import no_fall_p, share_p
from analyze.stats.opening import opening_sides
from analyze.stats.overfitting import overfitting_boundary
from analyze.stats.sides import Sides, every, judge, some
from analyze.stats.slopes import replicate_slopes
from tests.analyze.levels import held
from tests.analyze.shown import documented
from tests.analyze.test_cli import call
from tests.planted import CHANCE, LADDER, SIZES, clean, flat_gap, opening, unreached
from tests.planted_claims import EDGE, FALSE, SKEWED, TRUE, WORLDS, World, claims_tally, verdicts, wrong
from tests.planted_pruning import SPARSITIES, piecewise, straight
from tests.planted_shapes import planted_shapes, sweeps
from tests.planted_store import PlantedSweep, write


def test_every_unit_says_how_its_numbers_are_written() -> None:
    assert set(SCALES) == set(get_args(Unit))


def test_all_parts_have_to_hold_and_one_is_enough() -> None:
    parts = [Sides(0.01, 0.5), Sides(0.2, 0.03)]
    assert every(parts) == Sides(0.2, 0.06)
    assert some(parts) == Sides(0.02, 0.5)


def test_verdicts_are_holms_over_both_sides_of_all_claims() -> None:
    found = judge([Sides(0.001, 0.9), Sides(0.9, 0.009), Sides(0.02, 0.98)])
    assert [row.verdict for row in found] == ["supported", "contradicted", "inconclusive"]
    # Six hypotheses: 6 x 0.001, 5 x 0.009, 4 x 0.02.
    assert [row.adjusted for row in found] == pytest.approx([0.006, 0.045, 0.08])
    assert [row.p for row in found] == pytest.approx([0.002, 0.018, 0.04])


def test_contrasts_are_t_tests() -> None:
    rng = np.random.default_rng(0)
    # Symmetric, so that Hall's transformation changes nothing.
    first, second = (
        np.concatenate([mean + part, mean - part])
        for mean, part in ((1.0, rng.normal(0.0, 1.0, 6)), (0.2, rng.normal(0.0, 2.0, 4)))
    )
    found = mean_of(first)
    assert found.above(0.8).p_for == pytest.approx(
        stats.ttest_1samp(first, 0.8, alternative="greater").pvalue, rel=1e-4
    )
    assert found.below(0.8).p_for == pytest.approx(stats.ttest_1samp(first, 0.8, alternative="less").pvalue, rel=1e-4)
    assert found.interval == pytest.approx(tuple(stats.ttest_1samp(first, 0).confidence_interval()), rel=1e-4)
    welch = difference_of(first, second)
    expected = stats.ttest_ind(first, second, equal_var=False)
    assert welch.above(0.0).p_for == pytest.approx(expected.pvalue / 2, rel=1e-4)
    assert welch.interval == pytest.approx(tuple(expected.confidence_interval()), rel=1e-4)


def test_a_range_is_tested_at_both_ends() -> None:
    found = mean_of(np.array([0.1, 0.2, 0.3, 0.2, 0.1, 0.3]))
    inside = found.within(0.0, 0.21)
    assert inside.p_for == found.below(0.21).p_for
    assert found.within(0.5, 0.6).p_against == pytest.approx(2 * found.below(0.5).p_for)


def test_replicate_slopes_groups_are_those_of_a_regression_with_levels() -> None:
    rng = np.random.default_rng(1)
    group = np.array([0, 0, 0, 1, 1, 1])
    x, values = rng.random(6), rng.random((6, 3))
    design = np.column_stack([x, group == 0, group == 1]).astype(float)
    expected = np.linalg.lstsq(design, values, rcond=None)[0][0]
    assert replicate_slopes(values, x, group=group) == pytest.approx(expected)


def test_slopes_of_replicates_with_gaps_are_those_of_what_each_has() -> None:
    rng = np.random.default_rng(2)
    values = rng.random((6, 4))
    values[[0, 3], [1, 1]] = np.nan
    values[1:, 2] = np.nan
    found = replicate_slopes(values, least=2)
    expected = [np.polyfit(np.flatnonzero(~np.isnan(y)), y[~np.isnan(y)], 1)[0] for y in values.T[[0, 1, 3]]]
    assert found == pytest.approx(expected)
    assert len(replicate_slopes(values, least=6)) == 2


def test_bootstrap_p_values_do_not_go_below_what_few_replicates_resolve() -> None:
    never = np.zeros(9_999, dtype=np.bool_)
    assert share_p(never, 5) == 1 / 126
    assert share_p(never, 30) == 1e-4


def test_a_spread_that_falls_is_not_shown_to_stay_and_one_that_stays_is() -> None:
    rng = np.random.default_rng(2)
    assert no_fall_p(clean(rng, 30).accuracy, chance=CHANCE) > 0.9
    assert no_fall_p(unreached(rng, 30).accuracy, chance=CHANCE) < 0.01


def test_a_gap_that_opens_and_one_that_does_not() -> None:
    rng = np.random.default_rng(3)
    wide, flat = opening(rng, 30), flat_gap(rng, 30)
    opened = opening_sides(wide.train, wide.test, overfitting_boundary(wide.train, wide.test, rng=rng))
    level = opening_sides(flat.train, flat.test, overfitting_boundary(flat.train, flat.test, rng=rng))
    assert opened.p_for < 0.001 < 0.5 < opened.p_against
    assert level.p_against < 0.001 < 0.5 < level.p_for


def test_sizes_that_differ_more_than_topologies_dominate() -> None:
    rng = np.random.default_rng(4)
    means = np.linspace(0.5, 0.9, 6)[:, None, None] + np.array([0.0, 0.01, 0.02])[:, None]
    found = dominance(list(means + 0.004 * rng.standard_normal((6, 3, 20))), rng=rng)
    assert found is not None
    assert found.sides.p_for < 0.001
    true = means[..., 0].var(axis=1, ddof=1).mean()
    assert found.interval[0] <= true / (true + means[..., 0].mean(axis=1).var(ddof=1)) <= found.interval[1]
    turned = dominance(list(np.swapaxes(means, 0, 1) + 0.004 * rng.standard_normal((3, 6, 20))), rng=rng)
    assert turned is not None
    assert turned.sides.p_against < 0.001


def test_phases_are_shown_and_a_straight_line_has_none() -> None:
    rng = np.random.default_rng(5)
    phased = phase_evidence(piecewise(rng, 30).accuracy, SPARSITIES, chance=CHANCE, rng=rng)
    line = phase_evidence(straight(rng, 30).accuracy, SPARSITIES, chance=CHANCE, rng=rng)
    assert phased is not None
    assert line is not None
    assert phased.sides.p_for < 0.01
    assert line.sides.p_against < 0.01


def test_the_first_loss_is_placed() -> None:
    rng = np.random.default_rng(6)
    means = np.array([-0.01, -0.01, 0.02, 0.05])
    losses = means + 0.003 * rng.standard_normal((20, 4))
    assert first_loss(losses, 2, 2, rng=rng).p_for < 0.001
    assert first_loss(losses, 0, 2, rng=rng).p_for < 0.001
    assert first_loss(losses, 0, 1, rng=rng).p_against < 0.001
    assert first_loss(losses, 3, 3, rng=rng).p_against < 0.001
    assert all_small(losses[:, :2], rng=rng).p_for < 0.001 < 0.5 < all_small(losses, rng=rng).p_for


def test_tolerance_is_the_area_under_the_share_kept() -> None:
    line = np.linspace(0.9, CHANCE, len(SPARSITIES))[None]
    assert tolerance(line, SPARSITIES, chance=CHANCE) == pytest.approx([0.5])


@pytest.mark.parametrize("world", WORLDS)
def test_one_table_of_each_world_has_no_wrong_verdict(world: str) -> None:
    rows = verdicts(WORLDS[world], 1, 30)
    assert not [row for row in rows if wrong(WORLDS[world], row)]
    assert {row.claim for row in rows} == set(range(1, 13))


def test_true_and_false_claims_are_told_apart() -> None:
    """Of every claim some row is decided in one of the worlds, and rightly."""
    right = {
        row.claim
        for world in (TRUE, FALSE)
        for row in verdicts(world, 2, 30)
        if row.verdict in ("supported", "contradicted")
    }
    assert right == set(range(1, 13))


@pytest.mark.slow
@pytest.mark.parametrize("replicates", [10, 30])
@pytest.mark.parametrize(("world", "measured"), [(EDGE, 0.015), (SKEWED, 0.035)])
def test_a_wrong_verdict_anywhere_in_the_table_is_rare(world: World, measured: float, replicates: int) -> None:
    """At the edge every verdict on a number is wrong: the worst case for the rate over the table.

    Of 200 stores a method that errs as measured passes in 999 of 1000 tries, one that errs in 10% of tables, twice what
    is allowed, fails in more than 95 of 100. A test in the table is held to its level in `test_onesided.py`.
    """
    seeds = range(2000, 2200)
    held(claims_tally(world, replicates, seeds).tables_wrong, len(seeds), measured, 0.1)


def test_a_wider_network_with_few_replicates_takes_no_verdict_away(tmp_path: Path) -> None:
    accuracy = accuracies(0, replicates=10)
    curves = [np.clip(row[:, None] - np.array(SPARSITIES) ** 6, CHANCE, 1) for row in accuracy]
    whole = PlantedSweep(accuracy=accuracy[:-1], capacities=LADDER[:-1], dataset="mnist", pruned=curves[:-1])
    begun = accuracy.copy()
    begun[-1, 1:] = np.nan
    more = PlantedSweep(accuracy=begun, dataset="mnist", pruned=[*curves[:-1], curves[-1][:1]])
    before, after = (
        {
            row.title: row
            for row in rows(write(tmp_path / name, sweep))
            if row.claim in (6, 7, 9) and row.dataset and row.family in ("dnn", None)
        }
        for name, sweep in (("whole.duckdb", whole), ("more.duckdb", more))
    )
    assert before.keys() == after.keys()
    for title, row in after.items():
        assert (row.estimate, row.n) == (before[title].estimate, before[title].n)
        assert row.verdict != "not_testable"
        assert "size 500" in (row.detail or "")
        waiting = "wider ones with fewer than 5 replicates do not contend yet: depth 1 size 1000 (1)"
        assert waiting in (row.detail or ""), title


def test_the_skewness_of_what_is_tested_is_printed(store: Path) -> None:
    for row in rows(store):
        tested = row.p_for is not None
        assert (row.skewness is not None) == (tested and row.claim in (2, 5, 6, 7, 8, 9, 10, 11)), row.title


def accuracies(seed: int, replicates: int = 8, top: float = 0.95) -> Any:
    rng = np.random.default_rng(seed)
    sds = np.where(np.arange(SIZES) < 5, 0.08, 0.004)[:, None]
    return np.clip(np.linspace(0.6, top, SIZES)[:, None] + sds * rng.standard_normal((SIZES, replicates)), 0, 1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store with MNIST DNNs, pruned, in 8 bits too, and with topologies; and digits in fp32 only."""
    accuracy = accuracies(0)
    curves = [np.clip(row[:, None] - np.array(SPARSITIES) ** 6, CHANCE, 1) for row in accuracy]
    shaped = sweeps(planted_shapes(np.random.default_rng(1), 8), dataset="mnist")
    return write(
        tmp_path_factory.mktemp("claims") / "results.duckdb",
        PlantedSweep(accuracy=accuracy, dataset="mnist", pruned=curves),
        PlantedSweep(accuracy=accuracy - 0.002, dataset="mnist", precision="int8"),
        PlantedSweep(accuracy=accuracies(2), dataset="digits"),
        *shaped,
    )


def rows(path: Path, **options: Any) -> list[ClaimVerdict]:
    return list(claims(path, **options))


def test_every_claim_has_a_row_and_every_row_a_verdict(store: Path) -> None:
    found = rows(store)
    assert {row.claim for row in found} == set(range(1, 13))
    assert [row.claim for row in found] == sorted(row.claim for row in found)
    for row in found:
        tested = row.verdict != "not_testable"
        assert tested == (row.p_for is not None) == (row.p_adjusted is not None)
        assert tested or row.detail
        if row.p_value is not None and row.p_adjusted is not None:
            assert 0 < row.p_value <= row.p_adjusted <= 1


def test_verdicts_follow_from_p_values(store: Path) -> None:
    for row in rows(store):
        if row.p_for is None or row.p_against is None or row.p_adjusted is None:
            continue
        leaning = "supported" if row.p_for <= row.p_against else "contradicted"
        assert row.verdict == (leaning if row.p_adjusted <= 0.05 else "inconclusive")


def test_claims_bound_to_the_papers_datasets_stand_once_for_those_that_are_missing(store: Path) -> None:
    absent = [row for row in rows(store) if row.dataset is None and row.family is None]
    assert {row.verdict for row in absent} == {"not_testable"}
    assert [row.claim for row in absent] == [4, 4, 5, 7, 9, 10, 11, 11]
    assert all("cifar10" in (row.to_test or "") for row in absent)


def test_naming_datasets_leaves_the_others_out(store: Path) -> None:
    found = rows(store, dataset="digits")
    assert {row.dataset for row in found} == {"digits"}
    assert {row.claim for row in found} == {1, 2, 3, 6, 8, 9, 10, 12}
    assert {row.family for row in rows(store, family="dnn")} <= {"dnn", None}


def test_fewer_rows_mean_a_milder_adjustment(store: Path) -> None:
    def wider(found: list[ClaimVerdict]) -> ClaimVerdict:
        (row,) = [row for row in found if row.title.startswith("wider") and row.dataset == "mnist"]
        return row

    whole, part = wider(rows(store)), wider(rows(store, dataset="mnist"))
    assert whole.p_for == part.p_for
    assert whole.p_adjusted is not None
    assert part.p_adjusted is not None
    assert whole.p_adjusted >= part.p_adjusted


def test_what_to_run_is_a_command_that_parses(store: Path, tmp_path: Path) -> None:
    (group,) = [value for value in vars(generate.cli).values() if isinstance(value, click.Group)]
    seen = {row.to_test for path in (store, write(tmp_path / "empty.duckdb")) for row in rows(path) if row.to_test}
    assert {line.split()[1] for line in seen} >= {"shapes", "convergence", "quantization"}
    for line in seen:
        for one in line.split(" && "):
            program, phase, *options = shlex.split(one)
            assert program == "generate"
            group.commands[phase].make_context(phase, options)


def test_printed_ranges_are_of_the_papers_datasets() -> None:
    for figures in (LARGEST_ACCURACY, DECLINE, LARGEST_GAP):
        assert figures.keys() <= TABLE_ONE.keys()
        assert all(0 < low < high < 1 for low, high in figures.values())
        assert {dataset for dataset, _ in figures} <= set(DATASETS)


SPARSE: dict[str, list[PlantedSweep]] = {
    "only fp32": [PlantedSweep(accuracy=accuracies(3), dataset="mnist")],
    "only shapes": list(sweeps(planted_shapes(np.random.default_rng(0), 8), dataset="mnist")),
    "one size": [PlantedSweep(accuracy=np.full((1, 9), 0.9), capacities=LADDER[:1], dataset="cifar10", family="vit")],
    "two replicates": [PlantedSweep(accuracy=accuracies(4, replicates=2), dataset="mnist")],
    "two of the paper's": [
        PlantedSweep(accuracy=accuracies(5), dataset="mnist"),
        PlantedSweep(accuracy=accuracies(6), dataset="cifar10"),
    ],
}


@pytest.mark.parametrize("name", SPARSE)
def test_stores_with_little_in_them(tmp_path: Path, name: str) -> None:
    found = rows(write(tmp_path / "little.duckdb", *SPARSE[name]))
    assert {row.claim for row in found} >= set(range(1, 13)) - {12}
    assert all(row.detail for row in found)
    if name in ("one size", "two replicates"):
        assert {row.verdict for row in found} == {"not_testable"}
    if name == "two of the paper's":
        (growth,) = [row for row in found if row.title.startswith("more parameters")]
        assert (growth.family, growth.detail) == ("dnn", "cifar10 over mnist")


def test_regimes_are_not_testable_where_every_size_of_every_depth_is_at_chance(tmp_path: Path) -> None:
    dead = PlantedSweep(accuracy=np.full((12, 9), 0.1), dataset="mnist")
    deeper = replace(dead, depth=2)
    (found,) = [
        row
        for row in rows(write(tmp_path / "dead.duckdb", dead, deeper))
        if (row.claim, row.dataset, row.family) == (1, "mnist", "dnn")
    ]
    assert (found.verdict, found.detail, found.n) == ("not_testable", "every size is at chance", 9)
    alive = replace(deeper, accuracy=accuracies(3))
    (found,) = [
        row
        for row in rows(write(tmp_path / "alive.duckdb", dead, alive))
        if (row.claim, row.dataset, row.family) == (1, "mnist", "dnn")
    ]
    assert found.verdict != "not_testable"


def test_an_empty_store_says_what_to_run(tmp_path: Path) -> None:
    done = call("claims", "--store", write(tmp_path / "empty.duckdb"))
    assert done.returncode == 0
    assert "generate convergence --dataset mnist" in " ".join(done.stdout.decode().split())


def test_command_prints_every_documented_field(store: Path) -> None:
    found = json.loads(call("claims", "--store", store, "--format", "json").stdout)
    assert set(found[0]) == documented("claims")
    table = call("claims", "--store", store).stdout.decode()
    assert max(map(len, table.splitlines())) <= 80
    assert "…" not in table
    assert "family-wise error rate at most 5%" in " ".join(table.split())


def test_the_seed_decides_the_resampling(store: Path) -> None:
    first, again = (claims(store, seed=3).records() for _ in range(2))
    assert first == again


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--dataset", "svhn"], 1, "the store holds no runs of dataset 'svhn', only of digits, mnist"),
        (["--family", "cnn"], 1, "of family 'cnn', only of dnn"),
        (["--protocol", "none"], 1, "of protocol 'none', only of p1"),
        (["--seed", "-1"], 2, "-1 is not in the range x>=0"),
    ],
)
def test_wrong_input_is_one_line(store: Path, arguments: list[str], code: int, message: str) -> None:
    done = call("claims", "--store", store, *arguments)
    assert (done.returncode, done.stdout) == (code, b"")
    assert message in done.stderr.decode()
    assert done.stderr.decode().count("\n") == 1
