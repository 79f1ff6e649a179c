"""Simulated pruning curves whose truth is known: accuracies of shape (replicates, sparsities)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyze.stats.result import FloatArray
from tests.planted import CHANCE

SPARSITIES = tuple(step / 20 for step in range(21))
TOP = 0.95


@dataclass(frozen=True)
class PlantedPruning:
    """Accuracies of shape (replicates, sparsities), and true indices; None where there is none.

    `onset` and `collapse` are where the true mean has lost more than, and has left less than, 2% of what it had above
    chance.
    """

    accuracy: FloatArray
    plateau_end: int | None
    floor_start: int | None
    onset: int | None
    collapse: int | None


PruningScenario = Callable[[np.random.Generator, int], PlantedPruning]


def _curves(
    rng: np.random.Generator, replicates: int, mean: NDArray[np.floating[Any]], ends: tuple[int, int] | None
) -> PlantedPruning:
    """Add noise: a level per replicate, little on the plateau and the floor, most half way down."""
    left = (mean - CHANCE) / (mean[0] - CHANCE)
    spread = 0.002 + 0.35 * (mean[0] - CHANCE) * left * (1 - left)
    level = 0.004 * rng.standard_normal((replicates, 1)) * (mean > CHANCE + 0.05)
    noise = spread * rng.standard_normal((replicates, len(mean)))
    noise[:, 0] = 0.0
    return PlantedPruning(
        accuracy=np.clip(mean + level + noise, 0.0, 1.0),
        plateau_end=ends[0] if ends else None,
        floor_start=ends[1] if ends else None,
        onset=_first(left < 0.98),
        collapse=_first(left < 0.02),
    )


def _first(reached: NDArray[np.bool_]) -> int | None:
    return int(reached.argmax()) if reached.any() else None


def piecewise(rng: np.random.Generator, replicates: int) -> PlantedPruning:
    """A plateau, a straight decline over 5 to 8 sparsities, a floor at chance."""
    end = int(rng.integers(5, 11))
    start = end + int(rng.integers(5, 9))
    index = np.arange(len(SPARSITIES))
    mean = np.interp(index, [end, start], [TOP, CHANCE])
    return _curves(rng, replicates, mean, (end, start))


def gentle(rng: np.random.Generator, replicates: int) -> PlantedPruning:
    """A weak model, 40% right: a plateau, a decline of 2 to 3 points per sparsity, a floor at chance."""
    end = int(rng.integers(3, 6))
    start = end + int(rng.integers(10, 14))
    mean = np.interp(np.arange(len(SPARSITIES)), [end, start], [0.4, CHANCE])
    return _curves(rng, replicates, mean, (end, start))


def smooth(rng: np.random.Generator, replicates: int) -> PlantedPruning:
    """A logistic curve in sparsity: no sharp ends, only operational points."""
    middle, width = rng.uniform(9, 14), rng.uniform(0.8, 1.6)
    index = np.arange(len(SPARSITIES))
    mean = CHANCE + (TOP - CHANCE) / (1 + np.exp((index - middle) / width))
    return _curves(rng, replicates, mean, None)


def shifted(rng: np.random.Generator, replicates: int) -> PlantedPruning:
    """Logistic curves, each replicate's shifted along sparsity by 5 points (standard deviation)."""
    middle, width = rng.uniform(9, 14), rng.uniform(0.8, 1.6)
    # The true mean is over all shifts, here by quadrature.
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    index = np.arange(len(SPARSITIES))
    shifts = np.concatenate([nodes, rng.standard_normal(replicates)])[:, None]
    curves = CHANCE + (TOP - CHANCE) / (1 + np.exp((index - middle - shifts) / width))
    left = (weights @ curves[:40] / weights.sum() - CHANCE) / (TOP - CHANCE)
    left = left / left[0]
    noise = 0.002 * rng.standard_normal((replicates, len(index))) + 0.004 * rng.standard_normal((replicates, 1))
    return PlantedPruning(curves[40:] + noise, None, None, _first(left < 0.98), _first(left < 0.02))


def straight(rng: np.random.Generator, replicates: int) -> PlantedPruning:
    """A straight line down to chance: no phases."""
    return _curves(rng, replicates, np.linspace(TOP, CHANCE, len(SPARSITIES)), None)


PRUNING: dict[str, PruningScenario] = {
    "piecewise": piecewise,
    "gentle": gentle,
    "smooth": smooth,
    "shifted": shifted,
    "straight line": straight,
}


def losses_at_margin(rng: np.random.Generator, replicates: int, kind: str, margin: float) -> FloatArray:
    """Return accuracies at sparsity 0 and one more, whose true mean loss is exactly the margin: unsafe.

    `normal`: standard deviation 0.6 points; `skewed`: exponential; `lognormal`: a logarithm of standard deviation 1;
    `rare`: one model in ten loses ten times the margin.
    """
    losses = rng.normal(margin, 0.006, replicates)
    if kind == "skewed":
        losses = rng.exponential(margin, replicates)
    if kind == "lognormal":
        losses = margin * np.exp(rng.standard_normal(replicates) - 0.5)
    if kind == "rare":
        losses = np.where(rng.random(replicates) < 0.1, 10 * margin, 0.0)
    base = 0.95 + 0.004 * rng.standard_normal(replicates)
    return np.column_stack([base, base - losses])
