"""CNN packs on compiled kernels: the layout of their buffers and the training step; the arithmetic is `cnn_kernel`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from generate.architectures import Architecture, ImageShape
from generate.engine import cnn_kernel
from generate.engine.cnn_kernel import TILE, Layout, Work, layout_of, round_up
from generate.engine.pack import Pack, Tally
from generate.engine.simd import LANES
from generate.protocol import Training
from store.records import Engine


def supported(architectures: Sequence[Architecture], image: ImageShape) -> bool:
    """Return whether the kernels can train these architectures: CNNs on images of at least 3 x 3 pixels."""
    return min(image.height, image.width) >= 3 and all(architecture.family == "cnn" for architecture in architectures)


class CnnKernelPack(Pack):
    """CNNs trained by compiled kernels on one thread.

    All parameters, gradients and Adam moments are flat buffers [values of model 0, values of model 1, ...], each model
    laid out as `cnn_kernel` says; `tensors` are views of it, so `refresh` has nothing to do.
    """

    engine: Engine = "kernel"

    def __init__(self, architectures: Sequence[Architecture], image: ImageShape, training: Training) -> None:
        super().__init__(architectures, image, training)
        self._layouts = [layout_of(architecture.capacity, image) for architecture in self.architectures]
        ends = np.cumsum([0] + [layout.size for layout in self._layouts])
        self._slices = [slice(start, end) for start, end in zip(ends[:-1], ends[1:], strict=True)]
        size = int(ends[-1])
        self._parameters, self._gradient = np.zeros(size, np.float32), np.zeros(size, np.float32)
        self._first, self._second = np.zeros(size, np.float32), np.zeros(size, np.float32)
        self._steps = 0
        self._work = _work(self._layouts, image, training.batch_size)
        layout, images = self._layouts[0], round_up(training.batch_size, TILE)
        self._inputs = np.zeros(images * 3 * image.channels * layout.plane, np.float32)
        self._bytes = np.zeros(training.batch_size * image.values + LANES, np.uint8)

    def tensors(self, model: int) -> dict[str, Tensor]:
        """Return the parameters of one model as writable views, named and shaped as in its module's `state_dict`."""
        return self._views(self._parameters, model)

    def gradients(self, images: Tensor, labels: Tensor) -> list[dict[str, Tensor]]:
        """Return, per model, the gradient of the mean loss of this minibatch, without changing any parameter."""
        self._gradient[:] = 0
        self._prepare(images)
        for model in range(len(self.architectures)):
            self._evaluate(model, labels.numpy())
            self._backward(model, len(images))
        return [
            {name: view.clone() for name, view in self._views(self._gradient, model).items()}
            for model in range(len(self.architectures))
        ]

    def step(self, images: Tensor, labels: Tensor) -> Tally:
        """Take one Adam step of every model on a minibatch and return its running metrics (before the step)."""
        self._steps += 1
        self._prepare(images)
        tally = _Sums(len(self.architectures))
        for model in range(len(self.architectures)):
            tally.add(model, self._evaluate(model, labels.numpy()))
            self._backward(model, len(images))
            self._adam(model)
        return tally.tally()

    def evaluate(self, images: Tensor, labels: Tensor) -> Tally:
        """Return the metrics of every model on images (any number of them), changing nothing."""
        tally = _Sums(len(self.architectures))
        size = self.training.batch_size
        for some, answers in zip(images.split(size), labels.split(size), strict=True):
            self._prepare(some)
            for model in range(len(self.architectures)):
                tally.add(model, self._evaluate(model, answers.numpy()))
        return tally.tally()

    def _prepare(self, images: Tensor) -> None:
        values = images.numpy().reshape(-1)
        self._bytes[: values.size] = values
        scale = 1 / (255 * self.training.input_std)
        shift = self.training.input_mean / self.training.input_std
        cnn_kernel.prepare(
            self._bytes, len(images) * self.image.channels, self.image.height, self.image.width,
            self._layouts[0].plane, self.image.height * self.image.width, scale, shift, self._inputs,
        )  # fmt: skip

    def _evaluate(self, model: int, labels: np.ndarray[tuple[int], np.dtype[np.int64]]) -> tuple[float, int]:
        parameters = self._parameters[self._slices[model]]
        return cnn_kernel.evaluate(self._inputs, labels, len(labels), parameters, self._layouts[model], self._work)

    def _backward(self, model: int, count: int) -> None:
        here = self._slices[model]
        parameters, gradient = self._parameters[here], self._gradient[here]
        cnn_kernel.backward(self._inputs, count, parameters, gradient, self._layouts[model], self._work)

    def _adam(self, model: int) -> None:
        here = self._slices[model]
        beta1, beta2 = self.training.betas
        cnn_kernel.adam(
            self._parameters[here], self._gradient[here], self._first[here], self._second[here],
            self.training.learning_rate / (1 - beta1**self._steps), 1 - beta1, 1 - beta2, self.training.epsilon,
            1 / math.sqrt(1 - beta2**self._steps),
        )  # fmt: skip

    def _views(self, buffer: np.ndarray[tuple[int], np.dtype[np.float32]], model: int) -> dict[str, Tensor]:
        layout = self._layouts[model]
        flat = torch.from_numpy(buffer[self._slices[model]])
        channels, classes = layout.channels, layout.classes
        kernels = flat[: channels * layout.taps].view(channels, self.image.channels, 3, 3)
        weights = flat[layout.weights :].view(classes, layout.row)[:, : channels * layout.positions]
        return {
            "convolution.weight": kernels,
            "convolution.bias": flat[layout.biases :][:channels],
            "linear.weight": weights,
            "linear.bias": flat[layout.head_biases :][:classes],
        }


class _Sums:
    def __init__(self, models: int) -> None:
        self.loss, self.correct = np.zeros(models), np.zeros(models, np.int64)

    def add(self, model: int, seen: tuple[float, int]) -> None:
        self.loss[model] += seen[0]
        self.correct[model] += seen[1]

    def tally(self) -> Tally:
        return Tally(torch.from_numpy(self.loss), torch.from_numpy(self.correct))


def _work(layouts: Sequence[Layout], image: ImageShape, batch_size: int) -> Work:
    """Return buffers that suit the largest model."""
    channels = max(layout.channels for layout in layouts)
    layout = layouts[0]
    tiles = -(-batch_size // TILE)
    edge = (np.arange(LANES) + (layout.vectors - 1) * LANES < layout.positions).astype(np.float32)
    return Work(
        by_tap=np.zeros((1 + layout.taps) * channels + LANES, np.float32),
        edge=edge,
        activations=np.zeros(tiles * channels * TILE * layout.line, np.float32),
        scores=np.zeros((batch_size + 2) * layout.classes * LANES, np.float32),
        errors=np.zeros(batch_size * layout.errors_row, np.float32),
        partial=np.zeros(TILE * LANES, np.float32),
        sums=np.zeros(8 * (1 + layout.taps) * LANES, np.float32),
    )
