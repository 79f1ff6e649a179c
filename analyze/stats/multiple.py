"""Adjusting p values for how many there are."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p values, in the order given, by statsmodels.

    Source: Holm (1979), Scandinavian Journal of Statistics 6, 65-70.
    """
    from statsmodels.stats.multitest import multipletests

    # Of none, statsmodels before 0.15 divides by their number.
    return [float(value) for value in multipletests(p, method="holm")[1]] if p else []
