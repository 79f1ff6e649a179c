"""CNN packs on compiled kernels: owns their buffers; the arithmetic is `kernel`."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from generate.architectures import Architecture, ImageShape
from generate.engine.cnn import kernel
from generate.engine.cnn.kernel import DIFFERENTIATE, EVALUATE, LEARN, State
from generate.engine.cnn.layout import input_memory, layouts_of, working_memory
from generate.engine.cnn.quantizers import Quantization
from generate.engine.pack import Pack, Tally, normalise, write_masks
from generate.engine.simd.adam import adam_settings
from generate.engine.simd.memory import Floats
from generate.engine.simd.vector import LANES
from generate.protocol import FamilyProtocol
from store.precisions import Bits
from store.records import Engine


class CnnKernelPack(Pack):
    """CNNs trained by compiled kernels, on one thread.

    With `bits` they are trained with fake quantization of the input, the weights, the rectified convolution and the
    logits, as PyTorch's default configuration for QNNPACK does; evaluation uses the quantizers as they are.

    Parameters, gradient and Adam's moments are flat buffers, model after model, as `layout` says. What
    `tensors` returns are views of them, so `refresh` has nothing to do.
    """

    engine: Engine = "kernel"

    def __init__(
        self,
        architectures: Sequence[Architecture],
        image: ImageShape,
        protocol: FamilyProtocol,
        *,
        bits: Bits | None = None,
    ) -> None:
        super().__init__(architectures, image, protocol)
        self._layouts = layouts_of([architecture.capacity for architecture in self.architectures], image)
        self._table = np.array(self._layouts, dtype=np.int64)
        size = self._layouts[-1].start + self._layouts[-1].size
        self._state = State(*(np.zeros(size, np.float32) for _ in State._fields))
        self._work = working_memory(self._layouts, self.training.batch_size)
        self._inputs = input_memory(self._layouts[0], self.training.batch_size)
        self._images = np.zeros(self.training.batch_size * image.values + LANES, np.float32)
        self._quantization = Quantization(len(self.architectures), size, bits) if bits else None
        self._steps = 0
        self._held: Floats | None = None

    def tensors(self, model: int) -> dict[str, Tensor]:
        """Return the parameters of one model as writable views, named and shaped as in its module's `state_dict`."""
        return self._views(self._state.parameters, model)

    def quantizers(self, model: int) -> dict[str, Tensor]:
        """Return the quantizers of one model as writable views, rows as in `quantize.rows`.

        They are `input`, one for the outputs of each layer, named as the layer, and one for its weights, named as the
        parameter; none if the pack is not quantized.
        """
        return self._quantization.named(model) if self._quantization else {}

    def hold(self, masks: Sequence[Mapping[str, Tensor]]) -> None:
        """Set the weights to zero whose mask is False, and keep them there."""
        held = np.ones_like(self._state.parameters)
        write_masks(masks, functools.partial(self._views, held))
        self._state.parameters[:] *= held
        self._held = held

    def gradients(self, images: Tensor, labels: Tensor) -> list[dict[str, Tensor]]:
        """Return, per model, the gradient of the mean loss of this minibatch, without changing any parameter."""
        if self._quantization:
            before = self._quantization.values.copy()
        self._run(DIFFERENTIATE, images, labels)
        if self._quantization:
            self._quantization.values[:] = before
        models = range(len(self.architectures))
        views = [self._views(self._state.gradient, model) for model in models]
        return [{name: view.clone() for name, view in tensors.items()} for tensors in views]

    def step(self, images: Tensor, labels: Tensor) -> Tally:
        """Take one Adam step of every model on a minibatch and return its running metrics (before the step)."""
        self._steps += 1
        tally = self._run(LEARN, images, labels)
        if self._held is not None:
            self._state.parameters[:] *= self._held
        return tally

    def evaluate(self, images: Tensor, labels: Tensor) -> Tally:
        """Return the metrics of every model on images (any number of them), changing nothing."""
        return self._run(EVALUATE, images, labels)

    def _run(self, goal: int, images: Tensor, labels: Tensor) -> Tally:
        """Run the kernels on up to `batch_size` images at a time."""
        models = len(self.architectures)
        loss, correct = np.zeros(models), np.zeros(models, np.int64)
        size = self.training.batch_size
        for some, answers in zip(torch.split(images, size), torch.split(labels, size), strict=True):
            values = normalise(some, self.training)
            if self._quantization:
                if goal != EVALUATE:
                    self._quantization.observe_input(values)
                for group, rounded in self._quantization.rounded_inputs(values):
                    data = (self._prepare(rounded), answers.numpy(), len(some), self._table[group], self._state)
                    rest = (self._work, adam_settings(self.training, max(self._steps, 1)), loss[group], correct[group])
                    self._quantization.run(goal, group, data, rest)
            else:
                data = (self._prepare(values), answers.numpy(), len(some), self._table, self._state)
                kernel.run(goal, *data, self._work, adam_settings(self.training, max(self._steps, 1)), loss, correct)
        return Tally(torch.from_numpy(loss), torch.from_numpy(correct))

    def _prepare(self, values: Tensor) -> Floats:
        """Return normalised images as the kernels read them."""
        self._images[: values.numel()] = values.reshape(-1).numpy()
        height, width, plane = self.image.height, self.image.width, self._layouts[0].plane
        planes = len(values) * self.image.channels
        kernel.prepare(self._images, planes, height, width, plane, self._inputs)
        return self._inputs

    def _views(self, buffer: Floats, model: int) -> dict[str, Tensor]:
        layout = self._layouts[model]
        flat = torch.from_numpy(buffer[layout.start : layout.start + layout.size])
        channels, classes = layout.channels, layout.classes
        weights = flat[layout.weights :].view(classes, layout.row)[:, : channels * layout.positions]
        return {
            "convolution.weight": flat[: channels * layout.taps].view(channels, self.image.channels, 3, 3),
            "convolution.bias": flat[layout.biases :][:channels],
            "linear.weight": weights,
            "linear.bias": flat[layout.head_biases :][:classes],
        }
