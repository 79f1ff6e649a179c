"""How many replicates a question takes, given the variances seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analyze.stats.equivalence import share_equivalent, simulated
from analyze.stats.means import TINY
from analyze.stats.replicates import counts
from analyze.stats.result import LEVEL, MIN_REPLICATES, FloatArray
from analyze.stats.stability import locate

POWER = 0.8
MOST = 1000
"""Numbers of replicates beyond this are not looked for."""

BOUNDARY_GRID = (5, 10, 15, 20, 30, 50, 100)


@dataclass(frozen=True, kw_only=True)
class SampleSize:
    """Replicates that suffice (None: more than were looked for), and what the number seen achieves.

    `achieved` is a power or a probability; for a precision the half-width of the 95% interval, a fraction.
    """

    replicates: int | None
    achieved: float


def for_equivalence(
    factor: FloatArray, seen: int, *, margin: float, rng: np.random.Generator, simulations: int = 200
) -> SampleSize:
    """Return the replicates with which equal topologies are found equivalent in at least 80%.

    `factor` is what `contrasts` returns: the covariance of the topologies seen, taken for the true one. All pairs by
    TOST at 5%, simulated.
    """

    def power(n: int) -> float:
        return share_equivalent(simulated(factor, n, simulations, rng=rng), n, margin)

    return SampleSize(replicates=least(lambda n: power(n) >= POWER), achieved=power(seen))


def for_noninferiority(sd: float, seen: int, *, margin: float, loss: float) -> SampleSize:
    """Return the replicates with which a true `loss` is shown to be below the margin in at least 80%.

    One-sided paired t test at 5% of losses with standard deviation `sd`; exact, by the noncentral t distribution, as
    statsmodels has it.
    """
    from statsmodels.stats.power import TTestPower

    effect = (margin - loss) / max(sd, TINY)

    def power(n: int) -> float:
        # Beyond this the power is 0 or 1 to all digits, and from 36 on the series of the distribution do not converge.
        if abs(effect) * np.sqrt(n) > 20:
            return float(effect > 0)
        return float(TTestPower().power(effect, n, LEVEL, alternative="larger"))

    return SampleSize(replicates=least(lambda n: power(n) >= POWER), achieved=power(seen))


def for_precision(sd: float, seen: int, *, precision: float) -> SampleSize:
    """Return the replicates with which the 95% t interval of a mean reaches no further than `precision` either side."""

    def reach(n: int) -> float:
        return float(stdtrit(n - 1, 0.975) * sd / np.sqrt(n))

    return SampleSize(replicates=least(lambda n: reach(n) <= precision), achieved=reach(seen))


def for_boundary(
    accuracy: FloatArray,
    boundary: int,
    *,
    chance: float,
    rng: np.random.Generator,
    test_images: int | None = None,
    resamples: int = 200,
) -> SampleSize:
    """Return the replicates with which a boundary is located within one size in at least 95%.

    `accuracy` has shape (sizes, replicates), NaN where there is no run; `boundary` is an index. Sweeps are drawn from
    the replicates seen, with replacement, for each number in a grid up to 100.
    """

    def probability(n: int) -> float:
        at = locate(drawn(accuracy, n, resamples, rng=rng), chance, test_images)
        return float(np.mean(np.abs(at - boundary) <= 1))

    found = next((n for n in BOUNDARY_GRID if probability(n) >= 0.95), None)
    return SampleSize(replicates=found, achieved=probability(int(counts(accuracy).min())))


def drawn(accuracy: FloatArray, n: int, resamples: int, *, rng: np.random.Generator) -> FloatArray:
    """Return samples of n replicates, shape (resamples, sizes, n), from those of a sweep packed to the left."""
    have = counts(accuracy)
    index = (rng.random((resamples, 1, n)) * have[:, None]).astype(np.int64)
    return np.take_along_axis(np.broadcast_to(accuracy, (resamples, *accuracy.shape)), index, axis=-1)


def least(enough: Callable[[int], bool]) -> int | None:
    """Return the least number from 5 to 1000 that is enough, by bisection; None where 1000 is not."""
    if not enough(MOST):
        return None
    low, high = MIN_REPLICATES - 1, MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
