"""The best guess beside what is proven: the smallest architecture that looks good enough, and what would prove it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from analyze.questions.budget import Limits
from analyze.questions.candidates import Candidate, Cell, weights
from analyze.questions.forms import Measured
from analyze.stats.onesided import RESAMPLES
from analyze.stats.onesided_power import one_sided_power
from analyze.stats.result import FLOOR, LEVEL, FloatArray
from analyze.stats.sample_size import POWER, least
from analyze.study import ArchitectureKey
from analyze.texts import Command, joined, phrase
from store.families import family_facts

MIN_TO_PROVE = 10
"""Replicates below which nothing is promised: five of them seldom reach the levels that the tests are held to."""
MOST_TO_PROVE = 100
"""Beyond this many replicates a larger architecture, sooner proven, is the better guess."""


@dataclass(frozen=True, kw_only=True)
class Guess:
    """An architecture that is estimated, not shown, to be good enough.

    `replicates` of everything it is compared with would prove it with 80% probability, if the estimates hold (None:
    1000 would not); of those, `trainings` are missing, and take about `seconds` on the `cores` of this machine.
    `last_look` is the most replicates that a sequential design trains, None without one; `command` goes on with it.
    `form` is the one that a budget asks for; that it is safe is estimated too.
    """

    candidate: Candidate
    replicates: int | None
    trainings: int
    seconds: float
    cores: int
    command: str | None
    last_look: int | None = None
    form: Measured | None = None


@dataclass(frozen=True)
class Odds:
    """Differences seen between architectures, of shape (architectures, architectures): theirs minus the row's.

    `slack` is by how much each exceeds the accuracy asked for, with its standard deviation `spread`.
    """

    drops: FloatArray
    sds: FloatArray
    slack: FloatArray
    spread: FloatArray

    def power(self, one: int, n: int, level: float, margin: float) -> float:
        """Return the probability that n replicates show row `one` to be good enough, at a one-sided level.

        That all its tests reject, as if they were independent: they go together, so it is rather more.
        """
        if level < 1 / (1 + RESAMPLES):
            return 0.0  # No bootstrap p value is as small as that.
        rivals = np.arange(len(self.drops)) != one
        room = np.append(margin - self.drops[one, rivals], self.slack[one])
        sd = np.append(self.sds[one, rivals], self.spread[one])
        shift = room * np.sqrt(n) / np.sqrt(sd**2 + FLOOR**2)
        return float(np.prod(one_sided_power(shift, n, level)))


def best_guess(
    judged: Sequence[Candidate],
    cells: Sequence[Cell],
    limits: Limits,
    proven: float,
    seconds: Mapping[ArchitectureKey, float],
    takes: Callable[[Candidate], float],
    *,
    fits: Callable[[Cell], bool] = lambda _: True,
) -> Guess | None:
    """Return the smallest architecture estimated to be good enough that 100 replicates would show to be so.

    It takes less than the one that is proven. Where none would be shown by so many, the one that takes the fewest.

    Args:
        judged: The evidence on the `cells` of one scope, in their order.
        cells: The architectures.
        limits: What is asked for.
        proven: What the network takes that is recommended; infinity without one.
        seconds: Mean time of a training, by architecture.
        takes: What a candidate takes of what is to be small; infinity where it does not satisfy what is no matter of
            accuracy.
        fits: Whether an architecture is a rival.
    """
    contenders = [cell for cell in cells if cell.contends and fits(cell)]
    among = set(map(id, contenders))
    tested = [
        (row, cell) for row, cell in zip(judged, cells, strict=True) if id(cell) in among and row.p_value is not None
    ]
    looks_good = [
        (row, cell)
        for row, cell in tested
        if (row.drop is None or row.drop < limits.max_drop)
        and (limits.min_accuracy is None or row.mean > limits.min_accuracy)
        and row.verdict == "not shown"
        and takes(row) < proven
    ]
    if not looks_good:
        return None
    chances = _Chances(contenders, [cell for _, cell in tested], limits)
    found: list[tuple[Candidate, int | None]] = []
    for row, cell in sorted(looks_good, key=lambda item: takes(item[0])):
        needed = chances.needed(cell, MOST_TO_PROVE)
        if needed is not None:
            return _guess(row, needed, contenders, seconds)
        found.append((row, chances.needed(cell)))
    row, needed = min(found, key=lambda item: item[1] or np.inf)
    return _guess(row, needed, contenders, seconds)


class _Chances:
    """How likely each architecture is to pass with more replicates, by the procedure of `judge`."""

    def __init__(self, contenders: Sequence[Cell], fits: Sequence[Cell], limits: Limits) -> None:
        self.limits = limits
        self.shared = min(len(cell.observed) for cell in contenders)
        self.odds = odds(contenders, limits.min_accuracy)
        place = {id(cell): index for index, cell in enumerate(contenders)}
        sweeps = [list(group)[::-1] for _, group in groupby(fits, key=lambda cell: (cell.family, cell.depth))]
        self.sweeps = [[place[id(cell)] for cell in sweep] for sweep in sweeps]
        self.at = {id(cell): (s, i) for s, sweep in enumerate(sweeps) for i, cell in enumerate(sweep)}

    def chance(self, cell: Cell, n: int) -> float:
        """Return the probability that an architecture passes with n replicates of all.

        A larger size of its sweep that passes hands its level on: every such run of sizes counts with its probability.
        """
        sweep, place = self.at[id(cell)]
        rows = self.sweeps[sweep][: place + 1]
        handed_on, passed = {0.0: 1.0}, 0.0
        for row, share in zip(rows, weights(len(self.sweeps[sweep]), len(self.sweeps)), strict=False):
            after, passed = {0.0: 0.0}, 0.0
            for handed, probability in handed_on.items():
                level = LEVEL * share + handed
                power = probability * self.odds.power(row, n, level, self.limits.max_drop)
                after[level] = power
                after[0.0] += probability - power
                passed += power
            handed_on = after
        return passed

    def needed(self, cell: Cell, most: int | None = None) -> int | None:
        """Return the replicates with which it passes in 80%, None if `most` (1000) are not enough."""
        if most is not None and self.chance(cell, most) < POWER:
            return None
        found = least(lambda n: self.chance(cell, n) >= POWER)
        # With as many as all have, it was tested and has not passed.
        return None if found is None else max(found, MIN_TO_PROVE, self.shared + 1)


def odds(contenders: Sequence[Cell], min_accuracy: float | None) -> Odds:
    """Return the differences seen between architectures, over the replicates that both have."""
    accuracy = np.array([cell.accuracy for cell in contenders])
    differences = accuracy[None] - accuracy[:, None]
    n = np.sum(~np.isnan(differences), axis=-1)
    mean = np.nansum(differences, axis=-1) / np.maximum(n, 1)
    squares = np.nansum((differences - mean[..., None]) ** 2, axis=-1)
    # Two that share no two replicates were never compared: nothing is known, so nothing is promised.
    sds = np.where(n > 1, np.sqrt(squares / np.maximum(n - 1, 1)), np.inf)
    slack = np.full(len(contenders), np.inf)
    if min_accuracy is not None:
        slack = np.array([cell.observed.mean() for cell in contenders]) - min_accuracy
    return Odds(mean, sds, slack, np.array([cell.observed.std(ddof=1) for cell in contenders]))


def _guess(
    row: Candidate, replicates: int | None, contenders: Sequence[Cell], seconds: Mapping[ArchitectureKey, float]
) -> Guess:
    lacking = [(cell, replicates - len(cell.observed)) for cell in contenders] if replicates else []
    lacking = [(cell, missing) for cell, missing in lacking if missing > 0]
    # A replicate is the least that a worker takes.
    cores = min(len(os.sched_getaffinity(0)), max((missing for _, missing in lacking), default=1))
    work = sum(missing * seconds.get(cell.key, 0.0) for cell, missing in lacking)
    return Guess(
        candidate=row,
        replicates=replicates,
        trainings=sum(missing for _, missing in lacking),
        seconds=work / cores,
        cores=cores,
        command=more_replicates([cell for cell, _ in lacking], replicates) if replicates else None,
    )


def more_replicates(cells: Sequence[Cell | Candidate], repeats: int) -> str:
    """Return the command that adds replicates to these architectures: a line per family and set of sizes."""
    lines = []
    for (dataset, family), members in groupby(cells, key=lambda cell: (cell.dataset, cell.family)):
        depths: dict[tuple[int, ...], list[int]] = {}
        for depth, group in groupby(members, key=lambda cell: cell.depth):
            depths.setdefault(tuple(cell.capacity for cell in group), []).append(depth)
        for sizes, at in depths.items():
            named = tuple(at) if family_facts(family).layered else ()
            command = Command("convergence", (dataset,), (family,), capacities=sizes, depths=named, repeats=repeats)
            lines.append(phrase(command))
    return joined(lines, " && ")


def within_design(guess: Guess, looks: Sequence[int]) -> Guess:
    """Return a guess as a sequential design has it, which alone may add replicates; `looks` are those it plans."""
    return replace(guess, command=continued([guess.candidate], looks), last_look=looks[-1])


def continued(open_to: Sequence[Candidate], looks: Sequence[int]) -> str | None:
    """Return the command that goes on with a design, None where all of these have all replicates that it plans."""
    return phrase(Command("search")) if any(row.replicates < looks[-1] for row in open_to) else None
