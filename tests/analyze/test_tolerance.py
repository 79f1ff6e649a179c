"""The bounds on the shares of trainings that fail and that reach a target."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import betaincinv
from scipy.stats import binom

from analyze.stats.tolerance import failure_bound, failures, reach_bound, reaching, share_bounds


@pytest.mark.parametrize(("n", "bound"), [(5, 0.45), (10, 0.26), (30, 0.095)])
def test_clean_replicates_leave_open_what_is_known(n: int, bound: float) -> None:
    assert failure_bound(0, n) == pytest.approx(1 - 0.05 ** (1 / n))
    assert failure_bound(0, n) == pytest.approx(bound, abs=0.005)


@pytest.mark.parametrize("n", [1, 5, 30])
def test_is_the_quantile_of_a_beta_distribution(n: int) -> None:
    for level in (0.9, 0.95, 0.999):
        for failed in range(n):
            assert failure_bound(failed, n, level) == pytest.approx(betaincinv(failed + 1, n - failed, level))
        assert failure_bound(n, n, level) == 1.0


def test_covers_at_its_level_whatever_the_share() -> None:
    for share in (0.01, 0.05, 0.2, 0.6, 0.95):
        misses = sum(binom.pmf(failures, 10, share) for failures in range(11) if failure_bound(failures, 10) < share)
        assert misses <= 0.05


@pytest.mark.parametrize(("failures", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(failures: int, n: int) -> None:
    with pytest.raises(ValueError, match="trainings: allowed are"):
        failure_bound(failures, n)
    with pytest.raises(ValueError, match="trainings: allowed are"):
        reach_bound(failures, n)


def test_a_training_fails_that_is_dead_or_far_below_the_others() -> None:
    size = np.array([0.9, 0.91, 0.92, 0.93, 0.79, 0.14, np.nan, 0.1])
    assert failures(size, 0.1) == 3
    assert failures(np.array([0.2, 0.21, 0.14]), 0.1) == 1
    assert failures(np.full(3, np.nan), 0.1) == 0


@pytest.mark.parametrize(
    ("reached", "n", "bound"),
    [(29, 29, 0.9019), (10, 10, 0.7411), (59, 59, 0.9505), (5, 5, 0.5493), (30, 30, 0.9050), (0, 12, 0.0)],
)
def test_share_of_trainings_that_reach_a_target(reached: int, n: int, bound: float) -> None:
    """29 of 29 for 90% and 59 of 59 for 95% are the sample sizes of Wilks (1941) at 95% confidence."""
    assert reach_bound(reached, n) == pytest.approx(bound, abs=5e-5)


def test_what_one_has_the_other_lacks() -> None:
    for n in (1, 7, 30):
        for count in range(n + 1):
            low, high = share_bounds(count, n)
            assert low <= count / n <= high
            assert low == pytest.approx(1 - failure_bound(n - count, n))


def test_lower_bound_covers_at_its_level_whatever_the_share() -> None:
    for share in (0.05, 0.4, 0.8, 0.95, 0.99):
        misses = sum(binom.pmf(count, 12, share) for count in range(13) if reach_bound(count, 12) > share)
        assert misses <= 0.05


def test_a_training_reaches_a_target_that_it_equals() -> None:
    assert reaching(np.array([0.94, 0.95, 0.9399, np.nan]), 0.95 - 0.01) == 2
    assert reaching(np.full(3, np.nan), 0.5) == 0
