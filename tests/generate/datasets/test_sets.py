"""The datasets that come with the project or by name: digits, the real files, names and fingerprints."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets
from sklearn.datasets import load_digits

from generate.architectures import ImageShape
from generate.datasets import DATASET_GROUPS, DATASETS, DatasetEntry, Split, default_epochs, load_dataset, resolve_names
from tests.generate.datasets.files import (
    TEST,
    TRAIN,
    assert_holds,
    by_class,
    message,
    write_idx,
    write_parquet,
)

# digits.


def test_digits_is_what_the_protocol_says() -> None:
    dataset = load_dataset("digits", None)
    images, labels = load_digits(return_X_y=True)
    test = np.arange(1797) % 5 == 0
    scaled = np.floor(images * 255 / 16 + 0.5).astype(np.uint8).reshape(-1, 1, 8, 8)
    assert_holds(dataset, Split(scaled[~test], labels[~test]), Split(scaled[test], labels[test]))
    assert dataset.fingerprint == "57075502efd8214a"
    assert dataset.image == ImageShape(8, 8, 1, 10)
    facts = dataset.facts()
    assert (facts.train_images, facts.test_images) == (1437, 360)
    assert (facts.height, facts.width, facts.channels, facts.classes) == (8, 8, 1, 10)
    assert facts.chance_accuracy == np.bincount(labels[test]).max() / 360
    assert [int(dataset.train_images.max()), int(dataset.train_images.min())] == [255, 0]


def test_digits_needs_no_data_folder(tmp_path: Path) -> None:
    assert load_dataset("digits", tmp_path / "absent", download=False).name == "digits"


# The real files.


@pytest.mark.parametrize(("name", "mean", "chance"), [("mnist", 33.3, 0.1135), ("fashion_mnist", 72.9, 0.1)])
def test_real_grey_data(name: str, mean: float, chance: float, data_dir: Path) -> None:
    dataset = load_dataset(name, data_dir, download=False)
    facts = dataset.facts()
    assert dataset.image == ImageShape(28, 28, 1, 10)
    assert [facts.train_images, facts.test_images] == [60_000, 10_000]
    assert facts.chance_accuracy == pytest.approx(chance)
    assert float(dataset.train_images.double().mean()) == pytest.approx(mean, abs=0.1)


def test_real_mnist_is_what_torchvision_reads(data_dir: Path) -> None:
    dataset = load_dataset("mnist", data_dir, download=False)
    reference = torchvision.datasets.MNIST(data_dir, train=False)
    assert torch.equal(dataset.test_images[:, 0], reference.data)
    assert torch.equal(dataset.test_labels, reference.targets)


def test_real_cifar10_is_decoded_once(data_dir: Path, cache_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_dataset("cifar10", data_dir, download=False)
    facts = first.facts()
    assert first.image == ImageShape(32, 32, 3, 10)
    assert (first.seed_key, first.seeding) == ("cifar10", "dataset name")
    assert [facts.train_images, facts.test_images] == [50_000, 10_000]
    assert facts.chance_accuracy == pytest.approx(0.1)
    assert float(first.train_images.double().mean()) == pytest.approx(120.7, abs=0.5)
    monkeypatch.setattr("generate.datasets.parquet.decode_images", lambda *_: pytest.fail("decoded again"))
    assert load_dataset("cifar10", data_dir, download=False).fingerprint == first.fingerprint
    assert len(list((cache_home / "minarch" / "decoded").iterdir())) == 1


# Fingerprints.


def test_fingerprint_does_not_depend_on_the_layout(tmp_path: Path) -> None:
    train, test = by_class(TRAIN), by_class(TEST)
    write_idx(tmp_path / "a", train, test)
    write_idx(tmp_path / "b", train, test, compress=True)
    write_parquet(tmp_path / "c" / "mnist", train, test, shards=2)
    assert len({load_dataset("mnist", tmp_path / place).fingerprint for place in "abc"}) == 1


def test_fingerprint_changes_with_pixels_labels_order_and_shape(tmp_path: Path) -> None:
    pixel = TRAIN.images.copy()
    pixel[3, 0, 5, 5] ^= 1
    label = TRAIN.labels.copy()
    label[0] = 5
    variants = {
        "same": (TRAIN, TEST),
        "pixel": (Split(pixel, TRAIN.labels), TEST),
        "label": (Split(TRAIN.images, label), TEST),
        "order": (Split(TRAIN.images[::-1], TRAIN.labels[::-1]), TEST),
        "shape": tuple(Split(s.images.reshape(-1, 1, 14, 56), s.labels) for s in (TRAIN, TEST)),
        "swapped": (TEST, TRAIN),
    }
    found = set()
    for name, (train, test) in variants.items():
        write_idx(tmp_path / name, train, test)
        found.add(load_dataset("mnist", tmp_path / name).fingerprint)
    assert len(found) == len(variants)
    assert all(re.fullmatch("[0-9a-f]{16}", fingerprint) for fingerprint in found)


# Names.


def test_groups_are_expanded_without_repeats() -> None:
    assert resolve_names(["digits", "paper", "mnist"]) == ["digits", *DATASET_GROUPS["paper"]]


def test_unknown_name_lists_the_known_ones() -> None:
    for call in (lambda: resolve_names(["mnits"]), lambda: load_dataset("mnits", None)):
        text = message(call)
        assert "mnits" in text
        assert all(name in text for name in (*DATASETS, *DATASET_GROUPS))


def test_folders_pass_through(tmp_path: Path) -> None:
    assert resolve_names([str(tmp_path)]) == [str(tmp_path)]


def test_default_epochs(tmp_path: Path) -> None:
    assert default_epochs("digits") == 100
    assert default_epochs("cifar10") == default_epochs(str(tmp_path)) == 20


def test_registry_is_complete() -> None:
    assert {"digits", "mnist", "fashion_mnist", "cifar10"} <= set(DATASETS)
    assert all(set(members) <= set(DATASETS) for members in DATASET_GROUPS.values())
    assert all(isinstance(entry, DatasetEntry) and entry.description for entry in DATASETS.values())
