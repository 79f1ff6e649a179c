"""Levels of tests that are repeated as replicates are added: how the permitted error is spent over planned looks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import pairwise

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from analyze.stats.result import LEVEL, FloatArray

LOOKS = (5, 10, 15, 20, 30)
"""Numbers of replicates after which a sequential design looks at its data."""
FIRST_DECISION = 10
"""Replicates below which nothing is decided: too few for rare failures and skewness to show."""
SMALLEST = 1e-12
"""Probabilities below this are not told from none."""
EARLY = 4e-4
"""Spent early at least, in proportion to the replicates: 19,999 resamples can show no more than p = 0.00005."""
ROUNDING = 0.02
"""Of the logarithm of a level."""

Spending = Callable[[float, float], float]


def obrien_fleming(level: float, fraction: float) -> float:
    """Return how much of a one-sided level is spent by a fraction of the replicates: little early, most at the end.

    Source: Lan and DeMets (1983), Biometrika 70, 659-663, alpha*_1.
    """
    return float(2 * ndtr(ndtri(level / 2) / np.sqrt(fraction)))


def pocock(level: float, fraction: float) -> float:
    """Return how much of a one-sided level is spent by a fraction of the replicates: about the same at every look.

    Source: Lan and DeMets (1983), Biometrika 70, 659-663, alpha*_2.
    """
    return float(level * np.log1p((np.e - 1) * fraction))


def little_early(level: float, fraction: float) -> float:
    """Return how much of a one-sided level is spent by a fraction of the replicates, so that small levels decide too.

    As `obrien_fleming`, but at least `EARLY` times the fraction (a quarter of the level instead, where that is less):
    so what is clear can be settled at early looks by tests that resample.
    """
    return max(obrien_fleming(level, fraction), min(EARLY, level / 4) * fraction)


def nominal_levels(
    level: float = LEVEL, looks: tuple[int, ...] = LOOKS, spending: Spending = little_early
) -> tuple[float, ...]:
    """Return the level of the p value at each look, such that one-sided tests at all of them err with `level` at most.

    `looks` are numbers of replicates in increasing order; at those below `FIRST_DECISION` the level is 0, and what
    they might have spent is spent at the next. Exact for normal means with known variance, whose z statistics at two
    looks correlate with the square root of the ratio of their numbers; p values of t tests are held to the same levels.
    A level is rounded down by 2% at most, to one that was computed before: tests of many hypotheses have many.

    Raises:
        ValueError: the level is not between 0 and 1, or the looks do not increase.

    Source: Armitage, McPherson and Rowe (1969), JRSS A 132, 235-244, for the recursion.
    """
    if not 0 < level < 1:
        raise ValueError(f"level {level}: allowed is 0 < level < 1")
    if not looks or min(looks) < 1 or any(a >= b for a, b in pairwise(looks)):
        raise ValueError(f"looks {looks}: allowed are increasing numbers of replicates")
    rounded = LEVEL * float(np.exp(np.floor(np.log(level / LEVEL) / ROUNDING + 1e-9) * ROUNDING))
    return _nominal_levels(rounded, looks, spending)


def look_shares(looks: tuple[int, ...] = LOOKS, spending: Spending = obrien_fleming) -> tuple[float, ...]:
    """Return the share of the level that is spent at each look; they sum to 1, and are 0 below `FIRST_DECISION`."""
    shares, spent = [], 0.0
    for n in looks:
        share = 0.0
        if n >= FIRST_DECISION or n == looks[-1]:
            due = spending(LEVEL, n / looks[-1]) / LEVEL
            share, spent = due - spent, due
        shares.append(share)
    return tuple(shares)


def p_over_looks(p: Iterable[tuple[int, float]], looks: tuple[int, ...] = LOOKS) -> float:
    """Return the p value of a hypothesis that was tested at several looks, given each with its p value.

    The smallest over the share of the level spent at its look: at most 5% with a probability of at most 5% if the
    hypothesis holds, whatever its tests are and however the looks depend on one another; and a look more can only make
    it smaller, so that what was shown stays shown.

    Source: weighted Bonferroni, as in Holm (1979), Scandinavian Journal of Statistics 6, 65-70.
    """
    shares = dict(zip(looks, look_shares(looks), strict=True))
    return min([1.0, *(value / shares[n] for n, value in p if shares[n] > 0)])


@lru_cache(maxsize=65536)
def _nominal_levels(level: float, looks: tuple[int, ...], spending: Spending) -> tuple[float, ...]:
    levels: list[float] = []
    path: _Path | None = None
    spent = 0.0
    for n in looks:
        due = spending(level, n / looks[-1]) - spent
        if (n < FIRST_DECISION and n < looks[-1]) or due < SMALLEST:
            levels.append(0.0)
            continue
        path = _Path.start(n) if path is None else path.moved(n)
        critical = path.critical(due)
        path = path.stopped(critical)
        spent += due
        levels.append(float(ndtr(-critical)))
    return tuple(levels)


class _Path:
    """The density of a sum of n standard normal values, over the square root of n, that has not been stopped yet."""

    STEP = 0.04
    LOWEST = -9.0

    def __init__(self, n: int, z: FloatArray, density: FloatArray) -> None:
        self.n, self.z, self.density = n, z, density

    @classmethod
    def start(cls, n: int) -> _Path:
        z = np.arange(cls.LOWEST, -cls.LOWEST, cls.STEP)
        return cls(n, z, _normal(z))

    def beyond(self, critical: float) -> float:
        """Return the probability of being above a value and not stopped before."""
        if critical >= self.z[-1]:
            return 0.0
        z = np.linspace(critical, self.z[-1], 401)
        return float(np.trapezoid(np.interp(z, self.z, self.density), z))

    def critical(self, probability: float) -> float:
        """Return the value that is exceeded with a probability."""
        if self.beyond(self.z[-1] - 1.0) >= probability:
            return float(self.z[-1])
        return float(brentq(lambda value: self.beyond(value) - probability, self.LOWEST, self.z[-1], xtol=1e-7))

    def stopped(self, critical: float) -> _Path:
        """Return what is left below a value."""
        inside = self.z[self.z < critical]
        z = np.append(inside, critical)
        return _Path(self.n, z, np.interp(z, self.z, self.density))

    def moved(self, n: int) -> _Path:
        """Return the density after more values."""
        added = n - self.n
        z = np.arange(self.LOWEST, -self.LOWEST, self.STEP)
        scale = np.sqrt(added)
        step = (z[:, None] * np.sqrt(n) - self.z[None] * np.sqrt(self.n)) / scale
        density = np.trapezoid(_normal(step) * self.density[None], self.z, axis=1) * np.sqrt(n) / scale
        return _Path(n, z, density)


def _normal(z: FloatArray) -> FloatArray:
    density: FloatArray = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    return density
