"""Reader of image datasets in the Parquet layout of the Hugging Face hub.

Files are `train-*.parquet` and `test-*.parquet`, in the folder itself or its `data` folder. A row is an image, as a
struct of `bytes` and `path` or as plain bytes, and a label.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from generate.datasets.cache import cached
from generate.datasets.dataset import Split
from generate.datasets.decode import decode_images
from generate.datasets.files import in_order, require_regular
from store.errors import MinarchError

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label")
LARGEST_LABEL = 1_000_000
BATCH_ROWS = 256


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
    """Return the training and the test split; labels that are names are numbered in their order.

    Raises:
        MinarchError: a file or column is missing, or an image, a label or a file is damaged; names the file.
    """
    parts = []
    for part in ("train", "test"):
        files = parquet_files(folder, part)
        _require_all_shards(folder / f"{part}-*.parquet", files)
        parts.append(files)
    train_files, test_files = parts
    require_regular(train_files + test_files)

    def decode() -> tuple[Split, Split]:
        train, test = read_labels(train_files), read_labels(test_files)
        names = {label for label in train + test if isinstance(label, str)}
        by_name = {name: index for index, name in enumerate(in_order(names))} if names else None
        return _split(train_files, train, by_name), _split(test_files, test, by_name)

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


def read_labels(files: Sequence[Path]) -> list[object]:
    """Return the labels in some files, in order.

    Raises:
        MinarchError: a file is damaged, or has no labels; names it.
    """
    labels: list[object] = []
    for path in files:
        with _reading(path), pq.ParquetFile(path) as file:
            label = _column(path, file.schema_arrow.names, LABEL_COLUMNS)
            for batch in file.iter_batches(columns=[label]):
                labels += batch.column(0).to_pylist()
    return labels


def _read_images(files: Sequence[Path]) -> Iterator[object]:
    """Yield what stands for an image in each row, some rows at a time: repeated bytes take little room in a file."""
    for path in files:
        with _reading(path), pq.ParquetFile(path) as file:
            image = _column(path, file.schema_arrow.names, IMAGE_COLUMNS)
            for batch in file.iter_batches(BATCH_ROWS, columns=[image]):
                for row in batch.column(0).to_pylist():
                    yield row.get("bytes") if isinstance(row, dict) else row


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError, OverflowError, MemoryError) as error:
        # What Arrow raises for a damaged file depends on where the damage is.
        reason = " ".join(str(error).split())[:200]
        raise MinarchError(f"{path} is damaged or cannot be read: {reason}") from error


def _column(path: Path, names: Sequence[str], wanted: Sequence[str]) -> str:
    for name in wanted:
        if name in names:
            return name
    raise MinarchError(f"{path} has no column {' or '.join(wanted)}; it has {', '.join(names)}")


def _split(files: Sequence[Path], labels: Sequence[object], by_name: dict[str, int] | None) -> Split:
    source = files[0] if len(files) == 1 else files[0].parent

    def contents() -> Iterator[tuple[str, BinaryIO]]:
        for row, content in enumerate(_read_images(files)):
            if not isinstance(content, bytes):
                raise MinarchError(f"{source}, row {row} holds no image bytes")
            yield f"{source}, row {row}", io.BytesIO(content)

    numbers: list[int] = []
    for row, label in enumerate(labels):
        number = by_name.get(label) if by_name is not None and isinstance(label, str) else label
        mixed = by_name is not None and not isinstance(label, str)
        if mixed or not isinstance(number, int) or isinstance(number, bool) or abs(number) > LARGEST_LABEL:
            shown = textwrap.shorten(repr(label), 80)
            raise MinarchError(
                f"{source}, row {row} has label {shown}; labels are whole numbers up to {LARGEST_LABEL:,}, or all names"
            )
        numbers.append(number)
    return Split(decode_images(contents(), len(numbers)), np.array(numbers, dtype=np.int64))
