"""Tables beside the paper: its Table I and its claims."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING

from analyze.terminal.layout import YES_NO, new_table, p_value, remarks, stacked, styled

if TYPE_CHECKING:
    from rich.console import RenderableType

    from analyze.paper.claims import ClaimVerdict
    from analyze.paper.table_one import TableOneFigure
    from analyze.results import Results

VERDICTS = ("supported", "contradicted", "inconclusive", "not_testable")


def table_one_table(results: Results[TableOneFigure]) -> RenderableType:
    """Return the figures of Table I beside the paper's, one table per dataset; ratios and gaps in percent."""
    parts: list[RenderableType] = []
    for dataset, rows in groupby(results, key=lambda row: row.dataset):
        title = f"{dataset} (ratios and gaps in %)"
        columns = ["here", "interval", "paper", "inside", "n"]
        table = new_table(title, ["family", "figure", "status"], columns, tight=True)
        reasons = []
        for row in rows:
            table.add_row(
                row.family,
                row.quantity,
                styled(row.status),
                _figure(row.quantity, row.estimate),
                _figures(row.quantity, row.ci_low, row.ci_high),
                _figure(row.quantity, row.paper),
                YES_NO[row.paper_inside],
                "" if row.replicates is None else str(row.replicates),
            )
            if row.reason:
                reasons.append((f"{row.family}, {row.quantity}", row.reason))
        parts += [table, "", *remarks(reasons)]
    return stacked(parts)


def _figure(quantity: str, value: float | None) -> str:
    """Return a figure of Table I: a count (`1.15M` from a million on), a ratio in percent, or a gap in points."""
    if value is None:
        return ""
    if quantity == "parameters":
        # Millions in three digits: two ends of seven digits each would push the other columns out of 80.
        return f"{value / 1e6:.3g}M" if value >= 1e6 else f"{value:,.0f}"
    return {"safe sparsity": f"{100 * value:.0f}"}.get(quantity, f"{100 * value:.2f}")


def _figures(quantity: str, low: float | None, high: float | None) -> str:
    if high is None:
        return ""
    return (
        f"up to {_figure(quantity, high)}" if low is None else f"{_figure(quantity, low)} to {_figure(quantity, high)}"
    )


def claims_table(results: Results[ClaimVerdict]) -> RenderableType:
    """Return the claims, a table each with a row per scope, below it what the verdicts rest on and what to run."""
    from analyze.paper.claims.rows import SCALES

    if not len(results):
        return stacked([])
    counts = Counter[str](row.verdict for row in results)
    total = ", ".join(f"{counts[name]} {name}" for name in VERDICTS if counts[name])
    looks = "".join(dict.fromkeys(f" over looks at {row.planned_looks} replicates" for row in results if row.design))
    parts: list[RenderableType] = [f"{total}; family-wise error rate at most 5%{looks}", ""]
    for (number, title), rows in groupby(results, key=lambda row: (row.claim, row.title)):
        members = list(rows)
        unit = SCALES[members[0].unit]
        heading = f"[bold]{number}. {title}[/]: {members[0].statistic}{unit}"
        table = new_table(None, ["dataset", "family", "verdict"], ["here", "95% CI", "claim", "p", "n"], tight=True)
        reasons = []
        for row in members:
            table.add_row(
                row.dataset,
                row.family,
                styled(row.verdict),
                _value(row.unit, row.estimate),
                _range(row.unit, row.ci_low, row.ci_high),
                _range(row.unit, row.claim_low, row.claim_high),
                p_value(row.p_adjusted),
                "" if row.n is None else str(row.n),
            )
            where = ", ".join(name for name in (row.dataset, row.family) if name) or "the paper's datasets"
            if row.detail:
                reasons.append((where, row.detail))
            if row.to_test:
                reasons.append((where, row.to_test))
        parts += [heading, table, "", *remarks(reasons)]
    return stacked(parts)


def _value(unit: str, value: float | None) -> str:
    if value is None:
        return ""
    if unit == "count" or (unit == "parameters" and value < 10_000):
        return f"{value:,.0f}"
    if unit == "parameters":
        return f"{value / 1e6:.3g}M" if value >= 1e6 else f"{value / 1e3:.3g}k"
    if unit == "ratio":
        return f"{value:.2f}"
    return f"{100 * value:.0f}" if unit == "sparsity" and 100 * value % 1 < 1e-6 else f"{100 * value:.2f}"


def _range(unit: str, low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return ""
    if low is None:
        return f"< {_value(unit, high)}"
    if high is None:
        return f"> {_value(unit, low)}"
    return _value(unit, low) if low == high else f"{_value(unit, low)} to {_value(unit, high)}"
