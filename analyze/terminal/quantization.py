"""Tables on 8 bits."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from analyze.terminal.layout import (
    YES_NO,
    interval,
    new_table,
    p_value,
    points,
    points_interval,
    remarks,
    stacked,
    styled,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from analyze.questions.quantization import IntegerAgreement, QuantizationGap, QuantizationTrend
    from analyze.results import Results


def gaps_table(results: Results[QuantizationGap]) -> RenderableType:
    """Return the gaps, in points, as one table per dataset."""
    parts: list[RenderableType] = []
    for dataset, rows in groupby(results, key=lambda row: row.dataset):
        table = new_table(
            f"{dataset} (fp32 minus int8 in points, deaths of those alive in fp32)",
            ["family", "depth", "size", "stable"],
            ["gap", "95% CI", "p", "deaths", "n"],
        )
        reasons = []
        for row in rows:
            living = row.pairs - row.dead_fp32
            table.add_row(
                row.family,
                str(row.depth),
                str(row.capacity),
                YES_NO[row.stable],
                points(row.gap),
                points_interval(row.ci_low, row.ci_high),
                p_value(row.p_value),
                "" if row.death_rate is None else f"{round(row.death_rate * living)}/{living}",
                str(row.replicates),
            )
            if row.reason:
                reasons.append((f"{row.family}, depth {row.depth}, size {row.capacity}", row.reason))
        parts += [table, "", *remarks(reasons)]
    return stacked(parts)


def trends_table(results: Results[QuantizationTrend]) -> RenderableType:
    """Return the slopes of the gap, in points per tenfold parameters, as one table per dataset."""
    parts: list[RenderableType] = []
    for dataset, rows in groupby(results, key=lambda row: row.dataset):
        title = f"{dataset} (change of the gap in points per tenfold parameters)"
        table = new_table(title, ["family", "depth", "status", "sizes"], ["slope", "95% CI", "p", "n"])
        reasons = []
        for row in rows:
            table.add_row(
                row.family,
                str(row.depth),
                styled(row.status),
                interval(row.smallest, row.largest),
                points(row.slope),
                points_interval(row.ci_low, row.ci_high),
                p_value(row.p_value),
                str(row.replicates),
            )
            if row.reason:
                reasons.append((f"{row.family}, depth {row.depth}", row.reason))
        parts += [table, "", *remarks(reasons)]
    return stacked(parts)


def agreement_table(results: Results[IntegerAgreement]) -> RenderableType:
    """Return the differences between converted and fake-quantized models, in points."""
    if not len(results):
        return stacked([])
    table = new_table(
        "converted minus fake-quantized, in points",
        ["dataset", "family", "agrees"],
        ["difference", "95% CI", "largest", "runs"],
    )
    for row in results:
        table.add_row(
            row.dataset,
            row.family,
            YES_NO[row.agrees],
            points(row.difference),
            points_interval(row.ci_low, row.ci_high),
            points(row.largest),
            str(row.runs),
        )
    return table
