"""Overfitting along training: test loss that rises again before the last epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analyze.stats.means import DOMINANT, TINY, largest_share
from analyze.stats.onesided import hall_p, hall_reach, skewness
from analyze.stats.result import MIN_REPLICATES, FloatArray, Reason, Remark, Shortage, Status

WINDOW = 1
"""Epochs on either side of the best one whose test loss is averaged with it."""
METHOD = (
    "best epoch from the mean validation loss of the other half of the replicates; "
    "one-sided test, stratified by half, that test loss at the end is higher: the larger p of t and Hall's "
    "transformation; 95% interval, the outer ends of both"
)


@dataclass(frozen=True, kw_only=True)
class Rise:
    """How much higher test loss is at the end than around the best epoch.

    `estimate` is the mean difference in nats, `interval` its 95% interval, `best_epoch` counts from 1. `reasons` of
    a detected rise warn where one replicate makes most of its variance.
    """

    status: Status
    method: str
    n: int
    estimate: float | None = None
    interval: tuple[float, float] | None = None
    p: float | None = None
    best_epoch: int | None = None
    reasons: tuple[Reason, ...] = ()


def rise_of_test_loss(validation: FloatArray, test: FloatArray, *, level: float = 0.05) -> Rise:
    """Return by how much test loss rises between the best epoch and the last.

    `validation` and `test` are losses of shape (replicates, epochs), NaN past a run's end. Runs of unequal length are
    cut to the shortest; a replicate with a loss missing before that is left out.

    The best epoch is where the mean validation loss of one half of the replicates (every other one) is least; the
    difference is measured on the other half; then the halves swap. Choosing and measuring on the same curves would
    find a rise in any noise. `status` compares p with `level`. The t test is that of the mean of both halves in a
    regression on them (statsmodels, OLS): each half has an epoch of its own and so a mean of its own.

    Source: Hall (1992), JRSS B 54, 221-228, for skewed differences; data splitting, see DiCiccio and Romano (2019),
    Multiple data splitting for testing, Stanford technical report 2019-03.
    """
    validation, test = _cut(validation, test)
    n, epochs = test.shape
    if n < MIN_REPLICATES:
        return Rise(status="insufficient", method=METHOD, n=n, reasons=(Shortage("replicates", n, MIN_REPLICATES),))
    if epochs < 2 * WINDOW + 2:
        missing = Shortage("epochs", epochs, 2 * WINDOW + 2)
        return Rise(status="insufficient", method=METHOD, n=n, reasons=(missing,))
    halves = [
        _rises(test[0::2], best_epoch(validation[1::2])),
        _rises(test[1::2], best_epoch(validation[0::2])),
    ]
    mean, interval, p = _mean_of_halves(halves)
    within = np.concatenate([half - half.mean() for half in halves])
    warnings = (Remark("one replicate dominates rise"),) if largest_share(within) > DOMINANT else ()
    return Rise(
        status="detected" if p <= level else "absent",
        method=METHOD,
        n=n,
        estimate=mean,
        interval=interval,
        p=p,
        best_epoch=best_epoch(validation) + 1,
        reasons=warnings if p <= level else (Remark("no rise", (p,)),),
    )


def _mean_of_halves(halves: Sequence[FloatArray]) -> tuple[float, tuple[float, float], float]:
    """Return the mean of both halves, its 95% interval, and the one-sided p value against its being 0 or less.

    Of t and Hall's transformation the outer ends and the larger p. Rises that are equal within halves leave nothing
    open.
    """
    from statsmodels.regression.linear_model import OLS

    sizes = [len(half) for half in halves]
    n = sum(sizes)
    fit = OLS(np.concatenate(halves), np.repeat(np.eye(2), sizes, axis=0)).fit()
    mean, error = float(fit.params @ sizes) / n, float(np.sqrt(fit.scale / n))
    if error <= TINY:
        return mean, (mean, mean), float(mean <= TINY)
    tested = fit.t_test(np.array(sizes) / n)
    skew = float(skewness(fit.resid)) / np.sqrt(n)
    low, high = (float(end) for end in tested.conf_int(0.05)[0])
    below, above = (float(hall_reach(sign * skew, n - 2, 0.025)) * error for sign in (-1, 1))
    two_sided = float(tested.pvalue.item())
    p = two_sided / 2 if mean > 0 else 1 - two_sided / 2
    return mean, (min(low, mean - below), max(high, mean + above)), max(p, float(hall_p(-mean / error, -skew, n - 2)))


def best_epoch(validation: FloatArray) -> int:
    """Return the index of the epoch with the least mean loss over replicates."""
    return int(validation.mean(axis=0).argmin())


def _rises(test: FloatArray, best: int) -> FloatArray:
    around: FloatArray = test[:, max(best - WINDOW, 0) : best + WINDOW + 1].mean(axis=1)
    return test[:, -1] - around


def _cut(validation: FloatArray, test: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the replicates that have a loss at every epoch up to the end of the shortest run."""
    present = ~np.isnan(test)
    lengths = np.where(present.any(axis=1), test.shape[1] - present[:, ::-1].argmax(axis=1), 0)
    shortest = int(lengths[lengths > 0].min(initial=test.shape[1]))
    validation, test = validation[:, :shortest], test[:, :shortest]
    whole = ~np.isnan(validation).any(axis=1) & ~np.isnan(test).any(axis=1)
    return validation[whole], test[whole]
