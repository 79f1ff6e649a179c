"""Trained 8-bit models run by PyTorch's QNNPACK integer kernels: what a device would compute.

Weights and activations take the scales and zero points that quantization-aware training ended with. The models
themselves are beside each family's module.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from generate.engine.quantize.rows import SCALE, ZERO_POINT

CHUNK = 1000
"""Images run at a time."""
LEVELS = 255

IntegerModel = Callable[[Tensor], Tensor]
"""From normalised images float32 [batch, channels, height, width] to logits [batch, classes]."""


class Values(NamedTuple):
    """What training left of one model.

    `parameters` are named as in its module's `state_dict`; `quantizers` hold per name a row as in `quantize.rows`:
    `input`, and for each layer its output under the layer's name and its weights under NAME.weight.
    """

    parameters: Mapping[str, Tensor]
    quantizers: Mapping[str, Tensor]


@contextmanager
def qnnpack() -> Iterator[None]:
    """Run quantized operators with QNNPACK.

    Raises:
        RuntimeError: this build of PyTorch lacks it.
    """
    backends: Any = torch.backends.quantized
    before = backends.engine
    backends.engine = "qnnpack"
    try:
        with warnings.catch_warnings():
            # Deprecated since PyTorch 2.14, with no successor that QNNPACK runs.
            warnings.filterwarnings("ignore", message="torch.quantize_per_tensor")
            yield
    finally:
        backends.engine = before


def available() -> bool:
    """Return whether this build of PyTorch has QNNPACK and quantized tensors."""
    backends: Any = torch.backends.quantized
    return "qnnpack" in backends.supported_engines and hasattr(torch, "quantize_per_tensor")


def integer_accuracy(build: Callable[[], IntegerModel], images: Tensor, labels: Tensor) -> float:
    """Return the accuracy of an integer model as a fraction.

    Args:
        build: returns the model, which is converted and run with QNNPACK.
        images: normalised float32 [n, channels, height, width].
        labels: int64 [n].
    """
    with qnnpack(), torch.no_grad():
        model = build()
        correct = sum(
            int((model(some).argmax(1) == answers).sum())
            for some, answers in zip(torch.split(images, CHUNK), torch.split(labels, CHUNK), strict=True)
        )
    return correct / len(labels)


def levels(values: Tensor, quantizer: Tensor, kind: torch.dtype) -> Tensor:
    """Return floats as integers of a kind, by the scale and zero point of a quantizer."""
    return torch.quantize_per_tensor(values, float(quantizer[SCALE]), int(quantizer[ZERO_POINT]), kind)


class IntegerLinear:
    """A linear layer on integers; returns integers."""

    def __init__(self, name: str, values: Values, *, relu: bool = False) -> None:
        parameters, quantizers = values
        weight = levels(parameters[f"{name}.weight"].contiguous(), quantizers[f"{name}.weight"], torch.qint8)
        operators: Any = torch.ops.quantized
        self._packed = operators.linear_prepack(weight, parameters[f"{name}.bias"].contiguous())
        self._run = operators.linear_relu if relu else operators.linear
        self._scale, self._zero_point = float(quantizers[name][SCALE]), int(quantizers[name][ZERO_POINT])

    def __call__(self, values: Tensor) -> Tensor:
        """Return the layer's outputs."""
        result: Tensor = self._run(values, self._packed, self._scale, self._zero_point)
        return result
