"""What fine-tuning after pruning wins, and pruning by magnitude over random and layer-wise pruning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np

from analyze.arguments import checked
from analyze.questions.designs import least_level
from analyze.questions.forms import Form, Measured, paired, pruned_forms, reservation
from analyze.questions.regimes import first_stable
from analyze.results import Results
from analyze.stats.comparison import METHOD, Compared, Verdict, compare
from analyze.stats.result import MIN_REPLICATES, FloatArray
from analyze.stats.safety import MARGIN
from analyze.study import Study, SweepKey, once, study_of
from analyze.texts import Command, phrase, quoted

Scope = Literal["network", "pooled"]
BASELINES = ("random", "layerwise")
ONE_SHOT = "one-shot"
NOTHING = (
    "the store holds no fine-tuned networks, and none pruned in other ways than by magnitude, yet; ",
    quoted(Command("convergence")),
    " adds them with --finetune, and with --prune-by",
)


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """Pruned networks of one treatment against another, paired; `docs/method.md` defines the fields."""

    dataset: str
    family: str
    scope: Scope
    depth: int | None
    capacity: int | None
    parameters: int | None
    stable: bool | None
    form: str
    bits: str
    sparsity: float
    pruned_by: str
    finetune_epochs: int
    against: str
    verdict: Verdict
    mean: float | None
    against_mean: float | None
    difference: float | None
    ci_low: float | None
    ci_high: float | None
    p_difference: float | None
    p_equivalence: float | None
    margin: float
    comparisons: int
    networks: int
    skewness: float | None
    largest_share: float | None
    replicates: int
    method: str
    reason: str | None
    protocol_id: str
    dataset_fingerprint: str


@dataclass(frozen=True)
class Contest:
    """A pruned network and the same network treated otherwise: not fine-tuned, or pruned in another way."""

    one: Measured
    other: Measured
    against: str

    @property
    def treatment(self) -> tuple[str, str, str, int, float]:
        """What is compared, whatever the network."""
        form = self.one.form
        return self.against, form.bits, form.method, form.finetune_epochs, form.sparsity


@dataclass(frozen=True)
class Trial:
    """Differences of one row, shape (replicates,), and the mean accuracies on both sides.

    Its contests are that of one network, or of several that are pooled.
    """

    contests: tuple[Contest, ...]
    difference: FloatArray
    means: tuple[float | None, float | None]


@checked
def finetuning(
    store: str | Path | Study,
    dataset: str | Sequence[str] | None = None,
    family: str | Sequence[str] | None = None,
    protocol: str | None = None,
    *,
    margin: float = MARGIN,
    seed: int = 0,
) -> Results[FineTuning]:
    """Return what fine-tuning wins over one-shot pruning, and magnitude over its baselines, pooled over networks.

    A row per treatment and sparsity: the mean over the stable networks (all, where that is not known) of a dataset and
    family. `margin` is the difference of accuracy that is still equivalent, a fraction; `seed` that of the stability
    boundaries.

    Raises:
        MinarchError: there is no such store, or it holds none of a dataset, family or protocol that was named.
    """
    study = study_of(store, dataset, family, protocol, seed=seed, tables=("pruning",))
    return _answer(study, "pooled", margin)


@checked
def finetuned_networks(
    store: str | Path | Study,
    dataset: str | Sequence[str] | None = None,
    family: str | Sequence[str] | None = None,
    protocol: str | None = None,
    *,
    margin: float = MARGIN,
    seed: int = 0,
) -> Results[FineTuning]:
    """Return what `finetuning` does for every network of equal widths by itself.

    Raises:
        MinarchError: there is no such store, or it holds none of a dataset, family or protocol that was named.
    """
    study = study_of(store, dataset, family, protocol, seed=seed, tables=("pruning",))
    return _answer(study, "network", margin)


def _answer(study: Study, scope: Scope, margin: float) -> Results[FineTuning]:
    notes = study.demand(pruned_forms(study)).notes
    groups = groupby(contests(study), key=lambda one: (one.one.key.sweep.dataset, one.one.key.sweep.family))
    rows = tuple(row for _, members in groups for row in _rows(study, list(members), scope, margin))
    return study.advised(Results(FineTuning, rows, notes if rows else (*notes, phrase(*NOTHING))))


@once
def contests(study: Study) -> tuple[Contest, ...]:
    """Return every pair of treatments of a network: fine-tuned and not; by magnitude, and by each other way alike."""
    found: list[Contest] = []
    for _, members in groupby(pruned_forms(study).content, key=lambda one: one.key):
        forms = list(members)
        by = {_treated(one.form): one for one in forms}
        for one in forms:
            form = one.form
            if form.finetune_epochs:
                other = by.get(_treated(form, epochs=0))
                found += [Contest(one, other, ONE_SHOT)] if other else []
            if form.method == "magnitude":
                others = ((name, by.get(_treated(form, method=name))) for name in BASELINES)
                found += (Contest(one, other, name) for name, other in others if other)
    return tuple(found)


def _treated(form: Form, *, epochs: int | None = None, method: str | None = None) -> tuple[str, str, int, float]:
    return (
        form.bits,
        form.method if method is None else method,
        form.finetune_epochs if epochs is None else epochs,
        form.sparsity,
    )


def _rows(study: Study, found: Sequence[Contest], scope: Scope, margin: float) -> Iterator[FineTuning]:
    """Yield the rows of one dataset and family, whose comparisons share the 5%."""
    stable = first_stable(study)
    trials = list(_pooled(found, stable)) if scope == "pooled" else [_single(contest) for contest in found]
    level = least_level(study, ((c.one.key.sweep, len(one.difference)) for one in trials for c in one.contests))
    compared = compare([trial.difference for trial in trials], margin=margin, level=level)
    tested = sum(one.difference is not None for one in compared)
    for trial, one in zip(trials, compared, strict=True):
        yield _row(trial, one, stable, (scope, margin, tested))


def _single(contest: Contest) -> Trial:
    means = (float(contest.one.observed.mean()), float(contest.other.observed.mean()))
    return Trial((contest,), paired(contest.one, contest.other), means)


def _pooled(found: Sequence[Contest], stable: dict[SweepKey, float]) -> Iterator[Trial]:
    """Yield a trial per treatment: the mean over networks, of the replicates that all of them have."""
    order = dict.fromkeys(contest.treatment for contest in found)
    for treatment in order:
        members = [one for one in found if one.treatment == treatment]
        members = [one for one in members if one.one.key.capacity >= stable.get(one.one.key.sweep, 0.0)]
        members = [one for one in members if len(paired(one.one, one.other)) >= MIN_REPLICATES]
        if not members:
            continue
        width = min(min(len(one.one.accuracy), len(one.other.accuracy)) for one in members)
        ours, theirs = (
            np.mean([side.accuracy[:width] for side in sides], axis=0)
            for sides in ([one.one for one in members], [one.other for one in members])
        )
        shared = ~np.isnan(ours - theirs)
        means = (float(ours[shared].mean()), float(theirs[shared].mean())) if shared.any() else (None, None)
        yield Trial(tuple(members), (ours - theirs)[shared], means)


def _row(trial: Trial, found: Compared, stable: dict[SweepKey, float], about: tuple[Scope, float, int]) -> FineTuning:
    scope, margin, tested = about
    contest = trial.contests[0]
    one, mean = contest.one, found.difference
    alone = scope == "network"
    threshold = stable.get(one.key.sweep)
    return FineTuning(
        dataset=one.key.sweep.dataset,
        family=one.key.sweep.family,
        scope=scope,
        depth=one.key.sweep.depth if alone else None,
        capacity=one.key.capacity if alone else None,
        parameters=one.parameters if alone else None,
        stable=None if threshold is None or not alone else one.key.capacity >= threshold,
        form=one.form.name,
        bits=one.form.bits,
        sparsity=one.form.sparsity,
        pruned_by=one.form.method,
        finetune_epochs=one.form.finetune_epochs,
        against=contest.against,
        verdict=found.verdict,
        mean=trial.means[0],
        against_mean=trial.means[1],
        difference=mean.estimate if mean else None,
        ci_low=mean.interval[0] if mean else None,
        ci_high=mean.interval[1] if mean else None,
        p_difference=found.p_difference,
        p_equivalence=found.p_equivalence,
        margin=margin,
        comparisons=tested,
        networks=len(trial.contests),
        skewness=mean.skewness if mean else None,
        largest_share=mean.largest_share if mean else None,
        replicates=found.n,
        method=METHOD,
        reason=reservation(found),
        protocol_id=one.key.sweep.protocol_id,
        dataset_fingerprint=one.key.sweep.dataset_fingerprint,
    )
