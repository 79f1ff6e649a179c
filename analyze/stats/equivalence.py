"""Equivalence of topologies: are all of one size within a margin of each other?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from scipy.special import stdtrit

from analyze.stats.means import TINY
from analyze.stats.multiple import holm
from analyze.stats.onesided import hall_p, one_sided_reach, transformed, untransformed
from analyze.stats.replicates import counts
from analyze.stats.result import (
    FLOOR,
    LEVEL,
    MIN_REPLICATES,
    MIN_SIZES,
    BoolArray,
    FloatArray,
    IntArray,
    Reason,
    Remark,
    Shortage,
)
from analyze.stats.spending import look_shares, p_over_looks
from analyze.stats.stability import dead
from analyze.stats.tolerance import failure_bound, failures

Verdict = Literal["equivalent", "different", "inconclusive", "insufficient"]
SIMULATIONS = 999
SIMULATIONS_OF_A_LOOK = 9_999
"""Of a look that has a part of the level only, where fewer found a difference that may be shown."""
PROMISING = 0.005
MIN_DRAWS_BEYOND = 5
MOST_DRAWN = 100
"""Replicates up to which they are simulated one by one."""

TAIL = 0.025
"""Probability of error at either end of an interval."""


@dataclass(frozen=True, kw_only=True)
class Equivalence:
    """How far the topologies of one size are apart; accuracies are fractions.

    `largest` is the largest difference between two mean accuracies and `pair` the rows of the better and the worse
    topology; `interval` (95%) is that of the largest true difference. `p` tests that some difference reaches the
    margin, `p_different` that none exceeds it; the `_holm` ones are adjusted over the sizes. `sd` is the root mean
    square, over pairs, of the standard deviation of the paired difference. `skewness` is the largest, of either sign,
    of a paired difference. `power` is the chance of `p` <= 0.05 were all means equal and all noise normal.
    `failure_bound` is the upper 95% bound on the share of trainings of a topology that fail, of the one with most
    failures seen.
    """

    status: Verdict
    method: str
    n: int
    topologies: int
    p: float | None = None
    p_holm: float | None = None
    p_different: float | None = None
    p_different_holm: float | None = None
    largest: float | None = None
    interval: tuple[float, float] | None = None
    pair: tuple[int, int] | None = None
    sd: float | None = None
    skewness: float | None = None
    power: float | None = None
    failure_bound: float | None = None
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """The first size from which the topologies of every size are within the margin, as indices of the sizes given.

    `estimate` goes by the differences seen. `low` is the first size that may be it, `high` the first from which
    equivalence is shown; None where there is none.
    """

    status: Verdict
    method: str
    n: int
    sizes: int
    estimate: int | None = None
    low: int | None = None
    high: int | None = None
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Pairs:
    """Differences between every two topologies, row minus column: shape (..., topologies, topologies).

    `error` has their standard errors, `skew` the skewness of their means.
    """

    difference: FloatArray
    error: FloatArray
    skew: FloatArray


def equivalences_over_looks(
    sizes: Sequence[FloatArray],
    looks: tuple[int, ...],
    *,
    chance: float,
    margin: float,
    rng: Callable[[int, int], np.random.Generator],
) -> list[Equivalence]:
    """Return for each size whether its topologies are equivalent, tested as replicates were added.

    As `equivalences`, replicate j in column j. A size is tested at every look whose replicates all of its topologies
    have; its p values are those over looks, of `p_over_looks`, and its interval covers at every look. `rng` gives the
    random numbers of a size, by index, at a look: the same data have the same p value whenever they are looked at.
    """
    found = [
        _compared_at(table, looks, chance=chance, margin=margin, rng=partial(rng, index))
        for index, table in enumerate(sizes)
    ]
    return judged(found)


def judged(found: Sequence[Equivalence]) -> list[Equivalence]:
    """Return comparisons with their verdicts, p values adjusted over the sizes."""
    tested = [row for row in found if row.p is not None and row.p_different is not None]
    equal = iter(holm([row.p for row in tested if row.p is not None]))
    apart = iter(holm([row.p_different for row in tested if row.p_different is not None]))
    return [row if row.p is None else _judged(row, next(equal), next(apart)) for row in found]


def equivalences(
    sizes: Sequence[FloatArray],
    *,
    chance: float,
    margin: float,
    rng: np.random.Generator,
    simulations: int = SIMULATIONS,
) -> list[Equivalence]:
    """Return for each size whether its topologies are equivalent.

    `sizes` has one table per size, shape (topologies, replicates), fractions, NaN where there is no run; a run that
    diverged belongs in it at chance. `margin` is a fraction.

    Topologies of a size are equivalent if every two of them are, by two one-sided tests on the differences paired by
    replicate: the size's p value is the largest of all pairs', and needs no adjustment for their number. Over the
    sizes p values are Holm's. They are different if some difference exceeds the margin, by the largest studentised
    difference against its simulated distribution. Either takes of t and Hall's transformation of it what shows less.

    Source: Schuirmann (1987), J. Pharmacokinet. Biopharm. 15, 657-680; intersection-union as in Berger and Hsu (1996),
    Statistical Science 11, 283-319.
    """
    return judged([compare(table, chance=chance, margin=margin, rng=rng, simulations=simulations) for table in sizes])


def _compared_at(
    table: FloatArray,
    looks: tuple[int, ...],
    *,
    chance: float,
    margin: float,
    rng: Callable[[int], np.random.Generator],
) -> Equivalence:
    """Return the comparison of one size over the looks whose replicates all topologies have, values of the last."""
    held = int(np.append(np.flatnonzero(np.isnan(table).any(axis=0)), table.shape[1])[0])
    shares = dict(zip(looks, look_shares(looks), strict=True))
    find = partial(compare, chance=chance, margin=margin)
    taken = [n for n in looks if MIN_REPLICATES <= n <= held]
    if not taken:
        found = find(table, rng=rng(0))
        return found if found.p is None else replace(found, p=1.0, p_different=1.0, interval=None)
    rows: dict[int, Equivalence] = {}
    for n in taken:
        tail = TAIL * (shares[n] or 1.0)
        rows[n] = find(table[:, :n], rng=rng(n), tail=tail)
        if shares[n] and (rows[n].p_different or 0.0) <= PROMISING:
            rows[n] = find(table[:, :n], rng=rng(n), tail=tail, simulations=SIMULATIONS_OF_A_LOOK)
    last = rows[taken[-1]]
    if last.p is None:
        return last
    equal = [(n, row.p) for n, row in rows.items() if row.p is not None]
    apart = [(n, row.p_different) for n, row in rows.items() if row.p_different is not None]
    return replace(
        last,
        method=f"{last.method}; looks at {', '.join(map(str, looks))} replicates, p by weighted Bonferroni over them",
        p=p_over_looks(equal, looks),
        p_different=p_over_looks(apart, looks),
        interval=last.interval if shares[taken[-1]] else None,
    )


def equivalent_from(found: Sequence[Equivalence]) -> Threshold:
    """Return the size from which topologies are equivalent, given the results of sizes in increasing order.

    `high`: from the largest size down, each size is tested for equivalence at the 2.5% level until the first failure,
    a fixed sequence. `low`: the size after the last one shown to be different, at 2.5% over the sizes by Holm. So both
    ends together err in at most 5%. Sizes that could not be tested are passed over.

    Source: fixed sequences as in Goeman and Solari (2010), Annals of Statistics 38, 3782-3810.
    """
    method = "fixed sequence of all-pairs TOST from the largest size down, 2.5%; sizes different by Holm, 2.5%"
    tested = [index for index, row in enumerate(found) if row.p is not None]
    n = min((found[index].n for index in tested), default=max((row.n for row in found), default=0))
    if len(tested) < MIN_SIZES:
        causes = dict.fromkeys(reason for row in found if row.p is None for reason in row.reasons)
        reasons = (Shortage("comparable sizes", len(tested), MIN_SIZES), *causes)
        return Threshold(status="insufficient", method=method, n=n, sizes=len(tested), reasons=reasons)
    rows = [found[index] for index in tested]
    estimate = _first_of_tail([_within(row) for row in rows])
    high = _first_of_tail([row.p is not None and row.p <= TAIL for row in rows])
    different = [p is not None and p <= TAIL for p in (row.p_different_holm for row in rows)]
    low = max((index + 1 for index, hit in enumerate(different) if hit), default=0)
    status: Verdict = "equivalent" if high < len(rows) else "different" if low == len(rows) else "inconclusive"
    remarks: dict[Verdict, Remark] = {
        "different": Remark("topologies differ"),
        "inconclusive": Remark("equivalence not shown"),
    }

    def at(index: int) -> int | None:
        return tested[index] if index < len(tested) else None

    return Threshold(
        status=status,
        method=method,
        n=n,
        sizes=len(tested),
        estimate=at(estimate),
        low=at(low),
        high=at(high),
        reasons=(remarks[status],) if status in remarks else (),
    )


def compare(
    accuracy: FloatArray,
    *,
    chance: float,
    margin: float,
    rng: np.random.Generator,
    simulations: int = SIMULATIONS,
    tail: float = TAIL,
) -> Equivalence:
    """Return the comparison of the topologies of one size, not yet judged: p values are those of this size alone.

    Shape (topologies, replicates). Used are the replicates that all topologies with at least 5 of them have. `tail` is
    the probability of error at either end of the interval.
    """
    method = (
        f"all-pairs TOST, paired by replicate, larger p of t and Hall's transformation, 5%, Holm over sizes; "
        f"different: largest studentised difference against {simulations} simulations"
    )
    rows, table = complete_blocks(accuracy)
    topologies, n = table.shape
    lacking = obstacle(accuracy, table, chance)
    if lacking:
        return Equivalence(status="insufficient", method=method, n=n, topologies=topologies, reasons=(lacking,))
    seen = pairs(table)
    factor = contrasts(table)
    draws = simulated(factor, n, min(simulations, SIMULATIONS), rng=rng)
    extreme = _extremes(draws)
    while len(extreme) < simulations:  # In parts: of many topologies, all at once would fill the memory.
        more = min(simulations - len(extreme), SIMULATIONS)
        extreme = np.append(extreme, _extremes(simulated(factor, n, more, rng=rng)))
    critical = _critical(extreme, tail, topologies, n)
    # Both orders of every pair: the better one first, and the worse one first.
    ordered = np.argwhere(~np.eye(topologies, dtype=np.bool_))
    difference, error, skew = (values[tuple(ordered.T)] for values in (seen.difference, seen.error, seen.skew))
    t = (difference - margin) / np.maximum(error, TINY)
    nearest = ordered[t.argmax()]
    beyond = float(np.minimum(t, transformed(t, skew)).max())
    low = float((difference - np.maximum(critical, untransformed(critical, skew)) * error).max())
    high = float((difference + one_sided_reach(skew, n - 1, tail) * error).max())
    worse, better = divmod(int(np.argmax(-seen.difference)), topologies)
    left_out = len(accuracy) - topologies
    return Equivalence(
        status="inconclusive",
        method=method,
        n=n,
        topologies=topologies,
        p=max(tost_p(table, nearest, margin), float(hall_p(t, skew, n - 1).max())),
        p_different=float((1 + np.sum(extreme >= beyond)) / (1 + simulations)),
        largest=float(difference.max()),
        interval=(max(low, 0.0), high),
        pair=(int(rows[better]), int(rows[worse])),
        sd=float(np.sqrt(n * (seen.error**2).sum() / (topologies * (topologies - 1)))),
        skewness=float(np.abs(skew).max() * np.sqrt(n)),
        power=share_equivalent(draws, n, margin),
        failure_bound=failure_bound(max(failures(row, chance) for row in table), n),
        reasons=(Remark("topologies left out", (left_out, len(accuracy))),) if left_out else (),
    )


def tost_p(table: FloatArray, pair: IntArray, margin: float) -> float:
    """Return the p value against two rows being apart by the margin or more, paired by column, by statsmodels.

    Differences that do not vary leave nothing open.

    Source: Schuirmann (1987), J. Pharmacokinet. Biopharm. 15, 657-680.
    """
    from statsmodels.stats.weightstats import ttost_paired

    first, second = table[pair]
    difference = first - second
    if difference.std(ddof=1) / np.sqrt(len(difference)) <= TINY:
        return float(abs(difference.mean()) >= margin)
    return float(ttost_paired(first, second, -margin, margin)[0])


def complete_blocks(accuracy: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return the rows with at least 5 replicates, and their accuracies in the replicates that all of them have."""
    rows = np.flatnonzero(counts(accuracy) >= MIN_REPLICATES).astype(np.int64)
    kept = accuracy[rows]
    whole: BoolArray = np.asarray(~np.isnan(kept).any(axis=0))
    return rows, kept[:, whole]


