"""Prune or train small: a pruned larger network against a smaller whole one of the same bytes, or parameters left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

from analyze.arguments import checked
from analyze.questions.designs import least_level
from analyze.questions.forms import Measured, paired, pruned_forms, reservation, whole_forms
from analyze.questions.regimes import first_stable
from analyze.results import Results
from analyze.stats.comparison import METHOD, Compared, compare
from analyze.stats.safety import MARGIN
from analyze.study import Study, SweepKey, once, study_of
from analyze.texts import Command, phrase, quoted
from store.words import counted

Size = Literal["bytes", "nonzero"]
Verdict = Literal["pruned better", "small better", "equivalent", "open", "too few"]
LEAST_SHARE = 0.75
"""Share of the smaller network's size that a pruned form must take to match it."""
VERDICTS: dict[str, Verdict] = {"better": "pruned better", "worse": "small better"}


@dataclass(frozen=True, kw_only=True)
class PruneOrSmall:
    """A larger network in one pruned form beside a smaller whole one; `docs/method.md` defines the fields."""

    dataset: str
    family: str
    depth: int
    by: Size
    capacity: int
    parameters: int
    form: str
    bits: str
    pruned_by: str
    finetune_epochs: int
    sparsity: float
    bytes: int
    nonzero: int
    mean: float
    small_capacity: int
    small_form: str
    small_bytes: int
    small_nonzero: int
    small_mean: float
    verdict: Verdict
    difference: float | None
    ci_low: float | None
    ci_high: float | None
    p_difference: float | None
    p_equivalence: float | None
    margin: float
    comparisons: int
    skewness: float | None
    largest_share: float | None
    replicates: int
    method: str
    reason: str | None
    protocol_id: str
    dataset_fingerprint: str


@dataclass(frozen=True)
class Pair:
    """A pruned form of a larger network and a smaller whole one that takes as much."""

    pruned: Measured
    small: Measured


@checked
def prune_or_small(
    store: str | Path | Study,
    dataset: str | Sequence[str] | None = None,
    family: str | Sequence[str] | None = None,
    protocol: str | None = None,
    *,
    by: Size = "bytes",
    margin: float = MARGIN,
    seed: int = 0,
) -> Results[PruneOrSmall]:
    """Return for every pruned larger network whether it is better than a smaller one of equal size, trained whole.

    Args:
        store: Path of the results store.
        dataset: Names to look at; None for all.
        family: Names to look at; None for all.
        protocol: Where there are several; None for that of most runs, as `regimes` chooses.
        by: What is equal: stored `bytes`, masks included, or parameters left (`nonzero`).
        margin: Difference of accuracy that is still equivalent, a fraction.
        seed: That of the stability boundary: smaller networks below it are left out.

    Raises:
        MinarchError: there is no such store, or it holds none of a dataset, family or protocol that was named.
    """
    study = study_of(store, dataset, family, protocol, seed=seed, tables=("pruning", "post_training"))
    notes = study.demand(whole_forms(study)).notes
    rows = tuple(row for found in pairs(study, by) for row in _rows(study, found, by, margin))
    return study.advised(Results(PruneOrSmall, rows, notes if rows else (*notes, _nothing(study))))


@once
def pairs(study: Study, by: Size) -> tuple[tuple[Pair, ...], ...]:
    """Return the pairs of every dataset and family of a study, those of each together."""
    stable = first_stable(study)
    small = {
        key: [one for one in members if one.form.bits in ("fp32", "int8") and one.form.quantization != "post-training"]
        for key, members in _by_sweep(whole_forms(study).content)
    }
    large = dict(_by_sweep(pruned_forms(study).content))
    found = [
        pair
        for key, wholes in small.items()
        for whole in wholes
        if whole.key.capacity >= stable.get(key, 0.0)
        for pair in _matches(whole, large.get(key, []), by)
    ]
    groups = groupby(found, key=lambda pair: (pair.small.key.sweep.dataset, pair.small.key.sweep.family))
    return tuple(tuple(group) for _, group in groups)


