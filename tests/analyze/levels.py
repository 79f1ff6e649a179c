"""Rates of errors held to what was measured, by as many planted stores as it takes to tell it from too high a rate."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from scipy.stats import binom


@dataclass(frozen=True)
class Design:
    """How many stores to plant, and how many of them may err."""

    stores: int
    allowed: int

    def seeds(self, first: int) -> range:
        """Return the seeds of so many stores."""
        return range(first, first + self.stores)


@cache
def design(documented: float, too_many: float) -> Design:
    """Return the smallest test that holds a rate of errors.

    A method that errs at the `documented` rate passes it with a probability above .999, one that errs at `too_many`,
    twice what is allowed or 10 points of coverage below it, fails with one above .95.
    """
    for stores in range(10, 3000):
        allowed = int(binom.ppf(0.999, stores, documented))
        if binom.cdf(allowed, stores, too_many) < 0.05:
            return Design(stores, allowed)
    raise ValueError(f"{documented} and {too_many} are too close to tell apart")


def held(errors: int, trials: int, rate: float, excess: float) -> None:
    """Assert that `errors` are no more than a method that errs at `rate` has in 999 of 1000 tries.

    So many trials are asked for that a method which errs at `excess` has more of them in at least 95 of 100.
    """
    limit = int(binom.ppf(0.999, trials, rate))
    assert binom.sf(limit, trials, excess) > 0.95, f"{trials} trials do not tell {rate} from {excess}"
    assert errors <= limit, f"{errors} of {trials}, at most {limit} expected of a rate of {rate}"
