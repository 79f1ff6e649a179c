"""The table of replicates needed."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from analyze.terminal.layout import new_table, number, points, remarks, stacked, styled

if TYPE_CHECKING:
    from rich.console import RenderableType

    from analyze.questions.power import Power
    from analyze.results import Results


def power_table(results: Results[Power]) -> RenderableType:
    """Return the replicates that each question takes as one table per dataset."""
    parts: list[RenderableType] = []
    for dataset, rows in groupby(results, key=lambda row: row.dataset):
        table = new_table(dataset, ["family", "depth", "goal", "size", "status"], ["sd, points", "seen", "needed"])
        reasons = []
        for row in rows:
            table.add_row(
                row.family,
                str(row.depth),
                row.goal,
                "" if row.capacity is None else str(row.capacity),
                styled(row.status),
                points(row.sd),
                str(row.replicates_seen),
                number(row.replicates_needed),
            )
            if row.reason:
                size = "" if row.capacity is None else f", size {row.capacity}"
                reasons.append((f"{row.family}, depth {row.depth}, {row.goal}{size}", row.reason))
        parts += [table, "", *remarks(reasons)]
    return stacked(parts)
