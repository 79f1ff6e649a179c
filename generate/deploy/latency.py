"""How long one image takes on this machine: many runs on one thread, after a warm-up."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

WARM_UP, MOST_RUNS, SECONDS = 200, 5000, 3.0
"""Runs before any is timed, the most that are, and how long they may take."""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Time that one image takes, microseconds: the median and the 99th percentile of `runs`."""

    file: str
    run_by: str
    median: float
    p99: float
    runs: int


def measured(file: str, run_by: str, run: Callable[[], object]) -> Latency:
    """Return how long a call takes; the overhead of calling it from Python is part of it."""
    for _ in range(WARM_UP):
        run()
    times: list[int] = []
    end = time.monotonic() + SECONDS
    while len(times) < MOST_RUNS and (len(times) < WARM_UP or time.monotonic() < end):
        began = time.perf_counter_ns()
        run()
        times.append(time.perf_counter_ns() - began)
    return summary(file, run_by, times)


def summary(file: str, run_by: str, nanoseconds: Sequence[float]) -> Latency:
    """Return the quantiles of times."""
    median, p99 = np.percentile(np.array(nanoseconds) / 1000, [50, 99])
    return Latency(file=file, run_by=run_by, median=float(median), p99=float(p99), runs=len(nanoseconds))
