"""A network as a C program: its constants, the functions that it needs, and the calls in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from generate.architectures import ImageShape
from generate.deploy.c.network import Arithmetic, FloatBuilder, FloatNetwork, StoredLayer, stored
from generate.deploy.c.sparse import Form, StoredWeights, smallest
from generate.deploy.c.text import array, identifier, number, structure
from generate.deploy.integer import IntegerNetwork, Levels, Quantizer, input_table
from generate.families import family_named
from store.errors import MinarchError

FUNCTIONS: dict[Form, str] = {"dense": "linear", "bitmask": "linear_bitmask", "deltas": "linear_deltas"}
STRUCTURES: dict[Form, str] = {"dense": "linear", "bitmask": "bitmask", "deltas": "deltas"}
OUTPUT: dict[Arithmetic, tuple[str, ...]] = {
    "integers": ("multiplier", "shift", "zero_point", "lowest", "highest"),
    "floats": ("relu",),
    "mixed": ("weight_scale", "scale", "inverse_scale", "lowest", "highest"),
}
"""Members of the C structure `output`."""


@dataclass(frozen=True)
class Storage:
    """How a layer's weights are stored: the form, its bytes, and those of the dense form."""

    name: str
    form: Form
    size: int
    dense: int


@dataclass(frozen=True, kw_only=True)
class Program:
    """A network as C.

    Attributes:
        arithmetic: what it computes with.
        image: the input and the number of classes.
        parts: the files of functions that it needs, in order.
        tables: constants and macros that the parts use.
        constants: those that use the parts.
        late_parts: parts that use the constants.
        body: the statements that write `logits` from `image`, with the array `memory`.
        cells: numbers in `memory`.
        storage: of every layer's weights.
        inputs: the input's quantizer; None without.
        outputs: that of the logits; None without.
        variables: further values that the parts are written with.
    """

    arithmetic: Arithmetic
    image: ImageShape
    parts: tuple[str, ...]
    tables: tuple[str, ...]
    constants: tuple[str, ...]
    body: tuple[str, ...]
    cells: int
    storage: tuple[Storage, ...]
    inputs: Quantizer | None
    outputs: Quantizer | None
    late_parts: tuple[str, ...] = ()
    variables: Mapping[str, object] = field(default_factory=dict)

    @property
    def memory(self) -> int:
        """Bytes of static memory."""
        return self.cells * (1 if self.arithmetic == "integers" else 4)


@dataclass(frozen=True)
class Declared:
    """Layers as constants: C definitions in order, the parts they need, and by layer the begin of the call of it."""

    constants: tuple[str, ...]
    parts: tuple[str, ...]
    calls: Mapping[str, str]
    storage: tuple[Storage, ...]
    variables: Mapping[str, object]


def program(network: IntegerNetwork | FloatNetwork) -> Program:
    """Return a network as C.

    Raises:
        MinarchError: no C is known of its family.
    """
    if isinstance(network, IntegerNetwork):
        layers = [stored(layer) for layer in network.layers]
        read = Input((table_of(network.input_table),), network.inputs, network.outputs, {})
        return _sequence(layers, "integers", network.image, read)
    family = family_named(network.family)
    if family.c_program is not None:
        written: Program = family.c_program(network)
        return written
    if family.layers is None:
        raise MinarchError(f"no C is written of networks of the family {network.family}")
    layers = family.layers(network.protocol, FloatBuilder(network.parameters, network.quantizers), network.image)
    return _sequence(layers, network.arithmetic, network.image, reading(network, layers[-1].name))


class Input(NamedTuple):
    """How an image is read: tables, the quantizers of the input and of the logits, and variables of the parts."""

    tables: tuple[str, ...]
    inputs: Quantizer | None
    outputs: Quantizer | None
    variables: dict[str, object]


def reading(network: FloatNetwork, head: str) -> Input:
    """Return how a network that computes in floats reads an image; `head` is its last layer."""
    training = network.protocol.training
    if not network.quantizers:
        scale, shift = 1 / (255 * training.input_std), training.input_mean / training.input_std
        return Input((), None, None, {"input_scale": scale, "input_shift": shift})
    inputs = network.quantizers["input"]
    return Input((table_of(input_table(network.protocol, inputs)),), inputs, network.quantizers[head], {})


