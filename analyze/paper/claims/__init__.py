"""The claims of the paper, tested on a store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from analyze.arguments import checked
from analyze.paper.claims.accuracy import accuracy_claims
from analyze.paper.claims.boundaries import order_claims, parameters_claims, regimes_claims
from analyze.paper.claims.evidence import Evidence, evidence_of
from analyze.paper.claims.looks import Looked, next_of_claims
from analyze.paper.claims.pruning import decline_claims, phases_claims, safety_claims, tolerance_claims
from analyze.paper.claims.quantization import gap_claims, gap_trend_claims
from analyze.paper.claims.rows import ClaimVerdict, judged
from analyze.paper.claims.topologies import topology_claims
from analyze.questions.designs import Planned, covering, designs
from analyze.questions.search import Next
from analyze.results import Results
from analyze.study import Study, study_of
from analyze.sweeps import sweeps
from store.designs import LookSpec, Trained

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

    The family-wise error rate over the table is at most 5%, over all looks where a sequential design trains for the
    claims. Runs are chosen as by `regimes`.

    Raises:
        MinarchError: there is no such store, or it holds none of a dataset, family or protocol that was named.
    """
    study = study_of(store, dataset, family, protocol, seed=seed, tables=("pruning",))
    looked = looked_at(study)
    evidence = looked.full if looked else evidence_of(study)
    rows = looked.rows if looked else evaluate(evidence)
    return study.advised(Results(ClaimVerdict, rows, (*evidence.notes, *_of_other_designs(study, looked))))


def evaluate(evidence: Evidence) -> tuple[ClaimVerdict, ...]:
    """Return all rows that the evidence gives, in order, with their verdicts."""
    return judged(tested(evidence))


def tested(evidence: Evidence) -> tuple[ClaimVerdict, ...]:
    """Return all rows that the evidence gives, without verdicts."""
    return tuple(row for test in TESTS for row in test(evidence))


def _of_other_designs(study: Study, looked: Looked | None) -> tuple[str, ...]:
    """Return a warning of each dataset whose replicates a design chose that asked something else."""
    keys = [sweep.key for sweep in sweeps(study).content]
    return tuple(
        f"{dataset}: a sequential design chose replicates for another question; the claims are tested as if their"
        " number had been fixed, --repeats auto --for claims plans looks for them"
        for dataset in dict.fromkeys(key.dataset for key in keys if covering(study, [key], *get_args(Trained)))
        if looked is None or dataset not in looked.planned
    )


def looked_at(study: Study) -> Looked | None:
    """Return the claims of a study as the looks of its designs for them have them; None where it has no such design."""
    wanted = [planned for planned in designs(study) if planned.spec.goal == "claims"]
    planned: dict[str, Planned] = {}
    keys = [sweep.key for sweep in sweeps(study).content]
    for one in wanted:
        for key in keys:
            if one.spec.looks == wanted[0].spec.looks and one.covers(key, *get_args(Trained)):
                planned.setdefault(key.dataset, one)
    if not planned:
        return None
    full = evidence_of(study)
    most = int(study.query("SELECT max(replicate) + 1 AS n FROM runs")["n"].item())
    fingerprints = ", ".join(f"'{one.spec.fingerprint}'" for one in planned.values())
    theirs = " OR ".join(f"({one.runs})" for one in planned.values())

    def at(n: int) -> Evidence:
        if n >= most:
            return full
        first = f"dataset_fingerprint NOT IN ({fingerprints}) OR (({theirs}) AND replicate < {n})"
        return evidence_of(study.among(first))

    return Looked(full, at, planned, tested)


def next_claims(study: Study, design_id: str) -> Next:
    """Return what a design for the claims needs next; nothing where the store has none of its runs."""
    looked = looked_at(study)
    found = {one.design_id: name for name, one in looked.planned.items()} if looked else {}
    if looked is None or design_id not in found:
        return Next(True, LookSpec(held={}, asked={}), 0, {}, {}, {})
    return next_of_claims(looked, found[design_id])
