"""Fake quantization of whole tensors, for a pack's input, which all its models share."""

from __future__ import annotations

from torch import Tensor

from generate.engine.quantize.observer import update_quantizer
from generate.engine.quantize.rows import FIRST, LAST, SCALE, ZERO_POINT


def observe_input(values: Tensor, quantizer: Tensor) -> None:
    """Let an activation's quantizer, a row as in `rows`, observe float32 values."""
    update_quantizer(quantizer.numpy(), 0, float(values.min()), float(values.max()), False)


def fake_quantize(values: Tensor, quantizer: Tensor) -> Tensor:
    """Return float32 values rounded to the levels of an activation's quantizer."""
    scale, zero_point = quantizer[SCALE], quantizer[ZERO_POINT]
    levels = (values * (1 / scale)).round_().add_(zero_point).clamp_(float(quantizer[FIRST]), float(quantizer[LAST]))
    return levels.sub_(zero_point).mul_(scale)
