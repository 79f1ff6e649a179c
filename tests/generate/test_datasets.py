from __future__ import annotations

import bz2
import gzip
import io
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torchvision.datasets
from PIL import Image
from scipy.io import savemat
from sklearn.datasets import load_digits

from generate.architectures import ImageShape
from generate.datasets import (
    DATASET_GROUPS,
    DATASETS,
    Dataset,
    DatasetEntry,
    Split,
    cache,
    default_epochs,
    load_dataset,
    resolve_names,
    torchvision_sets,
)
from generate.datasets.dataset import Pixels
from generate.datasets.torchvision_sets import TorchvisionSet
from store.errors import MinarchError


@pytest.fixture(autouse=True)
def cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep every test out of the user's cache."""
    folder = tmp_path / "cache-home"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def make_split(n: int, channels: int = 1, side: int = 28, classes: int = 10, *, seed: int = 0) -> Split:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, channels, side, side), dtype=np.uint8)
    return Split(images, np.arange(n, dtype=np.int64) % classes)


TRAIN, TEST = make_split(30), make_split(20, seed=1)


# Writers of each layout.


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
    assert [facts.train_images, facts.test_images] == [50_000, 10_000]
    assert facts.chance_accuracy == pytest.approx(0.1)
    assert float(first.train_images.double().mean()) == pytest.approx(120.7, abs=0.5)
    monkeypatch.setattr("generate.datasets.parquet.decode_images", lambda *_: pytest.fail("decoded again"))
    assert load_dataset("cifar10", data_dir, download=False).fingerprint == first.fingerprint
    assert len(list((cache_home / "minarch" / "decoded").iterdir())) == 1


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


