"""Simulated learning curves whose truth is known: losses of shape (replicates, epochs)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analyze.stats.result import FloatArray

EPOCHS = 20


@dataclass(frozen=True)
class PlantedCurves:
    """Validation and test losses of shape (replicates, epochs), and by how much test loss rises from best to end."""

    validation: FloatArray
    test: FloatArray
    rise: float


CurveScenario = Callable[[np.random.Generator, int], PlantedCurves]


def _curves(rng: np.random.Generator, replicates: int, loss: FloatArray, rise: float, noise: float) -> PlantedCurves:
    """Add to a mean curve a level per replicate and noise per epoch, twice as much in validation (fewer images)."""
    level = 0.02 * rng.standard_normal((2, replicates, 1))
    validation = loss + level[0] + 2 * noise * rng.standard_normal((replicates, len(loss)))
    test = loss + level[1] + noise * rng.standard_normal((replicates, len(loss)))
    return PlantedCurves(validation, test, rise)


def _falling(scale: float) -> FloatArray:
    return np.asarray(0.3 + 1.5 * np.exp(-np.arange(EPOCHS) / scale), dtype=np.float64)


def converged(rng: np.random.Generator, replicates: int) -> PlantedCurves:
    """Loss falls, then stands still."""
    return _curves(rng, replicates, _falling(2.0), 0.0, 0.01)


def converged_noisily(rng: np.random.Generator, replicates: int) -> PlantedCurves:
    """Loss falls, then stands still, with much noise from epoch to epoch."""
    return _curves(rng, replicates, _falling(1.0), 0.0, 0.04)


def still_falling(rng: np.random.Generator, replicates: int) -> PlantedCurves:
    """Loss falls to the end."""
    return _curves(rng, replicates, _falling(12.0), 0.0, 0.01)


def rising(rng: np.random.Generator, replicates: int) -> PlantedCurves:
    """Loss falls until epoch 8, then rises by 0.06 nats."""
    epoch = np.arange(EPOCHS)
    return _curves(rng, replicates, _falling(1.5) + 0.005 * np.maximum(epoch - 7, 0), 0.06, 0.01)


def rising_weakly(rng: np.random.Generator, replicates: int) -> PlantedCurves:
    """Loss falls until epoch 8, then rises by 0.018 nats."""
    epoch = np.arange(EPOCHS)
    return _curves(rng, replicates, _falling(1.0) + 0.0015 * np.maximum(epoch - 7, 0), 0.018, 0.01)


def dropping(rate: float) -> CurveScenario:
    """Return a scenario whose test loss ends 0.3 nats lower in this share of replicates, higher in others: mean 0."""

    def planted(rng: np.random.Generator, replicates: int) -> PlantedCurves:
        curves = converged(rng, replicates)
        test = curves.test.copy()
        test[:, -1] += 0.3 * (rate - (rng.random(replicates) < rate))
        return PlantedCurves(curves.validation, test, 0.0)

    return planted


RARE_DROPS: dict[str, CurveScenario] = {
    "5% drop": dropping(0.05),
    "10% drop": dropping(0.1),
    "20% drop": dropping(0.2),
}
"""Mean loss does not rise, but few replicates show why: those that do not show a drop all rise a little."""
NULL_CURVES: dict[str, CurveScenario] = {
    "converged": converged,
    "converged, noisy": converged_noisily,
    "still falling": still_falling,
}
RISING_CURVES: dict[str, CurveScenario] = {"rising": rising, "rising weakly": rising_weakly}
