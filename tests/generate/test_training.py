from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from generate.architectures import Architecture, ImageShape
from generate.datasets import Dataset
from generate.engine.choose import build_pack
from generate.engine.initialise import initial_tensors, seed_sequence
from generate.engine.pack import Pack, Tally
from generate.engine.training import Split, Trained, split_data, train
from generate.families.dnn import DnnProtocol
from generate.protocol import Training
from tests.generate.reference import train_plainly


def split_of(dataset: Dataset, training: Training, replicate: int = 0) -> Split:
    return split_data(
        dataset.train_images,
        dataset.train_labels,
        dataset.test_images,
        dataset.test_labels,
        training,
        dataset=dataset.name,
        replicate=replicate,
    )


def trained(
    dataset: Dataset, hidden: Sequence[tuple[int, ...]], training: Training, replicate: int = 0
) -> tuple[Pack, Trained]:
    architectures = [Architecture("dnn", sizes) for sizes in hidden]
    pack = build_pack(architectures, dataset.image, DnnProtocol(training=training))
    for model, architecture in enumerate(architectures):
        values = initial_tensors(architecture, dataset.image, DnnProtocol(), dataset="digits", replicate=replicate)
        pack.load(model, values)
    return pack, train(pack, split_of(dataset, training, replicate), dataset=dataset.name, replicate=replicate)


def test_a_tenth_is_held_out_and_nothing_is_used_twice(digits: Dataset) -> None:
    split = split_of(digits, Training())
    assert len(split.validation) == 144
    rows = torch.cat([split.training, split.validation])
    assert torch.equal(rows.sort().values, torch.arange(len(digits.train_images)))


def test_splits_differ_between_replicates_and_repeat(digits: Dataset) -> None:
    first, again, other = (split_of(digits, Training(), replicate) for replicate in (0, 0, 1))
    assert torch.equal(first.validation, again.validation)
    assert not torch.equal(first.validation, other.validation)
    assert not torch.equal(first.validation, split_of(digits, Training(seed=1)).validation)


def test_purposes_have_streams_of_their_own() -> None:
    draws = {
        tuple(seed_sequence(seed=s, dataset=d, replicate=r, purpose=p).generate_state(2).tolist())
        for s in (0, 1)
        for d in ("digits", "mnist")
        for r in (0, 1)
        for p in ("split", "order", "dnn (1,)")
    }
    assert len(draws) == 24


def test_initial_weights_have_the_protocols_spread() -> None:
    image = ImageShape(28, 28, 1, 10)
    values = initial_tensors(Architecture("dnn", (500, 200)), image, DnnProtocol(), dataset="mnist", replicate=0)
    assert float(values["layers.0.weight"].std()) == pytest.approx((2 / 784) ** 0.5, rel=0.01)
    assert float(values["layers.1.weight"].std()) == pytest.approx((2 / 500) ** 0.5, rel=0.01)
    assert not values["layers.0.bias"].any()


def test_a_training_repeats_bit_by_bit_and_in_any_company(digits: Dataset) -> None:
    training = Training(epochs=4)
    _, first = trained(digits, [(5,), (20, 10)], training)
    _, again = trained(digits, [(5,), (20, 10)], training)
    _, alone = trained(digits, [(20, 10)], training)
    assert np.array_equal(first.curves.test_loss, again.curves.test_loss)
    assert np.array_equal(np.array(first.curves.test_loss)[:, 1], np.array(alone.curves.test_loss)[:, 0])
    assert first.best_train[0][1] == alone.best_train[0][0]


def test_the_best_epoch_is_the_first_of_the_highest_validation_accuracies(digits: Dataset) -> None:
    pack, result = trained(digits, [(3,), (10,), (50,)], Training(epochs=12))
    accuracies = np.array(result.curves.validation_accuracy)
    assert result.best_epoch.tolist() == (accuracies.argmax(axis=0) + 1).tolist()
    tally = pack.evaluate(digits.test_images, digits.test_labels)
    for model, best in enumerate(result.best_epoch):
        assert int(tally.correct[model]) / 360 == result.curves.test_accuracy[best - 1][model]


