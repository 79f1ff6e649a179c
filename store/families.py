"""The families of networks: names, order, the words for their sizes and layers, and the grid of each.

What trains them is `generate.families`, which registers a family under the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from store.costs import CostsOf, cnn_costs, dnn_costs, vit_costs
from store.errors import MinarchError


class UnknownFamilyError(MinarchError, KeyError):
    """A family that nobody registered."""

    def __str__(self) -> str:
        """Return the message."""
        return str(self.args[0])


@dataclass(frozen=True, kw_only=True)
class FamilyFacts:
    """What a family is called, and the design that the study gives it.

    Attributes:
        name: as in the store and on the command line.
        title: as on the page.
        capacity: its measure of size, as the title of an axis.
        capacity_noun: the same within a sentence.
        layer: what its depth counts, one and several.
        size: a network of one capacity and of another, the number left as `{}`.
        floats: returns, for a depth and a capacity, how many parameters are neither pruned nor quantized, but for the
            biases of the head (one per class).
        capacities: the grid.
        replicates: of every model, in the paper.
        largest: largest capacity of the grid on single datasets.
        costs: what one inference of an architecture takes, see `store.costs`; None: `generate` counts it on the module.
        depths: of the design, where depth is chosen and every step between layers has a direction; else empty.
    """

    name: str
    title: str
    capacity: str
    capacity_noun: str
    layer: tuple[str, str]
    size: tuple[str, str]
    floats: Callable[[int, int], int]
    capacities: tuple[int, ...]
    replicates: int
    largest: Mapping[str, int] = field(default_factory=dict)
    costs: CostsOf | None = None
    depths: tuple[int, ...] = ()

    @property
    def layered(self) -> bool:
        """Whether its depth is chosen: it has topologies."""
        return bool(self.depths)

    def grid(self, dataset: str) -> tuple[int, ...]:
        """Return its grid of capacities on a dataset."""
        largest = self.largest.get(dataset, max(self.capacities))
        return tuple(capacity for capacity in self.capacities if capacity <= largest)

    def depth(self, depth: int) -> str:
        """Return a depth in words, such as `2 hidden layers`."""
        return f"{depth} {self.layer[depth != 1]}"

    def sized(self, depth: int, capacity: int) -> str:
        """Return a network in words; its depth is named where it is chosen."""
        words = self.size[capacity != 1].format(capacity)
        return f"{self.depth(depth)}, {words}" if self.layered else words


FAMILIES: dict[str, FamilyFacts] = {}
"""Every family by name, in the order in which they are shown."""


def register_facts(facts: FamilyFacts) -> None:
    """Add a family, or replace the one of that name."""
    FAMILIES[facts.name] = facts


def family_facts(name: str) -> FamilyFacts:
    """Return the facts of a family.

    Raises:
        UnknownFamilyError: it is unknown; lists the known ones.
    """
    if name not in FAMILIES:
        raise UnknownFamilyError(f"no family {name!r}; known are {', '.join(FAMILIES)}")
    return FAMILIES[name]


def family_rank(name: str) -> int:
    """Return where a family stands in the order in which they are shown.

    Raises:
        UnknownFamilyError: it is unknown; lists the known ones.
    """
    return list(FAMILIES).index(family_facts(name).name)


def layered_families() -> Iterator[str]:
    """Yield the names of the families that have topologies."""
    return (name for name, facts in FAMILIES.items() if facts.layered)


register_facts(
    FamilyFacts(
        name="dnn",
        title="DNN",
        capacity="Width of the first hidden layer",
        capacity_noun="width",
        layer=("hidden layer", "hidden layers"),
        size=("{} wide", "{} wide"),
        floats=lambda depth, width: depth * width,
        costs=dnn_costs,
        capacities=(1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1000),
        largest={"digits": 200},
        depths=(1, 2, 3, 4),
        replicates=30,
    )
)
register_facts(
    FamilyFacts(
        name="cnn",
        title="CNN",
        capacity="Channels",
        capacity_noun="channels",
        layer=("convolution", "convolutions"),
        size=("{} channel", "{} channels"),
        floats=lambda _, channels: channels,
        costs=cnn_costs,
        capacities=(1, 2, 3, 4, 6, 8, 12, 16, 24, 32),
        replicates=10,
    )
)
register_facts(
    FamilyFacts(
        name="vit",
        title="ViT",
        capacity="Embedding width",
        capacity_noun="embedding width",
        layer=("encoder block", "encoder blocks"),
        size=("embedding width {}", "embedding width {}"),
        # The patches' bias, the class token and the last norm; per block two norms, and the biases of query, key,
        # value, projection and of the two layers of the MLP.
        floats=lambda depth, width: (4 + 10 * depth) * width,
        costs=vit_costs,
        capacities=(1, 2, 3, 4, 6, 8, 10, 12, 14, 16),
        replicates=10,
    )
)
