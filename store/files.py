"""Files as users name them: what a path leads to, and writing to it whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from store.errors import MinarchError

FULL_ERRNOS = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
# Paths that stand for what is open already, whatever that is.
_OPEN_ALREADY = ("/dev/", "/proc/")
_DUCKDB = (8, b"DUCK")


def cache_folder() -> Path:
    """Return the folder of this package below `XDG_CACHE_HOME`, or below `~/.cache` where that is unset."""
    configured = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (configured if configured.is_absolute() else Path.home() / ".cache") / "minarch"


def system_fault(error: OSError, path: Path) -> MinarchError:
    """Return the message for an operating system's error while `path` was read or written."""
    if error.errno in FULL_ERRNOS:
        return MinarchError(f"no space left to write {path}; free some")
    return MinarchError(f"{path}: {error.strerror or error}")


def kind_of(path: Path) -> str | None:
    """Return what is at a path instead of a file, such as a pipe, or None; opening one could wait for ever.

    Raises:
        OSError: nothing is there, or it cannot be reached.
    """
    mode = path.stat().st_mode
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return None if stat.S_ISREG(mode) else kinds.get(stat.S_IFMT(mode), "a device")


def check_writable(out: Path) -> None:
    """Accept a path that can be written to, as far as can be told before; better known before the work than after.

    Raises:
        MinarchError: it cannot be written, or is a results store.
    """
    with faults(out):
        target = Path(os.path.realpath(out))
        folder = target.parent
        if not goes_through(out) and target.is_symlink():
            raise MinarchError(f"cannot write {out}: its symbolic links lead round in a circle")
        if not goes_through(out) and not folder.is_dir():
            raise MinarchError(f"cannot write {out}: there is no folder {folder}")
        if out.is_dir():
            raise MinarchError(f"cannot write {out}: it is a folder; --out wants a file")
        if not os.access(out if out.exists() else folder, os.W_OK):
            raise MinarchError(f"cannot write {out}: no permission")
        if not goes_through(out) and out.exists() and _is_database(out):
            raise MinarchError(f"cannot write {out}: it is a DuckDB database, such as a results store")


def goes_through(out: Path) -> bool:
    """Return whether a path leads to a device, a pipe or an open stream, which stay what they are."""
    if str(out.absolute()).startswith(_OPEN_ALREADY):
        return True
    return out.exists() and not out.is_file() and not out.is_dir()


@contextlib.contextmanager
def writing(out: Path) -> Iterator[BinaryIO]:
    """Open `out` to write to it: a reader of the old file never meets half of the new one.

    A file is replaced when all is written, with its mode; where `out` is a link, the file that it leads to. Devices and
    pipes are written to as they are.

    Raises:
        MinarchError: it cannot be written; what it held before then stays.
    """
    check_writable(out)
    with faults(out):
        if goes_through(out):
            with out.open("wb") as file:
                yield file
            return
        target = Path(os.path.realpath(out))
        partial = target.with_name(f".{target.name[:40]}.part-{os.getpid()}")
        try:
            with partial.open("wb") as file:
                yield file
            if target.exists():
                partial.chmod(stat.S_IMODE(target.stat().st_mode))
            partial.replace(target)
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)


def write(out: Path, content: bytes) -> None:
    """Write a file whole or not at all, as `writing`."""
    with writing(out) as file:
        file.write(content)


@contextlib.contextmanager
def faults(path: Path) -> Iterator[None]:
    """Turn what the system says about writing `path` into one line."""
    try:
        yield
    except BrokenPipeError:
        raise  # Whoever read it has seen enough.
    except OSError as error:
        if error.errno in FULL_ERRNOS:
            raise system_fault(error, path) from error
        raise MinarchError(f"cannot write {path}: {error.strerror or error}") from error
    except UnicodeError as error:
        raise MinarchError(f"cannot write {path}: its name is not UTF-8") from error


def _is_database(path: Path) -> bool:
    offset, magic = _DUCKDB
    with path.open("rb") as file:
        return file.read(offset + len(magic))[offset:] == magic
