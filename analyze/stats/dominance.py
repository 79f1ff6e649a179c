"""Whether the variance of accuracy between sizes is far above that between topologies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analyze.stats.components import between_sizes, networks, usable_sizes, weights_of, within_sizes
from analyze.stats.locations import share_p
from analyze.stats.result import FloatArray
from analyze.stats.sides import Sides

FAR = 10.0
RESAMPLES = 9_999


@dataclass(frozen=True, kw_only=True)
class Dominance:
    """Topology's share in the variance between sizes and topologies, with its 95% interval; `n` replicates."""

    share: float
    interval: tuple[float, float]
    n: int
    sides: Sides


def dominance(sizes: Sequence[FloatArray], *, rng: np.random.Generator) -> Dominance | None:
    """Return whether the variance between sizes is more than 10 times that between topologies; None in too little data.

    Tables as for `components`, whose corrected variances and multiplier bootstrap these are. For it: 10 times that
    between topologies does not reach it. Against it: it is less than that between topologies.
    """
    used = usable_sizes(sizes)
    if len(used) < 2:
        return None
    table = networks([sizes[index][rows] for index, rows in used])
    n = table.replicates
    weights = weights_of(RESAMPLES, len(table.noise), n, rng)
    factor = 1 + (weights**2).mean(axis=1)
    drawn, seen = [], []
    for variance in (between_sizes, within_sizes):
        sampling = float(variance(table.noise, table.size).sum())
        seen.append(max(float(variance(table.means, table.size)) - sampling, 0.0))
        drawn.append(variance(table.means + weights @ table.noise, table.size) - sampling * factor)
    between, within = drawn
    shares = _share(np.maximum(between, 0.0), np.maximum(within, 0.0))
    low, high = (float(value) for value in np.quantile(shares, [0.025, 0.975]))
    share = float(_share(np.float64(seen[0]), np.float64(seen[1])))
    return Dominance(
        share=share,
        interval=(min(low, share), max(high, share)),
        n=n,
        sides=Sides(share_p(between <= FAR * within, n), share_p(between >= within, n)),
    )


def _share(between: FloatArray | np.float64, within: FloatArray | np.float64) -> FloatArray:
    total = between + within
    return np.asarray(np.divide(within, total, out=np.ones_like(total), where=np.asarray(total > 0)))
