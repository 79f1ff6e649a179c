"""Vision transformers trained in lockstep with compiled kernels: one packing of the minibatch serves every model."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from generate.architectures import Architecture, ImageShape
from generate.engine.pack import Pack, Tally, normalise, write_masks
from generate.engine.plain.modules import tensor_shapes
from generate.engine.plain.vit import patches, sine_positions
from generate.engine.simd.adam import update_without_fusing
from generate.engine.simd.memory import aligned_zeros
from generate.engine.simd.vector import LANES
from generate.engine.vit import kernel
from generate.engine.vit.forward import pack_patches
from generate.engine.vit.layout import Shape, group_space, model_weights, scratch_space
from generate.engine.vit.quantizers import QUANTIZER_NAMES, Quantization, quantized_stop
from generate.families.vit import PatchGrid, VitProtocol
from store.precisions import Bits
from store.records import Engine

EVALUATION_CHUNK = 16 * LANES
"""Images that are packed at once for evaluation."""


_NO_MASKS = np.zeros(0, dtype=np.uint16)


class VitKernelPack(Pack):
    """Vision transformers of any widths; parameters are slices of one flat vector, in `state_dict` order.

    With `bits` they are trained with fake quantization of the input, of every linear layer's weights and of its
    outputs, as PyTorch's default configuration for QNNPACK does; evaluation then uses the quantizers as they are.
    """

    engine: Engine = "kernel"

    def __init__(
        self,
        architectures: Sequence[Architecture],
        image: ImageShape,
        protocol: VitProtocol,
        *,
        bits: Bits | None = None,
    ) -> None:
        super().__init__(architectures, image, protocol)
        grid = protocol.patches(image)
        values = grid.patch_height * grid.patch_width * image.channels
        self._shapes = [Shape(a.capacity, grid.patches + 1, values, image.classes) for a in self.architectures]
        ends = list(accumulate((model_weights(shape).end for shape in self._shapes), initial=0))
        self._slices = [slice(first, stop) for first, stop in pairwise(ends)]
        self._weights = np.zeros(ends[-1], dtype=np.float32)
        self._mean, self._square, self._gradient = (np.zeros_like(self._weights) for _ in range(3))
        self._steps = 0
        self._held: Any = None
        self._positions = [sine_positions(shape.tokens, shape.width).flatten().numpy() for shape in self._shapes]
        self._folded = np.zeros(max(model_weights(shape).folded_end for shape in self._shapes), dtype=np.float32)
        self._table = normalise(torch.arange(256, dtype=torch.uint8), self.training).numpy()
        self._pixels = _patch_pixels(image, grid)
        self._space = aligned_zeros(0)
        self._quantization = Quantization(self._shapes, bits) if bits else None
        self._tensor_shapes = [tensor_shapes(architecture, image, protocol) for architecture in self.architectures]

    def tensors(self, model: int) -> dict[str, Tensor]:
        """Return the parameters of one model as writable views, named and shaped as in its module's `state_dict`."""
        return self._views(self._weights, model)

    def quantizers(self, model: int) -> dict[str, Tensor]:
        """Return the quantizers of one model as writable views, rows as in `quantize.rows`.

        They are `input`, one for the outputs of each linear layer, named as the layer, and one for its weights, named
        as the parameter; none if the pack is not quantized.
        """
        return dict(zip(QUANTIZER_NAMES, self._quantization.rows(model), strict=True)) if self._quantization else {}

    def hold(self, masks: Sequence[Mapping[str, Tensor]]) -> None:
        """Set the weights to zero whose mask is False, and keep them there."""
        held = np.ones_like(self._weights)
        write_masks(masks, functools.partial(self._views, held))
        self._weights *= held
        self._held = held

    def gradients(self, images: Tensor, labels: Tensor) -> list[dict[str, Tensor]]:
        """Return, per model, the gradient of the mean loss of this minibatch, without changing any parameter."""
        observed = [self.quantizers(model) for model in range(len(self.architectures))]
        before = [{name: row.clone() for name, row in rows.items()} for rows in observed]
        self._run(images, labels, differentiate=True)
        for rows, values in zip(observed, before, strict=True):
            for name, row in rows.items():
                row.copy_(values[name])
        gradient = self._gradient.copy()
        return [self._views(gradient, model) for model in range(len(self.architectures))]

    def step(self, images: Tensor, labels: Tensor) -> Tally:
        """Take one Adam step of every model on a minibatch and return its running metrics (before the step)."""
        tally = self._run(images, labels, differentiate=True)
        self._steps += 1
        beta1, beta2 = self.training.betas
        moments = (self._mean, self._square)
        settings = (self.training.learning_rate, beta1, beta2, self.training.epsilon)
        update_without_fusing(self._weights, self._gradient, *moments, self._steps, *settings)
        if self._held is not None:
            self._weights *= self._held
        return tally

    def evaluate(self, images: Tensor, labels: Tensor) -> Tally:
        """Return the metrics of every model on images (any number of them), changing nothing."""
        loss = torch.zeros(len(self._shapes), dtype=torch.float64)
        correct = torch.zeros(len(self._shapes), dtype=torch.int64)
        for first in range(0, len(images), EVALUATION_CHUNK):
            chunk = slice(first, first + EVALUATION_CHUNK)
            tally = self._run(images[chunk], labels[chunk], differentiate=False)
            loss += tally.loss
            correct += tally.correct
        return Tally(loss, correct)

    def _run(self, images: Tensor, labels: Tensor, *, differentiate: bool) -> Tally:
        """Return the metrics of every model on images that are packed at once; write their gradients if asked to."""
        quantization = self._quantization
        if quantization and differentiate:
            quantization.observe(self._table[int(images.min())], self._table[int(images.max())])
        free = self._make_room(-(-len(images) // LANES), differentiate=differentiate)
        pixels, answers = images.contiguous().view(-1).numpy(), labels.contiguous().numpy()
        loss, correct = np.zeros(len(self._shapes)), np.zeros(len(self._shapes), dtype=np.int64)
        packed: Any = None
        for model, (place, shape) in enumerate(zip(self._slices, self._shapes, strict=True)):
            table = quantization.table(model, self._table) if quantization else self._table
            # The models' tables are the same object as long as their quantizers of the input are equal.
            if table is not packed:
                pack_patches(pixels, self._pixels, len(images), self.image.values, table, self._space, 1)
                packed = table
            data: tuple[Any, ...] = (free, answers, len(answers), self._weights[place])
            gradient, losses = self._gradient[place], loss[model : model + 1]
            results: tuple[Any, ...] = (self._positions[model], self._folded, gradient, losses, differentiate, shape)
            if quantization:
                correct[model] = quantization.run(model, self._space, data, results)
            else:
                correct[model] = kernel.run(*(self._space, _NO_MASKS, *data, *results))
        return Tally(torch.from_numpy(loss), torch.from_numpy(correct))

    def _make_room(self, groups: int, *, differentiate: bool) -> int:
        """Let the workspace hold the patches of so many groups and what follows them; return the slot after them."""
        free = 1 + groups * len(self._pixels)
        if self._quantization:
            stop = max(quantized_stop(shape, free, groups if differentiate else 1) for shape in self._shapes)
        else:
            stop = max(group_space(shape, scratch_space(shape, free).end).end for shape in self._shapes)
        if len(self._space) < stop * LANES:
            self._space = aligned_zeros(stop * LANES)
        return free

    def _views(self, flat: Any, model: int) -> dict[str, Tensor]:
        tensor = torch.from_numpy(flat[self._slices[model]])
        views, first = {}, 1
        for name, shape in self._tensor_shapes[model].items():
            size = math.prod(shape)
            views[name] = tensor[first : first + size].view(shape)
            first += size
        return views


def _patch_pixels(image: ImageShape, grid: PatchGrid) -> Any:
    """Return where each number of the patches [values, patches], flat int64, stands in an image; -1 for padding."""
    numbers = torch.arange(1, image.values + 1, dtype=torch.float64).view(1, image.channels, image.height, image.width)
    return (patches(numbers, grid)[0].T.to(torch.int64) - 1).flatten().numpy()
