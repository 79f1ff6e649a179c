"""Quantizers of a pack of vision transformers, and how its kernels are run with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from generate.engine.quantize.rows import FIRST, LAST, SCALE, ZERO_POINT, new_quantizers
from generate.engine.simd.vector import LANES
from generate.engine.vit.layout import Shape, model_weights
from store.precisions import Bits

LAYERS = (
    "embedding",
    *(f"blocks.{b}.{name}" for b in range(2) for name in ("query_key_value", "projection", "expand", "contract")),
    "head",
)
"""Linear layers in the order of the network."""

QUANTIZER_NAMES = ("input", *LAYERS, *(f"{layer}.weight" for layer in LAYERS))
"""Quantizers of a model: of the input, of the outputs of the linear layers, of their weights."""


def quantized_stop(shape: Shape, free: int, groups: int) -> int:
    """Return where the workspace ends if it holds `groups` of images and slots are free from `free` on."""
    from generate.engine.vit.quantized import group_size, quantized_space_end

    return quantized_space_end(shape, free) + groups * group_size(shape)


class Quantization:
    """The quantizers of a pack: per model the input, the outputs of the linear layers, their weights.

    Importing the kernels takes seconds where they are not cached; packs in float32 are spared that.
    """

    def __init__(self, shapes: Sequence[Shape], bits: Bits) -> None:
        self._quantizers = new_quantizers(QUANTIZER_NAMES * len(shapes), bits).reshape(len(shapes), -1)
        self._rounded = np.zeros(max(model_weights(shape).end for shape in shapes), dtype=np.float32)
        self._table: Any = None
        self._table_for: tuple[float, float] | None = None
        self._masks = np.zeros(0, dtype=np.uint16)

    def rows(self, model: int) -> Tensor:
        """Return the quantizers of one model as a writable view [rows, 6]."""
        return torch.from_numpy(self._quantizers[model]).view(len(QUANTIZER_NAMES), -1)

    def observe(self, low: float, high: float) -> None:
        """Let the quantizers of the input observe a minibatch."""
        from generate.engine.quantize.observer import update_quantizer

        for quantizers in self._quantizers:
            update_quantizer(quantizers, 0, low, high, False)

    def table(self, model: int, values: Any) -> Any:
        """Return what each byte of an image stands for to one model, quantized; a new object if that changed."""
        scale, zero_point, first, last = self._quantizers[model, [SCALE, ZERO_POINT, FIRST, LAST]]
        if self._table_for != (scale, zero_point):
            levels = np.clip(np.rint(values * (np.float32(1) / scale)) + zero_point, first, last)
            self._table, self._table_for = ((levels - zero_point) * scale).astype(np.float32), (scale, zero_point)
        return self._table

    def run(self, model: int, space: Any, data: tuple[Any, ...], results: tuple[Any, ...]) -> int:
        """Run one model's kernel; `data` and `results` are the first and last arguments of `run_quantized`."""
        from generate.engine.vit.quantized import run_quantized

        if len(self._masks) * LANES < len(space):
            self._masks = np.zeros(len(space) // LANES, dtype=np.uint16)
        return run_quantized(*(space, self._masks, *data, self._rounded, self._quantizers[model], *results))
