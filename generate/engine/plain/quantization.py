"""Quantization-aware training of the plain modules: PyTorch's default configuration for QNNPACK, by its fused operator.

Fake-quantized are the input, the weights, and the outputs of the linear and convolution layers, after the ReLU where
there is one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from generate.engine.plain.modules import Cnn, Dnn

AVERAGING = 0.01


def new_quantizers(module: nn.Module, device: torch.device) -> dict[str, Tensor]:
    """Return quantizers that have observed nothing: of the `input`, of every layer's outputs and of its weights.

    Each is a row of lowest and highest value observed, scale, zero point.
    """
    names = [name for name, layer in module.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    unused = torch.tensor([torch.inf, -torch.inf, 1, 0], device=device)
    return {name: unused.clone() for name in ("input", *names, *(f"{name}.weight" for name in names))}


def quantized_forward(module: nn.Module, images: Tensor, quantizers: dict[str, Tensor], *, observe: bool) -> Tensor:
    """Return the logits [batch, classes] under fake quantization; quantizers observe what they see if asked to."""

    def rounded(name: str, values: Tensor) -> Tensor:
        return fake_quantize(values, quantizers[name], symmetric=name.endswith(".weight"), observe=observe)

    parameters = dict(module.named_parameters())
    weights = {name: rounded(name, value) for name, value in parameters.items() if name in quantizers}
    used = {**parameters, **weights}
    inputs = rounded("input", images)
    if isinstance(module, Cnn):
        h = F.relu(F.conv2d(inputs, used["convolution.weight"], used["convolution.bias"]))
        h = rounded("convolution", h).flatten(1)
        return rounded("linear", F.linear(h, used["linear.weight"], used["linear.bias"]))
    if isinstance(module, Dnn):
        h, last = inputs.flatten(1), len(module.layers) - 1
        for k in range(len(module.layers)):
            h = F.linear(h, used[f"layers.{k}.weight"], used[f"layers.{k}.bias"])
            h = rounded(f"layers.{k}", h if k == last else F.relu(h))
        return h
    hooks = [
        layer.register_forward_hook(lambda _, __, output, name=name: rounded(name, output))
        for name, layer in module.named_modules()
        if name in quantizers
    ]
    try:
        logits: Tensor = functional_call(module, used, (inputs,))
    finally:
        for hook in hooks:
            hook.remove()
    return logits


def fake_quantize(values: Tensor, quantizer: Tensor, *, symmetric: bool, observe: bool) -> Tensor:
    """Return values rounded to 8 bits and back; gradients pass where they are in range.

    The quantizer first observes the values if asked to. Weights are symmetric in -128 .. 127, activations affine in
    0 .. 255.
    """
    operator: Any = torch.fused_moving_avg_obs_fake_quant
    low, high, scale = quantizer[0].clone(), quantizer[1].clone(), quantizer[2:3].clone()
    zero_point = quantizer[3:].to(torch.int32)
    observing, rounding = (torch.tensor([on], dtype=torch.int64, device=values.device) for on in (observe, True))
    levels = (-128, 127) if symmetric else (0, 255)
    result: Tensor = operator(
        values, observing, rounding, low, high, scale, zero_point, AVERAGING, *levels, -1, False, symmetric
    )
    if observe:
        quantizer.copy_(torch.stack([low, high, scale[0], zero_point[0].to(low.dtype)]))
    return result
