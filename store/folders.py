"""A folder that appears whole or not at all, also in the place of an earlier one."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from store import spool

_PARTIAL, _EARLIER = ".part-", ".old"


@contextlib.contextmanager
def replacing(directory: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `directory` at the end, safe on the disk.

    On an error `directory` stays as it was; so it does on a kill, or the next call brings it back, which also clears
    away what a killed one left.

    Raises:
        OSError: the folder cannot be made, written or renamed.
    """
    _bring_back(directory)
    _remove_leftovers(directory)
    partial = directory.with_name(f".{directory.name}{_PARTIAL}{uuid.uuid4().hex[:8]}")
    partial.mkdir()
    try:
        with held(partial):
            yield partial
            _sync(partial)
            _put_in_place(partial, directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def moved_away(directory: Path) -> list[Path]:
    """Return what was in this folder before another took its place, by which a kill left it; the last one first."""
    found = [path for path in _leftovers(directory) if path.name.endswith(_EARLIER)]
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Lock a folder while it is ours; the lock goes with the process.

    Raises:
        BlockingIOError: it is somebody else's.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _bring_back(directory: Path) -> None:
    """Give what was there its name back where one that was killed had moved it away to take its place."""
    if not directory.exists():
        for earlier in moved_away(directory)[:1]:
            with contextlib.suppress(OSError), held(earlier):
                earlier.rename(directory)


def _remove_leftovers(directory: Path) -> None:
    """Delete what killed processes left behind: nobody holds it any more."""
    for leftover in _leftovers(directory):
        with contextlib.suppress(OSError), held(leftover):
            shutil.rmtree(leftover)


def _leftovers(directory: Path) -> list[Path]:
    return list(directory.parent.glob(f".{glob.escape(directory.name)}{_PARTIAL}*"))


def _sync(folder: Path) -> None:
    """Make a folder with all that it holds survive a power cut."""
    for entry in folder.iterdir():
        if entry.is_dir():
            _sync(entry)
        else:
            with entry.open("rb") as file:
                os.fsync(file.fileno())
    spool.sync_folder(folder)


def _put_in_place(partial: Path, directory: Path) -> None:
    """Replace what is in `directory`, which `_bring_back` restores if this is killed between the two renames."""
    earlier = partial.with_name(f"{partial.name}{_EARLIER}")
    with contextlib.ExitStack() as stack:
        if directory.exists():
            stack.enter_context(held(directory))
            directory.rename(earlier)
        try:
            partial.rename(directory)
        except OSError:
            if earlier.exists():
                earlier.rename(directory)
            raise
    shutil.rmtree(earlier, ignore_errors=True)
    spool.sync_folder(directory.parent)
