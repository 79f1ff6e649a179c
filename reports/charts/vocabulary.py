"""The words of the charts and tables: what datasets, families, their sizes and the statuses are called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from store import families
from store.families import FamilyFacts, family_facts

Word = TypeVar("Word")


class OfFamilies(Mapping[str, Word]):
    """One word of every family, in their order: what `store.families` says now.

    Raises:
        UnknownFamilyError: when a family is asked for that is unknown; lists the known ones.
    """

    def __init__(self, word: Callable[[FamilyFacts], Word]) -> None:
        self._word = word

    def __getitem__(self, family: str) -> Word:
        """Return the word of a family."""
        return self._word(family_facts(family))

    def __iter__(self) -> Iterator[str]:
        """Iterate over the families' names."""
        return iter(families.FAMILIES)

    def __len__(self) -> int:
        """Return the number of families."""
        return len(families.FAMILIES)


FAMILIES = OfFamilies(lambda facts: facts.title)
CAPACITIES = OfFamilies(lambda facts: facts.capacity)
SHORT_CAPACITIES = OfFamilies(lambda facts: facts.capacity_noun)
DEPTHS = OfFamilies(lambda facts: facts.layer)
DATASETS = {"digits": "Digits", "mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}
PARAMETERS = "Trainable parameters"
ACCURACY = "Test accuracy"
PRUNED = "Weights pruned"
GAP = "Gap, 32-bit minus 8-bit"
LOSS = "Loss, nats"
BOUNDARIES = {"stability": "Stability", "overfitting": "Overfitting"}
STATUSES = {
    "detected": "detected",
    "gradual": "gradual",
    "absent": "absent",
    "not_reached": "not reached",
    "all_stable": "all stable",
    "insufficient": "too little data",
    "equivalent": "equivalent",
    "different": "different",
    "inconclusive": "inconclusive",
}


def dataset_name(dataset: str) -> str:
    """Return a dataset's usual spelling; one of the user's own keeps its name."""
    return DATASETS.get(dataset, dataset)


def depth_name(family: str, depth: int) -> str:
    """Return a depth in words, such as `2 hidden layers`."""
    return family_facts(family).depth(depth)


def percent(value: float | None, digits: int = 1) -> str:
    """Return a fraction as a percentage; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.{digits}f}%"


def points(value: float | None) -> str:
    """Return a difference of fractions in percentage points, signed; a dash where there is none."""
    return "–" if value is None else f"{100 * value:+.2f}".replace("-", "−")


def count(value: float | None) -> str:
    """Return a whole number with thousands separated; a dash where there is none."""
    return "–" if value is None else f"{value:,.0f}"


def p_value(value: float | None) -> str:
    """Return a p-value to three decimals, as a bound where it is smaller; a dash where there is none."""
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
