"""A simulated sweep in which it is known which sizes are stable and good enough, and what is recommended of it."""

from __future__ import annotations

from dataclasses import dataclass
from math import e, inf

import numpy as np
from scipy.stats import norm

from analyze.questions.budget import Limits
from analyze.questions.candidates import Candidate, Cell, cells_of, judge
from analyze.questions.guess import best_guess
from analyze.questions.reach import with_reach
from analyze.questions.regimes import sweep_regimes
from analyze.stats.result import LEVEL, FloatArray
from analyze.stats.selection import worst_rival_p
from analyze.sweeps import Sweep
from tests.planted import CHANCE, LADDER, SIZES
from tests.planted_store import parameters
from tests.tally import LOOKS

MEANS = (0.2, 0.4, 0.6, 0.8, 0.9, 0.93, 0.945, 0.95, 0.952, 0.953, 0.953, 0.953)
SDS = (0.05, 0.1, 0.1, 0.07) + (0.005,) * 8
SHARED_SD = 0.003
STABLE = 4
"""Index of the first stable size."""
GOOD = 6
"""Index of the smallest size whose mean is within a point of the best."""


def accuracies(rng: np.random.Generator, replicates: int) -> FloatArray:
    """Return accuracies of 12 sizes; replicates share some of their noise."""
    shared = SHARED_SD * rng.standard_normal(replicates)
    own = np.array(SDS)[:, None] * rng.standard_normal((12, replicates))
    return np.clip(np.array(MEANS)[:, None] + shared + own, 0.05, 1.0)


@dataclass
class RecommendTally:
    """Counts of planted sweeps: with a recommendation; of those, truly unstable, too bad, larger than it need be.

    `any_wrong` counts those in which any size passed that should not; `covered` intervals of the accuracy with the
    truth; `overstated` bounds above the true share of trainings that reach the target.
    """

    stores: int = 0
    made: int = 0
    unstable: int = 0
    too_bad: int = 0
    larger: int = 0
    any_wrong: int = 0
    covered: int = 0
    overstated: int = 0


def recommend_tally(replicates: int, seeds: range) -> RecommendTally:
    """Return what is recommended of planted sweeps, their stability boundary located too."""
    tally = RecommendTally()
    for seed in seeds:
        sweep = _sweep(accuracies(np.random.default_rng([seed, replicates]), replicates))
        cells = cells_of([sweep], [sweep_regimes(sweep, seed=seed)[0]])
        judged = with_reach(judge(cells, "dnn", Limits(), seed=seed), cells, Limits())
        passed = [(LADDER.index(row.capacity), row) for row in judged if row.verdict == "qualifies"]
        tally.stores += 1
        if not passed:
            continue
        at, row = min(passed, key=lambda item: item[0])
        tally.made += 1
        tally.unstable += at < STABLE
        tally.too_bad += at < GOOD
        tally.larger += at > GOOD
        tally.any_wrong += any(index < GOOD for index, _ in passed)
        tally.covered += row.ci_low is not None and row.ci_high is not None and row.ci_low <= MEANS[at] <= row.ci_high
        tally.overstated += _overstated(row, at)
    return tally


def _overstated(row: Candidate, at: int) -> bool:
    """Return whether more trainings of a size are said to reach the target than do."""
    assert row.reach is not None
    assert row.reach_share is not None
    return bool(row.reach_share > norm.sf(row.reach, MEANS[at], np.hypot(SDS[at], SHARED_SD)))


def edge_looks(kind: str, seeds: range, *, rivals: int = 4, margin: float = 0.01) -> tuple[int, int]:
    """Return in how many stores an architecture exactly at the margin passes by 5% at the last look, and at any.

    It is `margin` worse than the best of its rivals and equals the others. Trainings are independent, their standard
    deviation is 0.6 points.
    """
    last = any_of_them = 0
    for seed in seeds:
        rng = np.random.default_rng([seed, 3])
        noise = rng.standard_normal((rivals + 1, LOOKS[-1]))
        if kind == "lognormal":
            noise = (np.exp(0.5) - np.exp(noise)) / np.sqrt((e - 1) * e)
        accuracy = 0.9 + 0.006 * noise
        accuracy[1] += margin
        passed = [worst_rival_p(accuracy[:, :n], 0, margin, rng=rng) <= LEVEL for n in LOOKS]
        last += passed[-1]
        any_of_them += any(passed)
    return last, any_of_them


@dataclass
class GuessTally:
    """Counts of planted sweeps: with a guess beside or instead of what is proven, and of those, of guesses truly

    good enough (`good`), stable (`stable`), with a number of replicates named (`named`); with all those replicates
    run, that one or a smaller proven (`proven`), and wrongly so (`wrong`).
    """

    stores: int = 0
    made: int = 0
    stable: int = 0
    good: int = 0
    named: int = 0
    replicates: int = 0
    proven: int = 0
    wrong: int = 0


def guess_tally(replicates: int, seeds: range) -> GuessTally:
    """Return what is guessed of planted sweeps, and what is proven once its advice was followed."""
    tally = GuessTally()
    for seed in seeds:
        full = accuracies(np.random.default_rng([seed, replicates, 1]), 1000)
        cells, judged, proven = _judged(full[:, :replicates], seed)
        smallest = inf if proven is None else proven.parameters
        guess = best_guess(judged, cells, Limits(), smallest, {}, lambda row: row.parameters)
        tally.stores += 1
        if guess is None:
            continue
        at = LADDER.index(guess.candidate.capacity)
        tally.made += 1
        tally.stable += at >= STABLE
        tally.good += at >= GOOD
        if guess.replicates is None:
            continue
        tally.named += 1
        tally.replicates += guess.replicates
        _, _, shown = _judged(full[:, : guess.replicates], seed)
        found = SIZES if shown is None else LADDER.index(shown.capacity)
        tally.proven += found <= at
        tally.wrong += found < GOOD
    return tally


def _judged(accuracy: FloatArray, seed: int) -> tuple[list[Cell], list[Candidate], Candidate | None]:
    """Return the architectures of a sweep, the evidence, and the smallest that passed."""
    sweep = _sweep(accuracy)
    cells = cells_of([sweep], [sweep_regimes(sweep, seed=seed)[0]])
    judged = judge(cells, "dnn", Limits(), seed=seed)
    passed = [row for row in judged if row.verdict == "qualifies"]
    return cells, judged, min(passed, key=lambda row: row.parameters, default=None)


def _sweep(accuracy: FloatArray) -> Sweep:
    return Sweep(
        dataset="planted",
        dataset_fingerprint="data",
        family="dnn",
        depth=1,
        protocol_id="p",
        chance=CHANCE,
        capacities=np.array(LADDER, dtype=np.int64),
        parameters=np.array([parameters(size, 1) for size in LADDER], dtype=np.int64),
        accuracy=accuracy,
        last_train=accuracy,
        last_test=accuracy,
    )
