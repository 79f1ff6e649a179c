"""A plain trainer of one model, written as the protocol reads: what the engine is held to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from generate.architectures import Architecture
from generate.datasets import Dataset
from generate.engine.plain.modules import build_module
from generate.families import protocol_for


@dataclass(frozen=True)
class Result:
    """Accuracies of the best validation epoch and of the last one."""

    test_accuracy: float
    last_test_accuracy: float
    best_epoch: int


def normalised(images: Tensor) -> Tensor:
    return (images.float() / 255 - 0.5) / 0.5


def initialised(architecture: Architecture, dataset: Dataset, generator: torch.Generator) -> nn.Module:
    """Return the module with the protocol's initial weights, drawn independently of the engine's code."""
    module = build_module(architecture, dataset.image, protocol_for(architecture.family))
    if architecture.family == "vit":
        nn.init.normal_(module.class_token, std=0.02, generator=generator)  # type: ignore[arg-type]
        return module
    for layer in module.modules():
        if isinstance(layer, nn.Linear) and architecture.family == "dnn":
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu", generator=generator)
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.01, generator=generator)
        elif isinstance(layer, nn.Conv2d):
            std = (2 / (9 * layer.out_channels)) ** 0.5
            nn.init.normal_(layer.weight, std=std, generator=generator)
        if isinstance(layer, nn.Linear | nn.Conv2d):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    return module


def train_plainly(architecture: Architecture, dataset: Dataset, *, epochs: int, seed: int) -> Result:
    """Train one model with autograd and `torch.optim.Adam` and return its accuracies."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    order = torch.randperm(len(dataset.train_images), generator=generator)
    held_out = round(len(order) / 10)
    validation, training = order[:held_out], order[held_out:]
    module = initialised(architecture, dataset, generator)
    optimiser = torch.optim.Adam(module.parameters(), lr=1e-3)
    images, tests = normalised(dataset.train_images), normalised(dataset.test_images)
    best, best_epoch, best_test, test = -1.0, 0, 0.0, 0.0
    for epoch in range(1, epochs + 1):
        for rows in torch.split(training[torch.randperm(len(training), generator=generator)], 100):
            optimiser.zero_grad()
            F.cross_entropy(module(images[rows]), dataset.train_labels[rows]).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        with torch.no_grad():
            valid = _accuracy(module, images[validation], dataset.train_labels[validation])
            test = _accuracy(module, tests, dataset.test_labels)
        if valid > best:
            best, best_epoch, best_test = valid, epoch, test
    return Result(best_test, test, best_epoch)


def _accuracy(module: nn.Module, images: Tensor, labels: Tensor) -> float:
    return float((module(images).argmax(1) == labels).double().mean())
