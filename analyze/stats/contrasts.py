"""Means of independent replicates, tested on either side of a threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from analyze.stats.result import FLOOR, FloatArray
from analyze.stats.selection import loss_p
from analyze.stats.sides import Sides, every

RESAMPLES = 19_999


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """A mean, or a difference of means, of `n` replicates (the fewer, of two samples), and its standard error."""

    estimate: float
    error: float
    degrees: float
    n: int

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% t interval."""
        reach = float(stdtrit(self.degrees, 0.975)) * self.error
        return self.estimate - reach, self.estimate + reach

    def above(self, threshold: float) -> Sides:
        """Return the evidence for the true value being above a threshold."""
        t = (self.estimate - threshold) / self.error
        return Sides(float(stdtr(self.degrees, -t)), float(stdtr(self.degrees, t)))

    def below(self, threshold: float) -> Sides:
        """Return the evidence for the true value being below a threshold."""
        sides = self.above(threshold)
        return Sides(sides.p_against, sides.p_for)

    def within(self, low: float, high: float) -> Sides:
        """Return the evidence for the true value being in a range.

        Source: Schuirmann (1987), J. Pharmacokinet. Biopharm. 15, 657-680.
        """
        return every([self.above(low), self.below(high)])


def mean_of(values: FloatArray) -> Contrast:
    """Return the mean of at least two independent values; their variance has 0.001^2 added."""
    n = len(values)
    error = float(np.sqrt((values.var(ddof=1) + FLOOR**2) / n))
    return Contrast(estimate=float(values.mean()), error=error, degrees=n - 1, n=n)


def difference_of(first: FloatArray, second: FloatArray) -> Contrast:
    """Return the difference of the means of two independent samples, first minus second.

    Source: Welch (1947), Biometrika 34, 28-35.
    """
    squares = [mean_of(values).error ** 2 for values in (first, second)]
    freedom = squares[0] ** 2 / (len(first) - 1) + squares[1] ** 2 / (len(second) - 1)
    return Contrast(
        estimate=float(first.mean() - second.mean()),
        error=float(np.sqrt(sum(squares))),
        degrees=sum(squares) ** 2 / freedom,
        n=min(len(first), len(second)),
    )


def all_small(losses: FloatArray, *, rng: np.random.Generator) -> Sides:
    """Return the evidence for every column's mean being negative; shape (replicates, columns).

    For it the larger of t and bootstrap-t, since few large losses make the t test err; against it the last column's t
    test.
    """
    p_for = float(loss_p(losses, 0.0, rng=rng, resamples=RESAMPLES).max())
    return Sides(p_for, mean_of(losses[:, -1]).below(0.0).p_against)
