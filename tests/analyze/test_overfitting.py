"""The overfitting boundary on planted gaps."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose

from analyze.stats.overfitting import bends, best_bend, null_f, overfitting_boundary, rising_at_most
from tests import planted
from tests.analyze.levels import FAST, SLOW, at_least, at_most
from tests.tally import overfitting_tally

LEVELS = {5: (0.8, 0.05), 10: (0.95, 0.05), 30: (0.985, 0.01)}
"""Replicates: least share within one size, largest share of false positives."""


@pytest.mark.parametrize("replicates", LEVELS)
@pytest.mark.parametrize("seeds", [FAST, SLOW])
@pytest.mark.parametrize("name", ["opening gap", "ramp"])
def test_opening_gaps_are_found(name: str, replicates: int, seeds: range) -> None:
    tally = overfitting_tally(planted.GAPS[name], replicates, seeds)
    at_least(tally.within_one, tally.stores, LEVELS[replicates][0])
    at_least(tally.covered, tally.located, 0.95)


@pytest.mark.parametrize("replicates", LEVELS)
@pytest.mark.parametrize("seeds", [FAST, SLOW])
@pytest.mark.parametrize("name", planted.NULL_GAPS)
def test_nothing_is_found_where_no_gap_opens(name: str, replicates: int, seeds: range) -> None:
    tally = overfitting_tally(planted.NULL_GAPS[name], replicates, seeds)
    at_most(tally.located, tally.stores, LEVELS[replicates][1])


def test_best_bend_equals_weighted_least_squares_over_all_bends() -> None:
    rng = np.random.default_rng(0)
    for sizes in (5, 6, 9):
        mean, weight = rng.normal(size=(1, sizes)), rng.uniform(0.5, 2, (1, sizes))
        shapes = bends(sizes)
        root = np.sqrt(weight[0])
        line = np.column_stack([np.ones(sizes), np.arange(sizes)])
        bics, slopes, rests = [], [], []
        for regressor, parameters in zip(shapes.regressors, shapes.parameters, strict=True):
            design = np.column_stack([line, regressor]) * root[:, None]
            solution, rest, _, _ = np.linalg.lstsq(design, mean[0] * root, rcond=None)
            admitted = solution[2] > 0 or parameters == 4
            bics.append(sizes * np.log(rest[0]) + parameters * np.log(sizes) if admitted else np.inf)
            slopes.append(solution[2])
            rests.append(rest[0])
        best = int(np.argmin(bics))
        fit = best_bend(mean, weight)
        assert fit.knot[0] == shapes.knots[best]
        assert_allclose(fit.slope_change[0], slopes[best], rtol=1e-9)
        straight = np.linalg.lstsq(line * root[:, None], mean[0] * root, rcond=None)[1][0]
        parameters = shapes.parameters[best]
        f = (straight - rests[best]) / (parameters - 2) / (rests[best] / (sizes - parameters))
        assert_allclose(fit.f[0], f if slopes[best] > 0 else 0.0, rtol=1e-9)


def test_null_draws_match_a_simulation_of_replicates() -> None:
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((2000, 8, 6))
    simulated = best_bend(noise.mean(-1), 6 / noise.var(-1, ddof=1)).f
    assert np.quantile(simulated, 0.95) == pytest.approx(np.quantile(null_f(8, 6), 0.95), rel=0.15)


def test_ramps_need_six_sizes() -> None:
    assert set(bends(5).parameters) == {4}
    assert set(bends(6).parameters) == {4, 5}


def test_rising_at_most_is_the_upper_t_bound_of_the_slopes() -> None:
    test = np.array([[0.90, 0.91, 0.92], [0.91, 0.91, 0.94], [0.92, 0.91, 0.96]])
    slopes = np.array([0.01, 0.0, 0.02])
    # t(0.95, 2) = 2.919986
    assert rising_at_most(test) == pytest.approx(slopes.mean() + 2.919986 * slopes.std(ddof=1) / np.sqrt(3), rel=1e-6)


def test_rising_at_most_takes_the_sizes_that_a_replicate_has() -> None:
    test = np.array([[0.90, 0.91, 0.5], [0.91, np.nan, np.nan], [0.92, 0.93, np.nan]])
    assert rising_at_most(test) == pytest.approx(0.01)
    assert rising_at_most(np.full((3, 4), np.nan)) == float("inf")


def test_a_gap_that_opens_while_test_accuracy_rises_says_so() -> None:
    rng = np.random.default_rng(0)
    store = planted.learning_gap(rng, 30)
    found = overfitting_boundary(store.train, store.test, rng=rng)
    assert found.status == "absent"
    assert found.reason is not None
    assert "while test accuracy may still rise" in found.reason


@pytest.mark.parametrize(("sizes", "replicates"), [(4, 10), (8, 3), (0, 0)])
def test_too_little_data_says_so(sizes: int, replicates: int) -> None:
    x = np.random.default_rng(0).random((sizes, replicates))
    found = overfitting_boundary(x, x, rng=np.random.default_rng(0))
    assert found.status == "insufficient"
    assert found.reason is not None
    assert found.reason.startswith("at or above the stability boundary")


def test_constant_accuracies_give_a_status_and_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flat = np.full((8, 6), 0.9)
        assert overfitting_boundary(flat, flat, rng=np.random.default_rng(0)).status == "absent"


def test_diverged_runs_are_left_out() -> None:
    rng = np.random.default_rng(2)
    store = planted.ramp(rng, 12)
    train, test = store.train.copy(), store.test.copy()
    train[3, :2] = test[3, :2] = np.nan
    found = overfitting_boundary(train, test, rng=rng)
    assert found.n == 10
    assert found.estimate == store.boundary


def test_equal_seeds_give_equal_results() -> None:
    store = planted.opening(np.random.default_rng(5), 8)
    first, second = (overfitting_boundary(store.train, store.test, rng=np.random.default_rng(6)) for _ in range(2))
    assert first == second
