"""Tables that set forms of networks side by side: pruned or small, the frontier, fine-tuning."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING

from analyze.terminal.layout import new_table, number, points, points_interval, remarks, shortened, stacked

if TYPE_CHECKING:
    from rich.console import RenderableType

    from analyze.questions.finetuning import FineTuning
    from analyze.questions.frontier import FrontierPoint
    from analyze.questions.matched import PruneOrSmall
    from analyze.results import Results

VERDICT_STYLES = {"pruned better": "green", "small better": "red", "equivalent": "cyan"}
VERDICT_STYLES |= {"better": "green", "worse": "red"}
ACCURACY = ("mean", "interval", "rivals", "n")


def matched_table(results: Results[PruneOrSmall]) -> RenderableType:
    """Return the pairs, a table per dataset, family and kind of small network, differences in points."""
    from analyze.questions.explain import in_points

    parts: list[RenderableType] = []
    for (dataset, family), rows in groupby(results, key=lambda row: (row.dataset, row.family)):
        members = list(rows)
        unit = "bytes" if members[0].by == "bytes" else "parameters left"
        table = new_table(
            f"{dataset}, {family}, at equal {unit} (pruned minus small, in points)",
            ["small", "pruned", "verdict"],
            [unit.split()[0], "diff", "95% CI", "n"],
            tight=True,
        )
        reasons = []
        for row in members:
            where = f"{row.depth}x{row.small_capacity}"
            size = row.small_bytes if row.by == "bytes" else row.small_nonzero
            style = VERDICT_STYLES.get(row.verdict)
            table.add_row(
                where,
                f"{row.capacity} {shortened(row.form)}",
                f"[{style}]{row.verdict}[/]" if style else row.verdict,
                number(size),
                points(row.difference),
                points_interval(row.ci_low, row.ci_high),
                str(row.replicates),
            )
            if row.reason:
                reasons.append((f"{where} {row.small_form}, {row.capacity} {shortened(row.form)}", row.reason))
        counts = Counter(row.verdict for row in members)
        said = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
        margin = f"equivalent: within {in_points(members[0].margin)}"
        parts += [table, "", f"[dim]{said}; {margin}; family-wise error rate 5%[/]", "", *remarks(reasons)]
    return stacked(parts)


def frontier_table(results: Results[FrontierPoint]) -> RenderableType:
    """Return the best form at every size, a table per dataset and family; what is shown to be beaten is counted."""
    parts: list[RenderableType] = []
    for (dataset, family), rows in groupby(results, key=lambda row: (row.dataset, row.family)):
        members = list(rows)
        table = new_table(
            f"{dataset}, {family} (accuracies in %, simultaneous intervals)",
            ["network", "form", "verdict"],
            [{"macs": "MACs", "ram": "RAM", "parameters": "params"}.get(members[0].by, "bytes"), *ACCURACY],
            tight=True,
        )
        for row in members:
            table.add_row(
                f"{row.depth}x{row.capacity}",
                shortened(row.form),
                row.verdict,
                number({"macs": row.macs, "ram": row.ram, "parameters": row.nonzero}.get(row.by, row.bytes)),
                points(row.mean),
                points_interval(row.ci_low, row.ci_high),
                number(row.rivals),
                str(row.replicates),
            )
        said = (
            "[dim]Rivals: other forms that take no more and are not shown to be less accurate. Of "
            f"{members[0].forms} forms, jointly at 95%.[/]"
        )
        parts += [table, "", said, ""]
    return stacked(parts)


def finetuning_table(results: Results[FineTuning]) -> RenderableType:
    """Return what a treatment wins over another, in points, a table per dataset and family."""
    parts: list[RenderableType] = []
    for (dataset, family), rows in groupby(results, key=lambda row: (row.dataset, row.family)):
        members = list(rows)
        pooled = members[0].scope == "pooled"
        table = new_table(
            f"{dataset}, {family} (accuracy won, in points{', mean over networks' if pooled else ''})",
            [*([] if pooled else ["network"]), "form", "against", "verdict"],
            ["won", "95% CI", *(["nets"] if pooled else []), "n"],
            tight=True,
        )
        reasons = []
        for row in members:
            style = VERDICT_STYLES.get(row.verdict)
            network = [] if pooled else [f"{row.depth}x{row.capacity}"]
            table.add_row(
                *network,
                shortened(row.form),
                row.against,
                f"[{style}]{row.verdict}[/]" if style else row.verdict,
                points(row.difference),
                points_interval(row.ci_low, row.ci_high),
                *([str(row.networks)] if pooled else []),
                str(row.replicates),
            )
            if row.reason:
                reasons.append((" ".join([*network, shortened(row.form), "against", row.against]), row.reason))
        parts += [table, "", *remarks(reasons)]
    return stacked(parts)
