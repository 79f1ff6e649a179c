"""Decisions of a sequential design: which architectures are shown to be good enough, look after look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from analyze.stats.onesided import one_sided_p, resampled_shares, skewness, standard_error, studentised_by
from analyze.stats.result import LEVEL, FloatArray, IntArray
from analyze.stats.spending import FIRST_DECISION, LOOKS, nominal_levels

RESAMPLES = 19_999
"""Of bootstrap-t: early levels are small, and none below 1 in so many can be reached."""


RESERVED = 0.3
"""Part of the level of a row that passes which waits for sizes that are added between."""


@dataclass(frozen=True)
class Ladder:
    """The architectures of one sweep as rows of a table, each with its share of the sweep's level.

    Shares are fixed before a row has data, and sum to 1 at most.

    Attributes:
        rows: the sizes that it began with and those added above, the largest first.
        shares: of these.
        between: the sizes that were added between them, in the order in which they were.
        between_shares: of these.
        reserved: part of the level of a row that passes which `between` gets; the next of `rows` gets the rest.
    """

    rows: tuple[int, ...]
    shares: tuple[float, ...]
    between: tuple[int, ...] = ()
    between_shares: tuple[float, ...] = ()
    reserved: float = 0.0


@dataclass
class Verdicts:
    """What has been decided about the rows of a table.

    Attributes:
        passed: rows shown to be within the margin of every rival.
        level: the level that each row is tested at, with what was handed on to it; 0 where it is not tested.
        taken: the part of it that a size added between took from what is reserved; NaN before it has data.
        p: the largest p value against a rival not yet beaten, at the last look; NaN where there was none.
        look: replicates of the last look at which the row was tested, 0 where it was not.
        beaten: `beaten[i, j]`: row i is shown to be within the margin of row j.
    """

    passed: np.ndarray[tuple[int], np.dtype[np.bool_]]
    level: FloatArray
    taken: FloatArray
    p: FloatArray
    look: IntArray
    beaten: np.ndarray[tuple[int, int], np.dtype[np.bool_]]

    @classmethod
    def none(cls, rows: int) -> Verdicts:
        """Return the state before any look."""
        return cls(
            np.zeros(rows, dtype=np.bool_),
            np.zeros(rows),
            np.full(rows, np.nan),
            np.full(rows, np.nan),
            np.zeros(rows, dtype=np.int64),
            np.zeros((rows, rows), dtype=np.bool_),
        )


@dataclass(frozen=True)
class _Data:
    """What a step tests, as the arguments of `SequentialTest.step`."""

    accuracy: FloatArray
    held: IntArray
    floor: FloatArray
    rivals: IntArray


@dataclass
class SequentialTest:
    """Non-inferiority of each architecture to all its rivals, tested as replicates are added.

    A pair is tested at the largest planned look that both have the replicates of, once per look, each replicate paired
    with itself. An architecture passes once every pair with a rival was below its nominal level at some look:
    so whatever stops training, or chooses what is trained, can only take decisions away. Within a ladder, from the
    largest size down, each has its share of the level, and one that passes hands its level on to the next, less what is
    reserved for sizes that are added between. Such a size takes half of what is in reserve when it has its first
    replicates, and gives back all its level once it passes. So no part of the level is ever used by two sizes at once,
    and what was shown stays shown when others join.

    The p value of a pair is the largest of t, Hall's transformation and bootstrap-t, whose samples are drawn once for
    each number of replicates: the same data have the same p value whenever they are looked at.

    Source: intersection-union as in Berger (1982), Technometrics 24, 295-300; fallback as in Wiens and Dmitrienko
    (2005), J. Biopharm. Stat. 15, 929-942; group-sequential tests of several hypotheses as in Maurer and Bretz (2013),
    Statistics in Biopharmaceutical Research 5, 311-320.
    """

    margin: float
    looks: tuple[int, ...] = LOOKS
    level: float = LEVEL
    seed: int = 0

    def step(
        self,
        verdicts: Verdicts,
        accuracy: FloatArray,
        held: IntArray,
        ladders: Sequence[Ladder],
        floor: FloatArray,
        rivals: IntArray | None = None,
    ) -> None:
        """Test once more, with what there is now, and bring the verdicts up to date.

        Args:
            verdicts: what is known so far; changed in place.
            accuracy: fractions, shape (rows, replicates); of row i the first `held[i]` columns are used.
            held: replicates 0 to n - 1 that each row has, shape (rows,).
            ladders: the rows that contend, by sweep; each sweep has the same part of `level`.
            floor: an accuracy that each row has to exceed too, shape (rows,); -inf where there is none.
            rivals: the rows that each is measured against; None: all that contend.
        """
        if rivals is None:
            rivals = np.array(sorted(row for ladder in ladders for row in ladder.rows), dtype=np.int64)
        verdicts.level[:] = 0.0
        data = _Data(accuracy, held, floor, rivals)
        for ladder in ladders:
            part = self.level / len(ladders)
            reserve = handed_on = 0.0
            for row, share in zip(ladder.rows, ladder.shares, strict=True):
                level = part * share + handed_on
                passed = self._passes(verdicts, row, level, data)
                handed_on = (1 - ladder.reserved) * level * passed
                reserve += ladder.reserved * level * passed
            self._step_between(verdicts, ladder, part, reserve, data)

    def _step_between(self, verdicts: Verdicts, ladder: Ladder, part: float, reserve: float, data: _Data) -> None:
        """Test the sizes that were added between; those with no data yet leave the reserve alone."""
        for row, share in zip(ladder.between, ladder.between_shares, strict=True):
            if not np.isnan(verdicts.taken[row]):
                reserve += part * share if verdicts.passed[row] else -verdicts.taken[row]
        for row, share in zip(ladder.between, ladder.between_shares, strict=True):
            if not data.held[row]:
                continue
            if np.isnan(verdicts.taken[row]):
                verdicts.taken[row] = reserve / 2
                reserve /= 2
            before = verdicts.passed[row]
            level = part * share + verdicts.taken[row]
            if self._passes(verdicts, row, level, data) and not before:
                reserve += level

    def _passes(self, verdicts: Verdicts, row: int, level: float, data: _Data) -> bool:
        """Test a row at a level, unless it passed before; return whether it has passed."""
        verdicts.level[row] = level
        if not verdicts.passed[row]:
            self._test(verdicts, row, level, data)
        return bool(verdicts.passed[row])

    def _test(self, verdicts: Verdicts, row: int, level: float, data: _Data) -> None:
        accuracy, held, floor = data.accuracy, data.held, float(data.floor[row])
        nominal = dict(zip(self.looks, nominal_levels(level, self.looks), strict=True))
        open_rivals = [int(other) for other in data.rivals if other != row and not verdicts.beaten[row, other]]
        own = self._look(int(held[row]))
        worst, whole = 0.0, own >= FIRST_DECISION or own == self.looks[-1]
        for look in sorted({self._look(int(min(held[row], held[other]))) for other in open_rivals}):
            together = [other for other in open_rivals if self._look(int(min(held[row], held[other]))) == look]
            if nominal.get(look, 0.0) == 0.0:
                whole = False
                continue
            p = self._p(row, together, accuracy, look, nominal[look])
            verdicts.look[row] = look
            for other, value in zip(together, p, strict=True):
                verdicts.beaten[row, other] = value <= nominal[look]
                whole = whole and bool(verdicts.beaten[row, other])
                worst = max(worst, float(value))
        if floor > -np.inf and whole:
            losses = floor - accuracy[row, :own][:, None]
            p_floor = float(self._p_of(losses, 0.0, nominal[own])[0])
            worst, whole = max(worst, p_floor), p_floor <= nominal[own]
        verdicts.p[row] = worst if open_rivals or floor > -np.inf else verdicts.p[row]
        verdicts.passed[row] = whole and level > 0

    def _look(self, held: int) -> int:
        """Return the last planned look that so many replicates allow, 0 before the first."""
        return max((n for n in self.looks if n <= held), default=0)

    def _p(self, row: int, rivals: Sequence[int], accuracy: FloatArray, look: int, level: float) -> FloatArray:
        losses = (accuracy[list(rivals), :look] - accuracy[row, :look]).T
        return self._p_of(losses, self.margin, level)

    def _p_of(self, losses: FloatArray, margin: float, level: float) -> FloatArray:
        """Return the p value of each column of paired losses, shape (replicates, columns)."""
        n = len(losses)
        t = (losses.mean(axis=0) - margin) / standard_error(losses)
        p = one_sided_p(t, skewness(losses) / np.sqrt(n), n - 1)
        for column in np.flatnonzero(p <= level):
            p[column] = max(p[column], _bootstrap_p(losses[:, column].tobytes(), float(t[column]), n, self.seed))
        return p


@lru_cache(maxsize=100_000)
def _bootstrap_p(losses: bytes, t: float, n: int, seed: int) -> float:
    """Return the share of samples that are as extreme; remembered, for every look and scope repeats those before it."""
    column = np.frombuffer(losses)[:, None]
    below = int((studentised_by(column, _samples(n, seed)) <= t).sum())
    return (1 + below) / (1 + RESAMPLES)


@lru_cache(maxsize=16)
def _samples(n: int, seed: int) -> FloatArray:
    return resampled_shares(n, RESAMPLES, rng=np.random.default_rng([seed, n]))