def obstacle(accuracy: FloatArray, table: FloatArray, chance: float) -> Reason | None:
    """Return what stands in the way of a comparison; None where nothing does. `table`: complete blocks."""
    topologies, n = table.shape
    if len(accuracy) < 2:
        return Shortage("topologies", len(accuracy), 2)
    if topologies < 2 or n < MIN_REPLICATES:
        most = int(np.max(counts(accuracy), initial=0)) if topologies < 2 else n
        return Shortage("shared replicates", most, MIN_REPLICATES)
    if dead(table, chance).all():
        return Remark("all topologies dead")
    return None


def pairs(table: FloatArray) -> Pairs:
    """Return the mean paired differences of a table without gaps, shape (..., topologies, replicates)."""
    n = table.shape[-1]
    means = table.mean(axis=-1)
    centred = table - means[..., None]
    turned = centred.swapaxes(-1, -2)
    found = _pairs(means, centred @ turned / (n - 1), n)
    # (x - y)^3 = x^3 - 3 x^2 y + 3 x y^2 - y^3.
    squared = centred**2 @ turned / n
    own = np.diagonal(squared, axis1=-2, axis2=-1)
    third = own[..., :, None] - own[..., None, :] - 3 * (squared - squared.swapaxes(-1, -2))
    spread = (n - 1) * found.error**2 + FLOOR**2
    skew = third / (spread * np.sqrt(spread)) * np.sqrt(n - 1) / max(n - 2, 1)
    return Pairs(found.difference, found.error, skew)


