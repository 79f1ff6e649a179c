"""What a sequential design needs next: the replicates, or the sizes, that its open questions wait for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isclose, sqrt

import numpy as np
from scipy.special import ndtr, ndtri

from analyze.questions.candidates import Cell, cells_of
from analyze.questions.designs import Planned, held
from analyze.questions.regimes import Regime
from analyze.questions.sequential import Decided, decide, place
from analyze.stats.gaps import alive
from analyze.stats.result import FLOOR
from analyze.stats.spending import FIRST_DECISION
from analyze.study import ArchitectureKey
from analyze.sweeps import Sweep
from store.costs import Costs
from store.designs import Added, Ladder, LookSpec, Place, added_share
from store.families import family_facts
from store.words import counted

HOPELESS = 0.1
"""Conditional power below which an architecture gets no more replicates: it stays undecided, not called worse."""
MOST_ADDED = 6
"""Sizes that may join a sweep above its ladder, and as many between."""


@dataclass(frozen=True)
class Next:
    """The next look of a design.

    Attributes:
        done: nothing is left to ask.
        look: what is to be stored before anything of it is trained.
        number: of that look.
        answers: the smallest architecture shown to be good enough by scope, None where there is none.
        undecided: why a scope has no answer, or may have a smaller one, by scope.
        quantize: replicates to train in 8 bits at the end of a search, of the architectures that may be chosen.
        notes: what else is known so far, in words.
    """

    done: bool
    look: LookSpec
    number: int
    answers: Mapping[str, Place | None]
    undecided: Mapping[str, str]
    quantize: Mapping[Place, int]
    notes: tuple[str, ...] = ()


@dataclass
class _Wanted:
    """Replicates asked for so far, sizes that are to join, and the question that they are for."""

    counts: dict[Place, int] = field(default_factory=dict)
    added: list[Added] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)

    def ask(self, where: Place, replicates: int) -> None:
        self.counts[where] = max(self.counts.get(where, 0), replicates)

    def __bool__(self) -> bool:
        return bool(self.counts)


def plan_next(
    planned: Planned,
    found: Sequence[Sweep],
    stability: Sequence[Regime],
    *,
    seed: int,
    costs: Callable[[ArchitectureKey], Costs | None] = lambda _: None,
) -> Next:
    """Return what a design needs next, given its sweeps and their stability boundaries, and what networks cost."""
    cells = [replace(cell, costs=costs(cell.key)) for cell in cells_of(found, stability)]
    return _Search(planned, found, cells, stability, seed).next()


class _Search:
    """One look at the data of a design."""

    def __init__(
        self,
        planned: Planned,
        found: Sequence[Sweep],
        cells: Sequence[Cell],
        stability: Sequence[Regime],
        seed: int,
    ) -> None:
        self.planned, self.spec, self.seed = planned, planned.spec, seed
        self.chance = found[0].chance if found else 0.0
        self.shares = planned.shares
        self.cells = [cell for cell in cells if place(cell) in self.shares]
        self.at = {place(cell): cell for cell in self.cells}
        self.count = {where: held(self.at[where].accuracy) if where in self.at else 0 for where in self.shares}
        self.stability = {(row.family, row.depth): row for row in stability}
        self.fixed = self.spec.resolution is None
        self.wanted = _Wanted()
        families = list(dict.fromkeys(ladder.family for ladder in self.spec.ladders))
        self.scopes = {family: [family] for family in families}
        if len(families) > 1:
            self.scopes["all"] = families

    def next(self) -> Next:
        """Return the next look."""
        self._begin()
        if not self.wanted:
            self._settle_stability()
        waiting = bool(self.wanted)
        answers: dict[str, Place | None] = dict.fromkeys(self.scopes)
        undecided: dict[str, str] = {}
        chosen: set[Place] = set()
        for scope, families in self.scopes.items():
            members = [cell for cell in self.cells if cell.family in families]
            decided = decide(self.planned, members, seed=self.seed)
            best = self._best(decided)
            answers[scope] = place(best) if best else None
            before = len(self.wanted.questions)
            if not waiting:
                self._ask(scope, families, decided, best)
            if best:
                chosen.add(place(best))
            if waiting:
                undecided[scope] = self.wanted.questions[0]
            elif len(self.wanted.questions) > before:
                undecided[scope] = self.wanted.questions[-1]
            elif best is None:
                undecided[scope] = self._why_none(families)
        if self.fixed and not waiting:
            self._locate()
        look = LookSpec(
            held={where: n for where, n in self.count.items() if n},
            asked=self.wanted.counts,
            added=tuple(self.wanted.added),
            question=self.wanted.questions[0] if self.wanted.questions else "",
        )
        quantize = {where: max(FIRST_DECISION, self.count[where]) for where in sorted(chosen)}
        if self.wanted or self.fixed:
            quantize = {}
        return Next(not self.wanted, look, len(self.planned.looks), answers, undecided, quantize)

    # What every search begins with.

    def _begin(self) -> None:
        """Ask for the replicates of the first look, and for those that an earlier look asked for in vain."""
        first = self.spec.looks[0]
        for where, n in self.count.items():
            if n < first:
                self.wanted.ask(where, first)
        for look in self.planned.looks[-1:]:
            for where, n in look.asked.items():
                if self.count.get(where, 0) < n:
                    self.wanted.ask(where, n)
        if self.wanted:
            self.wanted.questions.append("which sizes learn at all?")

    def _settle_stability(self) -> None:
        """Ask for replicates of whole sweeps whose boundary is open, and for sizes above those that are not enough."""
        for ladder in self.spec.ladders:
            sweep = self._sweep(ladder.family, ladder.depth)
            row = self.stability.get((ladder.family, ladder.depth))
            name = f"{ladder.family}, {family_facts(ladder.family).depth(ladder.depth)}"
            decision = next(n for n in self.spec.looks if n >= min(FIRST_DECISION, self.spec.looks[-1]))
            fewest = min(self.count[where] for where in sweep)
            if fewest < decision:
                for where in sweep:
                    if self.count[where] < decision:
                        self.wanted.ask(where, decision)
                self.wanted.questions.append(f"{name}: from which size on is training stable?")
            elif row is not None and row.status == "not_reached":
                self._reach(name, sweep, fewest)
            elif self.fixed or row is None:
                continue
            elif row.status in ("detected", "gradual", "all_stable") and self._improves(sweep):
                self._add_above(sweep, f"{name}: is a size above {sweep[-1].capacity} better still?")

    def _reach(self, name: str, sweep: Sequence[Place], fewest: int) -> None:
        """Ask for what may show a boundary that was not reached: larger sizes where the largest is poor, else more."""
        largest = self.at.get(sweep[-1])
        steady = largest is not None and not largest.failures and float(largest.observed.std(ddof=1)) < 0.02
        following = self._following(fewest)
        if steady and following:
            for where in sweep:
                self.wanted.ask(where, following)
            self.wanted.questions.append(f"{name}: from which size on is training stable?")
        elif not steady and not self.fixed:
            self._add_above(sweep, f"{name}: is training stable above size {sweep[-1].capacity}?")

    def _improves(self, sweep: Sequence[Place]) -> bool:
        """Return whether the largest size is better than the one before by half of what may be lost."""
        if len(sweep) < 2 or any(where not in self.at for where in sweep[-2:]):
            return False
        before, last = (float(self.at[where].observed.mean()) for where in sweep[-2:])
        return last - before > self.spec.max_drop / 2

    def _add_above(self, sweep: Sequence[Place], question: str) -> None:
        largest = sweep[-1]
        ladder = self._ladder(largest)
        earlier = sum(where.capacity > ladder.capacities[-1] for where in sweep)
        if earlier >= MOST_ADDED:
            return
        above = Place(largest.family, largest.depth, 2 * largest.capacity)
        if not self.spec.allows(above):
            return
        self._add(above, added_share(earlier), FIRST_DECISION)
        self.wanted.questions.append(question)

    def _locate(self) -> None:
        """Ask for replicates where a boundary's interval is wider than a size, and where some trainings die."""
        for ladder in self.spec.ladders:
            sweep = self._sweep(ladder.family, ladder.depth)
            name = f"{ladder.family}, {family_facts(ladder.family).depth(ladder.depth)}"
            row = self.stability.get((ladder.family, ladder.depth))
            if row is not None and row.ci_low is not None and row.ci_high is not None and row.ci_low < row.ci_high:
                below = [where for where in sweep if where.capacity < row.ci_low]
                above = [where for where in sweep if where.capacity > row.ci_high]
                if self._further([*below[-1:], *sweep[len(below) : len(sweep) - len(above)], *above[:1]]):
                    self.wanted.questions.append(
                        f"{name}: where between sizes {row.ci_low} and {row.ci_high} does training become stable?"
                    )
            mixed = [where for where in sweep if self._mixed(where)]
            if self._further(mixed):
                sizes = ", ".join(str(where.capacity) for where in mixed)
                self.wanted.questions.append(f"{name}: how often does training fail at size {sizes}?")

    def _mixed(self, where: Place) -> bool:
        """Return whether some trainings of an architecture died and others learned."""
        living = alive(self.at[where].observed, self.chance)
        return bool(living.any() and not living.all())

    def _further(self, places: Sequence[Place]) -> bool:
        """Ask for the next look of each of these places; return whether any has one."""
        found = False
        for where in places:
            following = self._following(self.count[where])
            if following is not None:
                self.wanted.ask(where, following)
                found = True
        return found

    # What is asked of one scope.

    def _ask(self, scope: str, families: Sequence[str], decided: Decided, best: Cell | None) -> None:
        """Ask for replicates of the architectures that may be the answer, or for sizes below it."""
        promising = [row for row in range(len(decided.cells)) if self._promising(decided, row, best)]
        asked = [row for row in promising if self._more(decided, row)]
        if asked:
            smallest = min((decided.cells[row] for row in asked), key=self._takes)
            where = "the best" if scope == "all" else f"the best {family_facts(scope).title}"
            self.wanted.questions.append(
                f"is {_named(smallest)} within {points(self.spec.max_drop)} of {where}?"
                + (f" ({counted(len(asked) - 1, 'larger one')} too)" if len(asked) > 1 else "")
            )
        elif best is not None and self.spec.resolution is not None:
            self._refine(families, decided, best, self.spec.resolution)

    def _promising(self, decided: Decided, row: int, best: Cell | None) -> bool:
        """Return whether an architecture may yet be shown to be good enough, and would be a smaller answer."""
        cell = decided.cells[row]
        if decided.verdicts.passed[row] or (best is not None and self._takes(cell) >= self._takes(best)):
            return False
        return self._conditional_power(decided, row) >= HOPELESS

    def _conditional_power(self, decided: Decided, row: int) -> float:
        """Return the probability that the last look shows the row to be good enough, if its differences are as seen."""
        cell = decided.cells[row]
        own = self.spec.level * self.shares[place(cell)] / len(self.spec.ladders)
        level = float(decided.verdicts.level[row]) or own
        critical = -ndtri(level)
        power = 1.0
        for other in decided.rivals:
            if other == row or decided.verdicts.beaten[row, other]:
                continue
            rival = decided.cells[other]
            differences = rival.accuracy - cell.accuracy
            differences = differences[~np.isnan(differences)]
            if len(differences) < 2:
                continue
            error = sqrt((float(differences.var(ddof=1)) + FLOOR**2) / self.spec.looks[-1])
            room = self.spec.max_drop - float(differences.mean())
            power = min(power, float(ndtr(room / error - critical)))
        return power

    def _more(self, decided: Decided, row: int) -> bool:
        """Ask for the next look of a row and of the rivals that it has not beaten; return whether there is one."""
        cell = decided.cells[row]
        unbeaten = [other for other in decided.rivals if other != row and not decided.verdicts.beaten[row, other]]
        rivals = [place(decided.cells[other]) for other in unbeaten]
        fewest = min([self.count[place(cell)], *(self.count[rival] for rival in rivals)])
        following = self._following(fewest)
        if following is None:
            return False
        for where in (place(cell), *rivals):
            if self.count[where] < following:
                self.wanted.ask(where, following)
        return True

    def _refine(self, families: Sequence[str], decided: Decided, best: Cell, resolution: float) -> None:
        """Add a size between the smallest that passed in a sweep and the next below, where it may be the answer."""
        passed = {place(cell) for row, cell in enumerate(decided.cells) if decided.verdicts.passed[row]}
        for family, depth in self.planned.sweeps(families):
            sweep = self._sweep(family, depth)
            shown = [where for where in sweep if where in passed]
            if not shown:
                continue
            first = shown[0]
            below = [where for where in sweep if where.capacity < first.capacity]
            ladder = self._ladder(first)
            low = below[-1] if below else Place(family, depth, 0)
            between = sum(where.capacity not in ladder.capacities for where in sweep if where < sweep[-1])
            if first.capacity - low.capacity < 2 or between >= MOST_ADDED:
                continue
            above, under = self.at[first], self.at.get(low)
            smallest = self._takes(under) if under else 0
            if smallest >= self._takes(best) or self._takes(above) <= (1 + resolution) * smallest:
                continue
            middle = max(low.capacity + 1, min(first.capacity - 1, round(sqrt(max(low.capacity, 1) * first.capacity))))
            self._add(Place(family, depth, middle), added_share(between), self._beginning(first))
            self.wanted.questions.append(
                f"{family}, {family_facts(family).depth(depth)}: is size {middle}, below {first.capacity}, enough?"
            )

    def _beginning(self, first: Place) -> int:
        """Return the replicates that a size below one that passed begins with: few, for it may be hopeless."""
        return min(self.count[first], self._following(FIRST_DECISION) or self.spec.looks[-1])

    def _add(self, where: Place, share: float, replicates: int) -> None:
        if where not in self.shares:
            self.wanted.added.append(Added(where, share))
        self.wanted.ask(where, replicates)

    # What is known.

    def _best(self, decided: Decided) -> Cell | None:
        """Return the smallest architecture that passed."""
        passed = [cell for row, cell in enumerate(decided.cells) if decided.verdicts.passed[row]]
        return min(passed, key=self._takes, default=None)

    def _takes(self, cell: Cell) -> float:
        """Return what a network takes of what is to be small."""
        return cell.takes(self.spec.by)

    def _following(self, replicates: int) -> int | None:
        return following(self.spec.looks, replicates)

    def _sweep(self, family: str, depth: int) -> list[Place]:
        """Return all places of a sweep, by size."""
        return sorted(where for where in self.shares if (where.family, where.depth) == (family, depth))

    def _ladder(self, where: Place) -> Ladder:
        return next(one for one in self.spec.ladders if (one.family, one.depth) == (where.family, where.depth))

    def _why_none(self, families: Sequence[str]) -> str:
        """Return why no architecture of these families is an answer."""
        stable = [cell for cell in self.cells if cell.family in families and cell.stable]
        if not stable:
            return "no size is stable"
        return "no stable size is shown to be good enough within the planned replicates"


def _named(cell: Cell) -> str:
    return f"{family_facts(cell.family).title} {family_facts(cell.family).sized(cell.depth, cell.capacity)}"


def following(looks: Sequence[int], replicates: int) -> int | None:
    """Return the next planned look that may decide after so many replicates, None after the last."""
    return min((n for n in looks if n > replicates and n >= min(FIRST_DECISION, looks[-1])), default=None)


def points(margin: float) -> str:
    """Return a margin in words."""
    return "1 point" if isclose(margin, 0.01) else f"{100 * margin:g} points"
