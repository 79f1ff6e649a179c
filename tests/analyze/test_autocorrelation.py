"""Correlation of errors between sizes."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose

from analyze.stats.autocorrelation import stationary_correlation
from tests.planted import autoregressive


def test_correlation_depends_on_distance_and_is_that_of_the_errors() -> None:
    rng = np.random.default_rng(0)
    scale = np.linspace(1, 3, 8)[:, None]
    found = stationary_correlation(5 + scale * autoregressive(rng, 8, 20_000))
    distance = np.abs(np.subtract.outer(np.arange(8), np.arange(8)))
    assert_allclose(found, 0.8**distance, atol=0.03)
    assert_allclose(stationary_correlation(scale * rng.standard_normal((8, 20_000))), np.eye(8), atol=0.03)


def test_few_replicates_give_a_correlation_matrix() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        values = autoregressive(rng, 9, 5)
        values[3, 1] = values[7, :2] = np.nan
        found = stationary_correlation(values)
        assert_allclose(np.diag(found), 1.0)
        np.linalg.cholesky(found)


def test_no_bias_from_few_replicates() -> None:
    rng = np.random.default_rng(1)
    nearest = [stationary_correlation(autoregressive(rng, 9, 5))[0, 1] for _ in range(400)]
    assert abs(np.mean(nearest) - 0.8) < 0.06


def test_sizes_without_spread_count_as_uncorrelated() -> None:
    assert_allclose(stationary_correlation(np.full((4, 6), 0.5)), np.eye(4))