def contrasts(table: FloatArray) -> FloatArray:
    """Return F, shape (topologies, rank), whose F F' is the covariance of the differences from the replicate's mean.

    What the topologies of a replicate have in common cancels in every difference, so it is taken out here.
    """
    centred = table - table.mean(axis=1, keepdims=True)
    centred = centred - centred.mean(axis=0)
    vectors, values, _ = np.linalg.svd(centred / np.sqrt(table.shape[1] - 1), full_matrices=False)
    kept = values > max(1e-9 * float(np.max(values, initial=0.0)), TINY)
    factor: FloatArray = (vectors * values)[:, kept]
    return factor


def simulated(factor: FloatArray, n: int, simulations: int, *, rng: np.random.Generator) -> Pairs:
    """Return simulated pairs of topologies with equal means: n normal replicates whose covariance is F F'.

    Beyond 100 replicates, where skewness does nothing, means and covariances are drawn as such (normal, Wishart by
    Bartlett's decomposition).
    """
    rank = factor.shape[1]
    if n <= MOST_DRAWN:
        return pairs(factor @ rng.standard_normal((simulations, rank, n)))
    means = rng.standard_normal((simulations, rank)) @ factor.T / np.sqrt(n)
    root = np.tril(rng.standard_normal((simulations, rank, rank)), -1)
    diagonal = np.arange(rank)
    root[:, diagonal, diagonal] = np.sqrt(rng.chisquare(n - 1 - diagonal, (simulations, rank)))
    scaled = factor @ root
    return _pairs(means, scaled @ scaled.swapaxes(-1, -2) / (n - 1), n)


