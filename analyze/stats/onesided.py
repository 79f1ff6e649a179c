"""One-sided tests and bounds of means of few replicates, whose losses may be skewed."""

from __future__ import annotations

import numpy as np
from scipy.special import stdtr, stdtrit

from analyze.stats.result import FLOOR, LEVEL, MIN_REPLICATES, FloatArray

RESAMPLES = 1999


def skewness(values: FloatArray) -> FloatArray:
    """Return the sample skewness over the first axis; variances have 0.001^2 added.

    Fisher's g1 with the factor that makes it unbiased for normal values (G1 of Joanes and Gill 1998).

    Source: Joanes and Gill (1998), The Statistician 47, 183-189.
    """
    n = len(values)
    centred = values - values.mean(axis=0)
    squares = centred**2
    spread = squares.mean(axis=0) + FLOOR**2
    unbiased = np.sqrt(n * (n - 1)) / max(n - 2, 1)
    found: FloatArray = unbiased * (squares * centred).mean(axis=0) / (spread * np.sqrt(spread))
    return found


def largest_skewness(values: FloatArray) -> float:
    """Return the skewness of the column that is skewed most, of either sign; shape (replicates, columns)."""
    found = skewness(values)
    return float(found[np.abs(found).argmax()])


def one_sided_p(t: FloatArray | float, skew: FloatArray | float, degrees: float) -> FloatArray:
    """Return the p value against a true mean at or above the threshold, of t = (mean - threshold) / error.

    `skew` is the skewness of the mean: that of the values over the square root of their number. The larger of two p
    values: that of t, and that of t transformed so that skewness no longer shifts it. For a mean shown to be above the
    threshold: -t and -skew.

    Source: Hall (1992), JRSS B 54, 221-228, with quantiles of t for those of the normal distribution.
    """
    return np.maximum(stdtr(degrees, t), hall_p(t, skew, degrees))


def hall_p(t: FloatArray | float, skew: FloatArray | float, degrees: float) -> FloatArray:
    """Return the second p value of `one_sided_p`, that of t transformed."""
    return np.asarray(stdtr(degrees, transformed(t, skew)), dtype=np.float64)


def one_sided_reach(skew: FloatArray | float, degrees: float, tail: float) -> FloatArray:
    """Return how many standard errors above the mean its upper bound lies, `tail` the chance of error.

    The bound at which `one_sided_p` is `tail`.
    """
    return np.maximum(-float(stdtrit(degrees, tail)), hall_reach(skew, degrees, tail))


def hall_reach(skew: FloatArray | float, degrees: float, tail: float) -> FloatArray:
    """Return the reach of `one_sided_reach` by the transformation alone."""
    return -untransformed(float(stdtrit(degrees, tail)), skew)


def transformed(t: FloatArray | float, skew: FloatArray | float) -> FloatArray:
    """Return Hall's monotone cubic transformation of t, skewed as a mean of this skewness makes it."""
    a = skew * np.asarray(t)
    moved: FloatArray = t * (1 + a / 3 + a**2 / 27) + np.asarray(skew) / 6
    return moved


def untransformed(x: float, skew: FloatArray | float) -> FloatArray:
    """Return the t whose transformation is x."""
    flat = np.abs(skew) < 1e-6
    a = np.where(flat, 1.0, skew)
    return np.where(flat, x, 3 / a * (np.cbrt(1 + a * (x - a / 6)) - 1))


def loss_p(losses: FloatArray, margin: float, *, rng: np.random.Generator, resamples: int = RESAMPLES) -> FloatArray:
    """Return per column the p value against a mean loss of `margin` or more; `losses` is (replicates, columns).

    The largest of three p values: t, Hall's transformation and bootstrap-t, since the first alone errs where losses are
    skewed; variances have 0.001^2 added. 1 where there are fewer than 5 replicates. The bootstrap is left out where
    some column fails already: all columns have to pass.

    Source: Hall (1992), JRSS B 54, 221-228; bootstrap-t as in Hall (1988), Annals of Statistics 16, 927-953.
    """
    n, columns = losses.shape
    if n < MIN_REPLICATES:
        return np.ones(columns)
    t = (losses.mean(axis=0) - margin) / standard_error(losses)
    p = one_sided_p(t, skewness(losses) / np.sqrt(n), n - 1)
    if p.max(initial=0.0) > LEVEL:
        return p
    below = (studentised(losses, resamples, rng=rng) <= t).sum(axis=0)
    largest: FloatArray = np.maximum(p, (1 + below) / (1 + resamples))
    return largest


def upper_bounds(
    losses: FloatArray, *, rng: np.random.Generator, resamples: int = RESAMPLES, tail: float = LEVEL
) -> FloatArray:
    """Return upper bounds of the mean of each column, `tail` the chance of error; `losses` is (replicates, columns).

    The largest of the three bounds that belong to the tests of `loss_p`; infinite where no bootstrap sample can tell.
    """
    n = len(losses)
    drawn = studentised(losses, resamples, rng=rng)
    # The order statistic that counts the data among the samples, as the p value does.
    rank = int(tail * (1 + resamples)) - 1
    if rank < 0:
        return np.full(losses.shape[1], np.inf)
    by_bootstrap = -np.partition(drawn, rank, axis=0)[rank]
    reach = np.maximum(one_sided_reach(skewness(losses) / np.sqrt(n), n - 1, tail), by_bootstrap)
    bounds: FloatArray = losses.mean(axis=0) + reach * standard_error(losses)
    return bounds


def standard_error(values: FloatArray) -> FloatArray:
    """Return the standard error of the mean over the first axis; the variance has 0.001^2 added.

    So a t test by it is not that of a library, which knows no such floor.
    """
    error: FloatArray = np.sqrt((values.var(axis=0, ddof=1) + FLOOR**2) / len(values))
    return error


def studentised(values: FloatArray, resamples: int, *, rng: np.random.Generator) -> FloatArray:
    """Return means of bootstrap samples less that of the sample, over their standard errors; (resamples, columns).

    Variances have 0.001^2 added, so that identical values in a sample do not divide by zero.
    """
    return studentised_by(values, resampled_shares(len(values), resamples, rng=rng))


def resampled_shares(n: int, resamples: int, *, rng: np.random.Generator) -> FloatArray:
    """Return bootstrap samples of n values as the share that each value has of a sample; shape (resamples, n).

    Sums over a sample are then one matrix product.
    """
    places = rng.integers(n, size=(resamples, n)) + n * np.arange(resamples)[:, None]
    shares: FloatArray = np.bincount(places.ravel(), minlength=resamples * n).reshape(resamples, n) / n
    return shares


def studentised_by(values: FloatArray, shares: FloatArray) -> FloatArray:
    """Return what `studentised` does, of samples that were drawn before; `shares` as of `resampled_shares`."""
    n = len(values)
    centred = values - values.mean(axis=0)
    mean, square = np.hsplit(shares @ np.hstack([centred, centred**2]), 2)
    variance = np.maximum(square - mean**2, 0.0) * n / (n - 1)
    drawn: FloatArray = mean / np.sqrt((variance + FLOOR**2) / n)
    return drawn
