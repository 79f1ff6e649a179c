"""Adjusting p values for how many there are."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


def holm(p: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p values, in the order given, by statsmodels.

    Source: Holm (1979), Scandinavian Journal of Statistics 6, 65-70.
    """
    from statsmodels.stats.multitest import multipletests

    if not p:
        return []  # Of none, statsmodels before 0.15 divides by their number.
    with _nothing_to_collect():
        return [float(value) for value in multipletests(p, method="holm")[1]]


@contextmanager
def _nothing_to_collect() -> Iterator[None]:
    """Set aside what there is in memory: `multipletests` collects garbage each time, 0.1 s in the midst of a report."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
