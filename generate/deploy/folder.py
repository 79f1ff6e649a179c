"""The folder of a model: it appears whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from store import files
from store.errors import MinarchError

CARD = "card.json"
FORMAT = "minarch model"
_PARTIAL, _EARLIER = ".part-", ".old"


def check_folder(out: Path, identity: str, *, force: bool, keep: Sequence[Path]) -> None:
    """Accept a folder that a model can be written to; better known before the training than after.

    Args:
        out: the folder.
        identity: of the model; an earlier one of the same identity may be replaced.
        force: replace whatever the folder holds.
        keep: what must not be inside of a folder that is replaced.

    Raises:
        MinarchError: it cannot be written, or holds something else.
    """
    with files.faults(out):
        target = Path(os.path.realpath(out))
        if not target.name:
            raise MinarchError(f"cannot write {out}: name a new folder")
        if target.exists() and not target.is_dir():
            raise MinarchError(f"cannot write {out}: it is a file; --out wants a folder")
        if not target.parent.is_dir():
            raise MinarchError(f"cannot write {out}: there is no folder {target.parent}")
        if not os.access(target.parent, os.W_OK | os.X_OK):
            raise MinarchError(f"cannot write {out}: no permission")
        if not target.is_dir() or not any(target.iterdir()):
            return
        if not force and identity_of(target) != identity:
            first = min(entry.name for entry in target.iterdir())
            raise MinarchError(f"{out} holds something else than this model ({first}); name a new folder, or --force")
        for path in (Path.cwd(), Path.home(), *keep):
            if Path(os.path.realpath(path)).is_relative_to(target):
                raise MinarchError(f"{out} holds {path}, which would go with it: name a new folder")


def identity_of(folder: Path) -> str | None:
    """Return the identity of the model that a folder holds, None where it holds none or more than that."""
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        names = {entry.name for entry in folder.iterdir()}
    except (OSError, ValueError):
        return None
    if not isinstance(card, dict) or card.get("format") != FORMAT or not names <= set(card.get("files", ())):
        return None
    return str(card.get("identity"))


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside `out` that takes its place at the end; on an error or a kill `out` stays as it was.

    Raises:
        MinarchError: it cannot be written.
    """
    with files.faults(out):
        target = Path(os.path.realpath(out))
        _remove_leftovers(target)
        partial = target.with_name(f".{target.name}{_PARTIAL}{uuid.uuid4().hex[:8]}")
        partial.mkdir()
    try:
        with _held(partial):
            yield partial
            with files.faults(out):
                _put_in_place(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _put_in_place(partial: Path, target: Path) -> None:
    for path in [partial, *partial.rglob("*")]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    earlier = partial.with_name(f"{partial.name}{_EARLIER}")
    if target.exists():
        target.rename(earlier)
    try:
        partial.rename(target)
    except OSError:
        if earlier.exists():
            earlier.rename(target)
        raise
    shutil.rmtree(earlier, ignore_errors=True)


def _remove_leftovers(target: Path) -> None:
    """Delete what commands left behind that were killed: nobody holds it any more.

    What such a command had moved away to take its place gets its name back.
    """
    found = list(target.parent.glob(f".{glob.escape(target.name)}{_PARTIAL}*"))
    earlier = [path for path in found if path.name.endswith(_EARLIER)]
    if earlier and not target.exists():
        with contextlib.suppress(OSError):
            earlier[0].rename(target)
    for leftover in found:
        with contextlib.suppress(OSError), _held(leftover):
            shutil.rmtree(leftover)


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
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
