"""How results look in a terminal: tables of at most 80 columns, one per dataset, with the reasons below."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from analyze._candidates import Candidate
    from analyze._epochs import EpochOverfitting
    from analyze._power import Power
    from analyze._pruning import DepthCrossing, Pruning
    from analyze._quantization import IntegerAgreement, QuantizationGap, QuantizationTrend
    from analyze._recommend import Recommendation, Recommendations
    from analyze._regimes import Regime
    from analyze._results import Results
    from analyze._shapes import ShapeComponents, ShapeEquivalence, ShapeThreshold
    from analyze._table_one import TableOneFigure

YES_NO = {True: "yes", False: "no", None: ""}
STATUS_STYLES = {"detected": "green", "gradual": "yellow", "not_reached": "yellow", "insufficient": "red"}
STATUS_STYLES |= {"equivalent": "green", "inconclusive": "yellow", "different": "red"}


def regimes_table(results: Results[Regime]) -> RenderableType:
    """Return the boundaries as one table per dataset."""
    parts: list[RenderableType] = []
    for dataset, rows in groupby(results, key=lambda row: row.dataset):
        table = _table(dataset, ["family", "depth", "boundary", "status"], ["size", "95% CI", "parameters", "p", "n"])
        members = list(rows)
        for row in members:
            table.add_row(
                row.family,
                str(row.depth),
                row.boundary,
                styled(row.status),
                _number(row.capacity),
                _interval(row.ci_low, row.ci_high),
                _number(row.parameters),
                _p(row.p_value),
                str(row.replicates),
            )
        reasons = [(f"{row.family}, depth {row.depth}, {row.boundary}", row.reason) for row in members if row.reason]
        parts += [table, "", *_reasons(reasons)]
    return stacked(parts)


def epochs_table(results: Results[EpochOverfitting]) -> RenderableType:
    """Return the rises of test loss along training as one table per dataset."""
    parts: list[RenderableType] = []
    for dataset, rows in groupby(results, key=lambda row: row.dataset):
        title = f"{dataset} (best epoch, rise of test loss from there to the end in nats, p by Holm)"
        table = _table(title, ["family", "depth", "size", "status"], ["best", "rise", "95% CI", "p", "n"])
        reasons = []
        for row in rows:
            interval = None if row.ci_low is None or row.ci_high is None else f"{row.ci_low:.3f} to {row.ci_high:.3f}"
            table.add_row(
                row.family,
                str(row.depth),
                str(row.capacity),
                styled(row.status),
                _number(row.best_epoch),
                "" if row.rise is None else f"{row.rise:.3f}",
                interval,
                _p(row.p_holm),
                str(row.replicates),
            )
            if row.status == "insufficient" and row.reason:
                reasons.append((f"{row.family}, depth {row.depth}, size {row.capacity}", row.reason))
        parts += [table, "", *_reasons(reasons)]
    return stacked(parts)


def pruning_table(results: Results[Pruning]) -> RenderableType:
    """Return safe sparsities and phases, in percent, as one table per dataset."""
    parts: list[RenderableType] = []
    for dataset, rows in groupby(results, key=lambda row: row.dataset):
        table = _table(
            f"{dataset} (sparsities in %, in brackets 95% intervals)",
            ["family", "depth", "size", "stable", "safe"],
            ["plateau", "floor", "2% lost at", "2% left at", "n"],
        )
        reasons = []
        for row in rows:
            table.add_row(
                row.family,
                str(row.depth),
                str(row.capacity),
                YES_NO[row.stable],
                "" if row.safe_sparsity is None else f"{100 * row.safe_sparsity:.0f}",
                "" if row.plateau_end is None else f"{100 * row.plateau_end:.0f}",
                "" if row.floor_start is None else f"{100 * row.floor_start:.0f}",
                _percent(row.onset, row.onset_low, row.onset_high),
                _percent(row.collapse, row.collapse_low, row.collapse_high),
                str(row.replicates),
            )
            if row.reason:
                reasons.append((f"{row.family}, depth {row.depth}, size {row.capacity}", row.reason))
        parts += [table, "", *_reasons(reasons)]
    return stacked(parts)


def crossings_table(results: Results[DepthCrossing]) -> RenderableType:
    """Return the sparsities at which depths cross, in percent, as one table per dataset."""
    parts: list[RenderableType] = []
    for dataset, rows in groupby(results, key=lambda row: row.dataset):
        table = _table(
            dataset, ["family", "size", "depths", "status"], ["sparsity, %", "accuracy", "deeper better", "n"]
        )
        for row in rows:
            table.add_row(
                row.family,
                str(row.capacity),
                f"{row.shallower}, {row.deeper}",
                styled(row.status),
                _percent(row.sparsity, row.ci_low, row.ci_high),
                "" if row.accuracy is None else f"{row.accuracy:.3f}",
                {True: "beyond", False: "before", None: ""}[row.deeper_wins_beyond],
                str(row.replicates),
            )
        parts += [table, ""]
    return stacked(parts)


def gaps_table(results: Results[QuantizationGap]) -> RenderableType:
    """Return the gaps, in points, as one table per dataset."""
    parts: list[RenderableType] = []
    for dataset, rows in groupby(results, key=lambda row: row.dataset):
        table = _table(
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
                _points(row.gap),
                _points_interval(row.ci_low, row.ci_high),
                _p(row.p_value),
                "" if row.death_rate is None else f"{round(row.death_rate * living)}/{living}",
                str(row.replicates),
            )
            if row.reason:
                reasons.append((f"{row.family}, depth {row.depth}, size {row.capacity}", row.reason))
        parts += [table, "", *_reasons(reasons)]
    return stacked(parts)


def trends_table(results: Results[QuantizationTrend]) -> RenderableType:
    """Return the slopes of the gap, in points per tenfold parameters, as one table per dataset."""
    parts: list[RenderableType] = []
    for dataset, rows in groupby(results, key=lambda row: row.dataset):
        title = f"{dataset} (change of the gap in points per tenfold parameters)"
        table = _table(title, ["family", "depth", "status", "sizes"], ["slope", "95% CI", "p", "n"])
        reasons = []
        for row in rows:
            table.add_row(
                row.family,
                str(row.depth),
                styled(row.status),
                _interval(row.smallest, row.largest),
                _points(row.slope),
                _points_interval(row.ci_low, row.ci_high),
                _p(row.p_value),
                str(row.replicates),
            )
            if row.reason:
                reasons.append((f"{row.family}, depth {row.depth}", row.reason))
        parts += [table, "", *_reasons(reasons)]
    return stacked(parts)


def agreement_table(results: Results[IntegerAgreement]) -> RenderableType:
    """Return the differences between converted and fake-quantized models, in points."""
    if not len(results):
        return stacked([])
    table = _table(
        "converted minus fake-quantized, in points",
        ["dataset", "family", "agrees"],
        ["difference", "95% CI", "largest", "runs"],
    )
    for row in results:
        table.add_row(
            row.dataset,
            row.family,
            YES_NO[row.agrees],
            _points(row.difference),
            _points_interval(row.ci_low, row.ci_high),
            _points(row.largest),
            str(row.runs),
        )
    return table


def recommendations_table(results: Results[Recommendation]) -> RenderableType:
    """Return what is recommended, one table per dataset, and below it what was not and what would decide it."""
    parts: list[RenderableType] = []
    for dataset, rows in groupby(results, key=lambda row: row.dataset):
        title = f"{dataset} (family, depth x size; bytes of the smallest form shown to be safe)"
        table = _table(title, ["scope", "smallest"], ["params", "accuracy, %", "prune", "int8", "bytes", "form"])
        remarks = []
        for row in rows:
            table.add_row(
                row.scope,
                styled(row.status) if row.family is None else f"{row.family} {row.depth}x{row.capacity}",
                _number(row.parameters),
                _percent(row.accuracy, row.ci_low, row.ci_high, digits=1),
                "" if row.safe_sparsity is None else f"{100 * row.safe_sparsity:.0f}%",
                {True: "safe", False: "no", None: ""}[row.int8_safe],
                _number(row.safe_bytes),
                row.safe_form,
            )
            if row.runner_up_family:
                name = f"{row.runner_up_family} {row.runner_up_depth}x{row.runner_up_capacity}"
                remarks.append(f"{row.scope}: next {name}, {_number(row.runner_up_parameters)} parameters")
            remarks += [f"{row.scope}: [dim]{text}[/]" for text in (row.reason, row.command) if text]
        parts += [table, "", *remarks, ""]
    return stacked(parts)


def reasoning(found: Recommendations) -> RenderableType:
    """Return the recommendations with the reasoning and the evidence behind each."""
    parts: list[RenderableType] = [recommendations_table(found.rows)]
    for row in found.rows:
        parts += [f"[bold]{row.dataset}, {row.scope}[/]", row.explanation, ""]
    return stacked([*parts, evidence_table(found.evidence)] if len(found.rows) else [])


def evidence_table(results: Results[Candidate]) -> RenderableType:
    """Return the architectures behind the recommendations, one table per dataset and scope."""
    parts: list[RenderableType] = []
    for (dataset, scope), rows in groupby(results, key=lambda row: (row.dataset, row.scope)):
        title = f"{dataset}, {scope} (accuracies and drop against the best in points)"
        table = _table(title, ["family", "depth", "size", "verdict"], ["parameters", "mean", "sd", "drop", "p", "n"])
        for row in rows:
            table.add_row(
                row.family,
                str(row.depth),
                str(row.capacity),
                row.verdict,
                _number(row.parameters),
                _points(row.mean),
                _points(row.sd),
                _points(row.drop),
                _p(row.p_value),
                str(row.replicates),
            )
        parts += [table, ""]
    return stacked(parts)


def shapes_table(results: Results[ShapeEquivalence]) -> RenderableType:
    """Return the largest differences between topologies, in points, as one table per dataset."""
    parts: list[RenderableType] = []
    for dataset, rows in groupby(results, key=lambda row: row.dataset):
        title = f"{dataset} (largest difference of topologies in points, p of TOST by Holm)"
        numbers = ["largest", "95% CI", "between", "p", "power", "n"]
        table = _table(title, ["depth", "size", "stable", "status"], numbers)
        reasons = []
        for row in rows:
            table.add_row(
                str(row.depth),
                str(row.capacity),
                YES_NO[row.stable],
                styled(row.status),
                _points(row.largest),
                _points_interval(row.ci_low, row.ci_high),
                "" if row.better is None else f"{row.better} {row.worse}",
                _p(row.p_holm),
                "" if row.power is None else f"{row.power:.2f}",
                str(row.replicates),
            )
            if row.reason:
                reasons.append((f"depth {row.depth}, size {row.capacity}", row.reason))
        parts += [table, "", *_reasons(reasons)]
    return stacked(parts)


def thresholds_table(results: Results[ShapeThreshold]) -> RenderableType:
    """Return the sizes from which topologies are equivalent as one table per dataset."""
    parts: list[RenderableType] = []
    for dataset, rows in groupby(results, key=lambda row: row.dataset):
        table = _table(dataset, ["family", "depth", "status"], ["equivalent from", "95% CI", "sizes", "n"])
        reasons = []
        for row in rows:
            interval = "" if row.ci_low is None else f"{row.ci_low}-" + _number(row.ci_high)
            table.add_row(
                row.family,
                str(row.depth),
                styled(row.status),
                _number(row.capacity),
                interval,
                str(row.sizes),
                str(row.replicates),
            )
            if row.reason:
                reasons.append((f"{row.family}, depth {row.depth}", row.reason))
        parts += [table, "", *_reasons(reasons)]
    return stacked(parts)


def components_table(results: Results[ShapeComponents]) -> RenderableType:
    """Return standard deviations by their cause, in points, as one table per dataset."""
    parts: list[RenderableType] = []
    for dataset, rows in groupby(results, key=lambda row: row.dataset):
        title = f"{dataset} (standard deviations in points, 95% intervals; adj.: for parameters)"
        table = _table(title, ["depth", "sizes"], ["size", "topology", "replicate", "n"])
        reasons = []
        for row in rows:
            table.add_row(
                str(row.depth),
                row.scope + (", adj." if row.adjusted else ""),
                _points_bracketed(row.size_sd, row.size_low, row.size_high),
                _points_bracketed(row.topology_sd, row.topology_low, row.topology_high),
                _points_bracketed(row.replicate_sd, row.replicate_low, row.replicate_high),
                str(row.replicates),
            )
            if row.reason:
                where = f"depth {row.depth}, {row.scope} sizes" + (", adjusted" if row.adjusted else "")
                reasons.append((where, row.reason))
        parts += [table, "", *_reasons(reasons)]
    return stacked(parts)


def table_one_table(results: Results[TableOneFigure]) -> RenderableType:
    """Return the figures of Table I beside the paper's, one table per dataset; ratios and gaps in percent."""
    parts: list[RenderableType] = []
    for dataset, rows in groupby(results, key=lambda row: row.dataset):
        title = f"{dataset} (ratios and gaps in %)"
        table = _table(title, ["family", "figure", "status"], ["here", "interval", "paper", "inside", "n"])
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
        parts += [table, "", *_reasons(reasons)]
    return stacked(parts)


