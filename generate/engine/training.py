"""The training loop: one pack, one replicate, every epoch recorded, the best epoch's weights selected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from generate.engine.initialise import seed_sequence
from generate.engine.pack import Pack
from generate.protocol import Training

Floats = NDArray[np.float64]
EVALUATION_CHUNK = 4096
"""Images gathered at a time when a split is evaluated through indices."""


@dataclass(frozen=True)
class Split:
    """One replicate's data: uint8 images [n, channels, height, width] and int64 labels [n].

    Training and validation images are rows `training` and `validation` of the same array, `images`.
    """

    images: Tensor
    labels: Tensor
    training: Tensor
    validation: Tensor
    test_images: Tensor
    test_labels: Tensor


@dataclass
class Curves:
    """Metrics [epochs, models]: training ones run over the epoch's minibatches, the others are taken at its end."""

    train_loss: list[Floats] = field(default_factory=list)
    train_accuracy: list[Floats] = field(default_factory=list)
    validation_loss: list[Floats] = field(default_factory=list)
    validation_accuracy: list[Floats] = field(default_factory=list)
    test_loss: list[Floats] = field(default_factory=list)
    test_accuracy: list[Floats] = field(default_factory=list)

    def at(self, epoch: int, model: int) -> dict[str, float]:
        """Return the metrics of one model at an epoch, from 1, by name."""
        return {metric.name: float(getattr(self, metric.name)[epoch - 1][model]) for metric in fields(self)}


@dataclass(frozen=True)
class Trained:
    """What came of a pack; arrays have one entry per model.

    Attributes:
        curves: metrics of every epoch that was run.
        epochs: epochs that count, int: fewer than were run where a model's patience ended first.
        best_epoch: epoch of the selected weights, from 1. The pack holds these weights.
        best_train: loss and accuracy of the selected weights over the training images.
        last_train: the same of the weights after the last epoch that counts.
        diverged: whether a loss was not finite in an epoch that counts.
    """

    curves: Curves
    epochs: NDArray[np.int64]
    best_epoch: NDArray[np.int64]
    best_train: tuple[Floats, Floats]
    last_train: tuple[Floats, Floats]
    diverged: NDArray[np.bool_]

    def summary(self, model: int) -> dict[str, Any]:
        """Return what is stored of one model, by column: status, epochs, and metrics of its best and last weights."""
        best, last = int(self.best_epoch[model]), int(self.epochs[model])
        metrics = {**self.curves.at(best, model), **_named("train", self.best_train, model)}
        at_end = {**self.curves.at(last, model), **_named("train", self.last_train, model)}
        return {
            "status": "diverged" if self.diverged[model] else "ok",
            "epochs": last,
            "best_epoch": best,
            **metrics,
            **{f"last_{name}": value for name, value in at_end.items()},
        }


def _named(split: str, metrics: tuple[Floats, Floats], model: int) -> dict[str, float]:
    loss, accuracy = metrics
    return {f"{split}_loss": float(loss[model]), f"{split}_accuracy": float(accuracy[model])}


def split_data(
    images: Tensor,
    labels: Tensor,
    test_images: Tensor,
    test_labels: Tensor,
    training: Training,
    *,
    dataset: str,
    replicate: int,
) -> Split:
    """Return the replicate's split: a random tenth (or the fraction set) of the training images is held out.

    Raises:
        ValueError: fewer than two training images.
    """
    if len(images) < 2:
        raise ValueError("a split needs at least two training images")
    seeds = seed_sequence(seed=training.seed, dataset=dataset, replicate=replicate, purpose="split")
    order = torch.from_numpy(np.random.default_rng(seeds).permutation(len(images)))
    held_out = max(1, round(training.validation_fraction * len(images)))
    return Split(images, labels, order[held_out:], order[:held_out], test_images, test_labels)


