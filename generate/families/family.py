"""What a family of networks is: one object that says all that the rest of `generate` asks of it."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from generate.architectures import Architecture, Cell, ImageShape, Topology
from generate.protocol import FamilyProtocol
from store.families import FamilyFacts

Sizes = tuple[int, ...]


class Design(NamedTuple):
    """Which networks of a family a sweep consists of.

    `ladder` is the family's whole grid of capacities; `all_topologies` asks for every shape (phase 1) and not just
    for equal widths (phase 2).
    """

    capacities: tuple[int, ...]
    depths: tuple[int, ...]
    all_topologies: bool
    ladder: tuple[int, ...]


def by_name(place: str) -> Callable[..., Any]:
    """Return a function that imports `module:name` when it is first called, and calls that.

    So the registry is there without PyTorch, and a worker compiles or loads only the kernels that it needs.
    """

    @functools.cache
    def found() -> Callable[..., Any]:
        module, name = place.split(":")
        function: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return function

    return lambda *args, **options: found()(*args, **options)


def one_cell_per_capacity(family: str, design: Design) -> list[Cell]:
    """Return the cells of a family that has no topologies."""
    return [Cell(Architecture(family, (capacity,)), (Topology("", False),)) for capacity in design.capacities]


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family of networks.

    A protocol is one of the family's own class; `sizes` are the hidden sizes of an architecture.

    Attributes:
        facts: its name, what its sizes are called, and its grid.
        protocol: the class of its protocols, whose defaults are the study's.
        module: `(sizes, image, protocol)` to the `nn.Module` that defines the network: from images [batch, channels,
            height, width], normalised, to logits [batch, classes].
        initial: `(name, shape, shapes, protocol, rng)` to the initial values, float32, of one of its parameters;
            `shapes` has those of all, by name as in `state_dict`.
        depth: `(sizes, protocol)` to the number of layers that `facts` names.
        cells: `(name, design)` to the cells of the design.
        obstacle: `(sizes, image, protocol)` to why there is no such network on such images, or an empty string.
        kernel_pack: `(architectures, image, protocol, bits=)` to a pack on compiled kernels; None: there are none.
        kernel_settings: the only values of the protocol's fields that the kernels compute with.
        quantized_forward: `(module, images, rounded)` to logits under fake quantization; None: as in
            `engine.plain.quantization.hooked_forward`.
        integer_model: `(protocol, values, calibration)` to a function from images to logits that computes in
            integers, see `engine.plain.integer`; None: there is none.
        layers: `(protocol, given, image)` to its layers, made by `given`, a `deploy.layers.Builder`, where all are
            linear layers and convolutions, and each takes what the one before returns; None: it is more than that.
        c_program: `(network)`, a `deploy.c.network.FloatNetwork`, to its C, a `deploy.c.program.Program`; None: that of
            its layers.
        onnx_graph: `(build, sizes, protocol)` to the name of the logits in the graph `build`, see `deploy.graph`; None:
            there are no ONNX files of it.
        plain_source: `(sizes, image, protocol)` to the text of its module as a Python class `Network`, for whoever has
            no minarch; None: there is none.
        without_units: `(tensors, share)` to the network without that share of its hidden units, an
            `engine.units.Smaller`; None: units cannot be removed.
        parameters: `(sizes, image, protocol)` to the number of trainable parameters; None: counted on the module.
        training_flops: likewise floating point operations per image of one training step: forward, weight and input
            gradients; None: counted by PyTorch. Both exist to plan without PyTorch, and are held to its counts.
        flops_per_second: that its training reaches on a core of the kind the engine was tuned on.
    """

    facts: FamilyFacts
    protocol: Callable[..., FamilyProtocol]
    module: Callable[[Sizes, ImageShape, Any], Any]
    initial: Callable[..., Any]
    depth: Callable[[Sizes, Any], int] = lambda sizes, _: len(sizes)
    cells: Callable[[str, Design], list[Cell]] = one_cell_per_capacity
    obstacle: Callable[[Sizes, ImageShape, Any], str] = lambda *_: ""
    kernel_pack: Callable[..., Any] | None = None
    kernel_settings: Mapping[str, object] = field(default_factory=dict)
    quantized_forward: Callable[..., Any] | None = None
    integer_model: Callable[..., Any] | None = None
    layers: Callable[..., Any] | None = None
    c_program: Callable[..., Any] | None = None
    onnx_graph: Callable[..., str] | None = None
    plain_source: Callable[..., str] | None = None
    without_units: Callable[..., Any] | None = None
    parameters: Callable[[Sizes, ImageShape, Any], int] | None = None
    training_flops: Callable[[Sizes, ImageShape, Any], float] | None = None
    flops_per_second: float = 50e9

    @property
    def name(self) -> str:
        """Its name, as in the store."""
        return self.facts.name

    def kernel_obstacle(self, protocol: FamilyProtocol) -> str:
        """Return why its compiled kernels cannot train under a protocol, or an empty string."""
        if self.kernel_pack is None:
            return f"there are none for the family {self.name}"
        for setting, value in self.kernel_settings.items():
            if getattr(protocol, setting) != value:
                return f"they compute with {setting} {value}, not {getattr(protocol, setting)}"
        return ""
