"""Datasets that torchvision knows: their files, how they are read, and how they are downloaded."""

from __future__ import annotations

import socket
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from generate.datasets.batches import read_batches
from generate.datasets.dataset import Split
from generate.datasets.idx import find_idx, read_idx_split
from store.errors import MinarchError

# torchvision waits without end for a server that does not answer.
CONNECTION_SECONDS = 10.0

Arguments = Mapping[str, object]
Reader = Callable[[Sequence[Path]], Split]


@dataclass(frozen=True)
class TorchvisionSet:
    """One of torchvision's datasets, as it lies on disk.

    Attributes:
        class_name: in `torchvision.datasets`.
        train_files: relative to the data folder; likewise `test_files`.
        read: turns the files of one split into arrays; None leaves that to torchvision's class.
        train_arguments: what tells the class to load the training split; likewise `test_arguments`.
    """

    class_name: str
    train_files: tuple[str, ...]
    test_files: tuple[str, ...]
    read: Reader | None = None
    train_arguments: Arguments = field(default_factory=lambda: {"train": True})
    test_arguments: Arguments = field(default_factory=lambda: {"train": False})

    def missing(self, root: Path) -> list[Path]:
        """Return the files that are not below `root`, neither plain nor compressed with gzip."""
        return [root / name for name in self.train_files + self.test_files if find_idx(root / name) is None]

    def load(self, root: Path) -> tuple[Split, Split]:
        """Return the training and the test split.

        Raises:
            MinarchError: a file is damaged; names it.
        """
        return (
            self._load_split(root, self.train_files, self.train_arguments),
            self._load_split(root, self.test_files, self.test_arguments),
        )

    def download(self, root: Path) -> None:
        """Let torchvision download the files to `root`, which shows them only once they are complete.

        Raises:
            MinarchError: there is no network, the server failed, or `root` cannot be written.
        """
        try:
            root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=root, prefix=".download-") as folder, _connection_timeout():
                for arguments in (self.train_arguments, self.test_arguments):
                    _torchvision_class(self.class_name)(folder, download=True, **arguments)
                _move_files(Path(folder), root)
        except Exception as error:
            # Name resolution, HTTP, checksums, archives, disk: each fails with an exception of its own.
            raise MinarchError(f"the download failed: {textwrap.shorten(str(error), 200)}") from error

    def _load_split(self, root: Path, files: Sequence[str], arguments: Arguments) -> Split:
        paths = [find_idx(root / name) or root / name for name in files]
        if self.read is not None:
            return self.read(paths)
        try:
            return split_of(_torchvision_class(self.class_name)(root, download=False, **arguments))
        except Exception as error:
            # torchvision checks little by itself: a damaged file can raise nearly anything.
            reason = textwrap.shorten(str(error), 200)
            raise MinarchError(f"{paths[0]} is damaged or cannot be read: {reason}") from error


def idx_set(
    class_name: str, train: str, test: str, *, labels: str = "labels-idx1-ubyte", **arguments: str
) -> TorchvisionSet:
    """Return a set of IDX files; `train` and `test` begin the file names, `arguments` are the class's own."""
    raw = f"{class_name}/raw"
    return TorchvisionSet(
        class_name,
        (f"{raw}/{train}-images-idx3-ubyte", f"{raw}/{train}-{labels}"),
        (f"{raw}/{test}-images-idx3-ubyte", f"{raw}/{test}-{labels}"),
        lambda paths: read_idx_split(*paths),
        {"train": True, **arguments},
        {"train": False, **arguments},
    )


def batch_set(class_name: str, folder: str, train: Sequence[str], test: str, label_key: str) -> TorchvisionSet:
    """Return a set of pickled batches in `folder`."""
    return TorchvisionSet(
        class_name,
        tuple(f"{folder}/{name}" for name in train),
        (f"{folder}/{test}",),
        partial(read_batches, label_key=label_key),
    )


def split_of(source: Any) -> Split:
    """Return the arrays that an instance of a torchvision class holds: `data`, and `targets` or `labels`.

    Images may be [n, height, width], [n, height, width, channels] or [n, channels, height, width].
    """
    images = np.asarray(source.data, dtype=np.uint8)
    labels = np.asarray(source.targets if hasattr(source, "targets") else source.labels, dtype=np.int64)
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[3] == 3 and images.shape[1] != 3:
        images = images.transpose(0, 3, 1, 2)
    return Split(images, labels)


def _torchvision_class(name: str) -> Any:
    # Imported here because it takes most of a second, and none of the files read above needs it.
    from torchvision import datasets

    return getattr(datasets, name)


def _move_files(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        if path.is_file():
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            path.replace(place)


@contextmanager
def _connection_timeout() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(CONNECTION_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
