"""Tables on pruning."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from analyze.terminal.layout import YES_NO, new_table, percent, remarks, stacked, styled, unseen

if TYPE_CHECKING:
    from rich.console import RenderableType

    from analyze.questions.pruning import DepthCrossing, Pruning
    from analyze.results import Results


def pruning_table(results: Results[Pruning]) -> RenderableType:
    """Return safe sparsities and phases, in percent, as one table per dataset."""
    parts: list[RenderableType] = []
    for dataset, rows in groupby(results, key=lambda row: row.dataset):
        table = new_table(
            f"{dataset} (sparsities in %, in brackets 95% intervals)",
            ["family", "depth", "size", "stable", "safe"],
            ["plateau", "floor", "2% lost at", "2% left at", "n"],
        )
        reasons = []
        members = list(rows)
        for row in members:
            table.add_row(
                row.family,
                str(row.depth),
                str(row.capacity),
                YES_NO[row.stable],
                "" if row.safe_sparsity is None else f"{100 * row.safe_sparsity:.0f}",
                "" if row.plateau_end is None else f"{100 * row.plateau_end:.0f}",
                "" if row.floor_start is None else f"{100 * row.floor_start:.0f}",
                _place(row.onset, row.onset_low, row.onset_high),
                _place(row.collapse, row.collapse_low, row.collapse_high),
                str(row.replicates),
            )
            if row.reason:
                reasons.append((f"{row.family}, depth {row.depth}, size {row.capacity}", row.reason))
        parts += [table, "", *unseen(row.failure_bound for row in members), *remarks(reasons)]
    return stacked(parts)


def _place(value: float | None, low: float | None, high: float | None) -> str:
    """Return a sparsity in percent with its interval; `60 [?]` where there are too few replicates for one."""
    return f"{100 * value:.0f} [?]" if value is not None and low is None else percent(value, low, high)


def crossings_table(results: Results[DepthCrossing]) -> RenderableType:
    """Return the sparsities at which depths cross, in percent, as one table per dataset."""
    parts: list[RenderableType] = []
    for dataset, rows in groupby(results, key=lambda row: row.dataset):
        table = new_table(
            dataset, ["family", "size", "depths", "status"], ["sparsity, %", "accuracy", "deeper better", "n"]
        )
        for row in rows:
            table.add_row(
                row.family,
                str(row.capacity),
                f"{row.shallower}, {row.deeper}",
                styled(row.status),
                percent(row.sparsity, row.ci_low, row.ci_high),
                "" if row.accuracy is None else f"{row.accuracy:.3f}",
                {True: "beyond", False: "before", None: ""}[row.deeper_wins_beyond],
                str(row.replicates),
            )
        parts += [table, ""]
    return stacked(parts)
