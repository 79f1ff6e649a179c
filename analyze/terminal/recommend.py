"""Tables on recommendations and the evidence behind them."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from analyze.terminal.layout import brief, new_table, number, p_value, percent, points, shortened, stacked, styled

if TYPE_CHECKING:
    from rich.console import RenderableType

    from analyze.questions.candidates import Candidate
    from analyze.questions.recommend import Recommendation, Recommendations
    from analyze.results import Results


def recommendations_table(results: Results[Recommendation]) -> RenderableType:
    """Return what is proven and what is guessed, one table per dataset, and below it what would decide the rest."""
    from rich.markup import escape

    from analyze.questions.explain import WHY_ALL_DIFFERS, failures_in_words
    from analyze.questions.reach import reach_in_words

    parts: list[RenderableType] = []
    for dataset, rows in groupby(results, key=lambda row: row.dataset):
        members = list(rows)
        open_to: dict[str, list[str]] = {}
        form = "the form chosen" if limited(members[0]) else "the smallest form shown to be safe"
        title = f"{dataset} (family, depth x size; bytes of {form})"
        table = new_table(title, ["scope", "smallest"], ["params", "accuracy, %", "prune", "int8", "bytes", "form"])
        remarks = [f"[dim]{words}[/]" for words in limited(members[0])]
        for row in members:
            table.add_row(
                row.scope,
                styled(row.status) if row.family is None else f"{row.family} {row.depth}x{row.capacity}",
                number(row.parameters),
                percent(row.accuracy, row.ci_low, row.ci_high, digits=1),
                "" if row.safe_sparsity is None else f"{100 * row.safe_sparsity:.0f}%",
                {True: "safe", False: "no", None: ""}[row.int8_safe],
                number(row.safe_bytes),
                shortened(row.safe_form or ""),
            )
            if row.guess_family:
                table.add_row(
                    "  guess",
                    f"{row.guess_family} {row.guess_depth}x{row.guess_capacity}",
                    number(row.guess_parameters),
                    f"{100 * (row.guess_accuracy or 0):.1f}",
                    style="yellow",
                )
            if row.replicates is not None:
                seen = failures_in_words(row.failures or 0, row.replicates, row.failure_bound or 0.0)
                open_to.setdefault(seen, []).append(row.scope)
                if row.reach is not None:
                    reached, share = row.reached or 0, row.reach_share or 0.0
                    reliable = reach_in_words(row.reach, reached, row.replicates, share)
                    open_to.setdefault(reliable, []).append(row.scope)
            if row.family is not None and limited(row):
                taken = f"{number(row.safe_macs)} MACs, {number(row.safe_ram)} bytes of activations"
                remarks.append(f"{row.scope}: {row.safe_form}: {taken}")
            if row.runner_up_family:
                name = f"{row.runner_up_family} {row.runner_up_depth}x{row.runner_up_capacity}"
                remarks.append(f"{row.scope}: next {name}, {number(row.runner_up_parameters)} parameters")
            command = None if row.command == row.guess_command else row.command
            remarks += [f"{row.scope}: [dim]{escape(text)}[/]" for text in (row.reason, command) if text]
            if row.guess_family:
                remarks.append(f"{row.scope}: guess, not proven: [dim]{escape(row.guess_reason or '')}[/]")
        remarks += [f"{', '.join(scopes)}: [dim]{seen}[/]" for seen, scopes in open_to.items()]
        if any(row.scope == "all" for row in members):
            remarks.append(f"[dim]{WHY_ALL_DIFFERS}[/]")
        parts += [table, "", *remarks, ""]
    return stacked(parts)


def limited(row: Recommendation) -> list[str]:
    """Return what was asked for beside accuracy, if anything was: the budget, and what is to be small."""
    from analyze.questions.costs import NOUNS

    budget = {"parameters": row.max_parameters, "bytes": row.max_bytes, "macs": row.max_macs, "ram": row.max_ram}
    said = [f"at most {most:,} {NOUNS[kind]}" for kind, most in budget.items() if most is not None]  # type: ignore[index]
    if said:
        said = [f"{', '.join(said)}: the best is the best that fits"]
    return [*said, *([f"smallest in {NOUNS[row.by]}"] if row.by != "parameters" else [])]


def reasoning(found: Recommendations) -> RenderableType:
    """Return the recommendations with the reasoning and the evidence behind each."""
    from rich.markup import escape

    parts: list[RenderableType] = [recommendations_table(found)]
    for row in found:
        parts += [f"[bold]{escape(row.dataset)}, {row.scope}[/]", escape(row.explanation), ""]
    return stacked([*parts, evidence_table(found.evidence)] if len(found) else [])


def evidence_table(results: Results[Candidate]) -> RenderableType:
    """Return the architectures behind the recommendations, one table per dataset and scope."""
    parts: list[RenderableType] = []
    for (dataset, scope), rows in groupby(results, key=lambda row: (row.dataset, row.scope)):
        title = f"{dataset}, {scope} (accuracies and drop in points; RAM: activations in fp32, bytes)"
        numbers = ["params", "MACs", "RAM", "mean", "drop", "p", "n"]
        table = new_table(title, ["family", "depth", "size", "verdict"], numbers)
        for row in rows:
            table.add_row(
                row.family,
                str(row.depth),
                str(row.capacity),
                row.verdict,
                number(row.parameters),
                brief(row.macs),
                brief(row.ram_fp32),
                points(row.mean),
                points(row.drop),
                p_value(row.p_value),
                str(row.replicates),
            )
        parts += [table, ""]
    return stacked(parts)
