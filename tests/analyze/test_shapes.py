"""Equivalence of topologies, the size from which it holds, and variance components, planted and from a store."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import f_oneway, t
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import ttost_paired

from analyze import shape_components, shape_thresholds, shapes
from analyze.stats.components import components
from analyze.stats.equivalence import (
    Equivalence,
    compare,
    contrasts,
    equivalences,
    equivalent_from,
    pairs,
    share_equivalent,
    simulated,
)
from analyze.stats.means import TINY
from analyze.stats.onesided import skewness
from analyze.stats.result import FloatArray, Remark
from tests.analyze.levels import held
from tests.analyze.shown import body, documented
from tests.analyze.test_cli import call
from tests.planted import CHANCE, LADDER
from tests.planted_shapes import (
    WIDTHS,
    at_margin,
    component_coverage,
    equivalence_tally,
    planted_shapes,
    sweeps,
)
from tests.planted_store import PlantedSweep, write

MARGIN = 0.01


@pytest.mark.parametrize(
    ("topologies", "replicates", "kind"),
    [
        (2, 30, "normal"),
        (2, 10, "skewed"),
        (3, 5, "normal"),
        (3, 30, "skewed"),
        pytest.param(9, 10, "normal", marks=pytest.mark.slow),
        pytest.param(9, 30, "skewed", marks=pytest.mark.slow),
    ],
)
def test_a_difference_of_the_margin_is_neither_equivalent_nor_different(
    topologies: int, replicates: int, kind: str
) -> None:
    """Of 620 stores a method that errs in 5% passes in 999 of 1000 tries, one that errs in 10% fails in 95 of 100."""
    seeds = range(16_000, 16_620)
    tally = equivalence_tally(topologies, replicates, seeds, difference=MARGIN, margin=MARGIN, kind=kind)
    held(tally.equivalent, tally.stores, 0.05, 0.1)
    held(tally.different, tally.stores, 0.05, 0.1)
    held(tally.stores - tally.covered, tally.stores, 0.05, 0.1)
    if topologies == 2 and kind == "normal":
        # A level that is not used up is power lost: 4.5% of 5% are, and 1% would be too little.
        held(tally.stores - tally.equivalent, tally.stores, 0.955, 0.99)


@pytest.mark.parametrize(
    ("topologies", "replicates", "found", "stores"), [(3, 10, 0.68, 530), (9, 10, 0.07, 240), (9, 30, 0.995, 80)]
)
def test_equal_topologies_are_found_so_often_as_the_power_says(
    topologies: int, replicates: int, found: float, stores: int
) -> None:
    """Shares found in other stores, from which the stated power is 5 points off at most."""
    tally = equivalence_tally(topologies, replicates, range(1000, 1000 + stores), difference=0.0, margin=MARGIN)
    if found > 0.1:
        held(stores - tally.equivalent, stores, 1 - found, 1.1 - found)
    if found < 0.9:
        held(tally.equivalent, stores, found, found + 0.1)
    held(tally.different, stores, 0.003, 0.1)
    assert np.mean(tally.stated) == pytest.approx(found, abs=0.05)


def test_power_is_that_of_the_bivariate_t() -> None:
    # P(|d| + t s / sqrt(n) < margin) for one pair, by quadrature over s: 0.9356 at n = 10, sd 0.6 points each.
    rng = np.random.default_rng(0)
    table = rng.standard_normal((2, 10))
    factor = contrasts(table)
    factor *= 0.006 * np.sqrt(2) / np.abs(factor[0] - factor[1]).max()
    draws = simulated(factor, 10, 20_000, rng=rng)
    by_t = share_equivalent(replace(draws, skew=np.zeros_like(draws.skew)), 10, MARGIN)
    assert by_t == pytest.approx(_quadrature(), abs=0.01)
    assert by_t - 0.1 < share_equivalent(draws, 10, MARGIN) < by_t


def _quadrature() -> float:
    from scipy.integrate import quad
    from scipy.stats import chi, norm, t

    n, error, critical = 10, 0.006 * np.sqrt(2 / 10), t.ppf(0.95, 9)

    def integrand(s: float) -> float:
        reach = max(MARGIN / error - critical * s / np.sqrt(n - 1), 0.0)
        return float((2 * norm.cdf(reach) - 1) * chi.pdf(s, n - 1))

    return float(quad(integrand, 0, 12)[0])


def test_skewness_of_pairs_is_that_of_their_differences() -> None:
    table = 5 * np.random.default_rng(3).exponential(1.0, (4, 9))
    found = pairs(table).skew * np.sqrt(9)
    for i in range(4):
        for j in range(4):
            assert found[i, j] == pytest.approx(float(skewness(table[i] - table[j])), abs=1e-6)


def mirrored(seed: int, topologies: int) -> FloatArray:
    """Return topologies whose paired differences are symmetric, so that their skewness is 0."""
    rng = np.random.default_rng(seed)
    deviations = 0.006 * rng.standard_normal((topologies, 6))
    return 0.9 + 0.003 * rng.standard_normal((topologies, 1)) + np.hstack([deviations, -deviations])


def test_tost_equals_statsmodels() -> None:
    table = mirrored(4, 2)
    found = compare(table, chance=CHANCE, margin=MARGIN, rng=np.random.default_rng(0))
    reference, _, _ = ttost_paired(table[0], table[1], -MARGIN, MARGIN)
    assert found.p == pytest.approx(reference)
    every = mirrored(4, 4)
    largest = max(ttost_paired(every[i], every[j], -MARGIN, MARGIN)[0] for i in range(4) for j in range(i))
    several = compare(every, chance=CHANCE, margin=MARGIN, rng=np.random.default_rng(0))
    assert several.p == pytest.approx(largest)
    assert several.pair is not None
    better, worse = several.pair
    assert several.largest == pytest.approx(every[better].mean() - every[worse].mean())


@pytest.mark.parametrize("topologies", [2, 5])
def test_tost_of_the_pair_nearest_to_the_margin_is_the_largest_of_all(topologies: int) -> None:
    for seed in range(10):
        table = mirrored(seed, topologies)
        table[1] = table[0] + 0.002  # Without any spread, and not the nearest.
        seen = pairs(table)
        apart = ~np.eye(topologies, dtype=np.bool_) & (seen.error > TINY)
        p = t.cdf((seen.difference[apart] - MARGIN) / seen.error[apart], 11).max(initial=0.0)
        found = compare(table, chance=CHANCE, margin=MARGIN, rng=np.random.default_rng(0))
        assert found.p == pytest.approx(p, abs=1e-12)


def test_differences_that_do_not_vary_are_known() -> None:
    table = np.tile(np.linspace(0.88, 0.92, 6), (2, 1))
    for apart, p in ((0.0, 0.0), (0.009, 0.0), (0.011, 1.0)):
        table[1] = table[0] - apart
        assert compare(table, chance=CHANCE, margin=MARGIN, rng=np.random.default_rng(0)).p == pytest.approx(p)


def test_skewed_differences_are_taken_for_equivalent_less_readily_than_by_t() -> None:
    table = mirrored(4, 2)
    table[0, 3] -= 0.06
    found = compare(table, chance=CHANCE, margin=0.02, rng=np.random.default_rng(0))
    reference, _, _ = ttost_paired(table[0], table[1], -0.02, 0.02)
    assert found.p is not None
    assert found.p > 1.5 * reference
    assert found.skewness is not None
    assert found.skewness > 1


@pytest.mark.parametrize("failed", [CHANCE, 0.75])
def test_failures_seen_and_unseen_are_bounded(failed: float) -> None:
    table = mirrored(4, 3)
    clean = compare(table, chance=CHANCE, margin=MARGIN, rng=np.random.default_rng(0))
    assert clean.failure_bound == pytest.approx(1 - 0.05 ** (1 / 12))
    table[1, 0] = failed
    once = compare(table, chance=CHANCE, margin=MARGIN, rng=np.random.default_rng(0))
    assert once.failure_bound == pytest.approx(proportion_confint(1, 12, 0.1, "beta")[1])


def test_no_difference_found_is_no_equivalence() -> None:
    table = 0.9 + 0.03 * np.random.default_rng(1).standard_normal((3, 5))
    assert f_oneway(*table).pvalue > 0.05
    (found,) = equivalences([table], chance=CHANCE, margin=MARGIN, rng=np.random.default_rng(0))
    assert found.status == "inconclusive"


def test_holm_over_sizes_and_different_topologies() -> None:
    rng = np.random.default_rng(2)
    tables = [at_margin(rng, 30, 3, difference) for difference in (0.03, 0.0, 0.0)]
    found = equivalences(tables, chance=CHANCE, margin=MARGIN, rng=rng)
    assert [row.status for row in found] == ["different", "equivalent", "equivalent"]
    for row in found:
        assert row.p is not None
        assert row.p_holm is not None
        assert row.p_holm >= row.p


def _row(p: float, p_different: float = 1.0) -> Equivalence:
    return Equivalence(status="inconclusive", method="", n=10, topologies=3, p=p, p_different_holm=p_different)


def test_the_threshold_is_an_interval() -> None:
    rows = [_row(1.0, 0.01), _row(0.9), _row(0.001), _row(0.3), _row(0.001), _row(0.001)]
    found = equivalent_from(rows)
    assert (found.status, found.low, found.estimate, found.high) == ("equivalent", 1, 2, 4)
    open_ended = equivalent_from([*rows[:-1], _row(0.2)])
    assert (open_ended.status, open_ended.low, open_ended.high) == ("inconclusive", 1, None)
    never = equivalent_from([_row(1.0, 0.001)] * 5)
    assert (never.status, never.estimate, never.low) == ("different", None, None)
    assert equivalent_from(rows[:4]).status == "insufficient"


EFFECTS = ((0.0, 0.0), (0.004, 0.0), (0.0, 0.02), (0.004, 0.02))
EVERY = [(effect, trend, n) for effect, trend in EFFECTS for n in (5, 10, 30)]
SOME = [(0.004, 0.0, 5), (0.0, 0.0, 10), (0.004, 0.02, 30)]


@pytest.mark.parametrize(
    ("effect", "trend", "replicates"),
    [pytest.param(*one, marks=() if one in SOME else pytest.mark.slow) for one in EVERY],
)
def test_intervals_of_components_cover(effect: float, trend: float, replicates: int) -> None:
    """Of 240 stores coverage of 93% passes in 999 of 1000 tries, and 83% fails in more than 95 of 100."""
    seeds = range(15_000, 15_240)
    for covered in component_coverage(replicates, seeds, effect=effect, trend=trend).values():
        held(len(seeds) - covered, len(seeds), 0.07, 0.17)


def test_a_replicate_that_makes_most_of_the_variance_is_named() -> None:
    rng = np.random.default_rng(8)
    planted = planted_shapes(rng, 10)
    assert components(planted.accuracy, rng=rng).reasons == ()
    planted.accuracy[2][1, 4] -= 0.5
    found = components(planted.accuracy, rng=rng)
    assert found.largest_share is not None
    assert found.largest_share > 0.8
    assert found.reasons == (Remark("one replicate dominates networks"),)


def test_a_trend_through_parameters_is_no_effect_of_topology() -> None:
    rng = np.random.default_rng(3)
    planted = planted_shapes(rng, 30, trend=0.05)
    raw = components(planted.accuracy, rng=rng)
    adjusted = components(planted.accuracy, planted.parameters, rng=rng)
    assert raw.topology is not None
    assert adjusted.topology is not None
    assert raw.topology.interval[0] > 0.004
    assert adjusted.topology.interval[0] == 0.0
    assert adjusted.topology.interval[1] < 0.002


def test_shapes_of_a_store(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    equal, apart = planted_shapes(rng, 30), planted_shapes(rng, 30, effect=0.03)
    store = write(tmp_path / "s.duckdb", *sweeps(equal, dataset="equal"), *sweeps(apart, dataset="apart"))
    found = {(row.dataset, row.capacity): row for row in shapes(store)}
    assert {row.status for row in found.values() if row.dataset == "equal"} == {"equivalent"}
    assert {row.status for row in found.values() if row.dataset == "apart"} == {"different"}
    row = found["apart", 200]
    # Of the true means, in the order of `STEPS`, the largest is 1.5 points above both others.
    assert (row.better, int(np.argmax(apart.means[-1]))) == ("=", 1)
    assert (row.topologies, row.replicates, row.stable) == (3, 30, True)
    (threshold,) = shape_thresholds(store, "equal")
    assert (threshold.status, threshold.capacity, threshold.ci_high) == ("equivalent", WIDTHS[0], WIDTHS[0])
    kinds = [(part.dataset, part.scope, part.adjusted) for part in shape_components(store)]
    assert len(kinds) == len(set(kinds)) == 8


def test_degenerate_labels_are_left_out(tmp_path: Path) -> None:
    accuracy = np.full((6, 10), 0.9)
    common: dict[str, Any] = {"accuracy": accuracy, "capacities": WIDTHS, "depth": 2}
    store = write(
        tmp_path / "s.duckdb",
        PlantedSweep(**common, shape="="),
        PlantedSweep(**common, shape="+"),
        PlantedSweep(**common, shape="-", degenerate=True),
    )
    assert {(row.topologies, row.status) for row in shapes(store)} == {(2, "equivalent")}


def _all_shapes(accuracy: np.ndarray[Any, np.dtype[np.float64]]) -> list[PlantedSweep]:
    widths = LADDER[: len(accuracy)]
    return [PlantedSweep(accuracy=accuracy, capacities=widths, depth=2, shape=shape) for shape in "+-="]


EDGES: dict[str, tuple[list[PlantedSweep], str]] = {
    "two replicates": (_all_shapes(np.full((6, 2), 0.9)), "--repeats 5"),
    "all dead": (_all_shapes(np.full((6, 10), CHANCE)), "larger --capacities"),
    "all diverged": (_all_shapes(np.full((6, 10), -1.0)), "larger --capacities"),
    "equal widths": ([PlantedSweep(accuracy=np.full((12, 10), 0.9), depth=2)], "generate shapes"),
}
ANALYSES: list[Callable[[Path], Any]] = [shapes, shape_thresholds, shape_components]


@pytest.mark.parametrize("name", EDGES)
def test_too_little_says_what_to_run(name: str, tmp_path: Path) -> None:
    planted, cure = EDGES[name]
    store = write(tmp_path / "s.duckdb", *planted)
    for row in shapes(store):
        assert (row.status, row.p_value) == ("insufficient", None)
        assert cure in (row.reason or "")
    assert {row.status for row in shape_thresholds(store)} == {"insufficient"}
    for analysis in ANALYSES:
        for record in analysis(store).records():
            assert not any(isinstance(value, float) and not np.isfinite(value) for value in record.values())
            assert record["status"] != "insufficient" or record["reason"]


def test_a_single_size_is_compared_but_gives_no_threshold(tmp_path: Path) -> None:
    store = write(tmp_path / "s.duckdb", *_all_shapes(np.full((1, 10), 0.9)))
    assert [row.status for row in shapes(store)] == ["equivalent"]
    (threshold,) = shape_thresholds(store)
    assert threshold.status == "insufficient"
    assert "1 of 5 needed sizes" in (threshold.reason or "")
    assert {row.status for row in shape_components(store)} == {"insufficient"}


def test_topologies_with_few_replicates_are_left_out_and_named() -> None:
    table = at_margin(np.random.default_rng(6), 10, 4, 0.0)
    table[3, 3:] = np.nan
    table[0, 9] = np.nan
    found = compare(table, chance=CHANCE, margin=MARGIN, rng=np.random.default_rng(0))
    assert (found.topologies, found.n) == (3, 9)
    assert found.reasons == (Remark("topologies left out", (1, 4)),)


@pytest.mark.parametrize("option", [[], ["--threshold"], ["--components"]])
def test_the_command_prints_documented_fields_within_80_columns(option: list[str], tmp_path: Path) -> None:
    store = write(tmp_path / "s.duckdb", *sweeps(planted_shapes(np.random.default_rng(7), 10)))
    table = call("shapes", *option, "--store", store)
    assert table.returncode == 0
    assert max(map(len, table.stdout.decode().splitlines())) <= 80
    assert "…" not in table.stdout.decode()
    rows = json.loads(call("shapes", *option, "--store", store, "--format", "json").stdout)
    assert set(rows[0]) == documented(" ".join(["shapes", *option]))
    names = {
        "": ["depth", "capacity"],
        "--threshold": ["family", "depth", "status"],
        "--components": ["depth", "scope"],
    }["".join(option)]
    lines = body(table.stdout.decode())
    assert [line[: len(names)] for line in lines] == [[str(row[name]) for name in names] for row in rows]


def test_an_empty_store_names_the_command(tmp_path: Path) -> None:
    done = call("shapes", "--store", write(tmp_path / "empty.duckdb"), "--format", "json")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])
    assert b"generate shapes" in done.stderr
