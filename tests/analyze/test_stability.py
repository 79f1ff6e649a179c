"""The stability boundary on planted accuracies."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import ruptures

from analyze.stats.replicates import pack, resample
from analyze.stats.stability import best_step, line_beats_step, mean_deviation, spread, stability_boundary
from tests import planted
from tests.analyze.levels import FAST, SLOW, at_least, at_most
from tests.planted import CHANCE, SIZES
from tests.tally import stability_tally

LEVELS = {5: (0.89, 0.97, 0.05), 10: (0.97, 0.99, 0.05), 30: (0.995, 0.995, 0.02)}
"""Replicates: least share exact, least share within one size, largest share of false positives."""
CLEAR = ("clean", "drifting mean", "dead/alive mixture", "skewed losses", "dead, then stable")


@pytest.mark.parametrize("replicates", LEVELS)
@pytest.mark.parametrize("seeds", [FAST, SLOW])
@pytest.mark.parametrize("name", CLEAR)
def test_clear_boundaries_are_found(name: str, replicates: int, seeds: range) -> None:
    exact, within_one, _ = LEVELS[replicates]
    tally = stability_tally(planted.BOUNDARIES[name], replicates, seeds)
    at_least(tally.exact, tally.stores, exact)
    at_least(tally.within_one, tally.stores, within_one)
    at_least(tally.covered, tally.located, 0.95)


@pytest.mark.parametrize("replicates", LEVELS)
@pytest.mark.parametrize("seeds", [FAST, SLOW])
@pytest.mark.parametrize("name", planted.NULLS)
def test_nothing_is_found_where_nothing_is(name: str, replicates: int, seeds: range) -> None:
    tally = stability_tally(planted.NULLS[name], replicates, seeds)
    at_most(tally.located, tally.stores, LEVELS[replicates][2])
    expected = "all_stable" if name.startswith("all stable") else "not_reached"
    assert tally.statuses[expected] == tally.stores - tally.located


@pytest.mark.parametrize("seeds", [FAST, SLOW])
def test_a_gradual_change_is_called_gradual(seeds: range) -> None:
    for replicates in LEVELS:
        tally = stability_tally(planted.gradual, replicates, seeds)
        at_least(tally.statuses["gradual"], tally.stores, 0.95)


@pytest.mark.parametrize("seeds", [FAST, SLOW])
def test_the_step_of_real_digits_networks_is_found_at_width_10(seeds: range) -> None:
    for replicates, exact in {5: 0.85, 10: 0.95, 30: 0.99}.items():
        tally = stability_tally(planted.digits, replicates, seeds)
        at_least(tally.exact, tally.stores, exact)
        at_least(tally.covered, tally.located, 0.95)


def test_mnist_like_cells_are_unstable_at_5_and_stable_from_20() -> None:
    rng = np.random.default_rng(3)
    narrow = [0.1 + 0.3 * rng.random(10), rng.uniform(0.2, 0.6, 10), rng.uniform(0.25, 0.75, 10)]
    learning = [rng.uniform(0.32, 0.86, 10), rng.uniform(0.82, 0.92, 10)]
    wide = [rng.normal(mean, 0.002, 10) for mean in (0.94, 0.95, 0.96, 0.973, 0.978, 0.98, 0.981)]
    found = stability_boundary(np.array(narrow + learning + wide), chance=0.1135, rng=rng)
    assert found.status == "detected"
    assert found.estimate in (4, 5)
    assert found.p is not None
    assert found.p <= 0.01


def test_step_equals_ruptures() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        z = np.sort(rng.normal(size=SIZES))[::-1] + rng.normal(scale=0.3, size=SIZES)
        detector = ruptures.Dynp(model="l2", min_size=1, jump=1).fit(z[:, None])
        at, gain = best_step(z)
        assert int(at) == detector.predict(n_bkps=1)[0]
        cost = detector.cost.error(0, SIZES) - detector.cost.error(0, int(at)) - detector.cost.error(int(at), SIZES)
        assert float(gain) == pytest.approx(cost)


def test_an_upward_step_is_no_boundary() -> None:
    z = np.array([0.0, 0.0, 0.0, 5.0, 5.0, 5.0])
    assert float(best_step(z)[1]) == 0.0


def test_mean_deviation_is_from_the_median() -> None:
    rng = np.random.default_rng(1)
    x = rng.random((4, 7))
    x[1, 5:] = np.nan
    expected = [np.mean(np.abs(row[~np.isnan(row)] - np.nanmedian(row))) for row in x]
    assert mean_deviation(x) == pytest.approx(expected)
    assert mean_deviation(np.stack([x, x]))[1] == pytest.approx(expected)


def test_spread_estimates_the_normal_standard_deviation() -> None:
    rng = np.random.default_rng(2)
    assert spread(rng.normal(0, 0.05, (1, 20_000)))[0] == pytest.approx(0.05, rel=0.02)
    for replicates in (5, 6, 10, 30):
        logarithms = np.log(spread(rng.normal(0, 0.05, (4000, 1, replicates))))
        assert np.exp(logarithms.mean()) == pytest.approx(0.05, rel=0.02)


def test_a_line_is_preferred_on_a_line_and_a_step_on_a_step() -> None:
    noise = np.random.default_rng(4).normal(scale=0.2, size=SIZES)
    assert line_beats_step(np.linspace(0, -8, SIZES) + noise)
    assert not line_beats_step(np.repeat([0.0, -5.0], SIZES // 2) + noise)


def test_equal_seeds_give_equal_results() -> None:
    x = planted.mixture(np.random.default_rng(5), 8).accuracy
    first, second = (stability_boundary(x, chance=CHANCE, rng=np.random.default_rng(6)) for _ in range(2))
    assert first == second


def test_order_of_replicates_does_not_matter_for_estimate_and_statistic() -> None:
    x = planted.clean(np.random.default_rng(5), 8).accuracy
    results = [stability_boundary(y, chance=CHANCE, rng=np.random.default_rng(6)) for y in (x, x[:, ::-1])]
    assert results[0].estimate == results[1].estimate
    assert results[0].effect == pytest.approx(results[1].effect)


@pytest.mark.parametrize(
    ("sizes", "replicates", "missing"),
    [
        (12, 4, "4 of 5 needed replicates: run with --repeats 5 or more"),
        (4, 10, "4 of 5 needed sizes: run more --capacities"),
        (2, 2, "2 of 5 needed sizes: run more --capacities; 2 of 5 needed replicates"),
        (0, 0, "0 of 5 needed sizes"),
    ],
)
def test_too_little_data_says_what_is_missing(sizes: int, replicates: int, missing: str) -> None:
    x = np.random.default_rng(0).random((sizes, replicates))
    found = stability_boundary(x, chance=CHANCE, rng=np.random.default_rng(0))
    assert found.status == "insufficient"
    assert found.estimate is None
    assert found.reason is not None
    assert missing in found.reason


@pytest.mark.parametrize("seeds", [FAST, SLOW])
def test_unequal_numbers_of_replicates(seeds: range) -> None:
    for name in CLEAR:
        tally = stability_tally(planted.unequal(planted.BOUNDARIES[name]), 30, seeds)
        at_least(tally.exact, tally.stores, 0.95)
        at_least(tally.covered, tally.located, 0.95)
    for name in planted.NULLS:
        at_most(stability_tally(planted.unequal(planted.NULLS[name]), 30, seeds).located, len(seeds), 0.05)


def test_replicates_are_drawn_jointly_over_sizes() -> None:
    x = np.tile(np.arange(10.0), (3, 1))
    drawn = resample(x, 20, rng=np.random.default_rng(0))
    assert (drawn[:, 0] == drawn[:, 1]).all()
    assert (drawn[:, 0] == drawn[:, 2]).all()
    assert len(np.unique(drawn)) > 5


def test_ragged_rows_are_drawn_from_their_own_replicates() -> None:
    x = pack(np.array([[np.nan, 1.0, 2.0, 3.0], [np.nan, np.nan, 8.0, 9.0]]))
    assert x.shape == (2, 3)
    drawn = resample(x, 200, rng=np.random.default_rng(0))
    assert set(np.unique(drawn[:, 0])) == {1.0, 2.0, 3.0}
    assert set(np.unique(drawn[:, 1, :2])) == {8.0, 9.0}
    assert np.isnan(drawn[:, 1, 2]).all()


def test_constant_accuracies_give_a_status_and_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = stability_boundary(np.full((8, 6), 0.9), chance=CHANCE, rng=np.random.default_rng(0))
    assert found.status == "all_stable"


def test_one_diverged_replicate_makes_a_small_size_unstable() -> None:
    x = np.random.default_rng(0).normal(0.95, 0.003, (12, 10))
    x[:4, 0] = CHANCE
    found = stability_boundary(x, chance=CHANCE, rng=np.random.default_rng(0))
    assert (found.status, found.estimate) == ("detected", 4)
