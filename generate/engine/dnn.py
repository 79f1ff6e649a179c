"""Fully connected networks of any width on the compiled kernels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from generate.architectures import Architecture, ImageShape
from generate.engine import dnn_kernel as kernels
from generate.engine.pack import Pack, Tally, normalise
from generate.engine.simd import LANES
from generate.protocol import Training
from store.records import Engine


def _whole_vectors(floats: int) -> int:
    return -(-floats // LANES) * LANES


def supported(architectures: Sequence[Architecture], training: Training) -> bool:
    """Return whether these models can be trained by the kernels: fully connected, in float32."""
    return all(a.family == "dnn" for a in architectures) and training.compute == "float32"


class DnnKernelPack(Pack):
    """Fully connected networks trained in lockstep by `dnn_kernel`."""

    engine: Engine = "kernel"

    def __init__(self, architectures: Sequence[Architecture], image: ImageShape, training: Training) -> None:
        super().__init__(architectures, image, training)
        layers, first, floats = [], [0], 0
        for architecture in architectures:
            for inputs, outputs in pairwise((image.values, *architecture.hidden_sizes, image.classes)):
                row = _whole_vectors(inputs)
                layers.append((inputs, row, outputs, floats, floats + outputs * row))
                floats += outputs * row + _whole_vectors(outputs)
            first.append(len(layers))
        self._layers = np.array(layers, dtype=np.int64)
        self._first = np.array(first, dtype=np.int64)
        self._parameters, self._moments1, self._moments2 = (torch.zeros(floats) for _ in range(3))
        self._steps = 0
        lanes = _whole_vectors(training.batch_size)
        deepest = max(sum(a.hidden_sizes) for a in architectures) + image.classes
        widest = max(max(*a.hidden_sizes, image.classes) for a in architectures) + 2
        self._hidden = np.zeros(deepest * lanes, dtype=np.float32)
        self._delta, self._below = (np.zeros(widest * lanes, dtype=np.float32) for _ in range(2))
        self._batch_major = np.zeros(training.batch_size * _whole_vectors(widest), dtype=np.float32)
        self._scratch = np.zeros(kernels.SCRATCH_FLOATS, dtype=np.float32)

    def tensors(self, model: int) -> dict[str, Tensor]:
        """Return the parameters of one model as writable views."""
        return self._views(self._parameters, model)

    def _views(self, buffer: Tensor, model: int) -> dict[str, Tensor]:
        views = {}
        rows = self._layers[self._first[model] : self._first[model + 1]].tolist()
        for k, (inputs, row, outputs, weights, biases) in enumerate(rows):
            views[f"layers.{k}.weight"] = buffer[weights : weights + outputs * row].view(outputs, row)[:, :inputs]
            views[f"layers.{k}.bias"] = buffer[biases : biases + outputs]
        return views

    def gradients(self, images: Tensor, labels: Tensor) -> list[dict[str, Tensor]]:
        """Return the gradients of this minibatch per model, read off Adam's first moment after one step from zero."""
        state = [buffer.clone() for buffer in (self._parameters, self._moments1, self._moments2)]
        self._moments1.zero_()
        self.step(images, labels)
        gradient = self._moments1 / (1 - self.training.betas[0])
        for buffer, before in zip((self._parameters, self._moments1, self._moments2), state, strict=True):
            buffer.copy_(before)
        self._steps -= 1
        return [self._views(gradient, model) for model in range(len(self.architectures))]

    def step(self, images: Tensor, labels: Tensor) -> Tally:
        """Take one Adam step of every model on a minibatch and return its metrics before the step."""
        rows = normalise(images, self.training).flatten(1)
        loss, correct = np.zeros(len(self.architectures)), np.zeros(len(self.architectures), dtype=np.int64)
        self._steps += 1
        columns = self._columns(rows)
        kernels.train_step(
            self._parameters.numpy(),
            self._moments1.numpy(),
            self._moments2.numpy(),
            self._layers,
            self._first,
            columns.numpy().ravel(),
            torch.nn.functional.pad(rows, (0, -rows.shape[1] % LANES)).numpy().ravel(),
            columns.shape[1],
            labels.numpy(),
            self._hidden,
            self._delta,
            self._below,
            self._batch_major,
            self._scratch,
            self._adam(),
            loss,
            correct,
        )
        return Tally(torch.from_numpy(loss), torch.from_numpy(correct))

    def evaluate(self, images: Tensor, labels: Tensor) -> Tally:
        """Return every model's metrics on any number of images."""
        loss, correct = np.zeros(len(self.architectures)), np.zeros(len(self.architectures), dtype=np.int64)
        chunk = _whole_vectors(self.training.batch_size)
        for some, answers in zip(torch.split(images, chunk), torch.split(labels, chunk), strict=True):
            columns = self._columns(normalise(some, self.training).flatten(1))
            kernels.evaluate(
                self._parameters.numpy(),
                self._layers,
                self._first,
                columns.numpy().ravel(),
                columns.shape[1],
                answers.numpy(),
                self._hidden,
                self._delta,
                loss,
                correct,
            )
        return Tally(torch.from_numpy(loss), torch.from_numpy(correct))

    @staticmethod
    def _columns(rows: Tensor) -> Tensor:
        columns = torch.zeros(rows.shape[1], _whole_vectors(rows.shape[0]))
        columns[:, : rows.shape[0]] = rows.t()
        return columns

    def _adam(self) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        beta1, beta2 = self.training.betas
        step_size = self.training.learning_rate / (1 - beta1**self._steps)
        root_correction = 1 / math.sqrt(1 - beta2**self._steps)
        return np.array([beta1, beta2, self.training.epsilon, step_size, root_correction], dtype=np.float32)
