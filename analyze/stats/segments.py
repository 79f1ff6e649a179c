"""Located change points: costs that ruptures has not, and its exact search over them.

Importing this module imports ruptures, so estimators import it inside functions.

Source: dynamic programming as in Truong, Oudre and Vayatis (2020), Signal Processing 167, 107299.
"""

from __future__ import annotations

from itertools import accumulate
from math import inf, log
from typing import Self

import numpy as np
from ruptures import Dynp
from ruptures.base import BaseCost
from ruptures.costs import CostL2

from analyze.stats.result import FLOOR, BoolArray, FloatArray


class AdmissibleSteps(CostL2):
    """Squares about the mean; infinite for a first segment at whose end no step may be.

    `admissible`, shape (sizes - 1,), says it for a step after each size but the last.
    """

    def __init__(self, admissible: BoolArray) -> None:
        super().__init__()
        self.admissible = admissible

    def error(self, start: int, end: int) -> float:
        """Return the cost of the sizes from `start` to before `end`."""
        if start == 0 and end <= len(self.admissible) and not self.admissible[end - 1]:
            return inf
        return float(super().error(start, end))


class SpreadCost(BaseCost):
    """n log(RSS / n + 0.001^2) of residuals, shape (sparsities, replicates): a variance per segment."""

    model = "spread"
    min_size = 1

    def fit(self, signal: FloatArray) -> Self:
        """Set the residuals."""
        self.signal = signal
        self._squares = _running(signal**2)
        return self

    def error(self, start: int, end: int) -> float:
        """Return the cost of the sparsities from `start` to before `end`."""
        return _log_variance(self._squares[end] - self._squares[start], (end - start) * self.signal.shape[1])


class PhaseCost(BaseCost):
    """The same of accuracies, about a mean: the plateau's, the floor's, or in the decline that of each sparsity.

    The segment from the first sparsity on is the plateau, that up to the last one the floor, any other the decline,
    which pays BIC's log(n) for each of its means and its variance.
    """

    model = "phases"
    min_size = 1

    def fit(self, signal: FloatArray) -> Self:
        """Set the accuracies."""
        self.signal = signal
        centred = signal - signal.mean()
        self._sums = _running(centred)
        self._squares = _running(centred**2)
        self._within = _running((signal - signal.mean(axis=1, keepdims=True)) ** 2)
        return self

    def error(self, start: int, end: int) -> float:
        """Return the cost of the sparsities from `start` to before `end`."""
        n = (end - start) * self.signal.shape[1]
        if start > 0 and end < len(self.signal):
            parameters = end - start + 1
            return _log_variance(self._within[end] - self._within[start], n) + parameters * log(self.signal.size)
        total = self._sums[end] - self._sums[start]
        return _log_variance(self._squares[end] - self._squares[start] - total**2 / n, n)


def best_step(z: FloatArray, admissible: BoolArray) -> tuple[int, float]:
    """Return the first index after the best of the admissible steps in a signal, and the sum of squares it explains.

    `z` has shape (sizes,), `admissible` (sizes - 1,): a step after each size but the last; one of them at least is.
    """
    detector = Dynp(custom_cost=AdmissibleSteps(admissible), min_size=1, jump=1).fit(z)
    breaks = detector.predict(n_bkps=1)
    return int(breaks[0]), float(detector.cost.error(0, len(z)) - detector.cost.sum_of_costs(breaks))


def best_phases(accuracy: FloatArray) -> tuple[int, int, float]:
    """Return first index after the plateau, first index of the floor, and BIC, of the best split of a pruning curve.

    Shape (replicates, sparsities); between plateau and floor there may be nothing.
    """
    detector = Dynp(custom_cost=PhaseCost(), min_size=1, jump=1).fit(accuracy.T)
    splits = [detector.predict(n_bkps=count) for count in (1, 2)]
    best = min(splits, key=detector.cost.sum_of_costs)
    # Two means, two variances and two positions beside what the decline has.
    return int(best[0]), int(best[-2]), float(detector.cost.sum_of_costs(best)) + 6 * log(accuracy.size)


def least_spread(residuals: FloatArray, segments: int) -> float:
    """Return n log(RSS / n + 0.001^2), summed over as many segments of the sparsities as make it least.

    Shape (replicates, sparsities).
    """
    detector = Dynp(custom_cost=SpreadCost(), min_size=1, jump=1).fit(residuals.T)
    return float(detector.cost.sum_of_costs(detector.predict(n_bkps=segments - 1)))


def _running(values: FloatArray) -> list[float]:
    """Return sums over all before each sparsity, as the search asks for hundreds of segments."""
    return [0.0, *accumulate(np.sum(values, axis=1).tolist())]


def _log_variance(rss: float, n: int) -> float:
    return n * log(max(rss, 0.0) / n + FLOOR**2)
