"""What a sequential design decides about architectures: the evidence of `candidates`, tested look by look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analyze.questions.budget import Limits
from analyze.questions.candidates import Candidate, Cell, drop, evidence_on, tested_skewness, why_not_tested
from analyze.questions.designs import Planned, held
from analyze.stats.result import MIN_REPLICATES, IntArray
from analyze.stats.sequential import RESERVED, Ladder, SequentialTest, Verdicts
from analyze.stats.spending import nominal_levels
from store.designs import Place


def place(cell: Cell | Candidate) -> Place:
    """Return where an architecture stands in a design."""
    return Place(cell.family, cell.depth, cell.capacity)


def judge_by_design(
    planned: Planned,
    cells: Sequence[Cell],
    scope: str,
    limits: Limits,
    *,
    seed: int,
    fits: Callable[[Cell], bool] = lambda _: True,
) -> list[Candidate]:
    """Return the evidence on all architectures of one dataset and scope, those that pass marked `qualifies`.

    As `candidates.judge`, but the level is spent over the looks of the design, and its architectures alone compete.
    """
    decided = decide(planned, cells, seed=seed, fits=fits)
    intervals = sum(map(fits, decided.cells))
    row_of = {id(cell): row for row, cell in enumerate(decided.cells)}
    contenders = [cell for cell in decided.cells if len(cell.observed) >= MIN_REPLICATES and fits(cell)]
    found = []
    for cell in cells:
        row = row_of.get(id(cell))
        if row is None or not fits(cell) or len(cell.observed) < MIN_REPLICATES:
            verdict = "not in the design" if cell.contends and fits(cell) and row is None else why_not_tested(cell)
            found.append(evidence_on(cell, scope, verdict, None))
            continue
        verdicts = decided.verdicts
        level = repeated_level(planned, held(cell.accuracy), intervals)
        evidence = evidence_on(cell, scope, "qualifies" if verdicts.passed[row] else "not shown", level)
        p, own, look = float(verdicts.p[row]), float(verdicts.level[row]), int(verdicts.look[row])
        nominal = dict(zip(planned.spec.looks, nominal_levels(own, planned.spec.looks), strict=True)) if own else {}
        found.append(
            replace(
                evidence,
                drop=drop(cell, contenders),
                p_value=1.0 if np.isnan(p) else p,
                level=own,
                nominal_level=nominal.get(look, own),
                look=look or None,
                skewness=tested_skewness(cell, contenders, limits),
            )
        )
    return found


@dataclass(frozen=True)
class Decided:
    """What a design says of the architectures of one scope, and of which: row i of the verdicts is `cells[i]`.

    `rivals` are the rows that all are measured against.
    """

    cells: tuple[Cell, ...]
    verdicts: Verdicts
    rivals: IntArray


def decide(
    planned: Planned, cells: Sequence[Cell], *, seed: int, fits: Callable[[Cell], bool] = lambda _: True
) -> Decided:
    """Return what a design says of the stable architectures of one scope: all its looks once more, and the data of now.

    Every look is repeated on the replicates that it saw; what it decided stays decided. Those that do not fit are
    neither tested nor rivals: the share of the level that one of them has is the next smaller one's that does.
    """
    shares = planned.shares
    members = [cell for cell in cells if cell.stable and place(cell) in shares and held(cell.accuracy)]
    last = planned.spec.looks[-1]
    now = np.array([min(held(cell.accuracy), last) for cell in members], dtype=np.int64)
    accuracy = np.array([cell.accuracy for cell in members])
    ladders = []
    for family, depth in planned.sweeps(sorted({cell.family for cell in cells})):
        row_of = {
            place(cell): row
            for row, cell in enumerate(members)
            if (cell.family, cell.depth) == (family, depth) and fits(cell)
        }
        between = [where for where in shares if where in row_of and planned.between(where)]
        others = sorted((where for where in row_of if where not in between), reverse=True)
        unfit = [place(cell) for cell in members if (cell.family, cell.depth) == (family, depth) and not fits(cell)]
        handed = dict.fromkeys(others, 0.0)
        for where in (where for where in unfit if not planned.between(where)):
            smaller = next((other for other in others if other < where), None)
            if smaller is not None:
                handed[smaller] += shares[where]
        ladders.append(
            Ladder(
                rows=tuple(row_of[where] for where in others),
                shares=tuple(shares[where] + handed[where] for where in others),
                between=tuple(row_of[where] for where in between),
                between_shares=tuple(shares[where] for where in between),
                reserved=0.0 if planned.spec.resolution is None else RESERVED,
            )
        )
    floor = np.full(len(members), -np.inf if planned.spec.min_accuracy is None else planned.spec.min_accuracy)
    test = SequentialTest(
        margin=planned.spec.max_drop,
        looks=planned.spec.looks,
        level=planned.spec.level,
        seed=seed,
    )
    verdicts = Verdicts.none(len(members))
    seen = [np.array([look.held.get(place(cell), 0) for cell in members], dtype=np.int64) for look in planned.looks]
    against = [row for row, cell in enumerate(members) if fits(cell) and not planned.between(place(cell))]
    rivals = np.array(against, dtype=np.int64)
    before = np.zeros(len(members), dtype=np.int64)
    for counts in [*(np.minimum(then, now) for then in seen), now]:
        if (counts != before).any():
            test.step(verdicts, accuracy, counts, ladders, floor, rivals)
        before = counts
    return Decided(tuple(members), verdicts, rivals)


def repeated_level(planned: Planned, n: int, intervals: int) -> float | None:
    """Return the level of an interval after n replicates, such that it covers at every look; None before the first.

    Repeated confidence intervals, two-sided, Bonferroni over as many as there are.

    Source: Jennison and Turnbull (1989), JRSS B 51, 305-361.
    """
    spent = nominal_levels(planned.spec.level / 2 / max(intervals, 1), planned.spec.looks)
    look = max((at for at, replicates in enumerate(planned.spec.looks) if replicates <= n), default=None)
    return None if look is None or not spent[look] else 1 - 2 * spent[look]
