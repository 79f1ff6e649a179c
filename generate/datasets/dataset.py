"""A dataset in memory, checked and fingerprinted."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from generate.architectures import ImageShape
from generate.protocol import Seeding
from store.errors import MinarchError
from store.records import DatasetFacts

if TYPE_CHECKING:
    from torch import Tensor

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]

SEEDED_BY_NAME: dict[str, str] = {
    "digits": "57075502efd8214a",
    "mnist": "0614447290538d19",
    "fashion_mnist": "a06d3266794aa014",
    "cifar10": "63bf03ce4b71c5fa",
}
"""The datasets whose random numbers are drawn from their name, as they always were, with the fingerprint that they have
here: the same images and labels in the same order are the same dataset in any folder."""
KNOWN = {fingerprint: name for name, fingerprint in SEEDED_BY_NAME.items()}


class Split(NamedTuple):
    """Images [n, channels, height, width] and their labels [n], as read from files."""

    images: Pixels
    labels: Labels


@dataclass(frozen=True, eq=False)
class Dataset:
    """A classification task: training and test images with their labels.

    Attributes:
        name: name in the registry, or the folder's name for the user's own data.
        train: uint8 [n, channels, height, width] with int64 [n], from 0; likewise `test`.
        classes: number of classes.
        fingerprint: 16 hexadecimal digits over shapes, pixels and labels, in order; the source plays no part.
        seed_key: what random numbers are drawn from, beside the base seed and the replicate: the name of a dataset that
            is seeded by name, of all others the fingerprint, so that equal data have equal results.
    """

    name: str
    train: Split
    test: Split
    classes: int
    fingerprint: str
    seed_key: str

    @property
    def seeding(self) -> Seeding:
        """What `seed_key` is; part of the protocol."""
        return "fingerprint" if self.seed_key == self.fingerprint else "dataset name"

    @cached_property
    def train_images(self) -> Tensor:
        """Training images as a tensor, uint8 [n, channels, height, width]."""
        return _tensor(self.train.images)

    @cached_property
    def train_labels(self) -> Tensor:
        """Their labels, int64 [n]."""
        return _tensor(self.train.labels)

    @cached_property
    def test_images(self) -> Tensor:
        """Test images as a tensor, uint8 [n, channels, height, width]."""
        return _tensor(self.test.images)

    @cached_property
    def test_labels(self) -> Tensor:
        """Their labels, int64 [n]."""
        return _tensor(self.test.labels)

    @property
    def image(self) -> ImageShape:
        """Size of an image, and the number of classes."""
        _, channels, height, width = self.train.images.shape
        return ImageShape(height, width, channels, self.classes)

    def facts(self) -> DatasetFacts:
        """Return what the store keeps of this dataset."""
        most_frequent = int(np.bincount(self.test.labels).max())
        return DatasetFacts(
            dataset_fingerprint=self.fingerprint,
            dataset=self.name,
            train_images=len(self.train.images),
            test_images=len(self.test.images),
            height=self.image.height,
            width=self.image.width,
            channels=self.image.channels,
            classes=self.classes,
            chance_accuracy=most_frequent / len(self.test.labels),
        )


def assemble(name: str, train: Split, test: Split, classes: int, *, own: bool = False) -> Dataset:
    """Return the dataset made of two splits; `own` says that the name is a folder's, which means nothing.

    Raises:
        MinarchError: images and labels differ in number, a split is empty or too small, the splits' images differ in
            size, or a label lies outside 0 to `classes` - 1.
    """
    for part, split in (("training", train), ("test", test)):
        if len(split.images) != len(split.labels):
            raise MinarchError(f"{name}: {len(split.images)} {part} images but {len(split.labels)} labels")
        if not len(split.images):
            raise MinarchError(f"{name}: there are no {part} images")
        if split.labels.min() < 0 or split.labels.max() >= classes:
            wrong = split.labels[(split.labels < 0) | (split.labels >= classes)][0]
            raise MinarchError(f"{name}: {part} label {wrong} is outside 0 to {classes - 1}")
    if train.images.shape[1:] != test.images.shape[1:]:
        raise MinarchError(
            f"{name}: training images are {_size(train.images)} but test images are {_size(test.images)}"
        )
    if classes < 2:
        raise MinarchError(f"{name}: there is only one class; at least two are needed")
    if own and np.bincount(train.labels).max() < 2:
        raise MinarchError(
            f"{name}: every class has one training image; some are held out for validation, so each needs several"
        )
    identity = fingerprint(train, test)
    named = name if name in SEEDED_BY_NAME and not own else identity
    return Dataset(
        name=name,
        train=Split(np.ascontiguousarray(train.images), np.ascontiguousarray(train.labels)),
        test=Split(np.ascontiguousarray(test.images), np.ascontiguousarray(test.labels)),
        classes=classes,
        fingerprint=identity,
        seed_key=KNOWN.get(identity, named),
    )


def remarks(dataset: Dataset, validation_fraction: float) -> list[str]:
    """Return what a user should know of a dataset before training on it, a line each."""
    trained, tested = (np.bincount(split.labels, minlength=dataset.classes) for split in (dataset.train, dataset.test))
    held_out = max(1, round(validation_fraction * len(dataset.train.images)))
    found = []
    if (single := np.flatnonzero(trained == 1)).size:
        found.append(f"{_classes(single)} one training image, which validation may take")
    if (untested := np.flatnonzero(tested == 0)).size:
        found.append(f"{_classes(untested)} no test image: nothing is learned of accuracy there")
    if held_out < dataset.classes:
        found.append(
            f"validation has {held_out} image{'s' * (held_out > 1)} for {dataset.classes} classes: the best epoch is"
            " nearly a matter of chance"
        )
    return [f"{dataset.name}: {text}" for text in found]


def fingerprint(train: Split, test: Split) -> str:
    """Return 16 hexadecimal digits of the SHA-256 over the shapes, pixels and labels of both splits, in order."""
    hasher = hashlib.sha256()
    for split in (train, test):
        hasher.update(repr(split.images.shape).encode())
        hasher.update(np.ascontiguousarray(split.images, dtype=np.uint8).data)
        hasher.update(np.ascontiguousarray(split.labels, dtype="<i8").data)
    return hasher.hexdigest()[:16]


def in_order_of_content(split: Split) -> Split:
    """Return a split in an order that depends on pixels and labels only, not on names and places of files."""
    keys = [
        hashlib.sha256(image.tobytes() + int(label).to_bytes(8, "little", signed=True)).digest()
        for image, label in zip(split.images, split.labels, strict=True)
    ]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    return Split(split.images[order], split.labels[order])


def _tensor(values: Pixels | Labels) -> Tensor:
    # Imported here: planning a sweep needs no tensor, and PyTorch takes seconds.
    import torch

    return torch.from_numpy(values)


def _classes(found: Labels | NDArray[np.intp]) -> str:
    names = ", ".join(map(str, found[:5])) + (", ..." if len(found) > 5 else "")
    return f"class {names} has" if len(found) == 1 else f"classes {names} have"


def _size(images: Pixels) -> str:
    _, channels, height, width = images.shape
    return f"{height} x {width} pixels, {'grey' if channels == 1 else f'{channels} channels'}"
