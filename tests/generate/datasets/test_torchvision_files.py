"""Files as torchvision lays them out, whole and damaged."""

from __future__ import annotations

import bz2
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets
from scipy.io import savemat

from generate.datasets import DATASETS, Split, load_dataset
from generate.datasets.torchvision_sets import TorchvisionSet
from tests.generate.datasets.files import (
    TEST,
    TRAIN,
    assert_holds,
    assert_offers_three_ways,
    idx_bytes,
    make_split,
    message,
    truncate,
    write_batches,
    write_idx,
)

# torchvision's files.


@pytest.mark.parametrize("compress", [False, True])
def test_idx_files_plain_or_compressed(tmp_path: Path, compress: bool) -> None:
    write_idx(tmp_path, compress=compress)
    assert_holds(load_dataset("mnist", tmp_path, download=False), TRAIN, TEST)


def test_qmnist_labels_are_the_first_of_eight_numbers(tmp_path: Path) -> None:
    raw = tmp_path / "QMNIST" / "raw"
    raw.mkdir(parents=True)
    for part, split in (("train", TRAIN), ("test", TEST)):
        numbers = np.full((len(split.labels), 8), 7000, dtype=np.int32)
        numbers[:, 0] = split.labels
        (raw / f"qmnist-{part}-images-idx3-ubyte").write_bytes(idx_bytes(split.images[:, 0]))
        (raw / f"qmnist-{part}-labels-idx2-int").write_bytes(idx_bytes(numbers))
    assert_holds(load_dataset("qmnist", tmp_path, download=False), TRAIN, TEST)


def test_cifar10_batches(tmp_path: Path) -> None:
    train, test = make_split(50, 3, 32), make_split(10, 3, 32, seed=1)
    write_batches(tmp_path, train, test)
    assert_holds(load_dataset("cifar10", tmp_path, download=False), train, test)


def test_cifar10_batches_cannot_run_code(tmp_path: Path) -> None:
    write_batches(tmp_path, make_split(50, 3, 32), make_split(10, 3, 32))
    path = tmp_path / "cifar-10-batches-py" / "data_batch_2"
    path.write_bytes(pickle.dumps({"data": print, "labels": []}))
    text = message(lambda: load_dataset("cifar10", tmp_path, download=False))
    assert str(path) in text
    assert "unexpected content builtins.print" in text


def test_a_set_that_torchvision_reads_itself(tmp_path: Path) -> None:
    train, test = make_split(20, 3, 32), make_split(10, 3, 32, seed=1)
    md5 = {}
    for part, split in (("train", train), ("test", test)):
        stored = np.where(split.labels == 0, 10, split.labels)[:, None]
        path = tmp_path / f"{part}_32x32.mat"
        savemat(path, {"X": split.images.transpose(2, 3, 1, 0), "y": stored})
        md5[part] = ["", path.name, torchvision.datasets.utils.calculate_md5(path)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torchvision.datasets.SVHN, "split_list", md5)
        assert_holds(load_dataset("svhn", tmp_path, download=False), train, test)
    text = message(lambda: load_dataset("svhn", tmp_path, download=False))
    assert f"{tmp_path / 'train_32x32.mat'} is damaged" in text


def test_usps_lines(tmp_path: Path) -> None:
    images = np.zeros((4, 1, 16, 16), dtype=np.uint8)
    images[1] = 255
    split = Split(images, np.array([0, 9, 3, 3]))
    text = "\n".join(
        f"{label + 1} " + " ".join(f"{index}:{value / 127.5 - 1}" for index, value in enumerate(image.flat))
        for image, label in zip(split.images, split.labels, strict=True)
    )
    for name in ("usps.bz2", "usps.t.bz2"):
        (tmp_path / name).write_bytes(bz2.compress(text.encode()))
    assert_holds(load_dataset("usps", tmp_path, download=False), split, split)


def test_every_named_class_exists_in_torchvision() -> None:
    for entry in DATASETS.values():
        if isinstance(entry.source, TorchvisionSet):
            assert issubclass(getattr(torchvision.datasets, entry.source.class_name), torch.utils.data.Dataset)


# Damage.


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut short": truncate,
    "empty": lambda _: b"",
    "only a header": lambda content: content[:9],
    "too long": lambda content: content + b"\0",
    "other magic number": lambda content: b"\x12\x34" + content[2:],
    "other number of dimensions": lambda content: content[:3] + b"\x02" + content[4:],
    "text": lambda _: b"<html>not found</html>",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=list(DAMAGE))
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_damaged_idx_file_is_named(tmp_path: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    write_idx(tmp_path)
    path = tmp_path / "MNIST" / "raw" / name
    path.write_bytes(damage(path.read_bytes()))
    assert_offers_three_ways(message(lambda: load_dataset("mnist", tmp_path, download=False)), path)


def test_damaged_compressed_file_is_named(tmp_path: Path) -> None:
    write_idx(tmp_path, compress=True)
    path = tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz"
    for content in (truncate(path.read_bytes()), b"nothing of the kind"):
        path.write_bytes(content)
        assert_offers_three_ways(message(lambda: load_dataset("mnist", tmp_path, download=False)), path)


def test_damaged_batch_is_named(tmp_path: Path) -> None:
    write_batches(tmp_path, make_split(50, 3, 32), make_split(10, 3, 32))
    path = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    path.write_bytes(truncate(path.read_bytes()))
    text = message(lambda: load_dataset("cifar10", tmp_path, download=False))
    assert f"{path} is damaged" in text


def test_missing_file_is_named_with_the_three_ways_to_get_it(tmp_path: Path) -> None:
    write_idx(tmp_path)
    path = tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte"
    path.unlink()
    assert_offers_three_ways(message(lambda: load_dataset("mnist", tmp_path, download=False)), path)


def test_label_and_image_counts_must_agree(tmp_path: Path) -> None:
    write_idx(tmp_path, Split(TRAIN.images, TRAIN.labels[:-1]))
    text = message(lambda: load_dataset("mnist", tmp_path, download=False))
    assert "train-labels-idx1-ubyte is damaged: 29 labels for 30 images" in text


def test_labels_must_be_classes(tmp_path: Path) -> None:
    write_idx(tmp_path, TRAIN, Split(TEST.images, TEST.labels + 1))
    assert message(lambda: load_dataset("mnist", tmp_path)) == "mnist: test label 10 is outside 0 to 9"


def test_splits_must_have_images_of_one_size(tmp_path: Path) -> None:
    write_idx(tmp_path, TRAIN, make_split(20, side=27))
    assert "27 x 27" in message(lambda: load_dataset("mnist", tmp_path))


def test_data_folder_must_exist(tmp_path: Path) -> None:
    assert str(tmp_path / "absent") in message(lambda: load_dataset("mnist", tmp_path / "absent"))