def _by_sweep(forms: Sequence[Measured]) -> Iterator[tuple[SweepKey, list[Measured]]]:
    return ((key, list(members)) for key, members in groupby(forms, key=lambda one: one.key.sweep))


def _matches(small: Measured, pruned: Sequence[Measured], by: Size) -> Iterator[Pair]:
    """Yield the forms of larger networks that match a smaller whole one.

    Of every network and kind of form, the one that takes most of those that take no more; no pair if that is less than
    three quarters. Forms in 32 bits are set beside small networks in 32 bits, all others beside those in 8.
    """
    most = getattr(small, by)
    larger = [one for one in pruned if one.key.capacity > small.key.capacity and _beside(one) == small.form.bits]
    for _, members in groupby(larger, key=lambda one: (one.key, one.form.kind)):
        fits = [one for one in members if getattr(one, by) <= most]
        best = max(fits, key=lambda one: getattr(one, by), default=None)
        if best is not None and getattr(best, by) >= LEAST_SHARE * most:
            yield Pair(best, small)


def _beside(one: Measured) -> str:
    return "fp32" if one.form.quantization == "none" else "int8"


def _rows(study: Study, found: Sequence[Pair], by: Size, margin: float) -> Iterator[PruneOrSmall]:
    """Yield a row per pair of one dataset and family: their comparisons share the 5%."""
    differences = [paired(pair.pruned, pair.small) for pair in found]
    level = least_level(study, ((p.small.key.sweep, len(values)) for p, values in zip(found, differences, strict=True)))
    compared = compare(differences, margin=margin, level=level)
    tested = sum(one.difference is not None for one in compared)
    for pair, one in zip(found, compared, strict=True):
        yield _row(pair, one, by, margin, tested)


def _row(pair: Pair, found: Compared, by: Size, margin: float, tested: int) -> PruneOrSmall:
    pruned, small, mean = pair.pruned, pair.small, found.difference
    verdict = VERDICTS.get(found.verdict)
    return PruneOrSmall(
        dataset=small.key.sweep.dataset,
        family=small.key.sweep.family,
        depth=small.key.sweep.depth,
        by=by,
        capacity=pruned.key.capacity,
        parameters=pruned.parameters,
        form=pruned.form.name,
        bits=pruned.form.bits,
        pruned_by=pruned.form.method,
        finetune_epochs=pruned.form.finetune_epochs,
        sparsity=pruned.form.sparsity,
        bytes=pruned.bytes,
        nonzero=pruned.nonzero,
        mean=float(pruned.observed.mean()),
        small_capacity=small.key.capacity,
        small_form=small.form.name,
        small_bytes=small.bytes,
        small_nonzero=small.nonzero,
        small_mean=float(small.observed.mean()),
        verdict=verdict or found.verdict,  # type: ignore[arg-type]  # those left are the same words
        difference=mean.estimate if mean else None,
        ci_low=mean.interval[0] if mean else None,
        ci_high=mean.interval[1] if mean else None,
        p_difference=found.p_difference,
        p_equivalence=found.p_equivalence,
        margin=margin,
        comparisons=tested,
        skewness=mean.skewness if mean else None,
        largest_share=mean.largest_share if mean else None,
        replicates=found.n,
        method=METHOD,
        reason=reservation(found),
        protocol_id=small.key.sweep.protocol_id,
        dataset_fingerprint=small.key.sweep.dataset_fingerprint,
    )


def _nothing(study: Study) -> str:
    """Return why there are no pairs, and what adds some."""
    if not pruned_forms(study).content:
        return phrase("the store holds no pruned networks yet; ", quoted(Command("convergence")), " adds them")
    sizes = len({one.key for one in whole_forms(study).content})
    return (
        f"no pruned form of {counted(sizes, 'network')} takes what a smaller stable one takes whole, or a quarter less "
        "at most: run more --capacities, or --sparsities"
    )
