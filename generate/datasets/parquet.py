"""Reader of image datasets in the Parquet layout of the Hugging Face hub.

Files are `train-*.parquet` and `test-*.parquet`, in the folder itself or its `data` folder. A row is an image, as a
struct of `bytes` and `path` or as plain bytes, and a label.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from generate.datasets.cache import cached
from generate.datasets.dataset import Split
from generate.datasets.decode import decode_images
from store.errors import MinarchError

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label")


def parquet_files(folder: Path, part: str) -> list[Path]:
    """Return the files of one part (`train` or `test`) in order, of the folder or of its `data` folder."""
    for place in (folder, folder / "data"):
        found = sorted(place.glob(f"{part}-*.parquet")) or sorted(place.glob(f"{part}.parquet"))
        if found:
            return found
    return []


def has_parquet(folder: Path) -> bool:
    """Tell whether a folder holds a dataset of this layout, or a part of one."""
    return bool(parquet_files(folder, "train") or parquet_files(folder, "test"))


def read_parquet(folder: Path) -> tuple[Split, Split]:
    """Return the training and the test split; labels that are names are numbered in their sorted order.

    Raises:
        MinarchError: a file or column is missing, or an image or a file is damaged; names the file.
    """
    parts = []
    for part in ("train", "test"):
        files = parquet_files(folder, part)
        _require_all_shards(folder / f"{part}-*.parquet", files)
        parts.append(files)
    train_files, test_files = parts

    def decode() -> tuple[Split, Split]:
        train, test = _read_columns(train_files), _read_columns(test_files)
        names = sorted(set(train[1]) | set(test[1]), key=str)
        by_name = {name: index for index, name in enumerate(names)} if isinstance(names[0], str) else None
        return _split(train_files, *train, by_name), _split(test_files, *test, by_name)

    return cached(train_files + test_files, decode)


def _require_all_shards(pattern: Path, files: Sequence[Path]) -> None:
    if not files:
        raise MinarchError(f"{pattern} is missing")
    numbered = re.fullmatch(r"(.+-)(\d{5})-of-(\d{5})\.parquet", files[0].name)
    if numbered is None:
        return
    prefix, _, count = numbered.groups()
    for shard in range(int(count)):
        expected = files[0].with_name(f"{prefix}{shard:05d}-of-{count}.parquet")
        if expected not in files:
            raise MinarchError(f"{expected} is missing")


def _read_columns(files: Sequence[Path]) -> tuple[list[bytes | None], list[object]]:
    images: list[bytes | None] = []
    labels: list[object] = []
    for path in files:
        try:
            names = pq.read_schema(path).names
            image, label = _column(path, names, IMAGE_COLUMNS), _column(path, names, LABEL_COLUMNS)
            table = pq.read_table(path, columns=[image, label])
        except (OSError, pa.ArrowException) as error:
            raise MinarchError(f"{path} is damaged or cannot be read: {error}") from error
        rows = table.column(image).to_pylist()
        images += [row.get("bytes") if isinstance(row, dict) else row for row in rows]
        labels += table.column(label).to_pylist()
    return images, labels


def _column(path: Path, names: Sequence[str], wanted: Sequence[str]) -> str:
    for name in wanted:
        if name in names:
            return name
    raise MinarchError(f"{path} has no column {' or '.join(wanted)}; it has {', '.join(names)}")


def _split(
    files: Sequence[Path], images: Sequence[bytes | None], labels: Sequence[object], by_name: dict[object, int] | None
) -> Split:
    source = files[0] if len(files) == 1 else files[0].parent

    def contents() -> Iterator[tuple[str, BinaryIO]]:
        for row, content in enumerate(images):
            if not isinstance(content, bytes):
                raise MinarchError(f"{source}, row {row} holds no image bytes")
            yield f"{source}, row {row}", io.BytesIO(content)

    numbers = labels if by_name is None else [by_name.get(label) for label in labels]
    for row, number in enumerate(numbers):
        if not isinstance(number, int) or isinstance(number, bool):
            raise MinarchError(f"{source}, row {row} has label {labels[row]!r}; labels are numbers, or all names")
    return Split(decode_images(contents(), len(images)), np.array(numbers, dtype=np.int64))
