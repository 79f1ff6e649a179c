"""Claim 5: test accuracy at the largest size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from analyze.paper.claims.evidence import Evidence, absent
from analyze.paper.claims.rows import ClaimVerdict, Question, command, measured, missing
from analyze.paper.figures import LARGEST_ACCURACY, SIZES
from analyze.stats.contrasts import mean_of
from analyze.stats.result import MIN_REPLICATES

ACCURACY = Question(
    claim=5,
    title="accuracy at the largest size",
    statistic="mean test accuracy at the largest size",
    unit="accuracy",
    method="mean over replicates within the printed range, two one-sided tests, t and Hall's transformation",
)


def accuracy_claims(evidence: Evidence) -> Iterator[ClaimVerdict]:
    """Yield claim 5 for every dataset and family that the paper prints an accuracy of."""
    for dataset, family in evidence.printed(LARGEST_ACCURACY):
        low, high = LARGEST_ACCURACY[dataset, family]
        row = replace(ACCURACY, allowed=(low, high)).row(dataset, family)
        size = SIZES[family][1]
        cells = [c for c in evidence.cells if (c.dataset, c.family, c.capacity) == (dataset, family, size)]
        n = len(cells[0].observed) if cells else 0
        if n < MIN_REPLICATES:
            why = f"{n} of {MIN_REPLICATES} needed replicates of size {size}"
            yield missing(row, why, command("convergence", dataset, family, capacities=(size,)), n)
            continue
        contrast = mean_of(cells[0].observed)
        row = replace(row, protocol_id=cells[0].protocol_id, dataset_fingerprint=cells[0].dataset_fingerprint)
        yield measured(row, contrast, contrast.within(low, high), f"size {size}")
    yield from absent(evidence, ACCURACY, LARGEST_ACCURACY, "convergence")
