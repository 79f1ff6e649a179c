"""What the largest of three p values costs: the table of `analyze/stats/onesided_power.py`.

    python -m benchmarks.one_sided_power --samples 10000

prints, per number of replicates and level, by how many standard errors the mean has to lie further from the threshold
than for a t test alone, so that 80% of samples of normal values pass the test of `loss_p`.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.special import stdtrit

from analyze.stats.onesided import RESAMPLES, one_sided_reach, skewness, studentised
from analyze.stats.onesided_power import LEVELS, REPLICATES
from analyze.stats.result import FloatArray
from analyze.stats.sample_size import POWER

BLOCK = 100
"""Samples whose bootstrap samples are in memory together."""


def lost(replicates: int, samples: int, seed: int) -> FloatArray:
    """Return the standard errors lost at each of `LEVELS`.

    A sample passes where its upper bound is below the threshold. With a standard deviation of 1 and a mean of 0 the
    threshold at which 80% pass is the 80% quantile of the bounds.
    """
    rng = np.random.default_rng([seed, replicates])
    by_t, by_all = [], []
    for _ in range(samples // BLOCK):
        values = rng.standard_normal((replicates, BLOCK))
        error = values.std(axis=0, ddof=1) / np.sqrt(replicates)
        drawn = np.sort(studentised(values, RESAMPLES, rng=rng), axis=0)
        skew = skewness(values) / np.sqrt(replicates)
        reach_t = np.array([-stdtrit(replicates - 1, level) for level in LEVELS])[:, None]
        hall = np.array([one_sided_reach(skew, replicates - 1, level) for level in LEVELS])
        # What `loss_p` asks of the bootstrap: fewer than level x (1 + resamples) samples at or below t.
        bootstrap = -drawn[[int(round(level * (1 + RESAMPLES), 6)) - 1 for level in LEVELS]]
        by_t.append(values.mean(axis=0) + reach_t * error)
        by_all.append(values.mean(axis=0) + np.maximum(hall, bootstrap) * error)
    ends = (np.quantile(np.concatenate(bounds, axis=1), POWER, axis=1) for bounds in (by_all, by_t))
    further: FloatArray = np.subtract(*ends) * np.sqrt(replicates)
    return further


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000, help="samples per number of replicates")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for replicates in REPLICATES:
        row = ", ".join(f"{value:.2f}" for value in lost(replicates, options.samples, options.seed))
        print(f"    ({row}),  # {replicates}", flush=True)


if __name__ == "__main__":
    main()
