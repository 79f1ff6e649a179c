"""Down a ladder of ever harsher steps: how far accuracy is shown to hold, and where it is shown to fall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from analyze.stats.means import Mean, mean_interval
from analyze.stats.onesided import upper_bounds
from analyze.stats.result import LEVEL, MIN_REPLICATES, FloatArray
from analyze.stats.safety import MARGIN

Verdict = Literal["safe", "not shown", "not tested", "too few"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a step costs; None where there are fewer than 5 replicates, or nothing may be decided yet.

    `loss` has the simultaneous interval, `bound` is the upper bound of the mean loss that decides on safety.
    """

    verdict: Verdict
    n: int
    loss: Mean | None
    bound: float | None


@dataclass(frozen=True, kw_only=True)
class Descent:
    """The steps in order; how many are safe from the first on; and the index of the first one shown to lose, if any."""

    steps: tuple[Step, ...]
    safe: int
    onset: int | None
    method: str


def descend(
    losses: Sequence[FloatArray],
    *,
    rng: np.random.Generator,
    margin: float = MARGIN,
    level: float | Sequence[float] = LEVEL,
    resamples: int = 999,
) -> Descent:
    """Return how far down a ladder accuracy is non-inferior by `margin`, and from which step on it is shown to fall.

    Args:
        losses: Per step, in an order fixed beforehand, the losses of accuracy of its replicates, fractions: arrays of
            shape (replicates,), which may differ in length.
        rng: Draws the bootstrap samples.
        margin: The mean loss to rule out.
        level: Of all steps together, or one per step; 0 where a design decides nothing yet.
        resamples: Of the bootstrap-t.

    A step is tested where all before it passed, at the whole one-sided level: it passes if the largest of the t, Hall
    and bootstrap-t bounds of its mean loss is below the margin. So the chance that any unsafe step is called safe is
    at most the level. A step loses if its interval is above 0; the intervals hold together at 1 minus the level
    (Bonferroni).

    Source: fixed sequences as in Goeman and Solari (2010), Annals of Statistics 38, 3782-3810.
    """
    levels = [float(one) for one in np.broadcast_to(level, len(losses))]
    method = (
        f"fixed-sequence non-inferiority, one-sided {100 * (1 - max(levels, default=LEVEL)):.4g}%, paired by "
        f"replicate; largest of t, Hall's transformation and bootstrap-t ({resamples}) bounds; onset: simultaneous "
        "intervals (Bonferroni), outer ends of t and Hall's transformation"
    )
    steps: list[Step] = []
    passing = True
    for values, at in zip(losses, levels, strict=True):
        n = len(values)
        if n < MIN_REPLICATES or not at:
            steps.append(Step(verdict="too few", n=n, loss=None, bound=None))
            passing = False
            continue
        bound = float(upper_bounds(values[:, None], rng=rng, resamples=resamples, tail=at)[0])
        verdict: Verdict = "not tested" if not passing else "safe" if bound < margin else "not shown"
        passing = verdict == "safe"
        steps.append(Step(verdict=verdict, n=n, loss=mean_interval(values, 1 - at / len(losses)), bound=bound))
    falls = [index for index, step in enumerate(steps) if step.loss is not None and step.loss.interval[0] > 0]
    safe = sum(step.verdict == "safe" for step in steps)
    return Descent(steps=tuple(steps), safe=safe, onset=falls[0] if falls else None, method=method)
