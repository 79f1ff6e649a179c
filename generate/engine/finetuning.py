"""Training pruned models on, what was pruned held at zero."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from generate.engine.initialise import seed_sequence
from generate.engine.pack import Pack
from generate.engine.training import Checkpoint, Floats, Split, evaluate, train_epoch


@dataclass(frozen=True)
class FineTuned:
    """What came of fine-tuning a pack; arrays have one entry per model. The pack holds the selected weights.

    Attributes:
        best_epoch: epoch of the selected weights, int64, from 1.
        loss: mean cross-entropy of the selected weights over the test images.
        accuracy: likewise, as a fraction.
    """

    best_epoch: NDArray[np.int64]
    loss: Floats
    accuracy: Floats


def fine_tune(pack: Pack, split: Split, *, epochs: int, dataset: str, replicate: int) -> FineTuned:
    """Train the models of a new pack on for some epochs and return their metrics on the test images.

    The optimiser is the protocol's, begun anew: no moments, the same learning rate. The order of the data goes by seed,
    dataset and replicate, for a purpose of its own, so that all models of a replicate see the same minibatches. The
    epoch with the highest validation accuracy counts, the first one on ties, and the pruned network itself, before the
    first epoch, does not compete: its validation accuracy was selected once already, and it is evaluated one-shot.
    """
    models = len(pack.architectures)
    best, best_accuracy = Checkpoint(pack), np.full(models, -1.0)
    best_epoch = np.zeros(models, dtype=np.int64)
    seeds = seed_sequence(seed=pack.training.seed, dataset=dataset, replicate=replicate, purpose="fine-tuning order")
    order = np.random.default_rng(seeds)
    validation = (split.images[split.validation], split.labels[split.validation])
    for epoch in range(1, epochs + 1):
        train_epoch(pack, split, split.training[torch.from_numpy(order.permutation(len(split.training)))])
        _, accuracy = evaluate(pack, *validation)
        improved = accuracy > best_accuracy
        best_accuracy[improved] = accuracy[improved]
        best_epoch[improved] = epoch
        best.save(improved)
    best.restore()
    loss, accuracy = evaluate(pack, split.test_images, split.test_labels)
    return FineTuned(best_epoch, loss, accuracy)
