"""The sequential designs in a store, and the looks that were taken at their data."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

from analyze.stats.result import LEVEL, MIN_REPLICATES, FloatArray
from analyze.stats.spending import nominal_levels
from analyze.study import Study, SweepKey, once
from store.designs import DesignSpec, LookSpec, Place, Trained, read_design, read_look

DESIGNS = "SELECT design_id, spec FROM designs ORDER BY created_at DESC, design_id"
LOOKS = "SELECT design_id, number, spec FROM looks ORDER BY design_id, number"


@dataclass(frozen=True)
class Planned:
    """A design, and the looks that were taken at its data so far, in order."""

    design_id: str
    spec: DesignSpec
    looks: tuple[LookSpec, ...]

    @property
    def shares(self) -> dict[Place, float]:
        """Every architecture of the design with its share of its sweep's level."""
        shares = {
            Place(ladder.family, ladder.depth, capacity): share
            for ladder in self.spec.ladders
            for capacity, share in zip(ladder.capacities, ladder.shares, strict=True)
        }
        for look in self.looks:
            for added in look.added:
                shares.setdefault(added.place, added.share)
        return shares

    def between(self, where: Place) -> bool:
        """Return whether a size joined between those that were there: it is measured against them, not they against it.

        So that what was shown stays shown while the search goes on below it.
        """
        for ladder in self.spec.ladders:
            if (ladder.family, ladder.depth) == (where.family, where.depth):
                return where.capacity not in ladder.capacities and where.capacity < ladder.capacities[-1]
        return False

    def sweeps(self, families: Collection[str]) -> list[tuple[str, int]]:
        """Return family and depth of the sweeps that it searches among these families."""
        return [(ladder.family, ladder.depth) for ladder in self.spec.ladders if ladder.family in families]

    @property
    def runs(self) -> str:
        """The condition, in SQL, on runs of its data and protocols."""
        protocols = ", ".join(f"'{protocol}'" for protocol in sorted(set(self.spec.protocols.values())))
        return f"dataset_fingerprint = '{self.spec.fingerprint}' AND protocol_id IN ({protocols})"

    def covers(self, sweep: SweepKey, *phases: Trained) -> bool:
        """Return whether it trains a sweep: in one of these phases, or in 32 bits at all where none is named."""
        return (
            sweep.dataset_fingerprint == self.spec.fingerprint
            and self.spec.protocols.get(sweep.family) == sweep.protocol_id
            and (sweep.family, sweep.depth) in self.sweeps((sweep.family,))
            and not set(phases or ("shapes", "convergence")).isdisjoint(self.spec.phases)
        )


@once
def designs(study: Study) -> tuple[Planned, ...]:
    """Return the designs of a study, the newest first."""
    looks: dict[str, list[LookSpec]] = {}
    for row in study.query(LOOKS).iter_rows(named=True):
        looks.setdefault(row["design_id"], []).append(read_look(row))
    return tuple(
        Planned(row["design_id"], read_design(row), tuple(looks.get(row["design_id"], ())))
        for row in study.query(DESIGNS).iter_rows(named=True)
    )


def coverings(study: Study, sweeps: Iterable[SweepKey], *phases: Trained) -> list[Planned]:
    """Return the designs that train all of these sweeps, the newest first; `phases` as in `covers`.

    Those that ask about equal widths come before those that train them as topologies only.
    """
    keys = list(sweeps)
    found = [planned for planned in designs(study) if all(planned.covers(key, *phases) for key in keys)]
    return sorted(found, key=lambda planned: "convergence" not in planned.spec.phases)


def covering(study: Study, sweeps: Iterable[SweepKey], *phases: Trained) -> Planned | None:
    """Return the first of `coverings`, None if there is none."""
    return next(iter(coverings(study, sweeps, *phases)), None)


def held(accuracy: FloatArray) -> int:
    """Return how many replicates there are from 0 on without a gap."""
    missing = np.flatnonzero(np.isnan(accuracy))
    return int(missing[0]) if len(missing) else len(accuracy)


def least_level(study: Study, counts: Iterable[tuple[SweepKey, int]]) -> float:
    """Return the level that tests of several sweeps share: the least that any of their numbers of replicates allows.

    `counts` has every sweep with each number of replicates that is tested; too few to be tested do not count.
    """
    tested = {(sweep, n) for sweep, n in counts if n >= MIN_REPLICATES}
    return min((level_at(study, sweep, n) for sweep, n in tested), default=LEVEL)


def level_at(study: Study, sweep: SweepKey, replicates: int, level: float = LEVEL, *phases: Trained) -> float:
    """Return the level of a test on so many replicates: all of it, or what a design that has the sweep spends then.

    `phases` as in `Planned.covers`.
    """
    planned = covering(study, [sweep], *phases)
    if planned is None:
        return level
    nominal = nominal_levels(level, planned.spec.looks)
    return max((at for n, at in zip(planned.spec.looks, nominal, strict=True) if n <= replicates), default=0.0)
