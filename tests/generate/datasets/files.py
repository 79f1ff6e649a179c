"""Small datasets in every layout that `generate.datasets` reads."""

from __future__ import annotations

import gzip
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from generate.datasets import Dataset, Split
from generate.datasets.dataset import Pixels
from store.errors import MinarchError


def make_split(n: int, channels: int = 1, side: int = 28, classes: int = 10, *, seed: int = 0) -> Split:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, channels, side, side), dtype=np.uint8)
    return Split(images, np.arange(n, dtype=np.int64) % classes)


TRAIN, TEST = make_split(30), make_split(20, seed=1)


def idx_bytes(array: np.ndarray[Any, Any]) -> bytes:
    code, kind = (0x0C, ">i4") if array.dtype == np.int32 else (0x08, "u1")
    header = bytes([0, 0, code, array.ndim]) + np.array(array.shape, dtype=">u4").tobytes()
    return header + array.astype(kind).tobytes()


def write_idx(
    root: Path, train: Split = TRAIN, test: Split = TEST, *, folder: str = "MNIST", compress: bool = False
) -> None:
    for part, split in (("train", train), ("t10k", test)):
        for name, array in (("images-idx3-ubyte", split.images[:, 0]), ("labels-idx1-ubyte", split.labels)):
            path = root / folder / "raw" / f"{part}-{name}{'.gz' if compress else ''}"
            path.parent.mkdir(parents=True, exist_ok=True)
            content = idx_bytes(array)
            path.write_bytes(gzip.compress(content) if compress else content)


def write_batches(root: Path, train: Split, test: Split) -> None:
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    names = [f"data_batch_{i}" for i in range(1, 6)]
    batches = zip(names, np.split(train.images, 5), np.split(train.labels, 5), strict=True)
    for name, images, labels in (*batches, ("test_batch", test.images, test.labels)):
        content = {"data": images.reshape(len(images), -1), "labels": labels.tolist()}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))


def encoded(image: Pixels) -> bytes:
    content = io.BytesIO()
    pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
    Image.fromarray(np.ascontiguousarray(pixels)).save(content, "PNG")
    return content.getvalue()


def write_parquet(
    folder: Path,
    train: Split = TRAIN,
    test: Split = TEST,
    *,
    columns: tuple[str, str] = ("image", "label"),
    label: Callable[[int], object] = int,
    shards: int = 1,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for part, split in (("train", train), ("test", test)):
        for shard in range(shards):
            rows = np.array_split(np.arange(len(split.images)), shards)[shard]
            images = [{"bytes": encoded(split.images[i]), "path": None} for i in rows]
            table = pa.table({columns[0]: images, columns[1]: [label(split.labels[i]) for i in rows]})
            pq.write_table(table, folder / f"{part}-{shard:05d}-of-{shards:05d}.parquet")


def write_tree(folder: Path, train: Split = TRAIN, test: Split = TEST, *, suffix: str = ".png") -> None:
    for part, split in (("train", train), ("test", test)):
        for index, (image, number) in enumerate(zip(split.images, split.labels, strict=True)):
            path = folder / part / f"class-{number}" / f"{index:03d}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(image))


def assert_holds(dataset: Dataset, train: Split, test: Split) -> None:
    assert np.array_equal(dataset.train_images.numpy(), train.images)
    assert np.array_equal(dataset.train_labels.numpy(), train.labels)
    assert np.array_equal(dataset.test_images.numpy(), test.images)
    assert np.array_equal(dataset.test_labels.numpy(), test.labels)
    assert dataset.train_images.dtype == torch.uint8
    assert dataset.train_labels.dtype == torch.int64


def by_class(split: Split) -> Split:
    """Return the split in the order of an image tree: by class, then by file."""
    order = np.argsort(split.labels, kind="stable")
    return Split(split.images[order], split.labels[order])


def message(call: Callable[[], object]) -> str:
    with pytest.raises(MinarchError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    return text


def truncate(content: bytes) -> bytes:
    return content[: len(content) // 2]


def assert_offers_three_ways(text: str, path: Path) -> None:
    assert str(path) in text
    assert str(path.parent.parent.parent / "mnist" / "train-*.parquet") in text
    assert "torchvision's files" in text
    assert "download" in text
