"""Fully connected networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product

from generate.architectures import Architecture, Cell, ImageShape, Topology
from generate.families.family import Design, Family, Sizes, by_name
from generate.protocol import FamilyProtocol, require_text
from store.families import family_facts

FACTS = family_facts("dnn")
LADDER, DEPTHS = FACTS.capacities, FACTS.depths
STEPS = "+-="


@dataclass(frozen=True, kw_only=True)
class DnnProtocol(FamilyProtocol):
    """Fully connected ReLU networks."""

    family: str = "dnn"
    activation: str = "relu"
    weight_init: str = "normal, std sqrt(2 / fan_in)"
    bias_init: str = "zero"

    def __post_init__(self) -> None:
        require_text(
            self, family="dnn", activation="relu", weight_init="normal, std sqrt(2 / fan_in)", bias_init="zero"
        )


def step(width: int, direction: str, ladder: Sequence[int]) -> int:
    """Return the width one rung up (`+`) or down (`-`) the ladder, clipped at its ends; `=` stays.

    A width between two rungs steps to the nearer rung in that direction.
    """
    if direction == "+":
        return min((rung for rung in ladder if rung > width), default=max(width, ladder[-1]))
    if direction == "-":
        return max((rung for rung in ladder if rung < width), default=min(width, ladder[0]))
    return width


def hidden_sizes(width: int, shape: str, ladder: Sequence[int]) -> Sizes:
    """Return the layer widths of the topology `shape` whose first layer is `width` wide."""
    sizes = [width]
    for direction in shape:
        sizes.append(step(sizes[-1], direction, ladder))
    return tuple(sizes)


def layered_cells(family: str, design: Design) -> list[Cell]:
    """Return the distinct cells of these widths and depths, in design order.

    With `all_topologies` every step increases, decreases or stays (phase 1); without, only equal widths (phase 2).
    Each cell carries every topology of its depth that it stands for, whichever were asked for; exactly one of them
    is not degenerate.
    """
    cells = []
    for width, depth in product(design.capacities, design.depths):
        labels: dict[Sizes, list[Topology]] = {}
        for steps in product(STEPS, repeat=depth - 1):
            shape = "".join(steps)
            sizes = hidden_sizes(width, shape, design.ladder)
            clipped = any(
                direction != "=" and before == after
                for direction, (before, after) in zip(shape, pairwise(sizes), strict=True)
            )
            labels.setdefault(sizes, []).append(Topology(shape, clipped))
        wanted = labels if design.all_topologies else {(width,) * depth: labels[(width,) * depth]}
        cells += [Cell(Architecture(family, sizes), tuple(found)) for sizes, found in wanted.items()]
    return cells


def _layers(sizes: Sizes, image: ImageShape) -> list[tuple[int, int]]:
    return list(pairwise((image.values, *sizes, image.classes)))


def _parameters(sizes: Sizes, image: ImageShape, protocol: DnnProtocol) -> int:
    del protocol
    return sum((inputs + 1) * outputs for inputs, outputs in _layers(sizes, image))


def _training_flops(sizes: Sizes, image: ImageShape, protocol: DnnProtocol) -> float:
    del protocol
    products = [inputs * outputs for inputs, outputs in _layers(sizes, image)]
    return 2 * (3 * sum(products) - products[0])


DNN = Family(
    facts=FACTS,
    protocol=DnnProtocol,
    cells=layered_cells,
    module=by_name("generate.engine.plain.dnn:Dnn"),
    initial=by_name("generate.engine.plain.dnn:initial"),
    kernel_pack=by_name("generate.engine.dnn.pack:DnnKernelPack"),
    quantized_forward=by_name("generate.engine.plain.dnn:quantized_forward"),
    integer_model=by_name("generate.engine.plain.dnn:integer_model"),
    layers=by_name("generate.engine.plain.dnn:layers"),
    onnx_graph=by_name("generate.deploy.families.dnn:onnx_graph"),
    plain_source=by_name("generate.deploy.families.dnn:source"),
    without_units=by_name("generate.engine.plain.dnn:without_units"),
    parameters=_parameters,
    training_flops=_training_flops,
    flops_per_second=160e9,
)
