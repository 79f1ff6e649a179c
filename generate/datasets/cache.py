"""Cache of decoded images in the user's cache folder: decoding CIFAR-10 takes seconds, reading it back a moment."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from generate.datasets.dataset import Split
from store.files import cache_folder

FORMAT = 1
# Smaller sets decode in well under a second.
SMALLEST_CACHED = 16 * 2**20


def cached(
    sources: Sequence[Path], decode: Callable[[], tuple[Split, Split]], *, small_too: bool = False
) -> tuple[Split, Split]:
    """Return what `decode` returns, from the cache where the source files are as they were then.

    Sets of less than 16 MiB are not worth a file, unless `small_too` says that they are slow to decode. Source files
    are told apart by path, size and time of modification. A cache that is damaged or cannot be written is as good as
    none.
    """
    path = cache_folder() / "decoded" / f"{_key(sources)}.npz"
    found = _read(path)
    if found is not None:
        return found
    train, test = decode()
    if small_too or train.images.nbytes + test.images.nbytes >= SMALLEST_CACHED:
        _write(path, train, test)
    return train, test


def _key(sources: Sequence[Path]) -> str:
    stats = [(str(path.resolve()), path.stat()) for path in sources]
    facts = [FORMAT, *((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _read(path: Path) -> tuple[Split, Split] | None:
    try:
        # Opened here, because NumPy leaves a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            train = Split(arrays["train_images"], arrays["train_labels"])
            return train, Split(arrays["test_images"], arrays["test_labels"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _write(path: Path, train: Split, test: Split) -> None:
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(
                    file,
                    train_images=train.images,
                    train_labels=train.labels,
                    test_images=test.images,
                    test_labels=test.labels,
                )
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
