"""C for Arm's Cortex-M: what it takes of flash and RAM, and what it answers in an emulator.

Needs `arm-none-eabi-gcc`, and to run QEMU's `qemu-system-arm`: Debian's packages gcc-arm-none-eabi and qemu-system-arm.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from generate.deploy.c.compiler import SECONDS, Compiled, NotRunError, finished

Core = Literal["cortex-m3", "cortex-m4f"]
CORES: dict[Core, tuple[str, ...]] = {
    "cortex-m3": ("-mcpu=cortex-m3", "-mthumb"),
    "cortex-m4f": ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"),
}
BOARDS: dict[Core, str] = {"cortex-m3": "mps2-an385", "cortex-m4f": "mps2-an386"}
FLAGS = ("-std=c99", "-Os", "-ffreestanding")
COMPILER, SIZE, EMULATOR = "arm-none-eabi-gcc", "arm-none-eabi-size", "qemu-system-arm"
BOARD = Path(__file__).parent / "parts" / "cortex_m"


@dataclass(frozen=True)
class Footprint:
    """Bytes of a network on a core, compiled for size.

    Attributes:
        flash: code and constants, without the compiler's own functions for what the core has no instruction for.
        ram: static memory.
        stack: the deepest chain of calls from `model_predict` on, without those of the compiler's own functions.
    """

    flash: int
    ram: int
    stack: int


def footprint(folder: Path, core: Core = "cortex-m3", *, seconds: float = SECONDS) -> Footprint | str:
    """Return what the C of a folder takes on a core, or one line that says why that is not known."""
    try:
        with tempfile.TemporaryDirectory() as scratch:
            built = Path(scratch) / "model.o"
            command = (_found(COMPILER), *FLAGS, *CORES[core], "-fcallgraph-info=su", "-c", str(folder / "model.c"))
            finished(COMPILER, (*command, "-o", str(built)), b"", seconds)
            table = finished(SIZE, (_found(SIZE), str(built)), b"", seconds)
            calls = built.with_suffix(".ci").read_text()
    except NotRunError as fault:
        return str(fault)
    text, data, bss = map(int, table.splitlines()[1].split()[:3])
    return Footprint(text + data, data + bss, _deepest(calls))


def emulate(folder: Path, images: NDArray[np.uint8], core: Core = "cortex-m3", *, seconds: float = SECONDS) -> Compiled:
    """Return what the C of a folder answers on an emulated board with this core.

    Args:
        folder: what `write_c` wrote into; nothing is added.
        images: uint8 [n, channels, height, width], at most 3 MB, which lie in the board's flash.
        core: Cortex-M3, or M4 with its floating point unit.
        seconds: what the compiler, and then the emulator, may take.
    """
    try:
        with tempfile.TemporaryDirectory() as scratch:
            place = Path(scratch)
            flat = images.reshape(len(images), -1)
            rows = ",\n".join("{" + ",".join(map(str, row)) + "}" for row in flat.tolist())
            (place / "images.h").write_text(
                "#include <stdint.h>\n"
                f"#define IMAGES {len(flat)}\nstatic const uint8_t images[{len(flat)}][{flat.shape[1]}] = {{{rows}}};\n"
            )
            sources = (str(folder / "model.c"), str(BOARD / "board.c"), "-T", str(BOARD / "board.ld"))
            options = (*FLAGS, *CORES[core], f"-I{folder}", f"-I{place}", "-nostdlib")
            program = str(place / "program.elf")
            finished(COMPILER, (_found(COMPILER), *options, *sources, "-lgcc", "-o", program), b"", seconds)
            semihosting = ("-semihosting-config", "enable=on,target=native")
            machine = ("-M", BOARDS[core], "-display", "none", "-monitor", "none", "-serial", "none")
            command = (_found(EMULATOR), *machine, *semihosting, "-kernel", program)
            printed = finished(EMULATOR, command, b"", seconds, errors_too=True)
    except NotRunError as fault:
        return Compiled(None, None, str(fault))
    words = np.array([[int(word, 16) for word in line.split()] for line in printed.splitlines()], np.uint32)
    if len(words) != len(images):
        return Compiled(None, None, f"the emulated program printed {len(words)} answers for {len(images)} images")
    floats = "typedef float model_logit" in (folder / "model.h").read_text()
    logits = words[:, 1:].view(np.float32) if floats else words[:, 1:]
    return Compiled(words[:, 0].astype(np.int64), logits.astype(np.float32))


def _found(tool: str) -> str:
    place = shutil.which(tool)
    if place is None:
        raise NotRunError(f"{tool} is not on the path")
    return place


def _deepest(graph: str) -> int:
    """Return the stack of `model_predict` and of what it calls, from the compiler's graph of calls."""
    frames = {name: int(size) for name, size in re.findall(r'title: "([^"]+)" label: "[^"]*?(\d+) bytes', graph)}
    calls: dict[str, list[str]] = {}
    for caller, callee in re.findall(r'sourcename: "([^"]+)" targetname: "([^"]+)"', graph):
        calls.setdefault(caller, []).append(callee)

    def depth(function: str) -> int:
        return frames.get(function, 0) + max(map(depth, calls.get(function, [])), default=0)

    return depth("model_predict")
