"""Forms of one architecture beyond the three that every store has, and which of them are shown to be safe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analyze.questions.bits import losses_of, phases_of
from analyze.questions.designs import level_at
from analyze.questions.forms import Measured, pruned_forms, whole_forms
from analyze.stats.descent import descend
from analyze.stats.gaps import alive
from analyze.stats.result import LEVEL
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
    forms = [one for one in _by_key(study).get(key, ()) if one.form.method != "random"]
    whole = next((one for one in forms if one.form.kind == WHOLE), None)
    if whole is None:
        return {}
    kinds: dict[Kind, list[Measured]] = {}
    for one in forms:
        if one.form.kind not in USUAL:
            kinds.setdefault(one.form.kind, []).append(one)
    for kind, members in kinds.items():
        if kind[2] != "whole" and not kind[3] and kind[0] != "none":
            members[:0] = [one for one in forms if one.form.kind == (*kind[:2], "whole", 0)]
    return {kind: _safe(study, whole, members, LEVEL / len(kinds), margin) for kind, members in kinds.items()}


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
