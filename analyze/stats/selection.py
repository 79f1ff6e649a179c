"""Choosing the smallest of many architectures without fooling oneself: tests against all rivals, in a fixed order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analyze.stats.onesided import loss_p
from analyze.stats.result import LEVEL, FloatArray


def worst_rival_p(accuracy: FloatArray, one: int, margin: float, *, rng: np.random.Generator) -> float:
    """Return the p value against row `one` being worse than the best of the rows by `margin` or more.

    `accuracy` has shape (architectures, replicates), NaN where there is no run; rows are paired by replicate. The
    largest p value over all rivals: no rival has to be picked as the best, so none is picked for its luck.

    Source: intersection-union test, Berger (1982), Technometrics 24, 295-300.
    """
    rivals = np.delete(accuracy, one, axis=0)
    present = ~np.isnan(rivals) & ~np.isnan(accuracy[one])
    worst = 0.0
    # Rivals that share the same replicates with `one` are tested together.
    for pattern in np.unique(present, axis=0):
        same = (present == pattern).all(axis=1)
        losses = (rivals[same][:, pattern] - accuracy[one, pattern]).T
        worst = max(worst, float(loss_p(losses, margin, rng=rng).max()))
        if worst > LEVEL:
            return worst
    return worst


def fallback(p: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Return the level that each of the hypotheses, in an order fixed beforehand, is tested at.

    `weights` sum to 1 at most: shares of the 5%. A hypothesis that is rejected (p at or below its level) hands its
    level on to the next one: the family-wise error rate is at most 5%.

    Source: Wiens and Dmitrienko (2005), Journal of Biopharmaceutical Statistics 15, 929-942.
    """
    levels: list[float] = []
    handed_on = 0.0
    for value, weight in zip(p, weights, strict=True):
        level = LEVEL * weight + handed_on
        levels.append(level)
        handed_on = level if value <= level else 0.0
    return levels
