"""Global magnitude pruning of trained models, without retraining, on every sparsity of a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from generate.engine.pack import Pack


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


def prunable(name: str, value: Tensor) -> bool:
    """Return whether a parameter is pruned: weights of linear and convolution layers, no biases, norms or tokens."""
    return name.endswith("weight") and value.dim() > 1


def magnitude_ranks(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return, for every prunable weight, its rank by magnitude among all of the model's, from 0; ties by position.

    Positions run through the tensors in order, each in row-major order.
    """
    weights = {name: value for name, value in tensors.items() if prunable(name, value)}
    order = torch.argsort(torch.cat([value.abs().flatten() for value in weights.values()]), stable=True)
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(order))
    pieces = torch.split(ranks, [value.numel() for value in weights.values()])
    return {name: piece.view(weights[name].shape) for name, piece in zip(weights, pieces, strict=True)}


def evaluate_pruned(pack: Pack, images: Tensor, labels: Tensor, sparsities: Sequence[float]) -> PrunedModels:
    """Return the metrics of every model at every sparsity; the pack is left as it was.

    At sparsity s the round(s x n) weights of smallest magnitude are zero, of the n prunable ones: what
    `torch.nn.utils.prune.global_unstructured` does with `L1Unstructured` where no two magnitudes are equal.
    """
    models = len(pack.architectures)
    kept = [{name: value.clone() for name, value in pack.tensors(model).items()} for model in range(models)]
    ranks = [magnitude_ranks(values) for values in kept]
    sizes = [sum(rank.numel() for rank in model.values()) for model in ranks]
    loss, accuracy = np.zeros((len(sparsities), models)), np.zeros((len(sparsities), models))
    nonzero = np.zeros((len(sparsities), models), dtype=np.int64)
    for row, sparsity in enumerate(sparsities):
        for model in range(models):
            zeroed = round(sparsity * sizes[model])
            pruned = {
                name: value * (ranks[model][name] >= zeroed) if name in ranks[model] else value
                for name, value in kept[model].items()
            }
            nonzero[row, model] = sum(int(pruned[name].count_nonzero()) for name in ranks[model])
            pack.load(model, pruned)
        pack.refresh()
        tally = pack.evaluate(images, labels)
        loss[row], accuracy[row] = tally.loss.numpy() / len(labels), tally.correct.numpy() / len(labels)
    for model, values in enumerate(kept):
        pack.load(model, values)
    pack.refresh()
    return PrunedModels(tuple(sparsities), loss, accuracy, nonzero)
