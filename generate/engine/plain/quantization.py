"""Quantization-aware training of the plain modules: PyTorch's default configuration for QNNPACK, by its fused operator.

Fake-quantized are the input, the weights, and the outputs of the linear and convolution layers, after the ReLU where
there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from generate.engine.quantize.rows import FIRST, HIGH, LOW, SCALE, ZERO_POINT, new_quantizers
from store.precisions import Bits

AVERAGING = 0.01

Rounded = Callable[[str, Tensor], Tensor]
"""Rounds values with the quantizer of that name."""


def quantizers_for(module: nn.Module, device: torch.device, bits: Bits) -> dict[str, Tensor]:
    """Return quantizers that have observed nothing: of the `input`, of every layer's outputs and of its weights."""
    names = [name for name, layer in module.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    names = ["input", *names, *(f"{name}.weight" for name in names)]
    return dict(zip(names, torch.from_numpy(new_quantizers(names, bits)).to(device), strict=True))


def rounded_by(quantizers: dict[str, Tensor], *, observe: bool) -> Rounded:
    """Return what rounds values by name; quantizers observe what they see if asked to."""

    def rounded(name: str, values: Tensor) -> Tensor:
        return fake_quantize(values, quantizers[name], symmetric=name.endswith(".weight"), observe=observe)

    return rounded


def hooked_forward(module: nn.Module, images: Tensor, rounded: Rounded) -> Tensor:
    """Return the logits [batch, classes] under fake quantization of any module.

    Rounded are the input, and weights and outputs of its linear and convolution layers. A ReLU after one of them is
    not fused into it: families with such layers bring a forward pass of their own.
    """
    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)}
    parameters = dict(module.named_parameters())
    weights = {f"{name}.weight": rounded(f"{name}.weight", parameters[f"{name}.weight"]) for name in layers}
    hooks = [
        layer.register_forward_hook(lambda _, __, output, name=name: rounded(name, output))
        for name, layer in layers.items()
    ]
    try:
        logits: Tensor = functional_call(module, {**parameters, **weights}, (rounded("input", images),))
    finally:
        for hook in hooks:
            hook.remove()
    return logits


def fake_quantize(values: Tensor, quantizer: Tensor, *, symmetric: bool, observe: bool) -> Tensor:
    """Return values rounded to the quantizer's levels and back; gradients pass where they are in range.

    The quantizer first observes the values if asked to. Weights are symmetric, activations affine. Rounding takes
    float32, whatever the products are computed in.
    """
    low, high, scale = quantizer[LOW].clone(), quantizer[HIGH].clone(), quantizer[SCALE : SCALE + 1].clone()
    zero_point = quantizer[ZERO_POINT : ZERO_POINT + 1].to(torch.int32)
    first, last = (int(level) for level in quantizer[FIRST:].tolist())
    values = values.float()
    if not observe:
        return torch.fake_quantize_per_tensor_affine(values, scale, zero_point, first, last)
    operator: Any = torch.fused_moving_avg_obs_fake_quant
    on = torch.ones(1, dtype=torch.int64, device=values.device)
    result: Tensor = operator(
        values, on, on, low, high, scale, zero_point, AVERAGING, first, last, -1, False, symmetric
    )
    quantizer[:FIRST].copy_(torch.stack([low, high, scale[0], zero_point[0].to(low.dtype)]))
    return result
