"""Costs of any module, counted on it by PyTorch: multiply-accumulates, and memory for activations along its operations.

The schedule runs one operation at a time on one image. Alive are its inputs, its output, and what a later operation
needs. Nothing is moved: views, permutations, copies and padding read where the values lie, and what is concatenated is
written side by side at once. Elementwise operations, softmax and norms write into their first input that is as large
and that nothing needs any more. Weights, buffers and what depends on them alone are no activations.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from store.costs import FLOAT_BYTES

aten = torch.ops.aten
LAYERS = frozenset({aten.mm, aten.addmm, aten.bmm, aten.baddbmm, aten.convolution})
"""Products; with constant weights they are linear layers and convolutions."""
MOVES = frozenset({aten.clone, aten._to_copy, aten.constant_pad_nd, aten._unsafe_view, aten.copy, aten._reshape_copy})
JOINS = frozenset({aten.cat, aten.stack})
BY_ROW = frozenset({aten._softmax, aten._log_softmax, aten.native_layer_norm, aten.native_group_norm})


@dataclass(frozen=True)
class Step:
    """An operation: its kind, the values that it reads, in order, and those that it makes."""

    kind: Any
    pointwise: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    constants: int


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # PyTorch's own lacks types
    """Records every operation that depends on the image, as steps between numbered values.

    A value is a storage: what only looks at another, or changes it in place, is that one. `numel` has its elements.
    """

    def __init__(self, image: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[Step] = []
        self.numel: list[int] = []
        self._value: dict[int, int] = {}
        self._kept: list[Any] = []  # So that no storage gets the address of another that is gone.
        self.image = self._new(image)

    def value(self, tensor: Tensor) -> int | None:
        """Return the value of a tensor, None of one that does not depend on the image."""
        return self._value.get(tensor.untyped_storage()._cdata)

    def _new(self, tensor: Tensor) -> int:
        storage = tensor.untyped_storage()
        self._kept += [tensor, storage]
        self._value[storage._cdata] = len(self.numel)
        self.numel.append(tensor.numel())
        return self._value[storage._cdata]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and record it."""
        del types
        found = func(*args, **(kwargs or {}))
        given = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        values = [self.value(one) for one in given]
        inputs = tuple(value for value in values if value is not None)
        if inputs:
            made = [one for one in tree_leaves(found) if isinstance(one, Tensor)]
            outputs = tuple(self.value(one) if self.value(one) is not None else self._new(one) for one in made)
            pointwise = torch.Tag.pointwise in func.tags
            step = Step(func.overloadpacket, pointwise, inputs, outputs, len(given) - len(inputs))  # type: ignore[arg-type]
            self.steps.append(step)
        return found


@dataclass
class Block:
    """Memory that several values share, one after the other or side by side: elements, and from when to when.

    `narrow` says that all values that rest in it, read by more than an elementwise step that replaces them, have 8 bits
    in an 8-bit network.
    """

    values: set[int] = field(default_factory=set)
    numel: int = 0
    born: int = 0
    gone: int = 0
    narrow: bool = True


def ram(module: nn.Module, image: Tensor) -> tuple[int, int]:
    """Return the bytes of activations that are alive at once, at most, for one image, in 32 and in 8 bits.

    `image` is [1, channels, height, width], on the device `meta`, as the module's parameters are. In 8 bits the image
    and all that enters or leaves a layer with weights take a byte, and other values stay floats.
    """
    with torch.no_grad(), Recorder(image) as recorder:
        result = module(image)
    output = recorder.value(result)
    if output is None:
        return FLOAT_BYTES * image.numel(), image.numel()  # It never looks at its image.
    blocks = _Blocks(recorder, output).blocks
    times = range(-1, len(recorder.steps) + 1)
    alive = [[block for block in blocks if block.born <= t <= block.gone] for t in times]
    whole = max(sum(block.numel for block in at) for at in alive)
    mixed = max(sum(block.numel * (1 if block.narrow else FLOAT_BYTES) for block in at) for at in alive)
    return FLOAT_BYTES * whole, mixed


class _Blocks:
    """Which values share memory."""

    def __init__(self, recorder: Recorder, output: int) -> None:
        self.steps, self.numel = recorder.steps, recorder.numel
        self.reads: dict[int, list[int]] = defaultdict(list)
        for at, step in enumerate(self.steps):
            for value in step.inputs:
                self.reads[value].append(at)
        self.reads[output].append(len(self.steps))
        self.of: dict[int, Block] = {recorder.image: Block({recorder.image}, self.numel[recorder.image], -1)}
        self.replaced: set[tuple[int, int]] = set()
        for at, step in enumerate(self.steps):
            for value in step.outputs:
                if value not in self.of and self.reads[value]:  # What nothing reads is never written.
                    self._place(at, step, value)
        self.blocks = list({id(block): block for block in self.of.values()}.values())
        sources = _sources(self.steps, recorder.image)
        for block in self.blocks:
            block.gone = max((at for value in block.values for at in self.reads[value]), default=block.born)
            block.narrow = all(self._narrow(value, sources) for value in block.values)

    def _place(self, at: int, step: Step, value: int) -> None:
        """Find room for a value that a step makes."""
        whole = [one for one in dict.fromkeys(step.inputs) if self._free(one, at)]
        if step.kind in MOVES:
            self._join(value, self.of[step.inputs[0]])
        elif step.kind in JOINS and whole and sum(self.numel[one] for one in whole) <= self.numel[value]:
            first = self.of[whole[0]]
            for other in (self.of[one] for one in whole[1:]):
                first.values |= other.values
                first.born = min(first.born, other.born)
                self.of |= dict.fromkeys(other.values, first)
            first.numel = self.numel[value]
            self._join(value, first)
        else:
            inplace = step.pointwise or step.kind in BY_ROW
            fitting = [one for one in whole if self.of[one].numel == self.numel[value]] if inplace else []
            if fitting:
                self.replaced.add((fitting[0], at))
                self._join(value, self.of[fitting[0]])
            else:
                self.of[value] = Block({value}, self.numel[value], at)

    def _free(self, value: int, at: int) -> bool:
        """Return whether nothing needs the block of a value after a step."""
        return all(read <= at for one in self.of[value].values for read in self.reads[one])

    def _join(self, value: int, block: Block) -> None:
        block.values.add(value)
        self.of[value] = block

    def _narrow(self, value: int, sources: set[int]) -> bool:
        """Return whether a value has 8 bits, or is replaced where it lies before anything else reads it."""
        resting = [at for at in self.reads[value] if (value, at) not in self.replaced]
        steps = [self.steps[at] for at in resting if at < len(self.steps)]
        lasting = [step for step in steps if step.kind not in MOVES and not set(step.outputs) <= {value}]
        if not lasting and len(steps) == len(resting):
            return True
        return value in sources or any(step.kind in LAYERS and step.constants for step in lasting)


def _sources(steps: list[Step], image: int) -> set[int]:
    """Return the image, what layers with weights make, and what follows from one of these alone, value by value."""
    found = {image}
    for step in steps:
        layer = step.kind in LAYERS and step.constants > 0
        follows = len(set(step.inputs)) == 1 and step.inputs[0] in found
        looks = set(step.outputs) <= set(step.inputs) and not step.pointwise
        if looks:
            continue
        if layer or (follows and (step.kind in MOVES or step.pointwise)):
            found.update(step.outputs)
        else:
            found.difference_update(step.outputs)
    return found