def table_of(levels: Levels) -> str:
    """Return the input's levels of all bytes as a constant."""
    return "/* The input's level of each byte of an image: normalised, and quantized. */\n" + array(
        "input_table", levels
    )


def declare(layers: Sequence[StoredLayer], arithmetic: Arithmetic) -> Declared:
    """Return layers as constants; linear layers in the form that takes fewest bytes."""
    shifted = any(layer.zero for layer in layers)
    linear = [layer for layer in layers if layer.kind == "linear"]
    forms = dict(
        zip(
            (layer.name for layer in linear),
            smallest([layer.weights for layer in linear], [layer.zero for layer in linear]),
            strict=True,
        )
    )
    constants: list[str] = []
    calls, storage, parts = {}, [], set()
    for layer in layers:
        form = forms.get(layer.name) or StoredWeights("dense", {"weights": layer.weights})
        name = identifier(layer.name)
        kind = STRUCTURES[form.form] if layer.kind == "linear" else "convolution"
        arrays = {**form.arrays, "bias": layer.bias}
        constants += [array(f"{name}_{member}", values) for member, values in arrays.items()]
        members = {**_sizes(layer, form.form), **{member: f"{name}_{member}" for member in arrays}}
        constants.append(structure(kind, name, {**members, "to": _output(layer, arithmetic, shifted)}))
        parts.add(kind)
        calls[layer.name] = f"{FUNCTIONS[form.form] if layer.kind == 'linear' else 'convolution'}(&{name}"
        storage.append(Storage(layer.name, form.form, form.size, layer.weights.nbytes))
    return Declared(
        constants=tuple(constants),
        parts=tuple(part for part in ("convolution", "linear", "bitmask", "deltas") if part in parts),
        calls=calls,
        storage=tuple(storage),
        variables={"shifted_weights": shifted, "padded": any(layer.padding for layer in layers)},
    )


def _output(layer: StoredLayer, arithmetic: Arithmetic, shifted: bool) -> str:
    members = dict(zip(OUTPUT[arithmetic], layer.output, strict=True))
    if shifted:
        members["weight_zero_point"] = layer.zero
    return "{" + ", ".join(f".{member} = {number(value)}" for member, value in members.items()) + "}"


def _sizes(layer: StoredLayer, form: Form) -> dict[str, str]:
    if layer.kind == "linear":
        sizes = {"inputs": layer.input_shape.values, "outputs": layer.output_shape.values}
        if form == "deltas":
            del sizes["inputs"]
        return {name: str(size) for name, size in sizes.items()}
    sizes = dict(zip(("channels", "height", "width"), layer.input_shape, strict=True))
    sizes |= dict(zip(("maps", "rows", "columns"), layer.output_shape, strict=True))
    sizes |= dict(zip(("kernel_rows", "kernel_columns"), layer.weights.shape[2:], strict=True))
    sizes["stride"] = layer.stride
    found = {name: str(size) for name, size in sizes.items()}
    if layer.padding:
        found |= {"padding": str(layer.padding), "border": number(layer.border)}
    return found


def _sequence(
    layers: Sequence[StoredLayer],
    arithmetic: Arithmetic,
    image: ImageShape,
    read: Input,
) -> Program:
    """Return the program of layers one after the other.

    What a layer takes and what it returns lie at either end of the memory, which is as large as the largest two.
    """
    declared = declare(layers, arithmetic)
    taken = [layer.input_shape.values for layer in layers]
    cells = max(before + after for before, after in zip(taken, [*taken[1:], 0], strict=True))
    places = [f"memory + {0 if k % 2 == 0 else cells - size}" for k, size in enumerate(taken)]
    entered = "input_table[image[i]]" if arithmetic == "integers" else "entered(image[i])"
    body = ["for (uint32_t i = 0; i < MODEL_BYTES; i++) {", f"    memory[i] = {entered};", "}"]
    for layer, source, target in zip(layers, places, [*places[1:], "logits"], strict=True):
        body.append(f"{declared.calls[layer.name]}, {source}, {target});")
    return Program(
        arithmetic=arithmetic,
        image=image,
        parts=(arithmetic, *declared.parts),
        tables=read.tables,
        constants=declared.constants,
        body=tuple(body),
        cells=cells,
        storage=declared.storage,
        inputs=read.inputs,
        outputs=read.outputs,
        variables={**declared.variables, **read.variables},
    )
