"""Which sizes of networks a search may train under a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from generate.architectures import Architecture, ImageShape
from generate.families.counts import inference_costs, parameter_count
from generate.protocol import FamilyProtocol
from store.families import family_facts

LEAST_SIZES = 5
"""Sizes below which no stability boundary is looked for."""
LARGEST = 10_000
"""Capacity beyond which no network is looked for, as on the command line."""


def sizes_within(
    sizes: Sequence[int], grid: Sequence[int], largest: int, most: int, *, chosen: bool
) -> tuple[int, ...]:
    """Return the sizes that a search begins with: those that fit, and more unless they were `chosen`.

    Where fewer than five of the sizes fit, those of the grid that do count too, then whole numbers up to `most`.
    """
    fitting = tuple(size for size in sizes if size <= largest)
    for more in () if chosen else (grid, range(1, min(largest, most) + 1)):
        if len(fitting) < LEAST_SIZES:
            fitting = tuple(sorted({*fitting, *(size for size in more if size <= largest)}))
    return fitting


def largest_within(
    budget: Mapping[str, int], family: str, depth: int, image: ImageShape, protocol: FamilyProtocol
) -> int:
    """Return the largest size of a sweep that a budget allows, 0 where it allows none: costs rise with size."""

    def fits(size: int) -> bool:
        layered = family_facts(family).layered
        architecture = Architecture(family, (size,) * (depth if layered else 1))
        costs = inference_costs(architecture, image, protocol)
        # What takes least memory is the network in 8 bits: whether that is safe is known once it is trained.
        taken = {
            "max_parameters": parameter_count(architecture, image, protocol),
            "max_macs": costs.macs,
            "max_ram": costs.ram_int8,
        }
        return all(taken[name] <= most for name, most in budget.items())

    low, high = 0, 1
    while high <= LARGEST and fits(high):
        low, high = high, 2 * high
    high = min(high, LARGEST + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def too_few(budget: Mapping[str, int], family: str, depth: int, largest: int, fitting: Sequence[int]) -> str:
    """Return why a search cannot begin with the sizes of a family that fit, in words."""
    options = ", ".join(f"--{name.replace('_', '-')} {most}" for name, most in budget.items())
    facts = family_facts(family)
    sizes = f"of {', '.join(map(str, fitting))} alone" if fitting else "at all"
    return (
        f"{options} leaves no {facts.title} of {facts.depth(depth)} {sizes}"
        + (f" (up to {largest} fit)" if largest else "")
        + f"; a search takes {LEAST_SIZES} sizes or more to begin with: allow more, or choose others with --family,"
        " --depths and --capacities"
    )
