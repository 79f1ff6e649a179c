"""The families of networks in words: their names, their order, and what their sizes and layers are called.

What trains them is `generate.families`, which registers a family under the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from store.errors import MinarchError


@dataclass(frozen=True, kw_only=True)
class FamilyWords:
    """What a family is called.

    Attributes:
        name: as in the store and on the command line.
        title: as on the page.
        capacity: its measure of size, as the title of an axis.
        capacity_noun: the same within a sentence.
        layer: what its depth counts, one and several.
        size: a network of one capacity and of another, the number left as `{}`.
        floats: returns, for a depth and a capacity, how many parameters are neither pruned nor quantized, but for the
            biases of the head (one per class).
        layered: whether its depth is chosen and every step between layers has a direction: it has topologies.
    """

    name: str
    title: str
    capacity: str
    capacity_noun: str
    layer: tuple[str, str]
    size: tuple[str, str]
    floats: Callable[[int, int], int]
    layered: bool = False

    def depth(self, depth: int) -> str:
        """Return a depth in words, such as `2 hidden layers`."""
        return f"{depth} {self.layer[depth != 1]}"

    def sized(self, depth: int, capacity: int) -> str:
        """Return a network in words; its depth is named where it is chosen."""
        words = self.size[capacity != 1].format(capacity)
        return f"{self.depth(depth)}, {words}" if self.layered else words


FAMILIES: dict[str, FamilyWords] = {}
"""Every family by name, in the order in which they are shown."""


def register_words(words: FamilyWords) -> None:
    """Add a family, or replace the one of that name."""
    FAMILIES[words.name] = words


def family_words(name: str) -> FamilyWords:
    """Return the words of a family.

    Raises:
        MinarchError: it is unknown; lists the known ones.
    """
    if name not in FAMILIES:
        raise MinarchError(f"no family {name!r}; known are {', '.join(FAMILIES)}")
    return FAMILIES[name]


def family_rank(name: str) -> int:
    """Return where a family stands in the order in which they are shown.

    Raises:
        MinarchError: it is unknown; lists the known ones.
    """
    return list(FAMILIES).index(family_words(name).name)


def layered_families() -> Iterator[str]:
    """Yield the names of the families that have topologies."""
    return (name for name, words in FAMILIES.items() if words.layered)


register_words(
    FamilyWords(
        name="dnn",
        title="DNN",
        capacity="Width of the first hidden layer",
        capacity_noun="width",
        layer=("hidden layer", "hidden layers"),
        size=("{} wide", "{} wide"),
        floats=lambda depth, width: depth * width,
        layered=True,
    )
)
register_words(
    FamilyWords(
        name="cnn",
        title="CNN",
        capacity="Channels",
        capacity_noun="channels",
        layer=("convolution", "convolutions"),
        size=("{} channel", "{} channels"),
        floats=lambda _, channels: channels,
    )
)
register_words(
    FamilyWords(
        name="vit",
        title="ViT",
        capacity="Embedding width",
        capacity_noun="embedding width",
        layer=("encoder block", "encoder blocks"),
        size=("embedding width {}", "embedding width {}"),
        # The patches' bias, the class token and the last norm; per block two norms, and the biases of query, key,
        # value, projection and of the two layers of the MLP.
        floats=lambda depth, width: (4 + 10 * depth) * width,
    )
)
