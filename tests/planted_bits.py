"""Simulated losses down the bits whose truth is known, and what is found of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyze.stats.descent import descend
from analyze.stats.result import LEVEL, FloatArray
from analyze.stats.safety import MARGIN

LADDER = (0.0, 0.002, 0.005, 0.03, 0.2)
"""True mean losses of five steps: two next to nothing, one within the margin of a point, two beyond it."""
EDGE = (0.0, MARGIN, MARGIN, 0.2, 0.2)
"""The second and third steps lose exactly the margin: neither is safe."""
FLAT = (0.0, 0.0, 0.0, 0.0, 0.0)
"""No step loses anything."""


def step_losses(rng: np.random.Generator, replicates: int, truth: tuple[float, ...], kind: str) -> list[FloatArray]:
    """Return losses of every step whose means are the truth; a third of the variance is shared by a replicate's steps.

    `normal`: standard deviation 0.6 points; `skewed`: exponential, of that standard deviation.
    """
    shared = 0.35 * rng.standard_normal(replicates)
    losses = []
    for mean in truth:
        own = rng.exponential(1.0, replicates) - 1 if kind == "skewed" else rng.standard_normal(replicates)
        losses.append(mean + 0.006 * (shared + (1 - 0.35**2) ** 0.5 * own))
    return losses


@dataclass
class DescentTally:
    """Counts of planted networks: with an unsafe step called safe; with exactly the safe ones called so; with a step

    said to lose that loses nothing; with the onset at the first step that loses a point or more, or before it where
    less is lost.
    """

    networks: int = 0
    unsafe: int = 0
    exact: int = 0
    false_onsets: int = 0
    onsets: int = 0


def descent_tally(
    truth: tuple[float, ...], kind: str, replicates: int, seeds: range, level: float = LEVEL
) -> DescentTally:
    """Return what is found down the bits of planted networks."""
    tally = DescentTally()
    safe = next((index for index, loss in enumerate(truth) if loss >= MARGIN), len(truth))
    large = next((index for index, loss in enumerate(truth) if loss > MARGIN), None)
    for seed in seeds:
        rng = np.random.default_rng([seed, replicates, 13])
        found = descend(step_losses(rng, replicates, truth, kind), rng=rng, level=level)
        tally.networks += 1
        tally.unsafe += found.safe > safe
        tally.exact += found.safe == safe
        tally.false_onsets += found.onset is not None and truth[found.onset] <= 0
        tally.onsets += found.onset is not None and large is not None and found.onset <= large
    return tally
