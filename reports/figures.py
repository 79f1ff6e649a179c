"""The figures by name: what each shows, what it needs, and what to run where the store lacks it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from reports import tables
from reports.charts.vocabulary import FAMILIES, dataset_name
from reports.tables import Table

if TYPE_CHECKING:
    from reports.charts.parts import Drawing
    from reports.subject import Subject
    from store.advice import Advice, Phase
    from store.designs import By


@dataclass(frozen=True)
class Missing:
    """What a store lacks for a figure, in words, and the command that supplies it."""

    text: str
    command: str


@dataclass(frozen=True)
class View:
    """One way of looking at a figure.

    `label` is what its button says, None for the family's word for capacity; `possible` says whether a subject has the
    rows for it.
    """

    key: str
    label: str | None
    chart: Callable[[Subject], Drawing]
    possible: Callable[[Subject], bool] = lambda _: True


@dataclass(frozen=True)
class Figure:
    """A figure: its heading, its views, its table, and what a subject lacks for it.

    `replicates` says that single runs can be shown, `layered` that it is for families whose depth is chosen, `answers`
    that it stands with the report's answer, not with the results of its family; one that is `further` is left out of a
    report whose store lacks its rows.
    """

    name: str
    heading: str
    views: tuple[View, ...]
    missing: Callable[[Subject, Advice], Missing | None]
    table: Callable[[Subject], Table] | None = None
    switch: str = "View"
    replicates: bool = False
    layered: bool = False
    answers: bool = False
    further: bool = False


def _convergence(axis: Literal["capacity", "parameters"]) -> Callable[[Subject], Drawing]:
    def chart(subject: Subject) -> Drawing:
        from reports.charts.convergence import convergence

        return convergence(
            subject.cells,
            subject.replicates,
            subject.boundaries,
            dataset=subject.dataset,
            family=subject.family,
            chance=subject.chance,
            axis=axis,
        )

    return chart


def _pruning(subject: Subject) -> Drawing:
    from reports.charts.pruning import pruning

    return pruning(
        subject.pruning,
        subject.safety,
        subject.crossings,
        dataset=subject.dataset,
        family=subject.family,
        chance=subject.chance,
        chosen=subject.chosen_capacity,
    )


def _accuracies(subject: Subject) -> Drawing:
    from reports.charts.quantization import accuracies

    return accuracies(subject.precisions, dataset=subject.dataset, family=subject.family, chance=subject.chance)


def _gap(subject: Subject) -> Drawing:
    from reports.charts.quantization import gap

    return gap(subject.gaps, dataset=subject.dataset, family=subject.family)


def _shapes(axis: Literal["capacity", "parameters"]) -> Callable[[Subject], Drawing]:
    def chart(subject: Subject) -> Drawing:
        from reports.charts.shapes import shapes

        return shapes(
            subject.topologies, dataset=subject.dataset, family=subject.family, chance=subject.chance, axis=axis
        )

    return chart


def _epochs(quantity: Literal["loss", "accuracy"]) -> Callable[[Subject], Drawing]:
    def chart(subject: Subject) -> Drawing:
        from reports.charts.epochs import epochs

        return epochs(
            subject.curves,
            subject.onsets,
            dataset=subject.dataset,
            family=subject.family,
            chosen=subject.chosen_capacity,
            quantity=quantity,
        )

    return chart


def _reach(subject: Subject) -> Drawing:
    from reports.charts.reach import reach

    return reach(subject.reach, dataset=subject.dataset, family=subject.family)


def _bits(way: Literal["trained", "post-training"]) -> Callable[[Subject], Drawing]:
    def chart(subject: Subject) -> Drawing:
        from reports.charts.forms import bits

        steps = subject.bits.filter(quantization=way)
        return bits(steps, dataset=subject.dataset, family=subject.family, chosen=subject.chosen_capacity)

    return chart


def _quantized(way: Literal["trained", "post-training"]) -> Callable[[Subject], bool]:
    """Return whether a subject was quantized in a way, with enough replicates."""
    return lambda subject: bool(subject.bits.filter(quantization=way)["loss"].is_not_null().any())


def _finetuning(subject: Subject) -> Drawing:
    from reports.charts.forms import finetuning

    return finetuning(subject.finetuned, dataset=subject.dataset, family=subject.family, chosen=subject.chosen_capacity)


def _frontier(by: By) -> Callable[[Subject], Drawing]:
    def chart(subject: Subject) -> Drawing:
        from reports.charts.frontier import frontier

        forms = subject.frontier.filter(by=by)
        return frontier(forms, by, dataset=subject.dataset, family=subject.family, chance=subject.chance)

    return chart


def _costed(by: By) -> Callable[[Subject], bool]:
    """Return whether a subject has forms of which it is known what they take."""
    return lambda subject: not subject.frontier.filter(by=by).is_empty()


def _lacking(frame: str, kind: str, phase: Phase) -> Callable[[Subject, Advice], Missing | None]:
    """Return the check that a subject's frame has rows, with the words and the phase for when it has none."""

    def missing(subject: Subject, advice: Advice) -> Missing | None:
        if not getattr(subject, frame).is_empty():
            return None
        return Missing(
            f"No {FAMILIES[subject.family]} {kind} on {dataset_name(subject.dataset)} yet",
            advice.command(phase, subject.dataset, subject.family),
        )

    return missing


