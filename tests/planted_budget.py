"""Planted stores under a budget: what fits is worse than the best that does by exactly the margin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from analyze.questions.budget import Limits
from analyze.questions.candidates import Cell, cells_of, judge
from analyze.questions.designs import Planned
from analyze.questions.recommend import LEVEL_OF_FORMS
from analyze.questions.regimes import sweep_regimes
from analyze.questions.sequential import decide
from analyze.stats.onesided import upper_bounds
from analyze.stats.sequential import RESAMPLES
from store.costs import Costs
from store.designs import LookSpec, Place
from tests.planted_forms import noise
from tests.planted_search import Noise, World

SWEEPS = {("dnn", 1): (1, 2, 3, 5, 10, 20, 50), ("cnn", 1): (1, 2, 4, 8, 16, 32)}
LARGEST = 20
"""The largest size that fits: of the DNN 20 and of the CNN 16 are the best that do."""
MARGIN = 0.01


def world(rng: np.random.Generator, drawn: Noise, correlation: float) -> World:
    """Return a world whose networks beyond the budget are better by 2 points than the largest that fit.

    Of those that fit all but the largest of each sweep are worse than it by exactly the margin, sizes up to 3 unstable.
    """

    def mean(place: Place) -> float:
        if place.capacity <= 3:
            return 0.4
        if place.capacity > LARGEST:
            return 0.97
        best = max(size for size in SWEEPS[place.family, place.depth] if size <= LARGEST)
        return 0.95 - MARGIN * (place.capacity < best)

    return World({}, SWEEPS, rng, drawn, correlation=correlation, between=mean)


def fits(cell: Cell) -> bool:
    """Return whether a planted network is within the budget."""
    return cell.capacity <= LARGEST


def budget_tally(
    drawn: Noise, correlation: float, seeds: Sequence[int], way: Literal["fixed", "design"], replicates: int = 20
) -> Counter[str]:
    """Return in how many stores an answer is too small, by scope and in `any`, and how often the CNN has one.

    All sizes have as many replicates: tested once (`fixed`), or by a design that looked at them as it plans.
    `within` counts right answers of the CNN: without the budget none of its sizes that fit is one.
    """
    tally = Counter[str]()
    for seed in seeds:
        planted = world(np.random.default_rng([seed, 31]), drawn, correlation)
        looks = planted.looks if way == "design" else (replicates,)
        for (family, depth), sizes in SWEEPS.items():
            for size in sizes:
                planted.train(Place(family, depth, size), looks[-1])
        sweeps = planted.sweeps()
        stability = [sweep_regimes(sweep, seed=seed)[0] for sweep in sweeps]
        cells = [_with_costs(cell) for cell in cells_of(sweeps, stability)]
        places = Planned("planted", planted.spec, ()).shares
        taken = tuple(LookSpec(held=dict.fromkeys(places, n), asked={}) for n in (0, *looks))
        wrong = False
        for scope in ("all", "dnn", "cnn"):
            part = [cell for cell in cells if scope in ("all", cell.family)]
            if way == "design":
                decided = decide(Planned("planted", planted.spec, taken), part, seed=seed, fits=fits)
                passed = [cell for row, cell in enumerate(decided.cells) if decided.verdicts.passed[row]]
            else:
                judged = judge(part, scope, Limits(max_macs=LARGEST, by="macs"), seed=seed, fits=fits)
                passed = [cell for cell, row in zip(part, judged, strict=True) if row.verdict == "qualifies"]
            best = {family: max(s for s in sizes if s <= LARGEST) for (family, _), sizes in SWEEPS.items()}
            bad = any(cell.capacity < best[cell.family] for cell in passed)
            tally[scope] += bad
            wrong = wrong or bad
            tally["within"] += scope == "cnn" and any(cell.capacity == best["cnn"] for cell in passed)
        tally["any"] += wrong
        tally["stores"] += 1
    return tally


def _with_costs(cell: Cell) -> Cell:
    size = cell.capacity
    return replace(cell, costs=Costs(weights=size, macs=size, ram_fp32=4 * size, ram_int8=size))


def forms_tally(kind: str, replicates: int, seeds: Sequence[int], *, networks: int = 8, kinds: int = 4) -> int:
    """Return in how many stores some form is said to be safe that loses exactly the margin, of every network's forms.

    As many networks pass their tests, each with as many kinds of a single form, at the level that a budget leaves.
    """
    wrong = 0
    for seed in seeds:
        rng = np.random.default_rng([seed, replicates, 37])
        losses = MARGIN + 0.006 * noise(rng, (networks * kinds, replicates), kind)
        # The bounds of `cuts.safe_forms`, of all forms at once.
        level = LEVEL_OF_FORMS / networks / kinds
        wrong += bool((upper_bounds(losses.T, rng=rng, resamples=RESAMPLES, tail=level) < MARGIN).any())
    return wrong
