"""A dataset in memory, checked and fingerprinted."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from generate.architectures import ImageShape
from store.errors import MinarchError
from store.records import DatasetFacts

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]


class Split(NamedTuple):
    """Images [n, channels, height, width] and their labels [n], as read from files."""

    images: Pixels
    labels: Labels


@dataclass(frozen=True, eq=False)
class Dataset:
    """A classification task: training and test images with their labels.

    Attributes:
        name: name in the registry, or the folder's name for the user's own data.
        train_images: uint8 [n, channels, height, width]; likewise `test_images`.
        train_labels: int64 [n], from 0; likewise `test_labels`.
        classes: number of classes.
        fingerprint: 16 hexadecimal digits over shapes, pixels and labels, in order; the source plays no part.
    """

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: int
    fingerprint: str

    @property
    def image(self) -> ImageShape:
        """Size of an image, and the number of classes."""
        _, channels, height, width = self.train_images.shape
        return ImageShape(height, width, channels, self.classes)

    def facts(self) -> DatasetFacts:
        """Return what the store keeps of this dataset."""
        most_frequent = int(torch.bincount(self.test_labels).max())
        return DatasetFacts(
            dataset_fingerprint=self.fingerprint,
            dataset=self.name,
            train_images=len(self.train_images),
            test_images=len(self.test_images),
            height=self.image.height,
            width=self.image.width,
            channels=self.image.channels,
            classes=self.classes,
            chance_accuracy=most_frequent / len(self.test_labels),
        )


def assemble(name: str, train: Split, test: Split, classes: int) -> Dataset:
    """Return the dataset made of two splits.

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
    return Dataset(
        name=name,
        train_images=torch.from_numpy(np.ascontiguousarray(train.images)),
        train_labels=torch.from_numpy(np.ascontiguousarray(train.labels)),
        test_images=torch.from_numpy(np.ascontiguousarray(test.images)),
        test_labels=torch.from_numpy(np.ascontiguousarray(test.labels)),
        classes=classes,
        fingerprint=fingerprint(train, test),
    )


def fingerprint(train: Split, test: Split) -> str:
    """Return 16 hexadecimal digits of the SHA-256 over the shapes, pixels and labels of both splits, in order."""
    hasher = hashlib.sha256()
    for split in (train, test):
        hasher.update(repr(split.images.shape).encode())
        hasher.update(np.ascontiguousarray(split.images, dtype=np.uint8).data)
        hasher.update(np.ascontiguousarray(split.labels, dtype="<i8").data)
    return hasher.hexdigest()[:16]


def _size(images: Pixels) -> str:
    _, channels, height, width = images.shape
    return f"{height} x {width} pixels, {'grey' if channels == 1 else f'{channels} channels'}"
