"""Simulated pairs of fp32 and int8 accuracies whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyze.stats.result import FloatArray
from tests.planted import CHANCE

LOG_PARAMETERS = np.array([2.9, 3.2, 3.6, 3.9, 4.2, 4.6])
GAP = 0.02


@dataclass(frozen=True)
class PlantedPairs:
    """Accuracies of shape (sizes, replicates); the slope of the true gap per tenfold parameters."""

    fp32: FloatArray
    int8: FloatArray
    slope: float


def pairs(rng: np.random.Generator, replicates: int, *, slope: float = 0.0, skewed: bool = False) -> PlantedPairs:
    """Return pairs whose mean gap is 2 points at the middle size; noise is 0.8 points, some shared by a replicate.

    `skewed`: the noise of the gap is exponential.
    """
    shape = (len(LOG_PARAMETERS), replicates)
    fp32 = 0.9 + 0.004 * rng.standard_normal(replicates) + 0.006 * rng.standard_normal(shape)
    noise = rng.exponential(1.0, shape) - 1 if skewed else rng.standard_normal(shape)
    shared = 0.003 * rng.standard_normal(replicates)
    gap = GAP + slope * (LOG_PARAMETERS - LOG_PARAMETERS.mean())[:, None]
    return PlantedPairs(fp32, fp32 - gap - shared - 0.0074 * noise, slope)


def dropping(rng: np.random.Generator, replicates: int) -> PlantedPairs:
    """Return pairs of which one in ten loses 10 points more at the smallest size, the others there a point less."""
    planted = pairs(rng, replicates)
    planted.int8[0] += 0.01 - 0.1 * (rng.random(replicates) < 0.1)
    return planted


def dying(rng: np.random.Generator, replicates: int, rate: float) -> PlantedPairs:
    """Return pairs of which each int8 model is dead with this probability."""
    planted = pairs(rng, replicates)
    dead = rng.random(planted.int8.shape) < rate
    return PlantedPairs(planted.fp32, np.where(dead, CHANCE, planted.int8), 0.0)