def power_table(results: Results[Power]) -> RenderableType:
    """Return the replicates that each question takes as one table per dataset."""
    parts: list[RenderableType] = []
    for dataset, rows in groupby(results, key=lambda row: row.dataset):
        table = _table(dataset, ["family", "depth", "goal", "size", "status"], ["sd, points", "seen", "needed"])
        reasons = []
        for row in rows:
            table.add_row(
                row.family,
                str(row.depth),
                row.goal,
                "" if row.capacity is None else str(row.capacity),
                styled(row.status),
                _points(row.sd),
                str(row.replicates_seen),
                _number(row.replicates_needed),
            )
            if row.reason:
                size = "" if row.capacity is None else f", size {row.capacity}"
                reasons.append((f"{row.family}, depth {row.depth}, {row.goal}{size}", row.reason))
        parts += [table, "", *_reasons(reasons)]
    return stacked(parts)


def stacked(parts: Sequence[RenderableType]) -> RenderableType:
    """Return the parts one below the other."""
    from rich.console import Group

    return Group(*(parts or ["no results"]))


def styled(status: str) -> str:
    """Return a status in its colour."""
    style = STATUS_STYLES.get(status)
    return f"[{style}]{status}[/]" if style else status


def _table(title: str, texts: Sequence[str], numbers: Sequence[str]) -> Table:
    from rich import box
    from rich.table import Table

    # The box itself puts a space between columns; more than nine of them have no room for a second one.
    gap = 1 if len(texts) + len(numbers) <= 9 else 0
    table = Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, gap, 0, 0),
    )
    for name in texts:
        table.add_column(name, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _reasons(reasons: Sequence[tuple[str, str]]) -> list[str]:
    """Return a line per reason that differs, with everything it holds for."""
    grouped: dict[str, list[str]] = {}
    for where, reason in reasons:
        grouped.setdefault(reason, []).append(where)
    return [f"{'; '.join(where)}: [dim]{reason}[/]" for reason, where in grouped.items()] + ([""] if reasons else [])


def _figure(quantity: str, value: float | None) -> str:
    """Return a figure of Table I: a count, a ratio in percent, or a gap in points."""
    if value is None:
        return ""
    return {"parameters": f"{value:,.0f}", "safe sparsity": f"{100 * value:.0f}"}.get(quantity, f"{100 * value:.2f}")


def _figures(quantity: str, low: float | None, high: float | None) -> str:
    if high is None:
        return ""
    return (
        f"up to {_figure(quantity, high)}" if low is None else f"{_figure(quantity, low)} to {_figure(quantity, high)}"
    )


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _interval(low: int | None, high: int | None) -> str:
    return "" if low is None or high is None else f"{low}-{high}"


def _p(value: float | None) -> str:
    return "" if value is None else ("<0.001" if value < 0.001 else f"{value:.3f}")


def _percent(value: float | None, low: float | None, high: float | None, digits: int = 0) -> str:
    """Return a fraction in percent with its interval, if that is more than a point: `60 [55, 60]`."""
    if value is None or low is None or high is None:
        return ""
    interval = "" if low == high else f" [{100 * low:.{digits}f}, {100 * high:.{digits}f}]"
    return f"{100 * value:.{digits}f}{interval}"


def _points(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}"


def _points_bracketed(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or low is None or high is None:
        return ""
    return f"{100 * value:.2f} [{100 * low:.2f}, {100 * high:.2f}]"


def _points_interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{100 * low:.2f} to {100 * high:.2f}"
