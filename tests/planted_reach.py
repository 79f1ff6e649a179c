"""Simulated stable sizes whose share of trainings that reach any accuracy is known, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from analyze.questions.budget import Limits
from analyze.questions.candidates import Cell
from analyze.questions.reach import target
from analyze.stats.result import FloatArray
from analyze.stats.tolerance import reach_bound, reaching

MEANS = (0.9, 0.93, 0.945, 0.95, 0.952, 0.953, 0.953, 0.953)
"""Those of the stable sizes of `tests.planted_recommend`, where nothing dies."""
SD = 0.006
TRUTH_DRAWS = 400_000

Noise = Callable[[np.random.Generator, tuple[int, ...]], FloatArray]


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    return SD * rng.standard_normal(shape)


def _skewed(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    return SD * (1 - rng.exponential(size=shape))


def _deaths(share: float) -> Noise:
    def noise(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
        return np.where(rng.random(shape) < share, -0.8, _normal(rng, shape))

    return noise


NOISES: Mapping[str, Noise] = {
    "normal": _normal,
    "skewed": _skewed,
    "1 in 20 dies": _deaths(0.05),
    "1 in 4 dies": _deaths(0.25),
}
CHOICES = ("a size named beforehand", "the one that looks best", "the smallest that looks good enough")


@dataclass
class ReachTally:
    """Counts of planted stores, and of those in which the bound on a size's share was above the true share, by choice.

    The one that looks best has the highest median, and the target is a point below that; the smallest that looks good
    enough has a mean within a point of the best mean.
    """

    stores: int = 0
    wrong: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CHOICES, 0))


def reach_tally(noise: str, replicates: int, seeds: range) -> ReachTally:
    """Return how often the share of trainings that reach the target was said to be larger than it is."""
    tally = ReachTally(stores=len(seeds))
    means = np.array(MEANS)
    for seed in seeds:
        rng = np.random.default_rng([seed, replicates])
        accuracy = means[:, None] + NOISES[noise](rng, (len(means), replicates))
        goal = target([_cell(row) for row in accuracy], Limits())
        assert goal is not None
        seen = accuracy.mean(axis=1)
        chosen = (3, int(np.median(accuracy, axis=1).argmax()), int(np.argmax(seen > seen.max() - 0.01)))
        for choice, at in zip(CHOICES, chosen, strict=True):
            said = reach_bound(reaching(accuracy[at], goal), replicates)
            tally.wrong[choice] += said > _true_share(noise, goal - means[at])
    return tally


def _true_share(noise: str, above: float) -> float:
    """Return the share of trainings whose noise is no less than this."""
    draws = _draws(noise)
    return 1 - float(np.searchsorted(draws, above)) / len(draws)


@cache
def _draws(noise: str) -> FloatArray:
    return np.sort(NOISES[noise](np.random.default_rng(0), (TRUTH_DRAWS,)))


def _cell(accuracy: FloatArray) -> Cell:
    return Cell("planted", "data", "p", "dnn", 1, 1, 1, True, 0, accuracy)
