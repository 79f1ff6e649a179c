"""Reader of the IDX files that MNIST and its relatives come in (plain, or compressed with gzip)."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from generate.datasets.dataset import Split
from store.errors import MinarchError

# Third byte of the header: type of the numbers, stored with the highest byte first.
NUMBER_TYPES: dict[int, np.dtype[np.integer]] = {0x08: np.dtype(">u1"), 0x0C: np.dtype(">i4")}


def find_idx(path: Path) -> Path | None:
    """Return the file itself or the same with `.gz` appended, whichever exists; None without either."""
    compressed = path.with_name(path.name + ".gz")
    return path if path.is_file() else compressed if compressed.is_file() else None


def read_idx_split(images_path: Path, labels_path: Path) -> Split:
    """Return the grey images of one IDX file with the labels of another.

    Raises:
        MinarchError: a file cannot be read, is no such file, is cut short, or their counts differ; names the file.
    """
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3 or images.dtype != np.uint8:
        raise MinarchError(f"{images_path} is damaged: it holds no images")
    if labels.ndim == 2:
        # QMNIST keeps eight numbers per image, the class first.
        labels = labels[:, 0]
    if len(images) != len(labels):
        raise MinarchError(f"{labels_path} is damaged: {len(labels)} labels for {len(images)} images")
    return Split(images[:, None].astype(np.uint8, copy=False), labels.astype(np.int64))


def read_idx(path: Path) -> NDArray[np.uint8] | NDArray[np.int32]:
    """Return the array in an IDX file, in its own shape.

    The format: two zero bytes, a type, the number of dimensions, each dimension as a 32-bit integer, the numbers.

    Raises:
        MinarchError: the file cannot be read, is no IDX file, or is cut short; names the file.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise MinarchError(f"{path} is damaged or cannot be read: {error}") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in NUMBER_TYPES or not 1 <= content[3] <= 3:
        raise MinarchError(f"{path} is damaged: it does not begin as an IDX file does")
    number_type, dimensions = NUMBER_TYPES[content[2]], content[3]
    start = 4 + 4 * dimensions
    shape = tuple(int(n) for n in np.frombuffer(content[4 : min(start, len(content) // 4 * 4)], dtype=">u4"))
    expected = start + int(np.prod(shape, dtype=np.int64)) * number_type.itemsize
    if len(shape) != dimensions or len(content) != expected:
        raise MinarchError(f"{path} is damaged: {len(content)} bytes where its header says {expected}")
    numbers = np.frombuffer(content, dtype=number_type, offset=start).reshape(shape)
    return numbers.astype(np.uint8) if number_type.itemsize == 1 else numbers.astype(np.int32)
