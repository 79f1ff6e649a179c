"""Simulated sweeps whose truth is known, as arrays of shape (sizes, replicates) and as rows of a store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyze.stats.result import FloatArray

LADDER = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1000)
SIZES = len(LADDER)
CHANCE = 0.1
DIGITS_LADDER = LADDER[:10]
DIGITS_MEANS = (0.177, 0.39, 0.59, 0.83, 0.942, 0.958, 0.963, 0.967, 0.973, 0.976)
DIGITS_SDS = (0.046, 0.10, 0.13, 0.068, 0.014, 0.010, 0.010, 0.010, 0.008, 0.006)
"""Test accuracy of a plain trainer on digits, one hidden layer, 30 replicates; width 30 is interpolated."""


@dataclass(frozen=True)
class Planted:
    """Accuracies of shape (sizes, replicates) and the index of the planted boundary, None where there is none.

    `test_images` is how many images they were measured on, None for so many that it does not matter; `deaths` the
    probability of death per size, where sizes differ in it smoothly.
    """

    accuracy: FloatArray
    boundary: int | None
    test_images: int | None = None
    deaths: FloatArray | None = None


AnyFloats = NDArray[np.floating[Any]]
Scenario = Callable[[np.random.Generator, int], Planted]


def _boundary(rng: np.random.Generator) -> int:
    return int(rng.integers(2, SIZES - 2))


def _means(rng: np.random.Generator) -> FloatArray:
    """Return mean accuracies that rise and saturate, uneven from size to size."""
    rising = 0.45 + 0.5 * (1 - np.exp(-np.arange(SIZES) / 3))
    return np.asarray(rising + rng.uniform(-0.02, 0.02, SIZES), dtype=np.float64)


def _normal(rng: np.random.Generator, replicates: int, means: FloatArray, sds: FloatArray) -> FloatArray:
    draws = means[:, None] + sds[:, None] * rng.standard_normal((len(means), replicates))
    return np.clip(draws, 0.0, 1.0)


def _two_levels(boundary: int, below: float, above: float) -> FloatArray:
    return np.where(np.arange(SIZES) < boundary, below, above)


def clean(rng: np.random.Generator, replicates: int) -> Planted:
    """A flat mean whose standard deviation falls from 8 to 0.6 points."""
    b = _boundary(rng)
    return Planted(_normal(rng, replicates, np.full(SIZES, 0.7), _two_levels(b, 0.08, 0.006)), b)


def drifting(rng: np.random.Generator, replicates: int) -> Planted:
    """A mean that goes on rising across the boundary, spreads falling a little within both regimes."""
    b = _boundary(rng)
    within = np.linspace(1.3, 0.75, SIZES)
    return Planted(_normal(rng, replicates, _means(rng), within * _two_levels(b, 0.08, 0.006)), b)


def mixture(rng: np.random.Generator, replicates: int) -> Planted:
    """Below the boundary a replicate dies (stays at chance) with probability 0.4; above, none does."""
    b = _boundary(rng)
    alive = _normal(rng, replicates, _means(rng), _two_levels(b, 0.03, 0.006))
    dies = (rng.random(alive.shape) < 0.4) & (np.arange(SIZES) < b)[:, None]
    return Planted(np.where(dies, CHANCE, alive), b)


def skewed(rng: np.random.Generator, replicates: int) -> Planted:
    """Losses of accuracy are exponential: many good replicates and a long tail of bad ones."""
    b = _boundary(rng)
    losses = rng.exponential(1.0, (SIZES, replicates)) * _two_levels(b, 0.08, 0.006)[:, None]
    return Planted(np.clip(_means(rng)[:, None] - losses, 0, 1), b)


def dead_then_stable(rng: np.random.Generator, replicates: int) -> Planted:
    """Every replicate is at chance below the boundary, every one learns above it."""
    b = _boundary(rng)
    means = np.where(np.arange(SIZES) < b, CHANCE, 0.9)
    return Planted(_normal(rng, replicates, means, np.full(SIZES, 0.006)), b)


def digits(rng: np.random.Generator, replicates: int) -> Planted:
    """Means and standard deviations of real networks on digits; the step is at width 10."""
    return Planted(_normal(rng, replicates, np.array(DIGITS_MEANS), np.array(DIGITS_SDS)), 4)


def weak(rng: np.random.Generator, replicates: int) -> Planted:
    """A standard deviation that falls from 4 to 1.2 points only, under a rising mean."""
    b = _boundary(rng)
    return Planted(_normal(rng, replicates, _means(rng), _two_levels(b, 0.04, 0.012)), b)


def all_stable(rng: np.random.Generator, replicates: int) -> Planted:
    """The same small spread at every size, with a rising mean."""
    return Planted(_normal(rng, replicates, _means(rng), np.full(SIZES, 0.006)), None)


def stable_skewed(rng: np.random.Generator, replicates: int) -> Planted:
    """The same small but skewed spread at every size."""
    losses = 0.008 * rng.exponential(1.0, (SIZES, replicates))
    return Planted(np.clip(_means(rng)[:, None] - losses, 0, 1), None)


def unreached(rng: np.random.Generator, replicates: int) -> Planted:
    """The same large spread at every size."""
    return Planted(_normal(rng, replicates, _means(rng) - 0.2, np.full(SIZES, 0.08)), None)


def unreached_dead(rng: np.random.Generator, replicates: int) -> Planted:
    """Three sizes at chance, and a large spread at all the others."""
    at_chance = np.arange(SIZES) < 3
    means = np.where(at_chance, CHANCE, _means(rng) - 0.2)
    return Planted(_normal(rng, replicates, means, np.where(at_chance, 0.001, 0.08)), None)


def unreached_mixture(rng: np.random.Generator, replicates: int) -> Planted:
    """A replicate dies with probability 0.4 at every size."""
    alive = _normal(rng, replicates, _means(rng), np.full(SIZES, 0.03))
    return Planted(np.where(rng.random(alive.shape) < 0.4, CHANCE, alive), None)


def gradual(rng: np.random.Generator, replicates: int) -> Planted:
    """A standard deviation that falls evenly, on a log scale, from 10 to 0.3 points: no boundary."""
    return Planted(_normal(rng, replicates, _means(rng), np.geomspace(0.1, 0.003, SIZES)), None)


def all_dead(rng: np.random.Generator, replicates: int) -> Planted:
    """Every size at chance."""
    return Planted(_normal(rng, replicates, np.full(SIZES, CHANCE), np.full(SIZES, 0.003)), None)


def jittering(rng: np.random.Generator, replicates: int) -> Planted:
    """Spreads around 0.6 points that differ from size to size at random, by a factor of 1.6 either way."""
    sds = 0.006 * np.exp(0.5 * rng.standard_normal(SIZES))
    return Planted(_normal(rng, replicates, _means(rng), sds), None)


def jittering_unstable(rng: np.random.Generator, replicates: int) -> Planted:
    """Spreads around 8 points that differ from size to size at random, by a factor of 1.6 either way."""
    sds = 0.08 * np.exp(0.5 * rng.standard_normal(SIZES))
    return Planted(_normal(rng, replicates, _means(rng) - 0.2, sds), None)


def sampled(images: int) -> Scenario:
    """Return a scenario in which all that replicates differ by is that they are measured on so many random images."""

    def planted(rng: np.random.Generator, replicates: int) -> Planted:
        return Planted(_measured(rng, _means(rng)[:, None] + np.zeros(replicates), images), None, images)

    return planted


def measured_on(scenario: Scenario, images: int) -> Scenario:
    """Return the scenario with accuracies measured on so many random images each."""

    def planted(rng: np.random.Generator, replicates: int) -> Planted:
        exact = scenario(rng, replicates)
        return Planted(_measured(rng, exact.accuracy, images), exact.boundary, images)

    return planted


def _measured(rng: np.random.Generator, accuracy: FloatArray, images: int) -> FloatArray:
    return np.asarray(rng.binomial(images, accuracy) / images, dtype=np.float64)


def all_dying(rng: np.random.Generator, replicates: int) -> Planted:
    """A replicate dies with a probability that falls from 0.6 at the smallest size to 0.25 at the largest."""
    return _dying(rng, replicates, np.linspace(0.6, 0.25, SIZES))


def dying_smoothly(rng: np.random.Generator, replicates: int) -> Planted:
    """A replicate dies with a probability that falls smoothly, logistic in the index of size, from nearly 1 to 0."""
    return _dying(rng, replicates, 1 / (1 + np.exp(np.arange(SIZES) - rng.uniform(2, 6))))


def dying_rarely(rng: np.random.Generator, replicates: int) -> Planted:
    """A replicate dies with probability 0.4 below the boundary and 0.01 above it."""
    b = _boundary(rng)
    return _dying(rng, replicates, _two_levels(b, 0.4, 0.01), b)


def _dying(rng: np.random.Generator, replicates: int, deaths: AnyFloats, boundary: int | None = None) -> Planted:
    alive = _normal(rng, replicates, _means(rng), np.full(SIZES, 0.006))
    dies = rng.random(alive.shape) < deaths[:, None]
    return Planted(np.where(dies, CHANCE, alive), boundary, deaths=np.asarray(deaths, dtype=np.float64))


def neighbouring(rng: np.random.Generator, replicates: int) -> Planted:
    """The same small spread at every size, errors of a replicate correlated between neighbouring sizes (AR, 0.8)."""
    return Planted(_means(rng)[:, None] + 0.006 * autoregressive(rng, SIZES, replicates), None)


def autoregressive(rng: np.random.Generator, sizes: int, replicates: int, correlation: float = 0.8) -> FloatArray:
    """Return errors of variance 1 whose correlation between sizes is `correlation` to the power of their distance."""
    errors = rng.standard_normal((sizes, replicates))
    for size in range(1, sizes):
        errors[size] = correlation * errors[size - 1] + (1 - correlation**2) ** 0.5 * errors[size]
    return errors


def tiny_skewed(rng: np.random.Generator, replicates: int) -> Planted:
    """A skewed spread of 0.1 points, the least that counts, at every size."""
    losses = 0.001 * rng.exponential(1.0, (SIZES, replicates))
    return Planted(_means(rng)[:, None] - losses, None)


def unequal(scenario: Scenario) -> Scenario:
    """Return the scenario with 5 replicates only from the seventh size on, as sweeps have that add them at need."""

    def planted(rng: np.random.Generator, replicates: int) -> Planted:
        full = scenario(rng, replicates)
        accuracy = full.accuracy.copy()
        accuracy[SIZES // 2 :, 5:] = np.nan
        return replace(full, accuracy=accuracy)

    return planted


BOUNDARIES: dict[str, Scenario] = {
    "clean": clean,
    "drifting mean": drifting,
    "dead/alive mixture": mixture,
    "skewed losses": skewed,
    "dead, then stable": dead_then_stable,
    "digits": digits,
    "weak step": weak,
}
HARD_BOUNDARIES: dict[str, Scenario] = {
    "clean, 360 images": measured_on(clean, 360),
    "dead/alive mixture, 360 images": measured_on(mixture, 360),
    "digits, 360 images": measured_on(digits, 360),
    "weak step, 360 images": measured_on(weak, 360),
    "0.4 die, then 0.01": dying_rarely,
}
STABLE_NULLS: dict[str, Scenario] = {
    "all stable": all_stable,
    "all stable, skewed": stable_skewed,
    "tiny, skewed": tiny_skewed,
    "AR(0.8) over sizes": neighbouring,
    "spreads jitter, stable": jittering,
    "10,000 images": sampled(10_000),
    "360 images": sampled(360),
}
UNSTABLE_NULLS: dict[str, Scenario] = {
    "unreached": unreached,
    "unreached, some dead": unreached_dead,
    "unreached mixture": unreached_mixture,
    "all dead": all_dead,
    "spreads jitter, unstable": jittering_unstable,
    "0.6 to 0.25 die": all_dying,
}
NULLS = {**STABLE_NULLS, **UNSTABLE_NULLS}


@dataclass(frozen=True)
class PlantedGap:
    """Last-epoch accuracies of shape (sizes, replicates), all sizes stable, and the index where their gap opens."""

    train: FloatArray
    test: FloatArray
    boundary: int | None


GapScenario = Callable[[np.random.Generator, int], PlantedGap]
GAP_SIZES = 9


def _gap(rng: np.random.Generator, replicates: int, gap: AnyFloats, test: AnyFloats, knot: int | None) -> PlantedGap:
    """Add noise: 0.4 to 0.8 points in test accuracy, 0.2 in training, 0.3 shared by the sizes of a replicate."""
    sizes = len(gap)
    shared = 0.003 * rng.standard_normal(replicates)
    own = np.linspace(0.008, 0.004, sizes)[:, None] * rng.standard_normal((sizes, replicates))
    train = (test + gap)[:, None] + 0.002 * rng.standard_normal((sizes, replicates))
    return PlantedGap(train, test[:, None] + shared + own, knot)


def opening(rng: np.random.Generator, replicates: int) -> PlantedGap:
    """The gap grows by 1.2 points per size past the knot, and test accuracy falls by 0.4."""
    index = np.arange(GAP_SIZES)
    knot = int(rng.integers(1, GAP_SIZES - 2))
    past = np.maximum(index - knot, 0)
    return _gap(rng, replicates, 0.01 + 0.001 * index + 0.012 * past, 0.93 - 0.004 * past, knot)


def opening_weakly(rng: np.random.Generator, replicates: int) -> PlantedGap:
    """The gap grows by 0.6 points per size past the knot, and test accuracy stands still."""
    index = np.arange(GAP_SIZES)
    knot = int(rng.integers(1, GAP_SIZES - 3))
    return _gap(rng, replicates, 0.01 + 0.006 * np.maximum(index - knot, 0), np.full(GAP_SIZES, 0.93), knot)


def ramp(rng: np.random.Generator, replicates: int) -> PlantedGap:
    """The gap opens by 4 points within two sizes, then training accuracy has nowhere to go."""
    index = np.arange(GAP_SIZES)
    knot = int(rng.integers(1, GAP_SIZES - 3))
    past = np.clip(index - knot, 0, 2)
    return _gap(rng, replicates, 0.01 + 0.02 * past, 0.93 - 0.005 * past, knot)


def flat_gap(rng: np.random.Generator, replicates: int) -> PlantedGap:
    """A constant gap."""
    return _gap(rng, replicates, np.full(GAP_SIZES, 0.01), np.full(GAP_SIZES, 0.95), None)


def linear_gap(rng: np.random.Generator, replicates: int) -> PlantedGap:
    """A gap that grows by 0.8 points at every size: no size from which it opens."""
    return _gap(rng, replicates, 0.01 + 0.008 * np.arange(GAP_SIZES), np.full(GAP_SIZES, 0.95), None)


def levelling_gap(rng: np.random.Generator, replicates: int) -> PlantedGap:
    """A gap that grows at first and saturates."""
    return _gap(rng, replicates, 0.08 * (1 - np.exp(-np.arange(GAP_SIZES) / 3)), np.full(GAP_SIZES, 0.9), None)


def saturating(rng: np.random.Generator, replicates: int) -> PlantedGap:
    """The gap opens by 5 points, at once at first, then ever more slowly (an exponential of 1.5 sizes)."""
    index = np.arange(GAP_SIZES)
    knot = int(rng.integers(1, GAP_SIZES - 3))
    past = np.maximum(index - knot, 0)
    return _gap(rng, replicates, 0.01 + 0.05 * (1 - np.exp(-past / 1.5)), 0.93 - 0.005 * np.minimum(past, 2), knot)


def _correlated(
    rng: np.random.Generator, replicates: int, gap: AnyFloats, test: AnyFloats, knot: int | None
) -> PlantedGap:
    """Add noise of 2.4 to 1.2 points in test accuracy, correlated between neighbouring sizes (AR, 0.8)."""
    errors = np.linspace(0.024, 0.012, GAP_SIZES)[:, None] * autoregressive(rng, GAP_SIZES, replicates)
    train = (test + gap)[:, None] + 0.002 * rng.standard_normal((GAP_SIZES, replicates))
    return PlantedGap(train, test[:, None] + errors, knot)


def opening_correlated(rng: np.random.Generator, replicates: int) -> PlantedGap:
    """The gap grows by 2.4 points per size past the knot; large errors, correlated between neighbouring sizes."""
    knot = int(rng.integers(1, GAP_SIZES - 2))
    past = np.maximum(np.arange(GAP_SIZES) - knot, 0)
    return _correlated(rng, replicates, 0.01 + 0.024 * past, 0.93 - 0.008 * past, knot)


def flat_correlated(rng: np.random.Generator, replicates: int) -> PlantedGap:
    """A constant gap; large errors, correlated between neighbouring sizes."""
    return _correlated(rng, replicates, np.full(GAP_SIZES, 0.01), np.full(GAP_SIZES, 0.93), None)


def linear_correlated(rng: np.random.Generator, replicates: int) -> PlantedGap:
    """A gap that grows by 0.8 points at every size; large errors, correlated between neighbouring sizes."""
    return _correlated(rng, replicates, 0.01 + 0.008 * np.arange(GAP_SIZES), np.full(GAP_SIZES, 0.93), None)


def learning_gap(rng: np.random.Generator, replicates: int) -> PlantedGap:
    """A gap that opens while test accuracy rises by 1.5 points per size: learning."""
    index = np.arange(GAP_SIZES)
    return _gap(rng, replicates, 0.01 + 0.012 * np.maximum(index - 4, 0), 0.5 + 0.015 * index, None)


GAPS: dict[str, GapScenario] = {
    "opening gap": opening,
    "weakly opening gap": opening_weakly,
    "ramp": ramp,
    "opening, then saturating": saturating,
    "opening gap, AR(0.8)": opening_correlated,
}
NULL_GAPS: dict[str, GapScenario] = {
    "flat gap": flat_gap,
    "linear gap": linear_gap,
    "levelling gap": levelling_gap,
    "opening gap, still learning": learning_gap,
    "flat gap, AR(0.8)": flat_correlated,
    "linear gap, AR(0.8)": linear_correlated,
}
