"""How reliably networks learn, as a statement about trainings: how large a share of all reaches a target accuracy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import floor
from pathlib import Path

import numpy as np

from analyze.arguments import checked
from analyze.questions.budget import Limits
from analyze.questions.candidates import Candidate, Cell
from analyze.questions.candidates import cells as cells_in
from analyze.results import Results
from analyze.stats.safety import MARGIN
from analyze.stats.tolerance import ROUNDING, reach_bound, reaching, share_bounds
from analyze.study import Study, study_of
from analyze.sweeps import sweeps

STEP = 0.001
"""A target that is found, not given, is rounded down to a multiple of this: what is printed is what was counted."""


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How many trainings of one architecture reach the target of its family; `docs/method.md` defines the fields."""

    dataset: str
    family: str
    depth: int
    capacity: int
    parameters: int
    stable: bool | None
    reach: float
    replicates: int
    reached: int
    share: float
    low: float
    high: float
    protocol_id: str
    dataset_fingerprint: str


@checked
def reach(
    store: str | Path | Study,
    dataset: str | Sequence[str] | None = None,
    family: str | Sequence[str] | None = None,
    protocol: str | None = None,
    *,
    max_drop: float = MARGIN,
    min_accuracy: float | None = None,
    seed: int = 0,
) -> Results[Reach]:
    """Return the share of trainings that reach the target accuracy of their family, with its bounds, per architecture.

    All are fractions. The target is `min_accuracy`, or, where that is not given, the median accuracy of the best stable
    architecture of the family minus `max_drop`; a family without either has no rows. `low` and `high` are exact
    one-sided 95% bounds, each by itself.

    Raises:
        MinarchError: there is no such store, or it holds none of a dataset, family or protocol that was named.
    """
    study = study_of(store, dataset, family, protocol, seed=seed)
    notes = study.demand(sweeps(study)).notes
    limits = Limits(max_drop=max_drop, min_accuracy=min_accuracy)
    rows: list[Reach] = []
    for _, group in groupby(cells_in(study), key=lambda cell: (cell.dataset, cell.family)):
        members = list(group)
        goal = target(members, limits)
        rows += [] if goal is None else [_reach(cell, goal) for cell in members]
    return study.advised(Results(Reach, tuple(rows), notes))


def target(cells: Sequence[Cell], limits: Limits, fits: Callable[[Cell], bool] = lambda _: True) -> float | None:
    """Return the accuracy, a fraction, that a training of a scope's networks has to reach.

    The least that was asked for; else the median of the stable architecture that fits whose median is highest, minus
    what may be lost, rounded down to a tenth of a point. None where no architecture is stable and has enough
    replicates.
    """
    if limits.min_accuracy is not None:
        return limits.min_accuracy
    medians = [float(np.median(cell.observed)) for cell in cells if cell.contends and fits(cell)]
    if not medians:
        return None
    return max(floor((max(medians) - limits.max_drop + ROUNDING) / STEP) * STEP, 0.0)


def with_reach(
    judged: Sequence[Candidate],
    cells: Sequence[Cell],
    limits: Limits,
    fits: Callable[[Cell], bool] = lambda _: True,
) -> list[Candidate]:
    """Return the evidence on the `cells` of a scope, in their order, with how many trainings reach its target."""
    goal = target(cells, limits, fits)
    if goal is None:
        return list(judged)
    counts = [reaching(cell.accuracy, goal) for cell in cells]
    return [
        replace(row, reach=goal, reached=count, reach_share=reach_bound(count, row.replicates))
        for row, count in zip(judged, counts, strict=True)
    ]


def reach_in_words(goal: float, reached: int, replicates: int, share: float) -> str:
    """Return the share of all trainings that reach a target, shares rounded down: nothing is said to be larger."""
    seen = f"{reached} of {replicates} did"
    accuracy = f"{in_percent(goal)}%"
    tenths = floor(1000 * share + ROUNDING)
    if tenths == 0:
        return f"no share of trainings is shown to reach {accuracy} (95% confidence; {seen})"
    least = tenths // 10 if tenths >= 10 else tenths / 10
    return f"at least {least}% of trainings reach {accuracy} (95% confidence; {seen})"


def in_percent(goal: float) -> str:
    """Return a target in percent, with a decimal or as many as it has: `94.1`, `97.0`, `95.25`."""
    whole, decimals = f"{100 * goal:.6f}".rstrip("0").split(".")
    return f"{whole}.{decimals or '0'}"


def _reach(cell: Cell, goal: float) -> Reach:
    n = len(cell.observed)
    reached = reaching(cell.accuracy, goal)
    low, high = share_bounds(reached, n)
    return Reach(
        dataset=cell.dataset,
        family=cell.family,
        depth=cell.depth,
        capacity=cell.capacity,
        parameters=cell.parameters,
        stable=cell.stable,
        reach=goal,
        replicates=n,
        reached=reached,
        share=reached / n,
        low=low,
        high=high,
        protocol_id=cell.protocol_id,
        dataset_fingerprint=cell.dataset_fingerprint,
    )
