"""Files and folders of the user's own, which may be anything: links to nothing, pipes, names that are no text."""

from __future__ import annotations

import stat
from collections.abc import Collection, Iterable
from pathlib import Path

from store.errors import MinarchError

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def folder_at(name: str) -> Path | None:
    """Return the folder that a user named, None where there is none.

    Raises:
        MinarchError: the name cannot be one.
    """
    try:
        name.encode()
        folder = Path(name).expanduser()
        return folder if folder.is_dir() else None
    except UnicodeEncodeError:
        raise MinarchError(f"the name {name!r} is not UTF-8: rename the folder") from None
    except RuntimeError:
        raise MinarchError(f"{name}: there is no such user, so no such home folder") from None
    except OSError as error:
        raise MinarchError(f"{name[:80]}{'...' * (len(name) > 80)}: {error.strerror}") from None


def listed(folder: Path) -> list[Path]:
    """Return what a folder holds, in order.

    Raises:
        MinarchError: it cannot be read.
    """
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise MinarchError(f"{folder} cannot be read: {error.strerror}") from None


def in_order(names: Collection[str]) -> list[str]:
    """Return the names of classes in order: by value where all are numbers, else alphabetically."""
    numbers = all(name.isascii() and name.isdecimal() for name in names)
    return sorted(names, key=(lambda name: (int(name), name)) if numbers else None)


def require_regular(paths: Iterable[Path]) -> None:
    """Check that these are files: reading a pipe would wait for ever, and a link may lead nowhere.

    Raises:
        MinarchError: one is something else; says what.
    """
    for path in paths:
        try:
            mode = path.stat().st_mode
        except OSError as error:
            fault = "is a broken link" if path.is_symlink() else "cannot be read"
            raise MinarchError(f"{path} {fault}: {error.strerror}") from None
        if not stat.S_ISREG(mode):
            raise MinarchError(f"{path} is {KINDS.get(stat.S_IFMT(mode), 'something else')}, not a file")
