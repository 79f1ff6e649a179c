"""The frontier of accuracy against what it takes, over every form of every network that a store measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np

from analyze import wording
from analyze.arguments import checked
from analyze.questions.budget import taken_by
from analyze.questions.costs import NOUNS, By
from analyze.questions.designs import least_level
from analyze.questions.forms import Measured, pruned_forms, whole_forms
from analyze.results import Results
from analyze.stats.frontier import METHOD, Frontier
from analyze.stats.frontier import frontier as frontier_of
from analyze.stats.result import MIN_REPLICATES, Shortage
from analyze.study import Study, study_of
from store.families import family_rank

Verdict = Literal["frontier", "beaten", "too few"]


@dataclass(frozen=True, kw_only=True)
class FrontierPoint:
    """One form of one network on the plane of bytes and accuracy; `docs/method.md` defines the fields."""

    dataset: str
    family: str
    depth: int
    capacity: int
    parameters: int
    form: str
    bits: str
    pruned_by: str
    finetune_epochs: int
    sparsity: float
    bytes: int
    nonzero: int
    macs: int | None
    ram: int | None
    by: By
    verdict: Verdict
    best: bool
    mean: float
    ci_low: float | None
    ci_high: float | None
    ci_level: float
    beaten_by: str | None
    rivals: int | None
    forms: int
    replicates: int
    method: str
    protocol_id: str
    dataset_fingerprint: str


@checked
def frontier(
    store: str | Path | Study,
    dataset: str | Sequence[str] | None = None,
    family: str | Sequence[str] | None = None,
    protocol: str | None = None,
    *,
    by: By = "bytes",
) -> Results[FrontierPoint]:
    """Return every form of every network of equal widths by what it takes, and whether one that takes no more beats it.

    Per dataset and family, over all depths. Diverged runs count at chance. `by` is what is taken: stored `bytes`,
    `parameters` that are left, multiply-accumulates (`macs`) or bytes of activations (`ram`) of one inference. Forms of
    networks of which the store does not know it are left out, with a remark.

    Raises:
        MinarchError: there is no such store, or it holds none of a dataset, family or protocol that was named.
    """
    study = study_of(store, dataset, family, protocol, tables=("pruning", "post_training"))
    found = study.demand(whole_forms(study))
    measured = (*found.content, *pruned_forms(study).content)
    forms = sorted(
        (one for one in measured if _taken(one, by) is not None),
        key=lambda one: (one.key.sweep.dataset, family_rank(one.key.sweep.family), _taken(one, by)),
    )
    unknown = dict.fromkeys(one.key.sweep[0::3] for one in measured if _taken(one, by) is None)
    lacking = (f"{dataset}, {family}: not all forms have known {NOUNS[by]}" for dataset, family in unknown)
    groups = groupby(forms, key=lambda one: (one.key.sweep.dataset, one.key.sweep.family))
    rows = tuple(row for _, members in groups for row in _points(study, list(members), by))
    return study.advised(Results(FrontierPoint, rows, (*found.notes, *lacking, *_too_few(rows))))


def _too_few(rows: Sequence[FrontierPoint]) -> Iterator[str]:
    """Yield a remark on every dataset and family of which no form has enough replicates to be compared."""
    for (dataset, family), members in groupby(rows, key=lambda row: (row.dataset, row.family)):
        most = max(row.replicates for row in members)
        if most < MIN_REPLICATES:
            yield f"{dataset}, {family}: {wording.one(Shortage('replicates', most, MIN_REPLICATES))}"


def _taken(one: Measured, by: By) -> int | None:
    """Return what a form takes; of parameters those that are left."""
    return one.nonzero if by == "parameters" else taken_by(one, by)


def _points(study: Study, forms: Sequence[Measured], by: By) -> Iterator[FrontierPoint]:
    accuracy = [one.observed for one in forms]
    level = least_level(study, ((one.key.sweep, len(values)) for one, values in zip(forms, accuracy, strict=True)))
    found = frontier_of(accuracy, [_taken(one, by) or 0 for one in forms], level=level)
    tested = int((~np.isnan(found.mean)).sum())
    for index, one in enumerate(forms):
        yield replace(_point(one, forms, found, index, tested), by=by)


def _point(one: Measured, forms: Sequence[Measured], found: Frontier, index: int, tested: int) -> FrontierPoint:
    known = not np.isnan(found.mean[index])
    winner = int(found.beaten_by[index])
    bounded = known and np.isfinite(found.low[index])
    return FrontierPoint(
        dataset=one.key.sweep.dataset,
        family=one.key.sweep.family,
        depth=one.key.sweep.depth,
        capacity=one.key.capacity,
        parameters=one.parameters,
        form=one.form.name,
        bits=one.form.bits,
        pruned_by=one.form.method,
        finetune_epochs=one.form.finetune_epochs,
        sparsity=one.form.sparsity,
        bytes=one.bytes,
        nonzero=one.nonzero,
        macs=one.macs,
        ram=one.ram,
        by="bytes",
        verdict="too few" if not known else "beaten" if winner >= 0 else "frontier",
        best=bool(found.best[index]),
        mean=float(one.observed.mean()),
        ci_low=max(float(found.low[index]), 0.0) if bounded else None,
        ci_high=min(float(found.high[index]), 1.0) if bounded else None,
        ci_level=found.level,
        beaten_by=f"{forms[winner].network} {forms[winner].form.name}" if winner >= 0 else None,
        rivals=int(found.rivals[index]) if known else None,
        forms=tested,
        replicates=len(one.observed),
        method=METHOD,
        protocol_id=one.key.sweep.protocol_id,
        dataset_fingerprint=one.key.sweep.dataset_fingerprint,
    )
