"""Adjusting p values for how many there are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p values, in the order given.

    Source: Holm (1979), Scandinavian Journal of Statistics 6, 65-70.
    """
    if not p:
        return []
    values = np.asarray(p, dtype=np.float64)
    order = values.argsort(kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in adjusted]