def truncate(content: bytes) -> bytes:
    return content[: len(content) // 2]


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


def assert_offers_three_ways(text: str, path: Path) -> None:
    assert str(path) in text
    assert str(path.parent.parent.parent / "mnist" / "train-*.parquet") in text
    assert "torchvision's files" in text
    assert "download" in text


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


# Downloads, with torchvision's class replaced.


class Downloader:
    """Stands in for torchvision.datasets.MNIST: writes its files below the folder it is given."""

    fails: Exception | None = None

    def __init__(self, root: str, *, train: bool, download: bool) -> None:
        assert download
        write_idx(Path(root), folder="MNIST")
        if self.fails is not None:
            raise self.fails


@pytest.fixture
def downloader(monkeypatch: pytest.MonkeyPatch) -> type[Downloader]:
    monkeypatch.setattr(torchvision_sets, "_torchvision_class", lambda _: Downloader)
    monkeypatch.setattr(Downloader, "fails", None)
    return Downloader


def test_download_fills_the_data_folder(tmp_path: Path, downloader: type[Downloader]) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    assert_holds(load_dataset("mnist", folder), TRAIN, TEST)
    assert [path.name for path in folder.iterdir()] == ["MNIST"]
    assert_holds(load_dataset("mnist", folder, download=False), TRAIN, TEST)


def test_download_without_a_data_folder_goes_to_the_users_cache(cache_home: Path, downloader: type[Downloader]) -> None:
    assert_holds(load_dataset("mnist", None), TRAIN, TEST)
    assert (cache_home / "minarch" / "datasets" / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file()


def test_failed_download_leaves_nothing_behind(
    tmp_path: Path, downloader: type[Downloader], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setattr(downloader, "fails", OSError("<urlopen error\n[Errno -2] Name or service not known>"))
    text = message(lambda: load_dataset("mnist", folder))
    assert_offers_three_ways(text, folder / "MNIST" / "raw" / "train-images-idx3-ubyte")
    assert "Name or service not known" in text
    assert list(folder.iterdir()) == []


def test_parquet_is_preferred_to_a_download(tmp_path: Path, downloader: type[Downloader]) -> None:
    train, test = make_split(10, seed=5), make_split(10, seed=6)
    write_parquet(tmp_path / "mnist", train, test)
    assert_holds(load_dataset("mnist", tmp_path), train, test)


def test_torchvision_files_are_preferred_to_parquet(tmp_path: Path) -> None:
    write_idx(tmp_path)
    write_parquet(tmp_path / "mnist", make_split(10, seed=5), make_split(10, seed=6))
    assert_holds(load_dataset("mnist", tmp_path), TRAIN, TEST)


# Parquet.


@pytest.mark.parametrize("columns", [("image", "label"), ("img", "label"), ("image", "labels"), ("img", "fine_label")])
def test_parquet_columns(tmp_path: Path, columns: tuple[str, str]) -> None:
    write_parquet(tmp_path / "mnist", columns=columns)
    assert_holds(load_dataset("mnist", tmp_path, download=False), TRAIN, TEST)


def test_parquet_shards_are_read_in_order(tmp_path: Path) -> None:
    write_parquet(tmp_path / "mnist", shards=3)
    assert_holds(load_dataset("mnist", tmp_path, download=False), TRAIN, TEST)


def test_missing_shard_is_named(tmp_path: Path) -> None:
    write_parquet(tmp_path / "mnist", shards=3)
    path = tmp_path / "mnist" / "train-00001-of-00003.parquet"
    path.unlink()
    assert f"{path} is missing" in message(lambda: load_dataset("mnist", tmp_path))


def test_parquet_without_test_files(tmp_path: Path) -> None:
    write_parquet(tmp_path / "mnist")
    (tmp_path / "mnist" / "test-00000-of-00001.parquet").unlink()
    assert "test-*.parquet is missing" in message(lambda: load_dataset("mnist", tmp_path))


@pytest.mark.parametrize("damage", [truncate, lambda _: b"", lambda _: b"PAR1 no more PAR1"])
def test_damaged_parquet_is_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    write_parquet(tmp_path / "mnist")
    path = tmp_path / "mnist" / "train-00000-of-00001.parquet"
    path.write_bytes(damage(path.read_bytes()))
    assert f"{path} is damaged" in message(lambda: load_dataset("mnist", tmp_path))


def test_parquet_without_the_columns(tmp_path: Path) -> None:
    write_parquet(tmp_path / "mnist", columns=("picture", "label"))
    text = message(lambda: load_dataset("mnist", tmp_path))
    assert "has no column image or img; it has picture, label" in text


@pytest.mark.parametrize("content", [None, b"no image", encoded(TRAIN.images[0])[:60]])
def test_bad_image_in_parquet_is_named_by_row(tmp_path: Path, content: bytes | None) -> None:
    write_parquet(tmp_path / "mnist")
    path = tmp_path / "mnist" / "train-00000-of-00001.parquet"
    rows = pq.read_table(path).to_pylist()
    rows[7]["image"]["bytes"] = content
    pq.write_table(pa.Table.from_pylist(rows), path)
    assert f"{path}, row 7 " in message(lambda: load_dataset("mnist", tmp_path))


@pytest.mark.parametrize("label", [lambda n: None if n == 4 else int(n), lambda n: n / 2, lambda n: n > 4])
def test_labels_in_parquet_are_whole_numbers(tmp_path: Path, label: Callable[[int], object]) -> None:
    write_parquet(tmp_path / "mnist", label=label)
    assert "labels are numbers" in message(lambda: load_dataset("mnist", tmp_path))


# The user's own data.


def test_own_image_tree(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    write_tree(folder)
    (folder / "train" / "class-3" / "notes.txt").write_text("no image")
    (folder / "train" / ".hidden").mkdir()
    dataset = load_dataset(str(folder), None)
    assert (dataset.name, dataset.classes) == ("mine", 10)
    assert_holds(dataset, by_class(TRAIN), by_class(TEST))


def test_own_parquet_with_names_for_labels(tmp_path: Path) -> None:
    train, test = make_split(12, 3, 9, 3), make_split(6, 3, 9, 2)
    names = ["ant", "bee", "wasp"]
    write_parquet(tmp_path / "insects" / "data", train, test, label=lambda n: names[n])
    dataset = load_dataset(str(tmp_path / "insects"), None)
    assert (dataset.name, dataset.image) == ("insects", ImageShape(9, 9, 3, 3))
    assert_holds(dataset, train, test)


def test_own_data_relative_to_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(tmp_path / "mine")
    monkeypatch.chdir(tmp_path / "mine")
    assert load_dataset(".", None).name == "mine"


def test_own_tree_without_test_images(tmp_path: Path) -> None:
    write_tree(tmp_path / "mine")
    (tmp_path / "mine" / "test").rename(tmp_path / "mine" / "validation")
    text = message(lambda: load_dataset(str(tmp_path / "mine"), None))
    assert f"{tmp_path}/mine/test is missing" in text


def test_own_tree_with_a_class_only_in_test(tmp_path: Path) -> None:
    write_tree(tmp_path / "mine")
    (tmp_path / "mine" / "test" / "class-9").rename(tmp_path / "mine" / "test" / "zebra")
    assert "mine/test/zebra is a class without training" in message(lambda: load_dataset(str(tmp_path / "mine"), None))


def test_own_tree_with_an_empty_class(tmp_path: Path) -> None:
    write_tree(tmp_path / "mine")
    (tmp_path / "mine" / "train" / "empty").mkdir()
    assert "mine/train/empty has no images" in message(lambda: load_dataset(str(tmp_path / "mine"), None))


def test_own_tree_without_classes(tmp_path: Path) -> None:
    (tmp_path / "mine" / "train").mkdir(parents=True)
    (tmp_path / "mine" / "test").mkdir()
    assert "has no class folders" in message(lambda: load_dataset(str(tmp_path / "mine"), None))


def test_own_tree_with_one_class(tmp_path: Path) -> None:
    write_tree(tmp_path / "mine", make_split(5, classes=1), make_split(5, classes=1))
    assert "only one class" in message(lambda: load_dataset(str(tmp_path / "mine"), None))


@pytest.mark.parametrize(
    ("image", "complaint"),
    [
        (Image.new("L", (27, 28)), "is 27 x 28 L where the first image is 28 x 28 L"),
        (Image.new("RGB", (28, 28)), "is 28 x 28 RGB where the first image is 28 x 28 L"),
        (Image.new("RGBA", (28, 28)), "has mode RGBA"),
        (Image.new("P", (28, 28)), "has mode P"),
        (Image.new("I;16", (28, 28)), "has mode I;16"),
    ],
)
def test_own_images_must_be_alike(tmp_path: Path, image: Image.Image, complaint: str) -> None:
    write_tree(tmp_path / "mine")
    path = tmp_path / "mine" / "train" / "class-4" / "004.png"
    image.save(path)
    text = message(lambda: load_dataset(str(tmp_path / "mine"), None))
    assert f"{path} {complaint}" in text


def test_own_damaged_image_is_named(tmp_path: Path) -> None:
    write_tree(tmp_path / "mine")
    path = tmp_path / "mine" / "test" / "class-4" / "004.png"
    for content in (b"", path.read_bytes()[:80]):
        path.write_bytes(content)
        assert f"{path} is damaged" in message(lambda: load_dataset(str(tmp_path / "mine"), None))


def test_own_labels_without_gaps(tmp_path: Path) -> None:
    write_parquet(tmp_path / "mine", label=lambda n: int(n) + 1)
    assert "without a gap" in message(lambda: load_dataset(str(tmp_path / "mine"), None))


def test_folder_that_is_no_dataset(tmp_path: Path) -> None:
    assert f"{tmp_path} is no dataset" in message(lambda: load_dataset(str(tmp_path), None))


def test_own_data_may_not_take_a_known_name(tmp_path: Path) -> None:
    write_tree(tmp_path / "mnist")
    assert "known dataset" in message(lambda: load_dataset(str(tmp_path / "mnist"), None))


# Fingerprints.


def test_fingerprint_does_not_depend_on_the_layout(tmp_path: Path) -> None:
    train, test = by_class(TRAIN), by_class(TEST)
    write_idx(tmp_path / "a", train, test)
    write_idx(tmp_path / "b", train, test, compress=True)
    write_parquet(tmp_path / "c" / "mnist", train, test, shards=2)
    write_tree(tmp_path / "mine", train, test)
    found = {load_dataset("mnist", tmp_path / place).fingerprint for place in "abc"}
    assert found == {load_dataset(str(tmp_path / "mine"), None).fingerprint}


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


# The cache of decoded images.


@pytest.fixture
def cache_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "SMALLEST_CACHED", 0)


@pytest.mark.usefixtures("cache_all")
def test_cache_follows_the_source(tmp_path: Path, cache_home: Path) -> None:
    write_parquet(tmp_path / "mnist")
    load_dataset("mnist", tmp_path)
    write_parquet(tmp_path / "mnist", make_split(31, seed=7), TEST)
    assert_holds(load_dataset("mnist", tmp_path), make_split(31, seed=7), TEST)
    assert len(list((cache_home / "minarch" / "decoded").iterdir())) == 2


@pytest.mark.usefixtures("cache_all")
@pytest.mark.parametrize("damage", [truncate, lambda _: b"", lambda c: c[:5000] + bytes([c[5000] ^ 255]) + c[5001:]])
def test_damaged_cache_is_ignored(tmp_path: Path, cache_home: Path, damage: Callable[[bytes], bytes]) -> None:
    write_parquet(tmp_path / "mnist")
    load_dataset("mnist", tmp_path)
    (path,) = (cache_home / "minarch" / "decoded").iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert_holds(load_dataset("mnist", tmp_path), TRAIN, TEST)


@pytest.mark.usefixtures("cache_all")
def test_cache_that_cannot_be_written_is_ignored(tmp_path: Path, cache_home: Path) -> None:
    cache_home.write_text("a file where the folder should be")
    write_parquet(tmp_path / "mnist")
    assert_holds(load_dataset("mnist", tmp_path), TRAIN, TEST)


def test_small_sets_are_not_cached(tmp_path: Path, cache_home: Path) -> None:
    write_parquet(tmp_path / "mnist")
    load_dataset("mnist", tmp_path)
    assert not cache_home.exists()


def test_cache_folder_without_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cache.cache_folder() == Path("/home/somebody/.cache/minarch")


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
