"""Fully connected networks of any width on the compiled kernels."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from generate.architectures import Architecture, ImageShape
from generate.engine.dnn import kernel as kernels
from generate.engine.dnn.backward import UPDATE_ROWS
from generate.engine.dnn.layout import State, Work
from generate.engine.pack import Pack, Tally, normalise, write_masks
from generate.engine.quantize.rows import COLUMNS, new_quantizers
from generate.engine.quantize.tensors import fake_quantize, observe_input
from generate.engine.simd.adam import adam_settings
from generate.engine.simd.memory import aligned_zeros, whole_vectors
from generate.engine.simd.vector import LANES
from generate.protocol import FamilyProtocol
from store.precisions import Bits
from store.records import Engine


class DnnKernelPack(Pack):
    """Fully connected networks trained in lockstep by `dnn.kernel`; with fake quantization if given `bits`."""

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
        self._quantized = bits is not None
        layers, first, floats = [], [0], 0
        for architecture in architectures:
            for inputs, outputs in pairwise((image.values, *architecture.hidden_sizes, image.classes)):
                row = whole_vectors(inputs)
                layers.append((inputs, row, outputs, floats, floats + outputs * row))
                floats += outputs * row + whole_vectors(outputs)
            first.append(len(layers))
        self._layers = np.array(layers, dtype=np.int64)
        self._first = np.array(first, dtype=np.int64)
        self._parameters, self._moments1, self._moments2 = (torch.zeros(floats) for _ in range(3))
        names = ["input", *(name for k in range(len(layers)) for name in (f"{k}.weight", f"{k}"))]
        self._quantizers = torch.from_numpy(new_quantizers(names, bits or Bits(8, 8))).flatten()
        # All models observe the same input, but each is selected with what was known of it at an epoch of its own.
        self._input_quantizers = self._quantizers[:COLUMNS].repeat(len(architectures), 1)
        self._steps = 0
        self._held: Tensor | None = None
        weights = torch.zeros(floats) if bits else self._parameters
        buffers = (self._parameters, self._moments1, self._moments2, weights, self._quantizers)
        self._state = State(*(buffer.numpy() for buffer in buffers))
        self._work = self._working_memory()

    def _working_memory(self) -> Work:
        lanes, classes = whole_vectors(self.training.batch_size), self.image.classes
        deepest = max(sum(a.hidden_sizes) for a in self.architectures) + classes
        widest = max(max(*a.hidden_sizes, classes) for a in self.architectures) + 2

        return Work(
            hidden=aligned_zeros(deepest * lanes),
            gate=aligned_zeros(deepest * lanes if self._quantized else 1),
            delta=aligned_zeros(widest * lanes),
            below=aligned_zeros(widest * lanes),
            batch_major=aligned_zeros(self.training.batch_size * whole_vectors(widest)),
            gradient=aligned_zeros(UPDATE_ROWS * whole_vectors(max(self.image.values, widest))),
        )

    def tensors(self, model: int) -> dict[str, Tensor]:
        """Return the parameters of one model as writable views."""
        return self._views(self._parameters, model)

    def quantizers(self, model: int) -> dict[str, Tensor]:
        """Return the quantizers of one model as writable rows."""
        if not self._quantized:
            return {}
        rows, first = self._quantizers.view(-1, COLUMNS), int(self._first[model])
        named = {"input": self._input_quantizers[model]}
        for k in range(int(self._first[model + 1]) - first):
            named[f"layers.{k}.weight"] = rows[1 + 2 * (first + k)]
            named[f"layers.{k}"] = rows[2 + 2 * (first + k)]
        return named

    def _views(self, buffer: Tensor, model: int) -> dict[str, Tensor]:
        views = {}
        rows = self._layers[self._first[model] : self._first[model + 1]].tolist()
        for k, (inputs, row, outputs, weights, biases) in enumerate(rows):
            views[f"layers.{k}.weight"] = buffer[weights : weights + outputs * row].view(outputs, row)[:, :inputs]
            views[f"layers.{k}.bias"] = buffer[biases : biases + outputs]
        return views

    def hold(self, masks: Sequence[Mapping[str, Tensor]]) -> None:
        """Set the weights to zero whose mask is False, and keep them there."""
        held = torch.ones_like(self._parameters)
        write_masks(masks, functools.partial(self._views, held))
        self._parameters.mul_(held)
        self._held = held

    def gradients(self, images: Tensor, labels: Tensor) -> list[dict[str, Tensor]]:
        """Return the gradients of this minibatch per model, read off Adam's first moment after one step from zero."""
        buffers = (self._parameters, self._moments1, self._moments2, self._quantizers)
        before = [buffer.clone() for buffer in buffers]
        self._moments1.zero_()
        self.step(images, labels)
        gradient = self._moments1 / (1 - self.training.betas[0])
        for buffer, values in zip(buffers, before, strict=True):
            buffer.copy_(values)
        self._steps -= 1
        return [self._views(gradient, model) for model in range(len(self.architectures))]

    def step(self, images: Tensor, labels: Tensor) -> Tally:
        """Take one Adam step of every model on a minibatch and return its metrics before the step."""
        loss, correct = np.zeros(len(self.architectures)), np.zeros(len(self.architectures), dtype=np.int64)
        self._steps += 1
        rows = normalise(images, self.training).flatten(1)
        if self._quantized:
            observe_input(rows, self._quantizers[:COLUMNS])
            self._input_quantizers[:] = self._quantizers[:COLUMNS]
            rows = fake_quantize(rows, self._quantizers[:COLUMNS])
        columns = self._columns(rows)
        kernels.train_step(
            self._state,
            self._layers,
            self._first,
            columns.numpy().ravel(),
            torch.nn.functional.pad(rows, (0, -rows.shape[1] % LANES)).numpy().ravel(),
            columns.shape[1],
            labels.numpy(),
            self._work,
            adam_settings(self.training, self._steps, round_first=True),
            self._quantized,
            loss,
            correct,
        )
        if self._held is not None:
            self._parameters.mul_(self._held)
        return Tally(torch.from_numpy(loss), torch.from_numpy(correct))

    def evaluate(self, images: Tensor, labels: Tensor) -> Tally:
        """Return every model's metrics on any number of images."""
        loss, correct = np.zeros(len(self.architectures)), np.zeros(len(self.architectures), dtype=np.int64)
        chunk = whole_vectors(self.training.batch_size)
        for some, answers in zip(torch.split(images, chunk), torch.split(labels, chunk), strict=True):
            rows = normalise(some, self.training).flatten(1)
            for begin, end, quantizer in self._runs_of_one_input():
                columns = self._columns(fake_quantize(rows, quantizer) if self._quantized else rows)
                kernels.evaluate(
                    self._state,
                    self._layers,
                    self._first[begin : end + 1],
                    columns.numpy().ravel(),
                    columns.shape[1],
                    answers.numpy(),
                    self._work,
                    self._quantized,
                    loss[begin:end],
                    correct[begin:end],
                )
        return Tally(torch.from_numpy(loss), torch.from_numpy(correct))

    def _runs_of_one_input(self) -> Iterator[tuple[int, int, Tensor]]:
        """Yield first and last model (exclusive) of neighbours whose input is quantized alike, with its quantizer."""
        edges = (self._input_quantizers[1:] != self._input_quantizers[:-1]).any(1).nonzero().flatten() + 1
        places = [0, *edges.tolist(), len(self.architectures)]
        for begin, end in pairwise(places):
            yield begin, end, self._input_quantizers[begin]

    @staticmethod
    def _columns(rows: Tensor) -> Tensor:
        columns = torch.zeros(rows.shape[1], whole_vectors(rows.shape[0]))
        columns[:, : rows.shape[0]] = rows.t()
        return columns
