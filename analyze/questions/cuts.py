"""Forms of one architecture beyond the three that every store has, and which of them are shown to be safe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analyze.questions.bits import losses_of, phases_of
from analyze.questions.designs import level_at
from analyze.questions.forms import Measured, pruned_forms, whole_forms
from analyze.stats.descent import descend
from analyze.stats.gaps import alive
from analyze.stats.onesided import upper_bounds
from analyze.stats.result import LEVEL, MIN_REPLICATES
from analyze.stats.sequential import RESAMPLES
from analyze.study import ArchitectureKey, Study, once, sweep_rng


@dataclass(frozen=True)
class SafeCut:
    """The harshest form of one kind that is shown to be safe, with its bytes; `bound` is that of its mean loss."""

    form: Measured
    bound: float


Kind = tuple[str, str, str, int]
PRUNED_INT8: Kind = ("trained", "int8", "magnitude", 0)
WHOLE: Kind = ("none", "fp32", "whole", 0)
USUAL: tuple[Kind, ...] = (WHOLE, ("none", "fp32", "magnitude", 0), ("trained", "int8", "whole", 0))
"""Kinds that have tests of their own: whole in fp32, pruned, in 8 bits."""


@once
def cut_architecture(study: Study, key: ArchitectureKey, margin: float) -> dict[Kind, SafeCut | None]:
    """Return per further kind of form the harshest one that is non-inferior to the whole network in fp32, None: none.

    A kind has one precision, method and number of epochs; its forms are a fixed sequence up the sparsities, the whole
    network in few bits first where there is one. The kinds of an architecture share the 5% equally. Random pruning is a
    baseline, no form to choose.
    """
    forms = forms_of(study, key)
    whole = next((one for one in forms if one.form.kind == WHOLE), None)
    if whole is None:
        return {}
    kinds = {kind: members for kind, members in _kinds(forms).items() if kind not in USUAL}
    return {kind: _safe(study, whole, members, LEVEL / len(kinds), margin) for kind, members in kinds.items()}


@once
def safe_forms(study: Study, key: ArchitectureKey, margin: float, level: float) -> tuple[Measured, ...]:
    """Return the forms of an architecture that are shown to be non-inferior to it whole in fp32, that one first.

    As `cut_architecture`, but pruned networks and those in 8 bits are kinds like the others, and all kinds of an
    architecture share `level`: that of any wrong statement about it. What quantized kinds begin with, the whole network
    in these bits, is no kind of its own beside them.
    """
    forms = forms_of(study, key)
    whole = next((one for one in forms if one.form.kind == WHOLE), None)
    if whole is None:
        return ()
    kinds = {kind: members for kind, members in _kinds(forms).items() if kind != WHOLE}
    led = {kind[:2] for kind, members in kinds.items() if kind[2] != "whole" and members[0].form.method == "whole"}
    kinds = {kind: members for kind, members in kinds.items() if kind[2] != "whole" or kind[:2] not in led}
    safe = {id(whole): whole}
    for members in kinds.values():
        safe |= {id(one): one for one in _passing(study, whole, members, level / len(kinds), margin)}
    return tuple(safe.values())


def _passing(
    study: Study, whole: Measured, forms: Sequence[Measured], level: float, margin: float
) -> Iterator[Measured]:
    """Yield the first of a sequence of forms that are safe: as `descend`, at levels for many sequences."""
    lives = alive(whole.accuracy, whole.chance)
    sweep, phases = whole.key.sweep, phases_of(forms[-1].form.quantization)
    rng = sweep_rng(study.seed, "forms", *forms[-1].form.kind, *whole.key.sweep[0::3], sweep.depth, whole.key.capacity)
    for one in forms:
        losses = losses_of(whole, one, lives)
        at = level_at(study, sweep, len(losses), level, *phases)
        if len(losses) < MIN_REPLICATES or not at:
            return
        if upper_bounds(losses[:, None], rng=rng, resamples=RESAMPLES, tail=at)[0] >= margin:
            return
        yield one


def harmless_forms(study: Study, key: ArchitectureKey, margin: float) -> list[Measured]:
    """Return the forms of an architecture that lose less than the margin on average, shown to be safe or not."""
    forms = forms_of(study, key)
    whole = next((one for one in forms if one.form.kind == WHOLE), None)
    if whole is None:
        return []
    losses = {id(one): losses_of(whole, one, alive(whole.accuracy, whole.chance)) for one in forms}
    return [one for one in forms if len(losses[id(one)]) and losses[id(one)].mean() < margin]


def forms_of(study: Study, key: ArchitectureKey) -> list[Measured]:
    """Return the forms of an architecture that may be chosen: all that were measured but randomly pruned ones."""
    return [one for one in _by_key(study).get(key, ()) if one.form.method != "random"]


def _kinds(forms: Sequence[Measured]) -> dict[Kind, list[Measured]]:
    """Return the forms by kind, each a sequence up the sparsities, the whole network in few bits first."""
    kinds: dict[Kind, list[Measured]] = {}
    for one in forms:
        kinds.setdefault(one.form.kind, []).append(one)
    for kind, members in kinds.items():
        if kind[2] != "whole" and not kind[3] and kind[0] != "none":
            members[:0] = [one for one in forms if one.form.kind == (*kind[:2], "whole", 0)]
    return kinds


@once
def _by_key(study: Study) -> dict[ArchitectureKey, list[Measured]]:
    found: dict[ArchitectureKey, list[Measured]] = {}
    for one in (*whole_forms(study).content, *pruned_forms(study).content):
        found.setdefault(one.key, []).append(one)
    return found


def _safe(study: Study, whole: Measured, forms: Sequence[Measured], level: float, margin: float) -> SafeCut | None:
    lives = alive(whole.accuracy, whole.chance)
    losses = [losses_of(whole, one, lives) for one in forms]
    sweep, form = whole.key.sweep, forms[-1].form
    phases = phases_of(form.quantization)
    levels = [level_at(study, sweep, len(values), level, *phases) for values in losses]
    rng = sweep_rng(study.seed, "cuts", *form.kind, sweep.dataset, sweep.family, sweep.depth, whole.key.capacity)
    found = descend(losses, rng=rng, margin=margin, level=levels, resamples=1999)
    if not found.safe:
        return None
    return SafeCut(forms[found.safe - 1], found.steps[found.safe - 1].bound or 0.0)
