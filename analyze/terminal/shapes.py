"""Tables on topologies."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from analyze.terminal.layout import (
    YES_NO,
    new_table,
    number,
    p_value,
    points,
    points_bracketed,
    points_interval,
    remarks,
    stacked,
    styled,
    unseen,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from analyze.questions.shapes import ShapeComponents, ShapeEquivalence, ShapeThreshold
    from analyze.results import Results


def shapes_table(results: Results[ShapeEquivalence]) -> RenderableType:
    """Return the largest differences between topologies, in points, as one table per dataset."""
    parts: list[RenderableType] = []
    for dataset, rows in groupby(results, key=lambda row: row.dataset):
        title = (
            f"{dataset} (largest difference of topologies in points and between which: layer by layer wider + alike ="
            " or narrower -; p of TOST by Holm)"
        )
        numbers = ["largest", "95% CI", "between", "p", "power", "n"]
        table = new_table(title, ["depth", "size", "stable", "status"], numbers)
        reasons = []
        members = list(rows)
        for row in members:
            table.add_row(
                str(row.depth),
                str(row.capacity),
                YES_NO[row.stable],
                styled(row.status),
                points(row.largest),
                points_interval(row.ci_low, row.ci_high),
                "" if row.better is None else f"{row.better} {row.worse}",
                p_value(row.p_holm),
                "" if row.power is None else f"{row.power:.2f}",
                str(row.replicates),
            )
            if row.reason:
                reasons.append((f"depth {row.depth}, size {row.capacity}", row.reason))
        parts += [table, "", *unseen(row.failure_bound for row in members), *remarks(reasons)]
    return stacked(parts)


def thresholds_table(results: Results[ShapeThreshold]) -> RenderableType:
    """Return the sizes from which topologies are equivalent as one table per dataset."""
    parts: list[RenderableType] = []
    for dataset, rows in groupby(results, key=lambda row: row.dataset):
        table = new_table(dataset, ["family", "depth", "status"], ["equivalent from", "95% CI", "sizes", "n"])
        reasons = []
        for row in rows:
            interval = "" if row.ci_low is None else f"{row.ci_low}-" + number(row.ci_high)
            table.add_row(
                row.family,
                str(row.depth),
                styled(row.status),
                number(row.capacity),
                interval,
                str(row.sizes),
                str(row.replicates),
            )
            if row.reason:
                reasons.append((f"{row.family}, depth {row.depth}", row.reason))
        parts += [table, "", *remarks(reasons)]
    return stacked(parts)


def components_table(results: Results[ShapeComponents]) -> RenderableType:
    """Return standard deviations by their cause, in points, as one table per dataset."""
    parts: list[RenderableType] = []
    for dataset, rows in groupby(results, key=lambda row: row.dataset):
        title = f"{dataset} (standard deviations in points, 95% intervals; adj.: for parameters)"
        table = new_table(title, ["depth", "sizes"], ["size", "topology", "replicate", "n"])
        reasons = []
        for row in rows:
            table.add_row(
                str(row.depth),
                row.scope + (" adj." if row.adjusted else ""),
                points_bracketed(row.size_sd, row.size_low, row.size_high),
                points_bracketed(row.topology_sd, row.topology_low, row.topology_high),
                points_bracketed(row.replicate_sd, row.replicate_low, row.replicate_high),
                str(row.replicates),
            )
            if row.reason:
                where = f"depth {row.depth}, {row.scope} sizes" + (", adjusted" if row.adjusted else "")
                reasons.append((where, row.reason))
        parts += [table, "", *remarks(reasons)]
    return stacked(parts)
