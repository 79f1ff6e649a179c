"""Least-squares slopes, one per replicate."""

from __future__ import annotations

import numpy as np

from analyze.stats.result import FloatArray, IntArray


def replicate_slopes(
    values: FloatArray, x: FloatArray | None = None, *, group: IntArray | None = None, least: int = 2
) -> FloatArray:
    """Return the least-squares slope on x of each replicate with at least `least` values; shape (those replicates,).

    `values` has shape (cells, replicates), NaN where there is none; `x`, by default the cells' index, and `group`
    have shape (cells,). With groups, numbered from 0, the line has a level for each and one slope for all.

    These are no results but the values that means are taken of, up to some ten thousand in a table of claims: computed
    together, not by a regression each. Tests hold them to regressions one by one.
    """
    x = np.arange(len(values), dtype=np.float64) if x is None else x
    present = ~np.isnan(values)
    usable = present.sum(axis=0) >= least
    weight = present[:, usable].astype(np.float64)
    members = np.ones((len(x), 1)) if group is None else np.eye(int(group.max()) + 1)[group]
    means = (members.T @ (weight * x[:, None])) / np.maximum(members.T @ weight, 1.0)
    centred = (x[:, None] - members @ means) * weight
    slopes: FloatArray = (centred * np.nan_to_num(values[:, usable])).sum(axis=0) / (centred**2).sum(axis=0)
    return slopes
