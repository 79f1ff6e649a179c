"""The folder of a model: it appears whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from store import files, folders
from store.errors import MinarchError

CARD = "card.json"
FORMAT = "minarch model"


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
    with contextlib.ExitStack() as stack:
        with files.faults(out):
            partial = stack.enter_context(folders.replacing(Path(os.path.realpath(out))))
        yield partial
        with files.faults(out):
            stack.close()
