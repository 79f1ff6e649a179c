"""The fewest bits that are safe, per network, and where fewer bits begin to cost accuracy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np

from analyze import wording
from analyze.arguments import checked
from analyze.questions.designs import level_at
from analyze.questions.forms import Measured, Quantization, whole_forms
from analyze.questions.regimes import first_stable
from analyze.results import Results
from analyze.stats.descent import Descent, Step, Verdict, descend
from analyze.stats.gaps import alive
from analyze.stats.onesided import skewness
from analyze.stats.result import LEVEL, MIN_REPLICATES, BoolArray, FloatArray, Shortage, Status
from analyze.stats.safety import MARGIN
from analyze.stats.spending import FIRST_DECISION
from analyze.stats.tolerance import failure_bound, failures
from analyze.study import ArchitectureKey, Study, once, study_of, sweep_rng
from analyze.texts import Command, joined, phrase, quoted

Quantized = Literal["trained", "post-training"]
NOTHING = (
    "the store holds no quantized networks beside fp32 ones yet; ",
    quoted(Command("quantization")),
    " adds some, with --precision those of fewer bits",
)


@dataclass(frozen=True, kw_only=True)
class FewestBits:
    """The fewest safe bits of one network, quantized in one way; `docs/method.md` defines the fields."""

    dataset: str
    family: str
    depth: int
    capacity: int
    parameters: int
    stable: bool | None
    quantization: Quantized
    status: Status
    fewest: str | None
    weight_bits: int | None
    activation_bits: int | None
    margin: float
    level: float
    loss_bound: float | None
    skewness: float | None
    failure_bound: float | None
    onset: str | None
    onset_loss: float | None
    onset_low: float | None
    onset_high: float | None
    steps: str
    replicates: int
    dead_fp32: int
    method: str
    reason: str | None
    protocol_id: str
    dataset_fingerprint: str


@dataclass(frozen=True, kw_only=True)
class BitStep:
    """One step down the bits of one network; `docs/method.md` defines the fields. Losses are fractions of accuracy."""

    dataset: str
    family: str
    depth: int
    capacity: int
    parameters: int
    stable: bool | None
    quantization: Quantized
    step: int
    bits: str
    weight_bits: int
    activation_bits: int
    verdict: Verdict
    mean: float | None
    loss: float | None
    ci_low: float | None
    ci_high: float | None
    ci_level: float | None
    loss_bound: float | None
    skewness: float | None
    dead: int
    dead_fp32: int
    replicates: int
    margin: float
    protocol_id: str
    dataset_fingerprint: str


@dataclass(frozen=True)
class Ladder:
    """A network's forms of falling bits, of one way to quantize, beside its fp32 runs; what they lose, and the answer.

    `losses` has per form those of the replicates that are alive in fp32 and have it; `dead_fp32` of all others that
    have some form are dead.
    """

    whole: Measured
    quantization: Quantized
    forms: tuple[Measured, ...]
    losses: tuple[FloatArray, ...]
    dead_fp32: int
    level: float
    found: Descent


@checked
def bits(
    store: str | Path | Study,
    dataset: str | Sequence[str] | None = None,
    family: str | Sequence[str] | None = None,
    protocol: str | None = None,
    *,
    max_drop: float = MARGIN,
    seed: int = 0,
) -> Results[FewestBits]:
    """Return the fewest bits that are shown to be safe, of every network of equal widths that was quantized.

    A row per network and way to quantize: `trained` under fake quantization, or `post-training`. `max_drop` is the
    largest loss of accuracy that is safe, a fraction.

    Raises:
        MinarchError: there is no such store, or it holds none of a dataset, family or protocol that was named.
    """
    study = study_of(store, dataset, family, protocol, seed=seed, tables=("post_training",))
    notes = study.demand(whole_forms(study)).notes
    stable = first_stable(study)
    rows = tuple(_fewest(ladder, stable.get(ladder.whole.key.sweep), max_drop) for ladder in ladders(study, max_drop))
    return study.advised(Results(FewestBits, rows, notes if rows else (*notes, phrase(*NOTHING))))


@checked
def bit_steps(
    store: str | Path | Study,
    dataset: str | Sequence[str] | None = None,
    family: str | Sequence[str] | None = None,
    protocol: str | None = None,
    *,
    max_drop: float = MARGIN,
    seed: int = 0,
) -> Results[BitStep]:
    """Return what every step down the bits costs every network of equal widths, paired by replicate.

    `max_drop` as in `bits`.

    Raises:
        MinarchError: there is no such store, or it holds none of a dataset, family or protocol that was named.
    """
    study = study_of(store, dataset, family, protocol, seed=seed, tables=("post_training",))
    notes = study.demand(whole_forms(study)).notes
    stable = first_stable(study)
    rows = tuple(
        row
        for ladder in ladders(study, max_drop)
        for row in _steps(ladder, stable.get(ladder.whole.key.sweep), max_drop)
    )
    return study.advised(Results(BitStep, rows, notes if rows else (*notes, phrase(*NOTHING))))


@once
def ladders(study: Study, max_drop: float) -> tuple[Ladder, ...]:
    """Return every network with its forms of falling bits, weights first; of a dataset the trained ones come first."""
    found: list[Ladder] = []
    for key, members in groupby(whole_forms(study).content, key=lambda one: one.key):
        forms = list(members)
        whole = next((one for one in forms if one.form.quantization == "none"), None)
        ways: dict[Quantized, list[Measured]] = {}
        for one in forms:
            if one.form.quantization != "none":
                ways.setdefault(one.form.quantization, []).append(one)
        if whole is not None:
            found += (_ladder(study, key, whole, way, ways, max_drop) for way in ways)
    return tuple(sorted(found, key=lambda one: (one.whole.key.sweep.dataset, one.quantization != "trained")))


def _ladder(
    study: Study,
    key: ArchitectureKey,
    whole: Measured,
    way: Quantized,
    ways: dict[Quantized, list[Measured]],
    max_drop: float,
) -> Ladder:
    forms = ways[way]
    lives = alive(whole.accuracy, whole.chance)
    losses = tuple(losses_of(whole, one, lives) for one in forms)
    level = LEVEL / len(ways)
    levels = [level_at(study, key.sweep, len(values), level, *phases_of(way)) for values in losses]
    rng = sweep_rng(study.seed, "bits", way, key.sweep.dataset, key.sweep.family, key.sweep.depth, key.capacity)
    measured = np.zeros(len(whole.accuracy), dtype=np.bool_)
    for one in forms:
        has = np.flatnonzero(~np.isnan(one.accuracy))
        measured[has[has < len(measured)]] = True
    dead = measured & ~np.isnan(whole.accuracy) & ~lives
    return Ladder(
        whole,
        way,
        tuple(forms),
        losses,
        int(dead.sum()),
        level,
        descend(losses, rng=rng, margin=max_drop, level=levels),
    )


def phases_of(way: Quantization) -> tuple[Literal["quantization"], ...]:
    """Return the phase whose looks say how much of the level may be spent: post-training goes with the fp32 runs."""
    return ("quantization",) if way == "trained" else ()


def losses_of(whole: Measured, other: Measured, lives: BoolArray) -> FloatArray:
    """Return by how much a form is less accurate than the whole network, of the replicates that have both and live.

    `lives` says which replicates of the whole network do, shape (replicates,).
    """
    shared = min(len(whole.accuracy), len(other.accuracy))
    losses = np.where(lives[:shared], whole.accuracy[:shared] - other.accuracy[:shared], np.nan)
    return np.asarray(losses[~np.isnan(losses)], dtype=np.float64)


def _fewest(ladder: Ladder, threshold: float | None, max_drop: float) -> FewestBits:
    found, whole = ladder.found, ladder.whole
    safe = found.safe - 1
    at = max(safe, 0)
    form = ladder.forms[safe].form if safe >= 0 else None
    fell = found.steps[found.onset].loss if found.onset is not None else None
    return FewestBits(
        dataset=whole.key.sweep.dataset,
        family=whole.key.sweep.family,
        depth=whole.key.sweep.depth,
        capacity=whole.key.capacity,
        parameters=whole.parameters,
        stable=None if threshold is None else whole.key.capacity >= threshold,
        quantization=ladder.quantization,
        status="detected" if form else "insufficient" if found.steps[0].verdict == "too few" else "absent",
        fewest=form.bits if form else None,
        weight_bits=form.weight_bits if form else None,
        activation_bits=form.activation_bits if form else None,
        margin=max_drop,
        level=ladder.level,
        loss_bound=found.steps[at].bound,
        skewness=float(skewness(ladder.losses[at])) if found.steps[at].loss else None,
        failure_bound=_failure_bound(ladder, safe) if safe >= 0 else None,
        onset=ladder.forms[found.onset].form.bits if found.onset is not None else None,
        onset_loss=fell.estimate if fell else None,
        onset_low=fell.interval[0] if fell else None,
        onset_high=fell.interval[1] if fell else None,
        steps=", ".join(one.form.bits for one in ladder.forms),
        replicates=found.steps[at].n,
        dead_fp32=ladder.dead_fp32,
        method=found.method,
        reason=_reason(ladder),
        protocol_id=whole.key.sweep.protocol_id,
        dataset_fingerprint=whole.key.sweep.dataset_fingerprint,
    )


def _steps(ladder: Ladder, threshold: float | None, max_drop: float) -> Iterator[BitStep]:
    whole = ladder.whole
    numbered = enumerate(zip(ladder.forms, ladder.losses, ladder.found.steps, strict=True), 1)
    for number, (one, losses, step) in numbered:
        loss = step.loss
        yield BitStep(
            dataset=whole.key.sweep.dataset,
            family=whole.key.sweep.family,
            depth=whole.key.sweep.depth,
            capacity=whole.key.capacity,
            parameters=whole.parameters,
            stable=None if threshold is None else whole.key.capacity >= threshold,
            quantization=ladder.quantization,
            step=number,
            bits=one.form.bits,
            weight_bits=one.form.weight_bits,
            activation_bits=one.form.activation_bits,
            verdict=step.verdict,
            mean=float(one.observed.mean()),
            loss=loss.estimate if loss else None,
            ci_low=loss.interval[0] if loss else None,
            ci_high=loss.interval[1] if loss else None,
            ci_level=1 - ladder.level / len(ladder.forms) if loss else None,
            loss_bound=step.bound,
            skewness=float(skewness(losses)) if loss else None,
            dead=_dead(ladder, one),
            dead_fp32=ladder.dead_fp32,
            replicates=step.n,
            margin=max_drop,
            protocol_id=whole.key.sweep.protocol_id,
            dataset_fingerprint=whole.key.sweep.dataset_fingerprint,
        )


def _living(ladder: Ladder, one: Measured) -> FloatArray:
    """Return the accuracies of a form of the replicates that are alive in fp32."""
    shared = min(len(one.accuracy), len(ladder.whole.accuracy))
    values = np.where(alive(ladder.whole.accuracy, ladder.whole.chance)[:shared], one.accuracy[:shared], np.nan)
    return np.asarray(values[~np.isnan(values)], dtype=np.float64)


def _dead(ladder: Ladder, one: Measured) -> int:
    """Return how many of the replicates that are alive in fp32 are dead in a form."""
    return int((~alive(_living(ladder, one), one.chance)).sum())


def _failure_bound(ladder: Ladder, at: int) -> float:
    accuracy = _living(ladder, ladder.forms[at])
    return failure_bound(failures(accuracy, ladder.whole.chance), len(accuracy))


def _reason(ladder: Ladder) -> str | None:
    """Return what ended the sequence, where it did not reach the last step."""
    found = ladder.found
    if found.safe == len(found.steps):
        return None
    one, step = ladder.forms[found.safe], found.steps[found.safe]
    return joined([_why(step, one.form.bits, _dead(ladder, one)), _all_dead(ladder)])


def _why(step: Step, name: str, dead: int) -> str:
    if step.verdict == "too few":
        need = MIN_REPLICATES if step.n < MIN_REPLICATES else FIRST_DECISION
        return phrase(f"{name}: ", wording.one(Shortage("living replicates", step.n, need)))
    if dead:
        return f"{name} is not shown to be safe: {dead} of {step.n} that are alive in fp32 are dead"
    return f"{name} is not shown to be safe: it may cost {100 * (step.bound or 0.0):.2f} points"


def _all_dead(ladder: Ladder) -> str | None:
    return f"{ladder.dead_fp32} dead in fp32 already, left out" if ladder.dead_fp32 else None
