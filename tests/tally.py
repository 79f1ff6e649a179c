"""Counting what an estimator finds in planted data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from analyze.stats.curves import rise_of_test_loss
from analyze.stats.gaps import gap_trend, paired_gap
from analyze.stats.overfitting import overfitting_boundary
from analyze.stats.pruning import pruning_phases
from analyze.stats.result import ChangePoint
from analyze.stats.safety import MARGIN, safe_ratio
from analyze.stats.stability import stability_boundary
from analyze.stats.tolerance import failure_bound, failures
from tests.planted import CHANCE, GapScenario, Scenario
from tests.planted_curves import CurveScenario
from tests.planted_pruning import PruningScenario, losses_at_margin
from tests.planted_quantization import GAP, LOG_PARAMETERS, dropping, dying, pairs

POINTS = ("plateau_end", "floor_start", "onset", "collapse")


@dataclass
class Tally:
    """What was found in planted data: counts of stores, and the widths of intervals in sizes."""

    stores: int = 0
    located: int = 0
    exact: int = 0
    within_one: int = 0
    covered: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    widths: list[int] = field(default_factory=list)

    def add(self, found: ChangePoint, truth: int | None) -> None:
        """Count one store."""
        self.stores += 1
        self.statuses[found.status] += 1
        if found.estimate is None or found.interval is None:
            return
        low, high = found.interval
        self.located += 1
        self.widths.append(high - low)
        if truth is not None:
            self.exact += found.estimate == truth
            self.within_one += abs(found.estimate - truth) <= 1
            self.covered += low <= truth <= high


def stability_tally(scenario: Scenario, replicates: int, seeds: range) -> Tally:
    """Return the tally of the stability boundary over stores of one scenario."""
    tally = Tally()
    for seed in seeds:
        rng = np.random.default_rng([seed, replicates])
        store = scenario(rng, replicates)
        found = stability_boundary(store.accuracy, chance=CHANCE, rng=rng, test_images=store.test_images)
        tally.add(found, store.boundary)
    return tally


@dataclass
class DeathTally:
    """What was located where sizes die with planted probabilities: counts of stores.

    `dying` counts those whose first stable size truly dies in 5% of trainings or more, `bounded` those whose bound on
    the share of failures there is not below the truth.
    """

    stores: int = 0
    located: int = 0
    dying: int = 0
    bounded: int = 0


def death_tally(scenario: Scenario, replicates: int, seeds: range) -> DeathTally:
    """Return the tally of first stable sizes over stores of a scenario that has probabilities of death."""
    tally = DeathTally()
    for seed in seeds:
        rng = np.random.default_rng([seed, replicates])
        store = scenario(rng, replicates)
        found = stability_boundary(store.accuracy, chance=CHANCE, rng=rng, resamples=1)
        tally.stores += 1
        if found.estimate is not None and store.deaths is not None:
            truth = store.deaths[found.estimate]
            failed = failures(store.accuracy[found.estimate], CHANCE)
            tally.located += 1
            tally.dying += truth >= 0.05
            tally.bounded += truth <= failure_bound(failed, replicates)
    return tally


LOOKS = (5, 10, 15, 20, 30)


def stability_looks(scenario: Scenario, seeds: range) -> tuple[int, int]:
    """Return in how many stores a boundary is detected with 30 replicates, and at any look on the way there."""
    last = any_of_them = 0
    for seed in seeds:
        rng = np.random.default_rng([seed, LOOKS[-1]])
        store = scenario(rng, LOOKS[-1])
        located = [
            stability_boundary(
                store.accuracy[:, :seen], chance=CHANCE, rng=rng, test_images=store.test_images, resamples=1
            ).status
            == "detected"
            for seen in LOOKS
        ]
        last += located[-1]
        any_of_them += any(located)
    return last, any_of_them


def overfitting_looks(scenario: GapScenario, seeds: range) -> tuple[int, int]:
    """Return in how many stores a gap is found to open with 30 replicates, and at any look on the way there."""
    last = any_of_them = 0
    for seed in seeds:
        rng = np.random.default_rng([seed, LOOKS[-1]])
        store = scenario(rng, LOOKS[-1])
        located = [
            overfitting_boundary(store.train[:, :seen], store.test[:, :seen], rng=rng, resamples=1).status == "detected"
            for seen in LOOKS
        ]
        last += located[-1]
        any_of_them += any(located)
    return last, any_of_them


def curve_tally(scenario: CurveScenario, replicates: int, seeds: range) -> Tally:
    """Return the tally of rises of test loss; `located` counts those detected, `covered` those not overstated."""
    tally = Tally()
    for seed in seeds:
        rng = np.random.default_rng([seed, replicates])
        curves = scenario(rng, replicates)
        found = rise_of_test_loss(curves.validation, curves.test)
        tally.stores += 1
        tally.statuses[found.status] += 1
        tally.located += found.status == "detected"
        tally.covered += found.interval is not None and found.interval[0] <= curves.rise
    return tally


@dataclass
class PruningTally:
    """Counts of planted pruning curves by the name of a point, among the stores that have it: `given` an interval."""

    stores: int = 0
    detected: int = 0
    having: Counter[str] = field(default_factory=Counter)
    exact: Counter[str] = field(default_factory=Counter)
    given: Counter[str] = field(default_factory=Counter)
    covered: Counter[str] = field(default_factory=Counter)


def pruning_tally(scenario: PruningScenario, replicates: int, seeds: range) -> PruningTally:
    """Return the tally of phases and operational points over stores of one scenario."""
    tally = PruningTally()
    for seed in seeds:
        rng = np.random.default_rng([seed, replicates])
        curves = scenario(rng, replicates)
        found = pruning_phases(curves.accuracy, chance=CHANCE, rng=rng)
        tally.stores += 1
        tally.detected += found.status == "detected"
        for name in POINTS:
            truth, point = getattr(curves, name), getattr(found, name)
            if truth is None:
                continue
            tally.having[name] += 1
            if point is not None:
                tally.exact[name] += point.estimate == truth
            if point is not None and point.interval is not None:
                tally.given[name] += 1
                tally.covered[name] += point.interval[0] <= truth <= point.interval[1]
    return tally


def unsafe_calls(kind: str, replicates: int, seeds: range) -> int:
    """Return how often a sparsity whose true mean loss is just the margin is called safe."""
    calls = 0
    for seed in seeds:
        rng = np.random.default_rng([seed, replicates])
        calls += safe_ratio(losses_at_margin(rng, replicates, kind, MARGIN), rng=rng).estimate == 1
    return calls


def unsafe_at_some_look(kind: str, seeds: range) -> int:
    """Return in how many stores a sparsity whose true mean loss is just the margin is called safe at any look."""
    calls = 0
    for seed in seeds:
        rng = np.random.default_rng([seed, max(LOOKS)])
        accuracy = losses_at_margin(rng, max(LOOKS), kind, MARGIN)
        calls += any(safe_ratio(accuracy[:n], rng=rng).estimate == 1 for n in LOOKS)
    return calls


def harmless_calls(loss: float, replicates: int, seeds: range) -> int:
    """Return how often a sparsity with this true mean loss, normal with 0.6 points, is called safe."""
    calls = 0
    for seed in seeds:
        rng = np.random.default_rng([seed, replicates])
        accuracy = losses_at_margin(rng, replicates, "normal", MARGIN)
        accuracy[:, 1] += MARGIN - loss
        calls += safe_ratio(accuracy, rng=rng).estimate == 1
    return calls


@dataclass
class RareTally:
    """Counts of stores in which one in ten models drops at the smallest size, whose gap and trend are known.

    `warned` are those in which one replicate makes most of the variance, `missed_unwarned` intervals of the gap that
    miss the truth without a warning.
    """

    stores: int = 0
    covered: int = 0
    warned: int = 0
    missed_unwarned: int = 0
    trends: int = 0
    trends_unwarned: int = 0


def rare_tally(replicates: int, seeds: range) -> RareTally:
    """Return what is said of gap and trend under rare drops."""
    tally = RareTally()
    for seed in seeds:
        planted = dropping(np.random.default_rng([seed, replicates]), replicates)
        found = paired_gap(planted.fp32[0], planted.int8[0], chance=CHANCE)
        trend = gap_trend(planted.fp32 - planted.int8, LOG_PARAMETERS)
        assert found.gap is not None
        hit = found.gap.interval[0] <= GAP <= found.gap.interval[1]
        tally.stores += 1
        tally.covered += hit
        tally.warned += bool(found.reasons)
        tally.missed_unwarned += not hit and not found.reasons
        tally.trends += trend.status == "detected"
        tally.trends_unwarned += trend.status == "detected" and not trend.reasons
    return tally


def gap_coverage(replicates: int, seeds: range, *, skewed: bool, sizes: int = 6) -> tuple[int, int]:
    """Return how many 95% intervals of planted gaps cover the true one, and how many there are, per store `sizes`."""
    covered = intervals = 0
    for seed in seeds:
        planted = pairs(np.random.default_rng([seed, replicates]), replicates, skewed=skewed)
        for fp32, int8 in zip(planted.fp32[:sizes], planted.int8[:sizes], strict=True):
            found = paired_gap(fp32, int8, chance=CHANCE).gap
            if found is not None:
                intervals += 1
                covered += found.interval[0] <= GAP <= found.interval[1]
    return covered, intervals


def death_coverage(replicates: int, seeds: range, *, rate: float, sizes: int = 6) -> tuple[int, int]:
    """Return how many 95% intervals of planted death rates cover the true one, and how many there are."""
    covered = intervals = 0
    for seed in seeds:
        planted = dying(np.random.default_rng([seed, replicates]), replicates, rate)
        for fp32, int8 in zip(planted.fp32[:sizes], planted.int8[:sizes], strict=True):
            found = paired_gap(fp32, int8, chance=CHANCE).deaths
            if found is not None:
                intervals += 1
                covered += found.interval[0] <= rate <= found.interval[1]
    return covered, intervals


def trend_tally(replicates: int, seeds: range, *, slope: float) -> Tally:
    """Return the tally of trends of the gap; `located` counts those detected, `covered` intervals with the truth."""
    tally = Tally()
    for seed in seeds:
        planted = pairs(np.random.default_rng([seed, replicates]), replicates, slope=slope)
        found = gap_trend(planted.fp32 - planted.int8, LOG_PARAMETERS)
        tally.stores += 1
        tally.statuses[found.status] += 1
        tally.located += found.status == "detected"
        if found.slope is not None:
            tally.covered += found.slope.interval[0] <= slope <= found.slope.interval[1]
    return tally


def overfitting_tally(scenario: GapScenario, replicates: int, seeds: range) -> Tally:
    """Return the tally of the overfitting boundary over stores of one scenario."""
    tally = Tally()
    for seed in seeds:
        rng = np.random.default_rng([seed, replicates])
        store = scenario(rng, replicates)
        tally.add(overfitting_boundary(store.train, store.test, rng=rng), store.boundary)
    return tally
