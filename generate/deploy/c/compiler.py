"""C compiled and run on this machine."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-std=c99", "-O2", "-Wall", "-Wextra")
SECONDS = 300.0


@dataclass(frozen=True)
class Compiled:
    """What came of running C: one of the two is empty.

    Attributes:
        answers: int64 [n]; None where it did not run.
        logits: float32 [n, classes], levels of a network in integers; None where it did not run.
        reason: why it did not run, one line; else empty.
    """

    answers: NDArray[np.int64] | None
    logits: NDArray[np.float32] | None
    reason: str = ""


@dataclass(frozen=True)
class Timed:
    """How long a prediction takes: nanoseconds [times], or None and one line that says why it did not run."""

    nanoseconds: NDArray[np.float64] | None
    reason: str = ""


class NotRunError(Exception):
    """C that did not run: one line on why."""


def compile_and_run(folder: Path, images: NDArray[np.uint8], *, seconds: float = SECONDS) -> Compiled:
    """Return what the C of a folder answers, compiled by the first of `cc`, `gcc` and `clang` that is there.

    Args:
        folder: what `write_c` wrote into; nothing is added.
        images: uint8 [n, channels, height, width].
        seconds: what the compiler, and then the program, may take.
    """
    try:
        printed = _run(folder, images, (), seconds)
        rows = np.array([line.split() for line in printed.splitlines()] or np.zeros((0, 1)), np.float64)
        if len(rows) != len(images):
            raise NotRunError(f"the program printed {len(rows)} answers for {len(images)} images")
    except NotRunError as fault:
        return Compiled(None, None, str(fault))
    return Compiled(rows[:, 0].astype(np.int64), rows[:, 1:].astype(np.float32))


def measure(folder: Path, image: NDArray[np.uint8], *, times: int = 1000, seconds: float = SECONDS) -> Timed:
    """Return what the C of a folder takes per image, uint8 [channels, height, width], predicted so many times."""
    try:
        printed = _run(folder, image[None], (str(times),), seconds)
        return Timed(np.array(printed.split(), np.float64))
    except NotRunError as fault:
        return Timed(None, str(fault))


def _run(folder: Path, images: NDArray[np.uint8], arguments: tuple[str, ...], seconds: float) -> str:
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        raise NotRunError(f"there is no C compiler: none of {', '.join(COMPILERS)} is on the path")
    with tempfile.TemporaryDirectory() as scratch:
        program = Path(scratch) / "model_run"
        sources = (str(folder / "model.c"), str(folder / "model_run.c"))
        finished("the C compiler", (compiler, *FLAGS, *sources, "-o", str(program)), b"", seconds)
        return finished("the compiled program", (str(program), *arguments), images.tobytes(), seconds)


def finished(what: str, command: tuple[str, ...], given: bytes, seconds: float, *, errors_too: bool = False) -> str:
    """Return what a program printed when it read `given`; what it wrote to standard error too if asked to.

    Raises:
        NotRunError: it cannot be run, failed, or took longer than `seconds`.
    """
    try:
        done = subprocess.run(command, input=given, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise NotRunError(f"{what} took more than {seconds:g} seconds") from None
    except OSError as error:
        raise NotRunError(f"{what} cannot be run: {error.strerror}") from None
    if done.returncode:
        complaint = done.stderr.decode(errors="replace").strip().splitlines()
        ended = f"was ended by signal {-done.returncode}" if done.returncode < 0 else f"failed ({done.returncode})"
        raise NotRunError(f"{what} {ended}" + (f": {complaint[0]}" if complaint else ""))
    return (done.stdout + (done.stderr if errors_too else b"")).decode(errors="replace")
