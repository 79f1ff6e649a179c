"""Constants as C writes them."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import numpy as np
from numpy.typing import NDArray

C_TYPES = {"uint8": "uint8_t", "int8": "int8_t", "uint16": "uint16_t", "int32": "int32_t", "float32": "float"}


def number(value: float) -> str:
    """Return a number as a C literal: of type float where it is a float, exact in 9 digits."""
    if isinstance(value, int | np.integer):
        # The lowest int32 has no literal of its own: C reads the minus sign apart.
        return "(-2147483647 - 1)" if value == -(2**31) else str(value)
    digits = f"{np.float32(value):.9g}"
    return f"{digits if set(digits) & set('.e') else digits + '.0'}F"


def identifier(name: str) -> str:
    """Return a layer's name as one of C: `layers.0` is `layer_layers_0`."""
    return "layer_" + re.sub(r"\W", "_", name)


def array(name: str, values: NDArray[Any]) -> str:
    """Return the definition of a constant array; of no values C has none, so that it gets one 0."""
    flat = values.reshape(-1) if values.size else np.zeros(1, values.dtype)
    numbers = ", ".join(map(number, flat.tolist()))
    lines = textwrap.fill(numbers, 112, initial_indent="    ", subsequent_indent="    ", break_long_words=False)
    return f"static const {C_TYPES[values.dtype.name]} {name}[{flat.size}] = {{\n{lines}\n}};"


def structure(kind: str, name: str, members: dict[str, str]) -> str:
    """Return the definition of a constant structure; `members` are literals by name."""
    lines = "\n".join(f"    .{member} = {literal}," for member, literal in members.items())
    return f"static const struct {kind} {name} = {{\n{lines}\n}};"
