"""Means of independent replicates, tested on either side of a threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyze.stats.onesided import loss_p, one_sided_p, one_sided_reach, skewness, standard_error
from analyze.stats.result import FloatArray
from analyze.stats.sides import Sides, every

RESAMPLES = 19_999


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """A mean, or a difference of means, of `n` replicates (the fewer, of two samples), and its standard error.

    `skewness` is that of the values: of the estimate times the root of n.
    """

    estimate: float
    error: float
    degrees: float
    n: int
    skewness: float

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval: either end the outer one of t and Hall's transformation."""
        low, high = (float(one_sided_reach(s * self._skew, self.degrees, 0.025)) * self.error for s in (-1, 1))
        return self.estimate - low, self.estimate + high

    def above(self, threshold: float) -> Sides:
        """Return the evidence for the true value being above a threshold: of t and Hall's transformation the less."""
        t = (self.estimate - threshold) / self.error
        p_for, p_against = (float(one_sided_p(s * t, s * self._skew, self.degrees)) for s in (-1, 1))
        return Sides(p_for, p_against)

    @property
    def _skew(self) -> float:
        """The skewness of the estimate."""
        return self.skewness / float(np.sqrt(self.n))

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
    return Contrast(
        estimate=float(values.mean()),
        error=float(standard_error(values)),
        degrees=n - 1,
        n=n,
        skewness=float(skewness(values)),
    )


def difference_of(first: FloatArray, second: FloatArray) -> Contrast:
    """Return the difference of the means of two independent samples, first minus second.

    Source: Welch (1947), Biometrika 34, 28-35; third cumulants of means subtract, as variances add.
    """
    parts = [mean_of(values) for values in (first, second)]
    squares = [part.error**2 for part in parts]
    total = sum(squares)
    freedom = squares[0] ** 2 / (len(first) - 1) + squares[1] ** 2 / (len(second) - 1)
    cumulants = [part.skewness / np.sqrt(part.n) * part.error**3 for part in parts]
    n = min(len(first), len(second))
    return Contrast(
        estimate=parts[0].estimate - parts[1].estimate,
        error=float(np.sqrt(total)),
        degrees=total**2 / freedom,
        n=n,
        skewness=float((cumulants[0] - cumulants[1]) / total**1.5 * np.sqrt(n)),
    )


def all_small(losses: FloatArray, *, rng: np.random.Generator) -> Sides:
    """Return the evidence for every column's mean being negative; shape (replicates, columns).

    For it the largest p value of t, Hall's transformation and bootstrap-t, since few large losses make the t test err;
    against it the last column's.
    """
    p_for = float(loss_p(losses, 0.0, rng=rng, resamples=RESAMPLES).max())
    return Sides(p_for, mean_of(losses[:, -1]).below(0.0).p_against)
