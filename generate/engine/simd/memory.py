"""Memory for the kernels: sizes in whole vectors, and arrays that begin where a cache line does."""

from __future__ import annotations

import numpy as np

from generate.engine.simd.vector import LANES

Floats = np.ndarray[tuple[int], np.dtype[np.float32]]

CACHE_LINE = 16
"""Float32 values in a cache line of 64 bytes."""


def round_up(number: int, multiple: int) -> int:
    """Return the smallest multiple that is not below `number`."""
    return -(-number // multiple) * multiple


def whole_vectors(floats: int) -> int:
    """Return how many floats the vectors take that hold so many."""
    return round_up(floats, LANES)


def aligned_zeros(size: int) -> Floats:
    """Return float32 zeros that begin at a cache line, so that no vector lies across two."""
    room = np.zeros(size + CACHE_LINE, dtype=np.float32)
    first = -(room.ctypes.data // room.itemsize) % CACHE_LINE
    aligned: Floats = room[first : first + size]
    return aligned
