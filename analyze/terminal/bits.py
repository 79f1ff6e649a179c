"""Tables on bits."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from analyze.terminal.layout import (
    YES_NO,
    new_table,
    points,
    points_bracketed,
    points_interval,
    remarks,
    stacked,
    unseen,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from analyze.questions.bits import BitStep, FewestBits
    from analyze.results import Results


def bits_table(results: Results[FewestBits]) -> RenderableType:
    """Return the fewest safe bits and where loss begins, in points, one table per dataset and way to quantize."""
    from analyze.questions.explain import in_points

    parts: list[RenderableType] = []
    for (dataset, way), rows in groupby(results, key=lambda row: (row.dataset, row.quantization)):
        members = list(rows)
        title = f"{dataset}, {_title(way)} (points of accuracy, in brackets simultaneous intervals)"
        table = new_table(
            title, ["family", "depth", "size", "stable", "fewest", "loses from"], ["at most", "loss there", "n"]
        )
        reasons = []
        for row in members:
            table.add_row(
                row.family,
                str(row.depth),
                str(row.capacity),
                YES_NO[row.stable],
                row.fewest or "-",
                row.onset or "-",
                points(row.loss_bound if row.fewest else None),
                points_bracketed(row.onset_loss, row.onset_low, row.onset_high),
                str(row.replicates),
            )
            if row.reason:
                reasons.append((f"{row.family}, depth {row.depth}, size {row.capacity}", row.reason))
        tested = f"[dim]In this order: {members[0].steps}; safe: less than {in_points(members[0].margin)} lost.[/]"
        parts += [table, "", tested, "", *unseen(row.failure_bound for row in members), *remarks(reasons)]
    return stacked(parts)


def bit_steps_table(results: Results[BitStep]) -> RenderableType:
    """Return what every step costs, in points, one table per dataset and way to quantize."""
    parts: list[RenderableType] = []
    for (dataset, way), rows in groupby(results, key=lambda row: (row.dataset, row.quantization)):
        title = f"{dataset}, {_title(way)} (fp32 minus quantized in points, deaths of those alive in fp32)"
        table = new_table(
            title, ["family", "depth", "size", "bits", "verdict"], ["loss", "interval", "deaths", "n"], tight=True
        )
        for row in rows:
            table.add_row(
                row.family,
                str(row.depth),
                str(row.capacity),
                row.bits,
                row.verdict,
                points(row.loss),
                points_interval(row.ci_low, row.ci_high),
                f"{row.dead}/{row.replicates}",
                str(row.replicates),
            )
        parts += [table, ""]
    return stacked(parts)


def _title(way: str) -> str:
    return "trained in few bits" if way == "trained" else "quantized after training"
