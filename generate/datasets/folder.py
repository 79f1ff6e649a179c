"""Datasets of the user's own: a tree of image files, or a folder of Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from generate.datasets.cache import cached
from generate.datasets.dataset import KNOWN, Dataset, Split, assemble, fingerprint, in_order_of_content
from generate.datasets.decode import decode_images
from generate.datasets.files import in_order, listed, require_regular
from generate.datasets.parquet import has_parquet, read_parquet
from store.errors import MinarchError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm")

LabelledFile = tuple[Path, int]


def load_folder(folder: Path) -> Dataset:
    """Return the user's own data, named as its folder.

    The folder holds either `train/CLASS/` and `test/CLASS/` with image files, or `train-*.parquet` and
    `test-*.parquet`. Classes are numbered in the order of their names: by value where all are numbers, else
    alphabetically. All images share one size, and are all grey or all RGB.

    Images are put in an order of their content, so that two folders with the same images and labels are one dataset,
    whatever their names, formats and orders; unless they are, in their order, a dataset that is known by name.

    Raises:
        MinarchError: a part is missing, or a file is damaged or unlike the first one; names it.
    """
    try:
        name = folder.resolve().name
        if has_parquet(folder):
            train, test = read_parquet(folder)
        elif (folder / "train").is_dir():
            train, test = _read_tree(folder)
        else:
            raise MinarchError(
                f"{folder} is no dataset: it needs train/CLASS/ and test/CLASS/ with images, or train-*.parquet and "
                f"test-*.parquet"
            )
    except OSError as error:
        raise MinarchError(f"{error.filename or folder} cannot be read: {error.strerror or error}") from error
    present = np.unique(train.labels)
    if not np.array_equal(present, np.arange(len(present))):
        raise MinarchError(f"{folder}: the training labels must run from 0 to their largest without a gap")
    if fingerprint(train, test) not in KNOWN:
        train, test = in_order_of_content(train), in_order_of_content(test)
    return assemble(name, train, test, len(present), own=True)


def _read_tree(folder: Path) -> tuple[Split, Split]:
    if not (folder / "test").is_dir():
        raise MinarchError(f"{folder}/test is missing: put the images to test on in {folder}/test/CLASS/")
    names = class_folders(folder / "train")
    unknown = [name for name in class_folders(folder / "test") if name not in names]
    if unknown:
        raise MinarchError(f"{folder}/test/{unknown[0]} is a class without training images")
    train, test = (_labelled_files(folder / part, names) for part in ("train", "test"))
    sources = [path for path, _ in train + test]
    require_regular(sources)
    return cached(sources, lambda: (_read_files(train), _read_files(test)))


def class_folders(folder: Path) -> list[str]:
    """Return the names of the classes, in the order of their numbers, that a folder has folders for.

    Raises:
        MinarchError: it has none, or cannot be read.
    """
    names = in_order([path.name for path in listed(folder) if path.is_dir() and not path.name.startswith(".")])
    if not names:
        raise MinarchError(f"{folder} has no class folders: put the images in {folder}/CLASS/")
    return names


def _labelled_files(folder: Path, names: Sequence[str]) -> list[LabelledFile]:
    files = []
    for label, name in enumerate(names):
        if not (folder / name).is_dir():
            continue
        found = [path for path in listed(folder / name) if path.suffix.lower() in SUFFIXES]
        if not found:
            raise MinarchError(f"{folder / name} has no images ({', '.join(SUFFIXES)})")
        files += [(path, label) for path in found]
    return files


def _read_files(files: Sequence[LabelledFile]) -> Split:
    def contents() -> Iterator[tuple[str, BinaryIO]]:
        for path, _ in files:
            try:
                yield str(path), path.open("rb")
            except OSError as error:
                raise MinarchError(f"{path} cannot be read: {error.strerror}") from error

    return Split(decode_images(contents(), len(files)), np.array([label for _, label in files], dtype=np.int64))
