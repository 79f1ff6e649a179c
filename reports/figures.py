"""The figures by name: what each shows, what it needs, and what to run where the store lacks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports import tables
from reports.charts.vocabulary import CAPACITIES, FAMILIES, dataset_name
from reports.tables import Table

if TYPE_CHECKING:
    import altair as alt

    from reports.findings import Subject


@dataclass(frozen=True)
class Missing:
    """What a store lacks for a figure, in words, and the command that supplies it."""

    text: str
    command: str | None = None


@dataclass(frozen=True)
class View:
    """One way of looking at a figure; `label` is what its button says."""

    key: str
    label: str
    chart: Callable[[Subject], alt.LayerChart]


@dataclass(frozen=True)
class Figure:
    """A figure: its heading, its views, and what a subject lacks for it."""

    name: str
    heading: str
    summary: str
    views: Callable[[str], tuple[View, ...]]
    missing: Callable[[Subject], Missing | None]
    table: Callable[[Subject], Table] | None = None
    switch: str = "View"
    replicates: bool = False


def _convergence_views(family: str) -> tuple[View, ...]:
    def over(axis: str) -> Callable[[Subject], alt.LayerChart]:
        def chart(subject: Subject) -> alt.LayerChart:
            from reports.charts.convergence import convergence

            return convergence(
                subject.cells,
                subject.replicates,
                subject.boundaries,
                dataset=subject.dataset,
                family=subject.family,
                chance=subject.chance,
                axis="parameters" if axis == "parameters" else "capacity",
            )

        return chart

    return (
        View("capacity", CAPACITIES[family].split(" ")[0].capitalize(), over("capacity")),
        View("parameters", "Parameters", over("parameters")),
    )


def _no_runs(subject: Subject) -> Missing | None:
    if not subject.cells.is_empty():
        return None
    return Missing(
        f"No {FAMILIES[subject.family]} runs of equal width on {dataset_name(subject.dataset)} yet",
        f"generate convergence --dataset {subject.dataset} --family {subject.family}",
    )


FIGURES: Mapping[str, Figure] = {
    figure.name: figure
    for figure in (
        Figure(
            "convergence",
            "Convergence",
            "test accuracy over model size, with the regime boundaries",
            _convergence_views,
            _no_runs,
            switch="Horizontal axis",
            table=tables.cells,
            replicates=True,
        ),
    )
}