def test_training_metrics_are_those_of_the_weights_named(digits: Dataset) -> None:
    training = Training(epochs=3)
    pack, result = trained(digits, [(10,)], training)
    rows = split_of(digits, training).training
    tally = pack.evaluate(digits.train_images[rows], digits.train_labels[rows])
    assert float(result.best_train[1][0]) == int(tally.correct[0]) / len(rows)
    assert float(result.best_train[0][0]) == pytest.approx(float(tally.loss[0]) / len(rows), rel=1e-12)


class Scripted(Pack):
    """A pack whose validation accuracies are written down beforehand; its weight is the number of epochs trained."""

    def __init__(self, accuracies: list[list[float]], training: Training) -> None:
        super().__init__(
            [Architecture("dnn", (1,))] * len(accuracies[0]), ImageShape(1, 1, 1, 2), DnnProtocol(training=training)
        )
        self.accuracies, self.weights, self.evaluations = accuracies, torch.zeros(len(accuracies[0])), 0

    def tensors(self, model: int) -> dict[str, Tensor]:
        return {"weight": self.weights[model : model + 1]}

    def hold(self, masks: object) -> None:
        raise AssertionError("training holds nothing")

    def gradients(self, images: Tensor, labels: Tensor) -> list[dict[str, Tensor]]:
        raise AssertionError("training takes no gradients by itself")

    def step(self, images: Tensor, labels: Tensor) -> Tally:
        self.weights += 1
        return Tally(torch.zeros(len(self.weights)).double(), torch.zeros(len(self.weights)).long())

    def evaluate(self, images: Tensor, labels: Tensor) -> Tally:
        # The loss tells which weights were evaluated; validation has 10 images, the test set 20.
        epoch = int(self.weights.max())
        correct = [round(10 * a) for a in self.accuracies[epoch - 1]] if len(labels) == 10 else [0] * len(self.weights)
        return Tally(self.weights.double() * len(labels), torch.tensor(correct))


def run_script(accuracies: list[list[float]], **settings: int) -> Trained:
    training = replace(Training(batch_size=90, epochs=len(accuracies)), **settings)  # type: ignore[arg-type]
    images, labels = torch.zeros(120, 1, 1, 1, dtype=torch.uint8), torch.zeros(120, dtype=torch.int64)
    split = split_data(images[:100], labels[:100], images[100:], labels[100:], training, dataset="x", replicate=0)
    return train(Scripted(accuracies, training), split, dataset="x", replicate=0)


def test_patience_ends_each_model_by_itself() -> None:
    script = [[0.5, 0.1], [0.6, 0.2], [0.6, 0.3], [0.6, 0.4], [0.9, 0.5], [0.9, 0.6]]
    result = run_script(script, patience=2)
    assert result.epochs.tolist() == [4, 6]
    assert result.best_epoch.tolist() == [2, 6]
    assert result.best_train[0].tolist() == [2.0, 6.0]
    assert result.last_train[0].tolist() == [4.0, 6.0]


def test_patience_ends_the_training_when_all_have_stopped() -> None:
    result = run_script([[0.5], [0.4], [0.9]], patience=1)
    assert len(result.curves.test_loss) == 2
    assert result.best_epoch.tolist() == [1]


def test_without_patience_all_epochs_run() -> None:
    result = run_script([[0.5], [0.4], [0.5], [0.3]])
    assert result.epochs.tolist() == [4]
    assert result.best_epoch.tolist() == [1]
    assert result.last_train[0].tolist() == [4.0]


def test_accuracies_are_distributed_as_the_plain_trainers(digits: Dataset) -> None:
    """Two-sample Kolmogorov-Smirnov test over replicates, three sizes, at a level of 0.001 each."""
    sizes, replicates, epochs = [(2,), (5,), (20,)], 12, 30
    ours = np.array(
        [
            [result.curves.test_accuracy[best - 1][model] for model, best in enumerate(result.best_epoch)]
            for _, result in (trained(digits, sizes, Training(epochs=epochs), r) for r in range(replicates))
        ]
    )
    for model, hidden in enumerate(sizes):
        architecture = Architecture("dnn", hidden)
        plain = [train_plainly(architecture, digits, epochs=epochs, seed=r).test_accuracy for r in range(replicates)]
        assert stats.ks_2samp(ours[:, model], plain).pvalue > 0.001, (hidden, ours[:, model], plain)
