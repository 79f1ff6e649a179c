"""Asking `analyze`, which runs as a program of its own.

Data flow from `generate` to the store and from there to `analyze`: neither imports the other.
"""

from __future__ import annotations

import subprocess
import sys

from store import signals
from store.errors import MinarchError


def ask(*arguments: str) -> tuple[str, tuple[str, ...]]:
    """Return what a command of `analyze` prints, and its remarks.

    Raises:
        MinarchError: the analysis failed.
        KeyboardInterrupt: it was stopped.
    """
    command = [sys.executable, "-m", "analyze", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == signals.INTERRUPTED:
        raise KeyboardInterrupt
    remarks = tuple(line.removeprefix("analyze: ") for line in done.stderr.splitlines())
    if done.returncode:
        raise MinarchError(remarks[-1] if remarks else f"the analysis ended with {done.returncode}")
    return done.stdout, remarks