def train(
    pack: Pack,
    split: Split,
    *,
    dataset: str,
    replicate: int,
    after_epoch: Callable[[int], None] | None = None,
) -> Trained:
    """Train the pack's models together and return their metrics; the pack ends with each model's best weights.

    The data order depends on seed, dataset and replicate only. The best epoch has the highest validation accuracy, the
    first one on ties. With `patience`, a model's epochs count until so many have passed since its best.
    """
    training = pack.training
    models = len(pack.architectures)
    curves = Curves()
    best, last = Checkpoint(pack), Checkpoint(pack)
    best_accuracy, best_epoch = np.full(models, -1.0), np.zeros(models, dtype=np.int64)
    epochs = np.full(models, training.epochs, dtype=np.int64)
    running = np.ones(models, dtype=np.bool_)
    order = np.random.default_rng(
        seed_sequence(seed=training.seed, dataset=dataset, replicate=replicate, purpose="order")
    )
    validation = (split.images[split.validation], split.labels[split.validation])
    for epoch in range(1, training.epochs + 1):
        shuffled = split.training[torch.from_numpy(order.permutation(len(split.training)))]
        _append(curves.train_loss, curves.train_accuracy, train_epoch(pack, split, shuffled))
        _append(curves.validation_loss, curves.validation_accuracy, evaluate(pack, *validation))
        _append(curves.test_loss, curves.test_accuracy, evaluate(pack, split.test_images, split.test_labels))
        improved = running & (curves.validation_accuracy[-1] > best_accuracy)
        best_accuracy[improved] = curves.validation_accuracy[-1][improved]
        best_epoch[improved] = epoch
        best.save(improved)
        if after_epoch is not None:
            after_epoch(epoch)
        if training.patience is not None:
            stopping = running & (epoch - best_epoch >= training.patience)
            epochs[stopping] = epoch
            last.save(stopping)
            running &= ~stopping
            if not running.any():
                break
    last.save(running)
    last.restore()
    last_train = _evaluate_rows(pack, split)
    best.restore()
    best_train = _evaluate_rows(pack, split)
    losses = np.array([curves.train_loss, curves.validation_loss, curves.test_loss])
    counted = np.arange(1, losses.shape[1] + 1)[:, None] <= epochs
    diverged = (~np.isfinite(losses) & counted).any(axis=(0, 1))
    return Trained(curves, epochs, best_epoch, best_train, last_train, diverged)


class Checkpoint:
    """A copy of every model's state at an epoch of its own."""

    def __init__(self, pack: Pack) -> None:
        self._pack = pack
        self._saved: list[dict[str, Tensor]] = [{} for _ in pack.architectures]

    def save(self, models: NDArray[np.bool_]) -> None:
        """Copy the state of the models that are True."""
        for model in np.flatnonzero(models).tolist():
            self._saved[model] = {name: value.clone() for name, value in self._pack.state(model).items()}

    def restore(self) -> None:
        """Put every model's saved state back into the pack."""
        for model, saved in enumerate(self._saved):
            if saved:
                self._pack.load(model, saved)
        self._pack.refresh()


def train_epoch(pack: Pack, split: Split, shuffled: Tensor) -> tuple[Floats, Floats]:
    """Take a step per minibatch of the training images `shuffled` and return each model's running loss and accuracy."""
    loss, correct = np.zeros(len(pack.architectures)), np.zeros(len(pack.architectures))
    for rows in torch.split(shuffled, pack.training.batch_size):
        tally = pack.step(split.images[rows], split.labels[rows])
        loss += tally.loss.numpy()
        correct += tally.correct.numpy()
    return loss / len(shuffled), correct / len(shuffled)


def evaluate(pack: Pack, images: Tensor, labels: Tensor) -> tuple[Floats, Floats]:
    """Return each model's mean loss and accuracy on images, float64 [models]."""
    tally = pack.evaluate(images, labels)
    return tally.loss.numpy() / len(labels), tally.correct.numpy() / len(labels)


def _evaluate_rows(pack: Pack, split: Split) -> tuple[Floats, Floats]:
    loss, correct = np.zeros(len(pack.architectures)), np.zeros(len(pack.architectures))
    for rows in torch.split(split.training, EVALUATION_CHUNK):
        tally = pack.evaluate(split.images[rows], split.labels[rows])
        loss += tally.loss.numpy()
        correct += tally.correct.numpy()
    return loss / len(split.training), correct / len(split.training)


def _append(losses: list[Floats], accuracies: list[Floats], metrics: tuple[Floats, Floats]) -> None:
    losses.append(metrics[0])
    accuracies.append(metrics[1])
