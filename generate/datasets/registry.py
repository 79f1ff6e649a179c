"""The datasets by name: what there is, where it comes from, how long it is trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from generate.datasets.cache import cached
from generate.datasets.dataset import Dataset, Split, assemble
from generate.datasets.files import folder_at
from generate.datasets.folder import load_folder
from generate.datasets.parquet import has_parquet, read_parquet
from generate.datasets.torchvision_sets import TorchvisionSet, batch_set, idx_set
from store.errors import MinarchError
from store.files import cache_folder

EPOCHS = 20


@dataclass(frozen=True)
class DatasetEntry:
    """A dataset that has a name.

    Attributes:
        description: one line for the user.
        classes: number of classes.
        source: torchvision's files, or a function that returns the splits of data which a package ships.
        epochs: epochs it is trained for unless told otherwise.
        labels: names of the classes in the order of their numbers; empty where the numbers are the names.
    """

    description: str
    classes: int
    source: TorchvisionSet | Callable[[], tuple[Split, Split]]
    epochs: int = EPOCHS
    labels: tuple[str, ...] = ()


def digits() -> tuple[Split, Split]:
    """Return scikit-learn's `load_digits`, grey levels 0-16 scaled to 0-255; every fifth image is for testing."""
    package = find_spec("sklearn")
    file = Path(package.origin if package and package.origin else "").parent / "datasets" / "data" / "digits.csv.gz"
    # Importing scikit-learn takes a second or two.
    return cached([file], _digits, small_too=True) if file.is_file() else _digits()


def _digits() -> tuple[Split, Split]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * 255 / 16).astype(np.uint8)[:, None]
    labels = bunch.target.astype(np.int64)
    test = np.arange(len(labels)) % 5 == 0
    return Split(images[~test], labels[~test]), Split(images[test], labels[test])


DATASETS: dict[str, DatasetEntry] = {
    "digits": DatasetEntry("handwritten digits, 8x8 grey, bundled with scikit-learn", 10, digits, epochs=100),
    "mnist": DatasetEntry("handwritten digits, 28x28 grey", 10, idx_set("MNIST", "train", "t10k")),
    "fashion_mnist": DatasetEntry(
        "articles of clothing, 28x28 grey",
        10,
        idx_set("FashionMNIST", "train", "t10k"),
        labels=(
            *("T-shirt/top", "trouser", "pullover", "dress", "coat"),
            *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
        ),
    ),
    "cifar10": DatasetEntry(
        "photographs of ten kinds of objects, 32x32 RGB",
        10,
        batch_set("CIFAR10", "cifar-10-batches-py", [f"data_batch_{i}" for i in range(1, 6)], "test_batch", "labels"),
        labels=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    ),
    "cifar100": DatasetEntry(
        "photographs of a hundred kinds of objects, 32x32 RGB",
        100,
        batch_set("CIFAR100", "cifar-100-python", ["train"], "test", "fine_labels"),
    ),
    "kmnist": DatasetEntry(
        "cursive Japanese characters, 28x28 grey",
        10,
        idx_set("KMNIST", "train", "t10k"),
        labels=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    ),
    "qmnist": DatasetEntry(
        "MNIST with 60,000 test images, 28x28 grey",
        10,
        idx_set("QMNIST", "qmnist-train", "qmnist-test", labels="labels-idx2-int"),
    ),
    "emnist_balanced": DatasetEntry(
        "handwritten letters and digits, 28x28 grey, transposed as in its files",
        47,
        idx_set("EMNIST", "emnist-balanced-train", "emnist-balanced-test", split="balanced"),
        labels=tuple("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"),
    ),
    "svhn": DatasetEntry(
        "house numbers, 32x32 RGB",
        10,
        TorchvisionSet(
            "SVHN",
            ("train_32x32.mat",),
            ("test_32x32.mat",),
            train_arguments={"split": "train"},
            test_arguments={"split": "test"},
        ),
    ),
    "usps": DatasetEntry("postal digits, 16x16 grey", 10, TorchvisionSet("USPS", ("usps.bz2",), ("usps.t.bz2",))),
}
DATASET_GROUPS = {"paper": ("mnist", "fashion_mnist", "cifar10")}


def load_dataset(name_or_path: str, data_dir: Path | None, *, download: bool = True) -> Dataset:
    """Return a dataset by its name, or the user's own data by its folder.

    Named data is taken from torchvision's files below `data_dir`, else from Parquet files in `data_dir`/NAME, else
    downloaded to `data_dir`. Without a `data_dir` that is the user's cache folder.

    Raises:
        MinarchError: the name is unknown, or a file is missing or damaged; names it, and the ways to get it.
    """
    if name_or_path not in DATASETS:
        return load_folder(_folder(name_or_path))
    entry = DATASETS[name_or_path]
    if isinstance(entry.source, TorchvisionSet):
        if data_dir is not None and not data_dir.is_dir():
            raise MinarchError(f"the data folder {data_dir} does not exist")
        root = data_dir or cache_folder() / "datasets"
        train, test = _load_files(name_or_path, entry.source, root, download)
    else:
        train, test = entry.source()
    return assemble(name_or_path, train, test, entry.classes)


def default_epochs(name: str) -> int:
    """Return the epochs that a dataset, named or the user's own, is trained for unless told otherwise."""
    return DATASETS[name].epochs if name in DATASETS else EPOCHS


def resolve_names(names: Sequence[str]) -> list[str]:
    """Return dataset names and folders without repeats, groups replaced by their members.

    Raises:
        MinarchError: a name is neither known nor a folder; lists the known ones.
    """
    resolved: dict[str, None] = {}
    for name in names:
        members = DATASET_GROUPS.get(name, (name,))
        for member in members:
            if member not in DATASETS:
                _folder(member)
            resolved[member] = None
    return list(resolved)


def _folder(name: str) -> Path:
    folder = folder_at(name)
    if folder is None:
        known = ", ".join([*DATASETS, *DATASET_GROUPS])
        raise MinarchError(f"there is no dataset '{name}': use {known}, or a folder with images of your own")
    if folder.resolve().name in {*DATASETS, *DATASET_GROUPS}:
        raise MinarchError(f"the folder {name} has the name of a known dataset: give it another")
    return folder


def _load_files(name: str, source: TorchvisionSet, root: Path, download: bool) -> tuple[Split, Split]:
    try:
        missing = source.missing(root)
        if not missing:
            return source.load(root)
        if has_parquet(root / name):
            return read_parquet(root / name)
        if not download:
            raise MinarchError(f"{missing[0]} is missing")
        try:
            source.download(root)
        except MinarchError as error:
            raise MinarchError(f"{missing[0]} is missing, and {error}") from error
        return source.load(root)
    except MinarchError as error:
        place = root / Path(source.train_files[0]).parent
        raise MinarchError(
            f"{name}: {error}. Three ways to get {name}: torchvision's files in {place}; Parquet files "
            f"{root / name}/train-*.parquet and test-*.parquet; or a download, which needs the network"
        ) from error
