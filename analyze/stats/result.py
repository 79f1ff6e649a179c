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


Needed = Literal[
    "replicates",
    "replicates for intervals",  # Of the onset and the collapse of pruning.
    "replicates over sizes",  # With enough sizes alive for a slope.
    "shared replicates",  # Of all topologies of a size.
    "living pairs",  # Replicates alive in both precisions.
    "living replicates",  # Alive in fp32, and measured in the other form.
    "sizes",
    "comparable sizes",  # Whose topologies can be tested against one another.
    "sizes with topologies",  # Two of them, with enough shared replicates.
    "topologies",
    "sparsities",
    "epochs",
]

Observed = Literal[
    "all sizes dead",
    "gradual fall",  # Of the spread over the sizes.
    "no fall",  # p, pooled standard deviation.
    "one side of the limit",  # Standard deviations below the step, above it, pooled.
    "no stable size",
    "gap levels off",
    "gap on a line",  # p.
    "gap opens slowly",  # Accuracy per size.
    "gap opens little",  # Accuracy.
    "test accuracy rises",  # Accuracy per size, at most.
    "all topologies dead",
    "topologies left out",  # How many of how many.
    "topologies differ",
    "equivalence not shown",
    "one replicate dominates",
    "one replicate dominates networks",  # The variance within them.
    "one replicate dominates rise",  # Of the test loss.
    "no rise",  # p.
    "no crossing",
    "no safe sparsity",
    "nothing to lose",
    "straight decline",
    "lost",  # Share lost, sparsity.
    "lost within span",  # Share lost.
    "spread",  # Standard deviation, sparsity, standard deviation unpruned.
    "left",  # Share left, sparsity.
]


@dataclass(frozen=True)
class Shortage:
    """What an estimate takes more of: it has `have` and takes `need`.

    `dead` more are there but learned nothing. `stable_only` says that only what is at or above the stability boundary
    was counted.
    """

    of: Needed
    have: int
    need: int
    dead: int = 0
    stable_only: bool = False


@dataclass(frozen=True)
class Remark:
    """What an estimator saw in the data that explains its answer; `numbers` are those that `Observed` names."""

    observed: Observed
    numbers: tuple[float, ...] = ()


Reason = Shortage | Remark
"""What led to an answer, as data: `analyze.wording` has the words."""


@dataclass(frozen=True, kw_only=True)
class ChangePoint:
    """Where something changes along model size.

    `estimate` and both ends of `interval` (95%) are indices of the sizes given; None where nothing was located. `n`
    is the smallest number of replicates at any size. `effect` is in the unit that `method` names. `reasons` say what
    led to a status other than `detected`.
    """

    status: Status
    method: str
    n: int
    estimate: int | None = None
    interval: tuple[int, int] | None = None
    p: float | None = None
    effect: float | None = None
    reasons: tuple[Reason, ...] = ()
