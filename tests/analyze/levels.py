"""Shares of hits held to levels, while allowing for binomial noise, and the seeds that they are counted over."""

from __future__ import annotations

import pytest
from scipy.stats import binom

FAST = pytest.param(range(1000, 1024), id="24")
SLOW = pytest.param(range(2000, 2200), id="200", marks=pytest.mark.slow)
"""Seeds of planted data; others than those that the methods were tried on."""


def at_least(hits: int, trials: int, share: float) -> None:
    """Assert that `hits` are not significantly (1 in 1000) fewer than `share` of `trials`."""
    assert binom.cdf(hits, trials, share) > 0.001, f"{hits} of {trials}, expected a share of at least {share}"


def at_most(hits: int, trials: int, share: float) -> None:
    """Assert that `hits` are not significantly (1 in 1000) more than `share` of `trials`."""
    assert binom.sf(hits - 1, trials, share) > 0.001, f"{hits} of {trials}, expected a share of at most {share}"
