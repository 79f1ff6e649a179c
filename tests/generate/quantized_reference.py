"""Quantization-aware training with torch.ao's own modules: the oracle of the engine's fake quantization."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from generate.architectures import Architecture, ImageShape
from generate.datasets import Dataset
from generate.engine.modules import build_module
from generate.engine.pack import normalise
from generate.protocol import Training

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.ao import quantization


class QuantizedDnn(nn.Module):
    """The DNN with QNNPACK's default quantization-aware configuration: input, weights, outputs after the ReLU."""

    def __init__(self, architecture: Architecture, image: ImageShape) -> None:
        super().__init__()
        plain = build_module(architecture, image)
        self.quantize, self.dequantize = quantization.QuantStub(), quantization.DeQuantStub()
        layers = list(plain.layers)  # type: ignore[arg-type]
        self.blocks = nn.ModuleList([nn.Sequential(layer, nn.ReLU()) for layer in layers[:-1]])
        self.blocks.append(nn.Sequential(layers[-1]))

    def forward(self, images: Tensor) -> Tensor:
        h = self.quantize(images.flatten(1))
        for block in self.blocks:
            h = block(h)
        logits: Tensor = self.dequantize(h)
        return logits


def prepared(architecture: Architecture, image: ImageShape) -> QuantizedDnn:
    """Return the module ready for quantization-aware training."""
    model = QuantizedDnn(architecture, image)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # These functions carry no annotations.
        toolbox: Any = quantization
        model.qconfig = toolbox.get_default_qat_qconfig("qnnpack")
        pairs = [[f"blocks.{k}.0", f"blocks.{k}.1"] for k in range(len(model.blocks) - 1)]
        if pairs:
            toolbox.fuse_modules_qat(model, pairs, inplace=True)
        toolbox.prepare_qat(model, inplace=True)
    return model


def layers_of(model: QuantizedDnn) -> list[nn.Module]:
    """Return the quantization-aware linear layers in order."""
    return [block[0] for block in model.blocks]  # type: ignore[index]


def load(model: QuantizedDnn, tensors: dict[str, Tensor]) -> None:
    """Copy parameters named as in the plain module."""
    with torch.no_grad():
        for k, layer in enumerate(layers_of(model)):
            layer.weight.copy_(tensors[f"layers.{k}.weight"])  # type: ignore[operator]
            layer.bias.copy_(tensors[f"layers.{k}.bias"])  # type: ignore[operator]


def quantizer_state(quantizer: nn.Module) -> tuple[float, float, float, float]:
    """Return lowest and highest value observed, scale and zero point."""
    observer = quantizer.activation_post_process
    values = (observer.min_val, observer.max_val, quantizer.scale, quantizer.zero_point)  # type: ignore[union-attr]
    return tuple(float(value) for value in values)  # type: ignore[return-value, arg-type]


def observe(model: nn.Module, *, on: bool) -> None:
    """Let the observers move with what they see, or hold them."""
    model.apply(quantization.enable_observer if on else quantization.disable_observer)


def train_oracle(architecture: Architecture, dataset: Dataset, *, epochs: int, seed: int) -> float:
    """Train one model as torch.ao's users would and return the test accuracy of its best validation epoch."""
    generator, model = torch.Generator().manual_seed(seed), prepared(architecture, dataset.image)
    for layer in layers_of(model):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)  # type: ignore[arg-type]
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    order = torch.randperm(len(dataset.train_images), generator=generator)
    held_out = round(len(order) / 10)
    validation, training = order[:held_out], order[held_out:]
    images, tests = (normalise(i, Training()) for i in (dataset.train_images, dataset.test_images))
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    best, result = -1.0, 0.0
    for _ in range(epochs):
        observe(model, on=True)
        for rows in torch.split(training[torch.randperm(len(training), generator=generator)], 100):
            optimiser.zero_grad()
            F.cross_entropy(model(images[rows]), dataset.train_labels[rows]).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        observe(model, on=False)
        with torch.no_grad():
            valid = float((model(images[validation]).argmax(1) == dataset.train_labels[validation]).double().mean())
            test = float((model(tests).argmax(1) == dataset.test_labels).double().mean())
        if valid > best:
            best, result = valid, test
    return result
