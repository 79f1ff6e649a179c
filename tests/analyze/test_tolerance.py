"""The bound on the share of failing trainings."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import betaincinv
from scipy.stats import binom

from analyze.stats.tolerance import failure_bound, failures


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
    with pytest.raises(ValueError, match="failures of"):
        failure_bound(failures, n)


def test_a_training_fails_that_is_dead_or_far_below_the_others() -> None:
    size = np.array([0.9, 0.91, 0.92, 0.93, 0.79, 0.14, np.nan, 0.1])
    assert failures(size, 0.1) == 3
    assert failures(np.array([0.2, 0.21, 0.14]), 0.1) == 1
    assert failures(np.full(3, np.nan), 0.1) == 0