def share_equivalent(draws: Pairs, n: int, margin: float) -> float:
    """Return the share of simulations in which every pair is within the margin, each at the 5% level."""
    upper = np.triu_indices(draws.difference.shape[-1], 1)
    difference, error, skew = (
        values[..., upper[0], upper[1]] for values in (draws.difference, draws.error, draws.skew)
    )
    error = np.maximum(error, TINY)
    passed = np.ones(len(difference), dtype=np.bool_)
    # Both orders of a pair: the skewness of the reverse difference has the other sign.
    for sign in (1, -1):
        t = (sign * difference - margin) / error
        worst = np.maximum(t, transformed(t, sign * skew)).max(axis=-1)
        passed &= worst < float(stdtrit(n - 1, LEVEL))
    return float(np.mean(passed))


def _extremes(draws: Pairs) -> FloatArray:
    return _largest(np.abs(draws.difference) / np.maximum(draws.error, TINY))


def _critical(extreme: FloatArray, tail: float, topologies: int, n: int) -> float:
    """Return what the largest of all pairs exceeds with a probability, by Bonferroni where draws are too few."""
    if tail * len(extreme) >= MIN_DRAWS_BEYOND:
        return float(np.quantile(extreme, 1 - tail, method="higher"))
    return float(stdtrit(n - 1, 1 - tail / (topologies * (topologies - 1))))


def _judged(row: Equivalence, p: float, p_different: float) -> Equivalence:
    verdict: Verdict = "equivalent" if p <= LEVEL else "different" if p_different <= LEVEL else "inconclusive"
    return replace(row, status=verdict, p_holm=p, p_different_holm=p_different)


def _within(row: Equivalence) -> bool:
    """Return whether the largest difference seen is below the margin: only then is p below one half."""
    return row.p is not None and row.p < 0.5


def _first_of_tail(passed: Sequence[bool]) -> int:
    """Return the first index from which all have passed; their number where the last has not."""
    first = len(passed)
    while first and passed[first - 1]:
        first -= 1
    return first


def _pairs(means: FloatArray, covariance: FloatArray, n: int) -> Pairs:
    variance = np.diagonal(covariance, axis1=-2, axis2=-1)
    spread = variance[..., :, None] + variance[..., None, :] - 2 * covariance
    error: FloatArray = np.sqrt(np.maximum(spread, 0.0) / n)
    return Pairs(means[..., :, None] - means[..., None, :], error, np.zeros_like(error))


def _largest(values: FloatArray) -> FloatArray:
    """Return the largest over all pairs of two different topologies."""
    upper = np.triu_indices(values.shape[-1], 1)
    largest: FloatArray = values[..., upper[0], upper[1]].max(axis=-1)
    return largest
