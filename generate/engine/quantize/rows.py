"""Quantizers of tensors as rows of floats, which kernels and PyTorch read alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from store.precisions import Bits

LOW, HIGH, SCALE, ZERO_POINT, FIRST, LAST, COLUMNS = range(7)
"""Places in a row, and its length: lowest and highest value observed, scale, zero point, first and last level."""


def levels_of(bits: int, *, symmetric: bool) -> tuple[int, int]:
    """Return the first and the last level: -2^(bits - 1) .. 2^(bits - 1) - 1 if `symmetric`, else 0 .. 2^bits - 1."""
    first = -(2 ** (bits - 1)) if symmetric else 0
    return first, first + 2**bits - 1


def new_quantizers(names: Sequence[str], bits: Bits) -> NDArray[np.float32]:
    """Return quantizers [names, COLUMNS] that have observed nothing.

    Those whose name ends in `.weight` are symmetric with the bits of the weights, the others have the activations'.
    """
    rows = np.array([[np.inf, -np.inf, 1, 0, 0, 0]] * len(names), np.float32)
    for row, name in zip(rows, names, strict=True):
        weights = name.endswith(".weight")
        row[FIRST:] = levels_of(bits.weights if weights else bits.activations, symmetric=weights)
    return rows
