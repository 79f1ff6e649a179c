"""What is known of architectures beside their accuracy, and of one that passed: its forms, and the one chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf

from analyze.questions.budget import Limits, smallest, taken_by
from analyze.questions.candidates import Candidate
from analyze.questions.cuts import (
    PRUNED_INT8,
    Kind,
    SafeCut,
    cut_architecture,
    forms_of,
    harmless_forms,
    safe_forms,
)
from analyze.questions.forms import Measured
from analyze.questions.pruning import Pruning, pruned_architecture
from analyze.questions.quantization import QuantizationGap, gaps
from analyze.questions.regimes import Regime
from analyze.questions.storage import storage
from analyze.study import ARCHITECTURE, ArchitectureKey, Study

SECONDS = f"""
SELECT {ARCHITECTURE}, avg(seconds) AS seconds
FROM runs SEMI JOIN equal_widths USING (run_id) WHERE precision = 'fp32' GROUP BY ALL
"""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """An architecture that passed: what may be cut of it, and the bytes of each form; None where that is not known.

    `chosen` is the form that a budget, or what is to be small, chooses of those shown to be safe; None where none fits
    or nothing but parameters is asked about.
    """

    candidate: Candidate
    boundary: Regime
    safe_sparsity: float | None
    pruned: Pruning | None
    gap: QuantizationGap | None
    int8_safe: bool | None
    bytes_fp32: int
    bytes_int8: int
    bytes_pruned: int | None
    cuts: Mapping[Kind, SafeCut | None]
    chosen: Measured | None = None

    def takes(self, limits: Limits) -> float:
        """Return what it takes of what is to be small; infinity where no form of it fits."""
        if not limits.of_forms:
            return self.candidate.parameters
        return inf if self.chosen is None else taken_by(self.chosen, limits.by) or 0

    @property
    def pruned_int8(self) -> SafeCut | None:
        """Pruned and in 8 bits at once, at its safe sparsity; None where that was not measured, or is not safe."""
        return self.cuts.get(PRUNED_INT8)

    @property
    def _safe(self) -> dict[str, int]:
        """Bytes of the forms that were measured and shown to be safe."""
        forms = {"fp32": self.bytes_fp32}
        if self.bytes_pruned is not None:
            forms["pruned"] = self.bytes_pruned
        if self.int8_safe:
            forms["int8"] = self.bytes_int8
        forms |= {cut.form.form.name: cut.form.bytes for cut in self.cuts.values() if cut}
        return forms

    @property
    def safe_form(self) -> str:
        """The form that was chosen, else the smallest that was shown to be safe."""
        if self.chosen:
            return self.chosen.form.name
        return min(self._safe, key=lambda form: self._safe[form])

    @property
    def safe_bytes(self) -> int:
        """Its bytes."""
        return self.chosen.bytes if self.chosen else self._safe[self.safe_form]

    @property
    def safe_macs(self) -> int | None:
        """Its multiply-accumulates, None where they are not known."""
        cut = self._cut
        return cut.macs if cut else self.candidate.macs

    @property
    def safe_ram(self) -> int | None:
        """Its bytes of activations, None where they are not known."""
        cut = self._cut
        if cut:
            return cut.ram
        return self.candidate.ram_int8 if self.safe_form == "int8" else self.candidate.ram_fp32

    @property
    def _cut(self) -> Measured | None:
        """Its form, None where that is one of the usual ones: whole, pruned, in 8 bits."""
        if self.chosen:
            return self.chosen
        cuts = (cut.form for cut in self.cuts.values() if cut)
        return next((form for form in cuts if form.form.name == self.safe_form), None)


@dataclass(frozen=True)
class Facts:
    """What is known about the architectures beside their accuracy.

    What pruning, 8 bits and further forms cost them, the mean time of a training in seconds, the classes of each
    version of the data, the forms that were measured, and those that are shown to be safe at a level.
    """

    pruned: Callable[[ArchitectureKey], Pruning | None]
    cuts: Callable[[ArchitectureKey], Mapping[Kind, SafeCut | None]]
    gaps: dict[ArchitectureKey, QuantizationGap]
    seconds: dict[ArchitectureKey, float]
    classes: dict[str, int]
    forms: Callable[[ArchitectureKey], Sequence[Measured]]
    safe: Callable[[ArchitectureKey, float], Sequence[Measured]]
    harmless: Callable[[ArchitectureKey], Sequence[Measured]]


def facts_in(study: Study, margin: float) -> Facts:
    """Return what a study says of its architectures beside their accuracy; `margin` is the loss that is safe."""
    seconds = study.query(SECONDS).iter_rows()
    return Facts(
        # Asked of the few that qualify: phases take the longest of all.
        partial(pruned_architecture, study, margin=margin),
        partial(cut_architecture, study, margin=margin),
        {row.key: row for row in gaps(study)},
        {ArchitectureKey.of(*row[:-1]): row[-1] for row in seconds},
        dict(study.query("SELECT dataset_fingerprint, classes FROM datasets").iter_rows()),
        partial(forms_of, study),
        lambda key, level: safe_forms(study, key, margin, level),
        partial(harmless_forms, study, margin=margin),
    )


def finding(row: Candidate, regimes: Sequence[Regime], limits: Limits, facts: Facts, level: float) -> Finding:
    """Return what may be cut of an architecture; `level` is that of all that is said of its forms under a budget."""
    boundary = next(found for found in regimes if (found.family, found.depth) == (row.family, row.depth))
    pruned, gap = facts.pruned(row.key), facts.gaps.get(row.key)
    parts = storage(row.family, row.depth, row.capacity, row.parameters, facts.classes[row.dataset_fingerprint])
    sparsity = pruned.safe_sparsity if pruned else None
    return Finding(
        candidate=row,
        boundary=boundary,
        safe_sparsity=sparsity,
        pruned=pruned,
        gap=gap,
        int8_safe=_int8_safe(gap, limits.max_drop),
        bytes_fp32=parts.dense(),
        bytes_int8=parts.int8(),
        bytes_pruned=None if sparsity is None else parts.pruned(sparsity),
        cuts=facts.cuts(row.key),
        chosen=smallest(facts.safe(row.key, level), limits) if limits.of_forms else None,
    )


def _int8_safe(gap: QuantizationGap | None, margin: float) -> bool | None:
    """Return whether 8 bits are shown to cost less than the margin and to kill none; None where that is not known."""
    if gap is None or (gap.ci_high is None and not gap.death_rate):
        return None
    return bool(gap.ci_high is not None and gap.ci_high < margin and not gap.death_rate)
