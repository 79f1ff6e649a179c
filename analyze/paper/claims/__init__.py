"""The claims of the paper, tested on a store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analyze.arguments import checked
from analyze.paper.claims.accuracy import accuracy_claims
from analyze.paper.claims.boundaries import order_claims, parameters_claims, regimes_claims
from analyze.paper.claims.evidence import Evidence, evidence_of
from analyze.paper.claims.pruning import decline_claims, phases_claims, safety_claims, tolerance_claims
from analyze.paper.claims.quantization import gap_claims, gap_trend_claims
from analyze.paper.claims.rows import ClaimVerdict, judged
from analyze.paper.claims.topologies import topology_claims
from analyze.results import Results
from analyze.study import Study, study_of

__all__ = ["ClaimVerdict", "claims"]

TESTS = (
    regimes_claims,
    topology_claims,
    parameters_claims,
    accuracy_claims,
    phases_claims,
    decline_claims,
    tolerance_claims,
    safety_claims,
    gap_trend_claims,
    gap_claims,
    order_claims,
)


@checked
def claims(
    store: str | Path | Study,
    dataset: str | Sequence[str] | None = None,
    family: str | Sequence[str] | None = None,
    protocol: str | None = None,
    *,
    seed: int = 0,
) -> Results[ClaimVerdict]:
    """Return the paper's claims, one row per claim and scope, with verdicts adjusted over all rows.

    The family-wise error rate over the table is at most 5%. Runs are chosen as by `regimes`.

    Raises:
        MinarchError: there is no such store, or it holds none of a dataset, family or protocol that was named.
    """
    study = study_of(store, dataset, family, protocol, seed=seed, tables=("pruning",))
    evidence = evidence_of(study)
    return study.advised(Results(ClaimVerdict, evaluate(evidence), evidence.notes))


def evaluate(evidence: Evidence) -> tuple[ClaimVerdict, ...]:
    """Return all rows that the evidence gives, in order, with their verdicts."""
    return judged([row for test in TESTS for row in test(evidence)])
