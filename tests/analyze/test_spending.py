"""Levels over looks: against published boundaries, and by walks that are looked at."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr, ndtri
from scipy.stats import binom

from analyze.stats.spending import EARLY, FIRST_DECISION, LOOKS, little_early, nominal_levels, obrien_fleming, pocock

EQUAL = (20, 40, 60, 80, 100)
# One-sided 0.025 at five equally spaced looks, from R's gsDesign (sfLDOF and sfLDPocock), to three decimals.
PUBLISHED = {obrien_fleming: (4.877, 3.357, 2.680, 2.290, 2.031), pocock: (2.438, 2.427, 2.410, 2.397, 2.386)}


@pytest.mark.parametrize("spending", PUBLISHED)
def test_boundaries_are_the_published_ones(spending: object) -> None:
    # A level is rounded down by 2% at most, which moves a boundary by less than 0.01.
    found = [-float(ndtri(level)) for level in nominal_levels(0.025, EQUAL, spending)]  # type: ignore[arg-type]
    assert found == pytest.approx(PUBLISHED[spending], abs=0.011)  # type: ignore[index]
    assert all(value > published - 0.002 for value, published in zip(found, PUBLISHED[spending], strict=True))  # type: ignore[index]


@pytest.mark.parametrize("spending", [obrien_fleming, pocock, little_early])
@pytest.mark.parametrize("level", [0.05, 0.004])
def test_looking_again_errs_at_the_level(level: float, spending: object) -> None:
    walks = 400_000
    rng = np.random.default_rng(5)
    hits = np.zeros(walks, dtype=np.bool_)
    total, before = np.zeros(walks), 0
    for n, nominal in zip(LOOKS, nominal_levels(level, LOOKS, spending), strict=True):  # type: ignore[arg-type]
        total += np.sqrt(n - before) * rng.standard_normal(walks)
        hits |= ndtr(-total / np.sqrt(n)) <= nominal
        before = n
    assert binom.cdf(hits.sum(), walks, 0.975 * level) > 0.001, hits.mean()  # Not wasteful either.
    assert binom.sf(hits.sum() - 1, walks, level) > 0.001, hits.mean()


def test_naive_looks_err_more_often() -> None:
    walks = 100_000
    steps = np.random.default_rng(6).standard_normal((walks, LOOKS[-1])).cumsum(axis=1)
    naive = np.any([steps[:, n - 1] / np.sqrt(n) > -ndtri(0.05) for n in LOOKS], axis=0).mean()
    assert 0.11 < naive < 0.15  # What the levels are there to prevent.


def test_nothing_is_decided_before_the_first_decision() -> None:
    levels = dict(zip(LOOKS, nominal_levels(), strict=True))
    assert [n for n, level in levels.items() if level == 0] == [n for n in LOOKS if n < FIRST_DECISION]
    assert levels[LOOKS[-1]] < 0.05
    assert nominal_levels(0.05, (5,)) == pytest.approx((0.05,), rel=0.03)  # A single look has it all.


def test_levels_grow_with_the_level() -> None:
    small, large = (np.array(nominal_levels(level)) for level in (0.01, 0.02))
    assert np.all(small[1:] <= large[1:])
    assert small[-1] < large[-1]


def test_every_level_spends_enough_early_for_tests_that_resample() -> None:
    for level in (0.05, 0.0125, 0.002):
        first, second = nominal_levels(level)[1:3]
        assert first > 1 / 20_000, level  # The smallest p value of 19,999 samples.
        assert second > 1 / 20_000, level
        assert first <= max(obrien_fleming(level, 1 / 3), EARLY / 3), level


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, float("nan")])
def test_levels_that_are_none_are_refused(level: float) -> None:
    with pytest.raises(ValueError, match="allowed is 0 < level < 1"):
        nominal_levels(level)


@pytest.mark.parametrize("looks", [(), (0, 5), (10, 10), (20, 10)])
def test_looks_that_do_not_increase_are_refused(looks: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="allowed are increasing numbers"):
        nominal_levels(0.05, looks)
