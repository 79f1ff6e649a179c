"""Reader of the pickled batches that CIFAR-10 and CIFAR-100 come in."""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from generate.datasets.dataset import Split
from store.errors import MinarchError

SIDE = 32


def read_batches(paths: Sequence[Path], label_key: str) -> Split:
    """Return the RGB images and labels of these batch files, one after the other.

    Raises:
        MinarchError: a file cannot be read or is damaged; names the file.
    """
    splits = [_read_batch(path, label_key) for path in paths]
    return Split(np.concatenate([s.images for s in splits]), np.concatenate([s.labels for s in splits]))


class _ArraysOnly(pickle.Unpickler):
    """Unpickles NumPy arrays and plain containers, and nothing that could run code."""

    def find_class(self, module: str, name: str) -> object:
        if module.split(".")[0] == "numpy" and name in ("_reconstruct", "ndarray", "dtype"):
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        if (module, name) == ("_codecs", "encode"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"unexpected content {module}.{name}")


def _read_batch(path: Path, label_key: str) -> Split:
    try:
        batch = _ArraysOnly(io.BytesIO(path.read_bytes()), encoding="latin1").load()
        images = np.asarray(batch["data"], dtype=np.uint8).reshape(-1, 3, SIDE, SIDE)
        labels = np.asarray(batch[label_key], dtype=np.int64)
    except Exception as error:
        # A damaged pickle can raise nearly anything.
        raise MinarchError(f"{path} is damaged or cannot be read: {type(error).__name__}: {error}") from error
    if len(images) != len(labels):
        raise MinarchError(f"{path} is damaged: {len(labels)} labels for {len(images)} images")
    return Split(images, labels)
