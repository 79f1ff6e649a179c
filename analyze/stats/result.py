"""What every estimator returns, and the limits below which none of them answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

Status = Literal["detected", "gradual", "not_reached", "all_stable", "absent", "insufficient"]

MIN_REPLICATES = 5
MIN_SIZES = 5
LEVEL = 0.05
FLOOR = 0.001
"""Standard deviation, as a fraction of accuracy, below which spreads count as equal: one image in a thousand."""


@dataclass(frozen=True, kw_only=True)
class ChangePoint:
    """Where something changes along model size.

    `estimate` and both ends of `interval` (95%) are indices of the sizes given; None where nothing was located. `n`
    is the smallest number of replicates at any size. `effect` is in the unit that `method` names. `reason` says in
    words what led to a status other than `detected`.
    """

    status: Status
    method: str
    n: int
    estimate: int | None = None
    interval: tuple[int, int] | None = None
    p: float | None = None
    effect: float | None = None
    reason: str | None = None
