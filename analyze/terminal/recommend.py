"""Tables on recommendations and the evidence behind them."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from analyze.terminal.layout import new_table, number, p_value, percent, points, stacked, styled

if TYPE_CHECKING:
    from rich.console import RenderableType

    from analyze.questions.candidates import Candidate
    from analyze.questions.recommend import Recommendation, Recommendations
    from analyze.results import Results


def recommendations_table(results: Results[Recommendation]) -> RenderableType:
    """Return what is recommended, one table per dataset, and below it what was not and what would decide it."""
    parts: list[RenderableType] = []
    for dataset, rows in groupby(results, key=lambda row: row.dataset):
        title = f"{dataset} (family, depth x size; bytes of the smallest form shown to be safe)"
        table = new_table(title, ["scope", "smallest"], ["params", "accuracy, %", "prune", "int8", "bytes", "form"])
        remarks = []
        for row in rows:
            table.add_row(
                row.scope,
                styled(row.status) if row.family is None else f"{row.family} {row.depth}x{row.capacity}",
                number(row.parameters),
                percent(row.accuracy, row.ci_low, row.ci_high, digits=1),
                "" if row.safe_sparsity is None else f"{100 * row.safe_sparsity:.0f}%",
                {True: "safe", False: "no", None: ""}[row.int8_safe],
                number(row.safe_bytes),
                row.safe_form,
            )
            if row.runner_up_family:
                name = f"{row.runner_up_family} {row.runner_up_depth}x{row.runner_up_capacity}"
                remarks.append(f"{row.scope}: next {name}, {number(row.runner_up_parameters)} parameters")
            remarks += [f"{row.scope}: [dim]{text}[/]" for text in (row.reason, row.command) if text]
        parts += [table, "", *remarks, ""]
    return stacked(parts)


def reasoning(found: Recommendations) -> RenderableType:
    """Return the recommendations with the reasoning and the evidence behind each."""
    parts: list[RenderableType] = [recommendations_table(found)]
    for row in found:
        parts += [f"[bold]{row.dataset}, {row.scope}[/]", row.explanation, ""]
    return stacked([*parts, evidence_table(found.evidence)] if len(found) else [])


def evidence_table(results: Results[Candidate]) -> RenderableType:
    """Return the architectures behind the recommendations, one table per dataset and scope."""
    parts: list[RenderableType] = []
    for (dataset, scope), rows in groupby(results, key=lambda row: (row.dataset, row.scope)):
        title = f"{dataset}, {scope} (accuracies and drop against the best in points)"
        table = new_table(title, ["family", "depth", "size", "verdict"], ["parameters", "mean", "sd", "drop", "p", "n"])
        for row in rows:
            table.add_row(
                row.family,
                str(row.depth),
                str(row.capacity),
                row.verdict,
                number(row.parameters),
                points(row.mean),
                points(row.sd),
                points(row.drop),
                p_value(row.p_value),
                str(row.replicates),
            )
        parts += [table, ""]
    return stacked(parts)
