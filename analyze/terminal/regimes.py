"""Tables on regimes, along size and along training."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from analyze.terminal.layout import interval, new_table, number, p_value, remarks, stacked, styled

if TYPE_CHECKING:
    from rich.console import RenderableType

    from analyze.questions.epochs import EpochOverfitting
    from analyze.questions.regimes import Regime
    from analyze.results import Results


def regimes_table(results: Results[Regime]) -> RenderableType:
    """Return the boundaries as one table per dataset."""
    parts: list[RenderableType] = []
    for dataset, rows in groupby(results, key=lambda row: row.dataset):
        table = new_table(
            dataset, ["family", "depth", "boundary", "status"], ["size", "95% CI", "parameters", "p", "n"]
        )
        members = list(rows)
        for row in members:
            table.add_row(
                row.family,
                str(row.depth),
                row.boundary,
                styled(row.status),
                number(row.capacity),
                interval(row.ci_low, row.ci_high),
                number(row.parameters),
                p_value(row.p_value),
                str(row.replicates),
            )
        reasons = [(f"{row.family}, depth {row.depth}, {row.boundary}", row.reason) for row in members if row.reason]
        open_ = [(f"{row.family}, depth {row.depth}", _left_open(row)) for row in members if row.failure_bound]
        parts += [table, "", *remarks(reasons), *remarks(open_)]
    return stacked(parts)


def _left_open(row: Regime) -> str:
    """Return what the replicates leave open about the first stable size."""
    seen = f"{row.failures} of the replicates" if row.failures else "no replicate"
    return (
        f"{seen} at the first stable size failed, which leaves open that up to {100 * (row.failure_bound or 0):.2g}% "
        "of trainings do (95% bound)"
    )


def epochs_table(results: Results[EpochOverfitting]) -> RenderableType:
    """Return the rises of test loss along training as one table per dataset."""
    parts: list[RenderableType] = []
    for dataset, rows in groupby(results, key=lambda row: row.dataset):
        title = f"{dataset} (best epoch, rise of test loss from there to the end in nats, p by Holm)"
        table = new_table(title, ["family", "depth", "size", "status"], ["best", "rise", "95% CI", "p", "n"])
        reasons = []
        for row in rows:
            interval = None if row.ci_low is None or row.ci_high is None else f"{row.ci_low:.3f} to {row.ci_high:.3f}"
            table.add_row(
                row.family,
                str(row.depth),
                str(row.capacity),
                styled(row.status),
                number(row.best_epoch),
                "" if row.rise is None else f"{row.rise:.3f}",
                interval,
                p_value(row.p_holm),
                str(row.replicates),
            )
            if row.status in ("insufficient", "detected") and row.reason:
                reasons.append((f"{row.family}, depth {row.depth}, size {row.capacity}", row.reason))
        parts += [table, "", *remarks(reasons)]
    return stacked(parts)