def _no_shapes(subject: Subject, advice: Advice) -> Missing | None:
    if subject.topologies["shape"].str.contains("[+-]").any():
        return None
    return Missing(f"No topologies on {dataset_name(subject.dataset)} yet", advice.command("shapes", subject.dataset))


def _no_target(subject: Subject, advice: Advice) -> Missing | None:
    if not subject.reach.is_empty():
        return None
    chosen = ["--dataset", subject.dataset, "--family", subject.family, "--store", str(advice.store)]
    return Missing(
        f"No {FAMILIES[subject.family]} on {dataset_name(subject.dataset)} is stable yet; what would decide it",
        shlex.join(["analyze", "recommend", *chosen]),
    )


FIGURES: Mapping[str, Figure] = {
    figure.name: figure
    for figure in (
        Figure(
            "convergence",
            "Convergence",
            (
                View("capacity", None, _convergence("capacity")),
                View("parameters", "Parameters", _convergence("parameters")),
            ),
            _lacking("cells", "runs of equal width", "convergence"),
            table=tables.cells,
            switch="Horizontal axis",
            replicates=True,
        ),
        Figure(
            "pruning",
            "Pruning",
            (View("pruning", "Pruning", _pruning),),
            _lacking("pruning", "runs with pruning", "convergence"),
            table=tables.pruning,
        ),
        Figure(
            "quantization",
            "Quantization",
            (
                View("accuracy", "Accuracy", _accuracies),
                View("gap", "Gap", _gap, lambda subject: subject.gaps["gap"].is_not_null().any()),
            ),
            _lacking("precisions", "runs in 8 bits", "quantization"),
            table=tables.gaps,
        ),
        Figure(
            "bits",
            "Fewer bits",
            (
                View("trained", "Trained", _bits("trained"), _quantized("trained")),
                View("post-training", "After training", _bits("post-training"), _quantized("post-training")),
            ),
            _lacking("bits", "runs in fewer than 8 bits with 5 replicates", "quantization"),
            table=tables.bits,
            switch="Quantized",
            further=True,
        ),
        Figure(
            "finetuning",
            "Fine-tuning",
            (View("finetuning", "Fine-tuning", _finetuning),),
            _lacking("finetuned", "fine-tuned runs with 5 replicates", "convergence"),
            table=tables.finetuning,
            further=True,
        ),
        Figure(
            "frontier",
            "Accuracy against cost",
            (
                View("bytes", "Bytes", _frontier("bytes")),
                View("macs", "Operations", _frontier("macs"), _costed("macs")),
                View("ram", "Activations", _frontier("ram"), _costed("ram")),
            ),
            _lacking("frontier", "forms beyond pruning and 8 bits with 5 replicates", "quantization"),
            table=tables.frontier,
            switch="Against",
            further=True,
        ),
        Figure(
            "shapes",
            "Topologies",
            (View("parameters", "Parameters", _shapes("parameters")), View("capacity", None, _shapes("capacity"))),
            _no_shapes,
            switch="Horizontal axis",
            layered=True,
        ),
        Figure(
            "epochs",
            "Learning curves",
            (View("loss", "Loss", _epochs("loss")), View("accuracy", "Accuracy", _epochs("accuracy"))),
            _lacking("curves", "learning curves", "convergence"),
        ),
        Figure(
            "reach",
            "Reliability",
            (View("reach", "Reliability", _reach),),
            _no_target,
            table=tables.reach,
            answers=True,
        ),
    )
}
