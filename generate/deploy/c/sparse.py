"""How the weights of linear layers are stored: all of them, or those that are not 0, whichever takes fewer bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Form = Literal["dense", "bitmask", "deltas"]
FARTHEST = 255
"""Largest distance that a byte holds; farther weights are reached over weights of 0."""
LONGEST_ROW = 65535
"""Inputs of a layer whose weights per row are counted in 16 bits."""
CODE_BYTES: dict[Form, int] = {"dense": 0, "bitmask": 105, "deltas": 98}
"""What the function of a form adds, with its call; the most that was measured, by GCC 12 with -Os on Cortex-M3."""


@dataclass(frozen=True, eq=False)
class StoredWeights:
    """Weights of a linear layer in one of the forms.

    Attributes:
        form: `dense`: row by row. `bitmask`: those that are not 0, and a bit for every weight, the lowest of a byte
            first. `deltas`: those that are not 0, a byte for the distance of each from the one before in its row (from
            the row's begin for the first), and 16 bits for their number in each row.
        arrays: by their names in the C structure of the form, all flat.
    """

    form: Form
    arrays: dict[str, NDArray[Any]]

    @property
    def size(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self.arrays.values())


def forms_of(weights: NDArray[Any], zero: int) -> dict[Form, StoredWeights]:
    """Return every form of weights [outputs, inputs] in which `zero` stands for 0."""
    kept = weights != zero
    forms = {
        "dense": {"weights": weights.reshape(-1)},
        "bitmask": {"mask": np.packbits(kept.reshape(-1), bitorder="little"), "weights": weights[kept]},
    }
    if weights.shape[1] <= LONGEST_ROW:
        forms["deltas"] = _deltas(weights, kept, zero)
    return {form: StoredWeights(form, arrays) for form, arrays in forms.items()}  # type: ignore[misc, arg-type]


def smallest(weights: Sequence[NDArray[Any]], zeros: Sequence[int]) -> list[StoredWeights]:
    """Return for each layer the form that is stored: the smallest in all, the code of the forms included.

    `weights` are [outputs, inputs] per layer, `zeros` what stands for 0 in each.
    """
    offered = [forms_of(layer, zero) for layer, zero in zip(weights, zeros, strict=True)]
    choices = []
    for count in range(3):
        for allowed in combinations(("bitmask", "deltas"), count):
            chosen = [
                min((form for name, form in forms.items() if name in ("dense", *allowed)), key=lambda form: form.size)
                for forms in offered
            ]
            code = sum(CODE_BYTES[form] for form in {layer.form for layer in chosen})
            choices.append((sum(layer.size for layer in chosen) + code, chosen))
    return min(choices, key=lambda choice: choice[0])[1]


def _deltas(weights: NDArray[Any], kept: NDArray[np.bool_], zero: int) -> dict[str, NDArray[Any]]:
    rows, columns = np.nonzero(kept)
    first = np.diff(rows, prepend=-1) != 0
    gaps = np.where(first, columns, np.diff(columns, prepend=0))
    fillers = np.maximum(gaps - 1, 0) // FARTHEST
    last = np.cumsum(fillers + 1) - 1
    distances = np.full(int((fillers + 1).sum()), FARTHEST, np.uint8)
    distances[last] = gaps - FARTHEST * fillers
    values = np.full(len(distances), zero, weights.dtype)
    values[last] = weights[kept]
    counts = np.bincount(rows, weights=fillers + 1, minlength=len(weights)).astype(np.uint16)
    return {"counts": counts, "distances": distances, "weights": values}
