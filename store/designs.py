"""Sequential designs as the store keeps them: what is asked, which levels are spent on it, and what each look saw.

`generate` writes them before it trains, `analyze` tests by them: what is decided does not depend on who looks when.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

from store.errors import MinarchError
from store.records import Design, Look

LADDER_SHARE = 0.75
"""Part of a sweep's level for the sizes that are there from the beginning."""
LARGEST_SHARE = 0.75
"""Part of a ladder's share for its largest size, which is tested first and hands it on."""
ADDED_SHARE = 0.125
"""Part of it for the sizes added above them, and the same for those added between."""

Trained = Literal["shapes", "convergence", "quantization"]
"""What a design trains: all topologies, equal widths, and these in 8 bits."""
By = Literal["parameters", "bytes", "macs", "ram"]
"""What a network is to be small in."""
Goal = Literal["answer", "claims"]
"""What a design is to decide: the phase's own question, or the claims of the paper."""


@dataclass(frozen=True, order=True)
class Place:
    """An architecture of equal widths within a design."""

    family: str
    depth: int
    capacity: int


@dataclass(frozen=True)
class Ladder:
    """Sizes of one family and depth from which a search begins, increasing, each with its share of the level."""

    family: str
    depth: int
    capacities: tuple[int, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class DesignSpec:
    """What a design asks of one dataset, and how it spends its level.

    Attributes:
        fingerprint: of the data.
        protocols: the protocol of each family.
        ladders: the sweeps that it searches.
        looks: numbers of replicates after which data are looked at, increasing.
        level: family-wise error rate of everything said about one scope, a family or all.
        spending: how the level is spent over the looks.
        max_drop: accuracy that may be lost against the best, a fraction.
        min_accuracy: accuracy that has to be exceeded, None if any will do.
        resolution: the smallest architecture is searched down to this ratio of parameters, minus one; None: on the
            ladders alone, to which no size is added.
        phases: what it trains, in the order in which it asks.
        goal: whose open questions get replicates.
        by: what the answer is to be small in.
        max_parameters: most parameters of an answer, None: any number; no larger network is trained.
        max_macs: likewise multiply-accumulates of an inference.
        max_ram: likewise bytes of activations of an inference, in 8 bits.
        most: the largest size that these allow, by family and depth, where they limit it.
        version: of the rules by which a design is read.
    """

    fingerprint: str
    protocols: Mapping[str, str]
    ladders: tuple[Ladder, ...]
    looks: tuple[int, ...]
    level: float = 0.05
    spending: str = "O'Brien-Fleming type (Lan and DeMets)"
    max_drop: float = 0.01
    min_accuracy: float | None = None
    resolution: float | None = 0.1
    phases: tuple[Trained, ...] = ("convergence",)
    goal: Goal = "answer"
    by: By = "parameters"
    max_parameters: int | None = None
    max_macs: int | None = None
    max_ram: int | None = None
    most: tuple[tuple[str, int, int], ...] = ()
    version: int = 1

    def allows(self, where: Place) -> bool:
        """Return whether an architecture fits the budget."""
        return all(where.capacity <= size for *sweep, size in self.most if sweep == [where.family, where.depth])

    @property
    def design_id(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()[:16]

    def canonical(self) -> str:
        """Return JSON with sorted keys and no spaces: equal designs give equal text.

        Fields that came later are left out where they say what earlier designs did, so that ids stay.
        """
        spec = asdict(self)
        for name in ("phases", "goal", "by", "max_parameters", "max_macs", "max_ram", "most"):
            if getattr(self, name) == getattr(type(self), name):
                del spec[name]
        return json.dumps(spec, sort_keys=True, separators=(",", ":"), allow_nan=False)

    def record(self, created_at: datetime) -> Design:
        """Return the row of the store."""
        return Design(
            design_id=self.design_id,
            dataset_fingerprint=self.fingerprint,
            spec=self.canonical(),
            created_at=created_at,
        )


@dataclass(frozen=True)
class Added:
    """A size that joined a design after its data had been looked at, with its share of its sweep's level."""

    place: Place
    share: float


@dataclass(frozen=True, kw_only=True)
class LookSpec:
    """A look at the data of a design.

    Attributes:
        held: replicates 0 to n - 1 that each architecture had when it was taken.
        asked: replicates that architectures are to have before the next one.
        topologies: replicates that all topologies of a size are to have.
        quantized: replicates that architectures are to have in 8 bits.
        added: sizes that join with this look.
        question: the open question that the replicates are for, in words.
    """

    held: Mapping[Place, int]
    asked: Mapping[Place, int]
    topologies: Mapping[Place, int] = field(default_factory=dict)
    quantized: Mapping[Place, int] = field(default_factory=dict)
    added: tuple[Added, ...] = ()
    question: str = ""

    def __bool__(self) -> bool:
        """Whether it asks for anything."""
        return bool(self.asked or self.topologies or self.quantized)

    def record(self, design_id: str, number: int, taken_at: datetime) -> Look:
        """Return the row of the store."""
        spec: dict[str, object] = {
            "held": _counts(self.held),
            "asked": _counts(self.asked),
            "added": [[*_words(added.place), added.share] for added in self.added],
            "question": self.question,
        }
        spec |= {name: _counts(counts) for name in ("topologies", "quantized") if (counts := getattr(self, name))}
        return Look(
            design_id=design_id,
            number=number,
            spec=json.dumps(spec, sort_keys=True, separators=(",", ":"), allow_nan=False),
            taken_at=taken_at,
        )


def ladder(family: str, depth: int, capacities: Sequence[int], share: float = LADDER_SHARE) -> Ladder:
    """Return a ladder with its shares of the level: three quarters of `share` for the largest size."""
    sizes = tuple(sorted(set(capacities)))
    if len(sizes) == 1:
        return Ladder(family, depth, sizes, (share,))
    others = share * (1 - LARGEST_SHARE) / (len(sizes) - 1)
    return Ladder(family, depth, sizes, (*[others] * (len(sizes) - 1), share * LARGEST_SHARE))


def added_share(earlier: int) -> float:
    """Return the share of a size that is added above, or between, after so many others of that kind in its sweep."""
    share: float = ADDED_SHARE / 2 ** (earlier + 1)
    return share


def read_design(row: Mapping[str, Any]) -> DesignSpec:
    """Return the design in a row of the store.

    Raises:
        MinarchError: it follows rules that this version does not know, or is damaged.
    """
    try:
        spec = json.loads(row["spec"])
        if spec["version"] != 1:
            raise MinarchError(
                f"design {row['design_id']} follows rules of version {spec['version']}; use a newer minarch"
            )
        ladders = tuple(
            Ladder(part["family"], part["depth"], tuple(part["capacities"]), tuple(part["shares"]))
            for part in spec.pop("ladders")
        )
        spec |= {name: tuple(spec[name]) for name in ("looks", "phases") if name in spec}
        spec["most"] = tuple((family, depth, size) for family, depth, size in spec.get("most", ()))
        return DesignSpec(ladders=ladders, **spec)
    except (ValueError, KeyError, TypeError) as error:
        raise MinarchError(f"design {row['design_id']} cannot be read: {error}") from error


def read_look(row: Mapping[str, Any]) -> LookSpec:
    """Return the look in a row of the store.

    Raises:
        MinarchError: it is damaged.
    """
    try:
        spec = json.loads(row["spec"])
        return LookSpec(
            held=_places(spec["held"]),
            asked=_places(spec["asked"]),
            topologies=_places(spec.get("topologies", [])),
            quantized=_places(spec.get("quantized", [])),
            added=tuple(Added(Place(*place), share) for *place, share in spec["added"]),
            question=spec["question"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise MinarchError(f"look {row['number']} of design {row['design_id']} cannot be read: {error}") from error


def _counts(counts: Mapping[Place, int]) -> list[list[object]]:
    return [[*_words(place), n] for place, n in sorted(counts.items())]


def _places(counts: Sequence[Sequence[Any]]) -> dict[Place, int]:
    return {Place(*place): n for *place, n in counts}


def _words(place: Place) -> tuple[str, int, int]:
    return place.family, place.depth, place.capacity
