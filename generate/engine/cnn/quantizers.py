"""Quantizers of a pack of CNNs, and how its kernels are run with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from generate.engine.quantize.rows import new_quantizers
from store.precisions import Bits

QUANTIZER_NAMES = ("input", "convolution", "linear", "convolution.weight", "linear.weight")
"""Quantizers of a model: of the input, of the outputs of the layers (after ReLU), of their weights."""


class Quantization:
    """The quantizers of a pack and the rounded parameters that its networks compute with.

    Importing the kernels takes seconds where they are not cached; packs in float32 are spared that.

    Attributes:
        values: rows of the quantizers, as in `quantize.rows` [models x quantizers x 6].
    """

    def __init__(self, models: int, parameters: int, bits: Bits) -> None:
        self.values = new_quantizers(QUANTIZER_NAMES * models, bits).ravel()
        self._rounded = np.zeros(parameters, np.float32)
        self._models = models

    def rows(self, model: int) -> Tensor:
        """Return the quantizers of one model as a writable view [quantizers, 6]."""
        return torch.from_numpy(self.values).view(self._models, len(QUANTIZER_NAMES), -1)[model]

    def named(self, model: int) -> dict[str, Tensor]:
        """Return the quantizers of one model by name, as writable views [6]."""
        return dict(zip(QUANTIZER_NAMES, self.rows(model), strict=True))

    def observe_input(self, values: Tensor) -> None:
        """Let the quantizers of the input observe a minibatch, which is the same for all models."""
        from generate.engine.quantize.tensors import observe_input

        first = self.rows(0)[0]
        observe_input(values, first)
        for model in range(1, self._models):
            self.rows(model)[0] = first

    def rounded_inputs(self, values: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Yield neighbouring models that round their input alike, and the rounded input.

        In training these are all; they differ once models went back to their best epochs.
        """
        from generate.engine.quantize.tensors import fake_quantize

        start = 0
        for stop in range(1, self._models + 1):
            if stop == self._models or not torch.equal(self.rows(stop)[0], self.rows(start)[0]):
                yield slice(start, stop), fake_quantize(values, self.rows(start)[0])
                start = stop

    def run(self, goal: int, models: slice, data: tuple[Any, ...], results: tuple[Any, ...]) -> None:
        """Run the quantized kernels on some models; `data` and `results` are first and last arguments of `run`."""
        from generate.engine.cnn.quantized import run_quantized

        each = len(self.values) // self._models
        quantizers = self.values[models.start * each : models.stop * each]
        run_quantized(*(goal, *data, self._rounded, quantizers, *results))
