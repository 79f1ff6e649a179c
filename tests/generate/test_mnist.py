"""The engine on real MNIST against the plain trainer: distributions of accuracy over replicates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from generate.architectures import Architecture
from generate.datasets import Dataset, load_dataset
from generate.engine.choose import build_pack
from generate.engine.initialise import initial_tensors
from generate.engine.training import split_data, train
from generate.families import protocol_for
from generate.protocol import Compute, Training
from store.precisions import Bits
from tests.generate.reference import train_plainly

FORMATS: tuple[Compute, ...] = ("float32", "bf16")
LEVEL = 0.001
"""Of each two-sample Kolmogorov-Smirnov test: a false alarm in about one of a hundred runs of all of them."""


@pytest.fixture(scope="module")
def mnist(data_dir: Path) -> Dataset:
    return load_dataset("mnist", data_dir, download=False)


def engine_accuracies(
    family: str,
    sizes: list[tuple[int, ...]],
    mnist: Dataset,
    epochs: int,
    replicates: int,
    compute: Compute = "float32",
    *,
    bits: Bits | None = None,
) -> np.ndarray:
    """Return test accuracies [replicates, models] of the best validation epoch."""
    training = Training(epochs=epochs, compute=compute)
    architectures = [Architecture(family, hidden) for hidden in sizes]
    data = (mnist.train_images, mnist.train_labels, mnist.test_images, mnist.test_labels)
    found = []
    for replicate in range(replicates):
        pack = build_pack(architectures, mnist.image, protocol_for(family, training), bits=bits)
        for model, architecture in enumerate(architectures):
            protocol = protocol_for(family, training)
            values = initial_tensors(architecture, mnist.image, protocol, dataset="mnist", replicate=replicate)
            pack.load(model, values)
        pack.refresh()
        split = split_data(*data, training, dataset="mnist", replicate=replicate)
        result = train(pack, split, dataset="mnist", replicate=replicate)
        best = result.best_epoch - 1
        found.append([result.curves.test_accuracy[epoch][model] for model, epoch in enumerate(best)])
    return np.array(found)


def compare(family: str, sizes: list[tuple[int, ...]], mnist: Dataset, epochs: int, replicates: int) -> None:
    ours = engine_accuracies(family, sizes, mnist, epochs, replicates)
    for model, hidden in enumerate(sizes):
        architecture = Architecture(family, hidden)
        plain = [train_plainly(architecture, mnist, epochs=epochs, seed=r).test_accuracy for r in range(replicates)]
        pvalue = stats.ks_2samp(ours[:, model], plain).pvalue
        print(family, hidden, "engine", np.sort(ours[:, model]).round(3), "plain", np.sort(plain).round(3), pvalue)
        assert pvalue > LEVEL, (hidden, ours[:, model], plain)


def test_short_dnn_trainings_reach_the_plain_trainers_accuracies(mnist: Dataset) -> None:
    compare("dnn", [(10, 10)], mnist, epochs=1, replicates=7)


@pytest.mark.slow
def test_dnn_trainings_reach_the_plain_trainers_accuracies(mnist: Dataset) -> None:
    compare("dnn", [(5,), (10, 10), (50,)], mnist, epochs=20, replicates=12)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "size"), [("cnn", 4), ("vit", 8)])
def test_cnn_and_vit_reach_the_plain_trainers_accuracies(family: str, size: int, mnist: Dataset) -> None:
    ours = engine_accuracies(family, [(size,)], mnist, epochs=20, replicates=3)[:, 0]
    plain = [train_plainly(Architecture(family, (size,)), mnist, epochs=20, seed=r).test_accuracy for r in range(3)]
    print(family, size, "engine", np.sort(ours).round(4), "plain", np.sort(plain).round(4))
    spread = max(np.std(ours, ddof=1), np.std(plain, ddof=1))
    assert abs(np.mean(ours) - np.mean(plain)) < 4 * spread * np.sqrt(2 / 3) + 0.002


@pytest.mark.slow
def test_bfloat16_reaches_the_accuracies_of_float32(mnist: Dataset) -> None:
    """Same replicates, so same splits, orders and initial weights: paired. Equal accuracies would be float32 twice."""
    ours, half = (engine_accuracies("dnn", [(200, 200)], mnist, 2, 4, compute) for compute in FORMATS)
    print("float32", ours.mean().round(4), "bf16", half.mean().round(4), "difference", (ours - half).mean().round(4))
    assert ours.mean() > 0.95
    assert (ours != half).any()
    assert abs((ours - half).mean()) < 0.01


def compare_quantized(family: str, size: int, mnist: Dataset, epochs: int, replicates: int) -> None:
    """Compare means within four standard errors and 0.2 points: ten values are too few for a test of distributions."""
    pytest.importorskip("torch.ao.quantization", reason="this PyTorch has no torch.ao")
    from tests.generate.quantized_reference import train_oracle

    ours = engine_accuracies(family, [(size,)], mnist, epochs, replicates, bits=Bits(8, 8))[:, 0]
    architecture = Architecture(family, (size,))
    plain = np.array([train_oracle(architecture, mnist, epochs=epochs, seed=r) for r in range(replicates)])
    print("int8", family, size, "engine", np.sort(ours).round(4), "torch.ao", np.sort(plain).round(4))
    error = np.sqrt((ours.var(ddof=1) + plain.var(ddof=1)) / replicates)
    assert abs(ours.mean() - plain.mean()) < 4 * error + 0.002


@pytest.mark.parametrize(("family", "size"), [("dnn", 10), pytest.param("cnn", 2, marks=pytest.mark.slow)])
def test_short_quantized_training_reaches_the_accuracies_of_torch_ao(family: str, size: int, mnist: Dataset) -> None:
    compare_quantized(family, size, mnist, epochs=1, replicates=5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "size", "replicates"),
    [("dnn", 5, 20), ("dnn", 50, 20), ("cnn", 1, 5), ("cnn", 4, 5), ("vit", 4, 5), ("vit", 8, 5)],
)
def test_quantized_training_reaches_the_accuracies_of_torch_ao(
    family: str, size: int, replicates: int, mnist: Dataset
) -> None:
    compare_quantized(family, size, mnist, epochs=5, replicates=replicates)
