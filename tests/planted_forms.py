"""Simulated forms of networks whose true accuracies are known, and what comparisons and frontiers say of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyze.stats.comparison import judge
from analyze.stats.frontier import frontier
from analyze.stats.result import FloatArray
from analyze.stats.safety import MARGIN

PAIRS = 20
FORMS = 120


def noise(rng: np.random.Generator, shape: tuple[int, int], kind: str) -> FloatArray:
    """Return noise of variance 1, replicates last, a third of it shared by all rows of a replicate; or `skewed`."""
    own = rng.exponential(1.0, shape) - 1 if kind == "skewed" else rng.standard_normal(shape)
    shared = rng.standard_normal(shape[1])
    return np.asarray((2 / 3) ** 0.5 * own + (1 / 3) ** 0.5 * shared, dtype=np.float64)


@dataclass
class ComparisonTally:
    """Counts over planted families of pairs: `wrong` families with a verdict that is not true of its pair.

    `equal` counts pairs without a difference that are shown to be equivalent, `better` those with two points that are
    shown to be better, of `pairs` each.
    """

    families: int = 0
    wrong: int = 0
    pairs: int = 0
    equal: int = 0
    better: int = 0


def comparison_tally(kind: str, replicates: int, seeds: range) -> ComparisonTally:
    """Return the verdicts on families of 20 pairs of standard deviation 0.6 points.

    Ten differ by nothing and ten by just the margin: of these no equivalence may be said, of those no difference. For
    power half of each, the others two points better.
    """
    tally = ComparisonTally()
    half = PAIRS // 2
    for seed in seeds:
        rng = np.random.default_rng([seed, replicates, 17])
        truth = np.array([0.0] * half + [MARGIN] * half)
        values = truth[:, None] + 0.006 * noise(rng, (PAIRS, replicates), kind)
        verdicts = [verdict for verdict, *_ in judge(list(values), margin=MARGIN)]
        tally.families += 1
        tally.wrong += any(v in ("better", "worse") for v in verdicts[:half]) or any(
            v in ("equivalent", "worse") for v in verdicts[half:]
        )
        truth[half:] = 2 * MARGIN
        values = truth[:, None] + 0.006 * noise(rng, (PAIRS, replicates), kind)
        verdicts = [verdict for verdict, *_ in judge(list(values), margin=MARGIN)]
        tally.pairs += half
        tally.equal += verdicts[:half].count("equivalent")
        tally.better += verdicts[half:].count("better")
    return tally


@dataclass
class FrontierTally:
    """Counts over planted frontiers: `wrong` ones that call a form beaten which is not; of `far` forms those beaten.

    `far` ones are truly 3 points below a form that takes no more.
    """

    frontiers: int = 0
    wrong: int = 0
    far: int = 0
    beaten: int = 0


def frontier_tally(kind: str, replicates: int, seeds: range) -> FrontierTally:
    """Return what is said of frontiers of 120 forms of standard deviation 0.6 points.

    Accuracy does not rise with bytes: a third of the forms are as good as the best at any size, so that none of those
    may be called beaten, a third is half a point below and a third 3 points.
    """
    tally = FrontierTally()
    for seed in seeds:
        rng = np.random.default_rng([seed, replicates, 19])
        below = np.tile([0.0, 0.005, 0.03], FORMS // 3)
        values = 0.95 - below[:, None] + 0.006 * noise(rng, (FORMS, replicates), kind)
        found = frontier(list(values), np.arange(FORMS, dtype=np.float64).tolist())
        tally.frontiers += 1
        tally.wrong += bool((found.beaten_by[below == 0.0] >= 0).any())
        tally.far += FORMS // 3
        tally.beaten += int((found.beaten_by[below == 0.03] >= 0).sum())
    return tally
