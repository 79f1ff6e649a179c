"""Pruning of trained models' weights, by magnitude over all layers or within each, or at random, on a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from generate.engine.pack import Pack

WeightMethod = Literal["magnitude", "random", "layerwise"]
"""How single weights are chosen; `generate.engine.units` removes whole units."""


@dataclass(frozen=True)
class PrunedModels:
    """Metrics of a pack's models at each sparsity.

    Attributes:
        sparsities: fractions of the prunable weights that are zero.
        loss: mean cross-entropy over the images, float64 [sparsities, models].
        accuracy: likewise, as a fraction.
        nonzero: prunable weights left, int64 [sparsities, models]; those that were zero by themselves are not counted.
    """

    sparsities: tuple[float, ...]
    loss: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    nonzero: NDArray[np.int64]


@dataclass(frozen=True)
class Order:
    """In which order a model's weights go.

    Attributes:
        ranks: per prunable tensor the place of every weight in its order, int64 from 0, of the tensor's shape.
        sizes: per prunable tensor how many weights there are in its order.
    """

    ranks: dict[str, Tensor]
    sizes: dict[str, int]

    def masks(self, sparsity: float) -> dict[str, Tensor]:
        """Return which weights stay, bool: all but the first round(sparsity x size) of each order."""
        return {name: ranks >= round(sparsity * self.sizes[name]) for name, ranks in self.ranks.items()}

    def pruned(self, tensors: dict[str, Tensor], sparsity: float) -> dict[str, Tensor]:
        """Return a model's tensors with the weights that go at this sparsity set to zero."""
        masks = self.masks(sparsity)
        return {name: value * masks[name] if name in masks else value for name, value in tensors.items()}


def prunable(name: str, value: Tensor) -> bool:
    """Return whether a parameter is pruned: weights of linear and convolution layers, no biases, norms or tokens."""
    return name.endswith("weight") and value.dim() > 1


def weights_left(tensors: dict[str, Tensor]) -> int:
    """Return how many of a model's prunable weights are not zero."""
    return sum(int(value.count_nonzero()) for name, value in tensors.items() if prunable(name, value))


def magnitude_ranks(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return, for every prunable weight, its rank by magnitude among all of the model's, from 0; ties by position.

    Positions run through the tensors in order, each in row-major order.
    """
    weights = {name: value for name, value in tensors.items() if prunable(name, value)}
    order = torch.argsort(torch.cat([value.abs().flatten() for value in weights.values()]), stable=True)
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(order))
    return _as_shaped(ranks, weights)


def pruning_order(method: WeightMethod, tensors: dict[str, Tensor], rng: np.random.Generator) -> Order:
    """Return the order in which a method takes a model's weights away.

    `magnitude`: the smallest first, of all prunable weights together, as `torch.nn.utils.prune.global_unstructured`
    does with `L1Unstructured`; `layerwise`: the smallest of each tensor first, as `l1_unstructured` of every layer;
    `random`: all in a random order, drawn from `rng`, so that what goes at one sparsity goes at every larger one.
    """
    weights = {name: value for name, value in tensors.items() if prunable(name, value)}
    sizes = {name: value.numel() for name, value in weights.items()}
    everything = dict.fromkeys(sizes, sum(sizes.values()))
    if method == "layerwise":
        return Order({name: magnitude_ranks({name: value})[name] for name, value in weights.items()}, sizes)
    if method == "random":
        return Order(_as_shaped(torch.from_numpy(rng.permutation(sum(sizes.values()))), weights), everything)
    return Order(magnitude_ranks(tensors), everything)


def evaluate_pruned(
    pack: Pack, images: Tensor, labels: Tensor, sparsities: Sequence[float], orders: Sequence[Order] | None = None
) -> PrunedModels:
    """Return the metrics of every model at every sparsity; the pack is left as it was.

    At sparsity s the first round(s x n) weights of their order are zero, of the n in it; `orders` has one per model,
    by default that of magnitudes. Under fake quantization the floats are pruned that are rounded then, with the
    quantizers as they are: weights are symmetric, and zero has a level of its own.
    """
    models = len(pack.architectures)
    kept = [{name: value.clone() for name, value in pack.tensors(model).items()} for model in range(models)]
    if orders is None:
        orders = [pruning_order("magnitude", values, np.random.default_rng(0)) for values in kept]
    loss, accuracy = np.zeros((len(sparsities), models)), np.zeros((len(sparsities), models))
    nonzero = np.zeros((len(sparsities), models), dtype=np.int64)
    for row, sparsity in enumerate(sparsities):
        for model in range(models):
            pruned = orders[model].pruned(kept[model], sparsity)
            nonzero[row, model] = weights_left(pruned)
            pack.load(model, pruned)
        pack.refresh()
        tally = pack.evaluate(images, labels)
        loss[row], accuracy[row] = tally.loss.numpy() / len(labels), tally.correct.numpy() / len(labels)
    for model, values in enumerate(kept):
        pack.load(model, values)
    pack.refresh()
    return PrunedModels(tuple(sparsities), loss, accuracy, nonzero)


def _as_shaped(ranks: Tensor, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    pieces = torch.split(ranks, [value.numel() for value in weights.values()])
    return {name: piece.view(weights[name].shape) for name, piece in zip(weights, pieces, strict=True)}
