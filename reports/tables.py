"""The report's tables as plain dictionaries for the template: the regimes, safe pruning, the numbers of a figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from reports.charts.vocabulary import (
    BOUNDARIES,
    CAPACITIES,
    DEPTHS,
    SHORT_CAPACITIES,
    STATUSES,
    count,
    depth_name,
    p_value,
    percent,
    points,
)

if TYPE_CHECKING:
    import polars as pl

    from reports.findings import Findings
    from reports.subject import Subject

Table = Mapping[str, object]


def _column(title: str, *, number: bool = False, badge: bool = False) -> dict[str, object]:
    return {"title": title, "number": number, "badge": badge}


def regimes(subject: Subject) -> Table:
    """Return the regimes table: per boundary and depth where it lies, how surely, and on how much data."""
    columns = [
        _column("Boundary"),
        _column(DEPTHS[subject.family][1].capitalize(), number=True),
        _column("Status", badge=True),
        _column(SHORT_CAPACITIES[subject.family].capitalize(), number=True),
        _column("95% interval"),
        _column("Parameters", number=True),
        _column("p", number=True),
        _column("Replicates", number=True),
    ]
    rows = [
        [
            BOUNDARIES.get(row["boundary"], row["boundary"]),
            row["depth"],
            {"key": row["status"], "text": STATUSES.get(row["status"], row["status"])},
            count(row["capacity"]),
            _interval(row["ci_low"], row["ci_high"]),
            count(row["parameters"]),
            p_value(row["p_value"]),
            count(row["replicates"]),
        ]
        for row in subject.boundaries.iter_rows(named=True)
    ]
    return {"heading": "Regimes", "columns": columns, "rows": rows, "notes": _reasons(subject)}


def _reasons(subject: Subject) -> list[str]:
    """Return why boundaries were not detected."""
    return _grouped_reasons(
        subject.family,
        subject.boundaries,
        "detected",
        lambda row: f"{BOUNDARIES.get(str(row['boundary']), row['boundary'])}, ",
    )


def _grouped_reasons(
    family: str, rows: pl.DataFrame, found: str, subject: Callable[[Mapping[str, object]], str]
) -> list[str]:
    """Return why rows have another status than `found`, equal reasons once with the depths that they hold for."""
    reasons: dict[tuple[str, str, str], list[int]] = {}
    for row in rows.iter_rows(named=True):
        if row["reason"] and row["status"] != found:
            reasons.setdefault((subject(row), row["status"], row["reason"]), []).append(row["depth"])
    return [
        f"{whose}{_depth_list(family, depths)}: {STATUSES.get(status, status)}, {reason}."
        for (whose, status, reason), depths in reasons.items()
    ]


def _depth_list(family: str, depths: list[int]) -> str:
    if len(depths) == 1:
        return depth_name(family, depths[0])
    return f"{', '.join(map(str, depths[:-1]))} and {depth_name(family, depths[-1])}"


def _interval(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "–"
    return count(low) if low == high else f"{count(low)} to {count(high)}"


def cells(subject: Subject) -> Table:
    """Return the numbers behind the convergence figure."""
    columns = [
        _column(DEPTHS[subject.family][1].capitalize(), number=True),
        _column(CAPACITIES[subject.family], number=True),
        _column("Parameters", number=True),
        _column("Replicates", number=True),
        _column("Diverged", number=True),
        _column("Mean accuracy", number=True),
        _column("Standard deviation", number=True),
        _column("95% interval of the mean"),
    ]
    rows = [
        [
            row["depth"],
            count(row["capacity"]),
            count(row["parameters"]),
            row["n"],
            row["diverged"],
            percent(row["mean"], 2),
            percent(row["sd"], 2),
            "–" if row["ci_low"] is None else f"{percent(row['ci_low'], 2)} to {percent(row['ci_high'], 2)}",
        ]
        for row in subject.cells.iter_rows(named=True)
    ]
    return {"heading": "Accuracy", "columns": columns, "rows": rows}


def reach(subject: Subject) -> Table:
    """Return the numbers behind the figure of reliability."""
    columns = [
        _column(DEPTHS[subject.family][1].capitalize(), number=True),
        _column(CAPACITIES[subject.family], number=True),
        _column("Parameters", number=True),
        _column("Trainings", number=True),
        _column(f"Reach {percent(float(subject.reach['reach'][0]))}", number=True),
        _column("Of all at least", number=True),
        _column("At most", number=True),
    ]
    rows = [
        [
            row["depth"],
            count(row["capacity"]),
            count(row["parameters"]),
            row["replicates"],
            row["reached"],
            percent(row["low"]),
            percent(row["high"]),
        ]
        for row in subject.reach.iter_rows(named=True)
    ]
    return {"heading": "Reliability", "columns": columns, "rows": rows}


def bits(subject: Subject) -> Table:
    """Return the numbers behind the figure of fewer bits."""
    columns = [
        _column(DEPTHS[subject.family][1].capitalize(), number=True),
        _column(CAPACITIES[subject.family], number=True),
        _column("Quantized"),
        _column("Bits"),
        _column("Verdict"),
        _column("Lost, points", number=True),
        _column("Simultaneous interval"),
        _column("Dead", number=True),
        _column("Replicates", number=True),
    ]
    rows = [
        [
            row["depth"],
            count(row["capacity"]),
            row["quantization"],
            row["bits"],
            row["verdict"],
            points(row["loss"]),
            _points_interval(row),
            row["dead"],
            row["replicates"],
        ]
        for row in subject.bits.iter_rows(named=True)
    ]
    return {"heading": "Accuracy lost to fewer bits", "columns": columns, "rows": rows}


def finetuning(subject: Subject) -> Table:
    """Return the numbers behind the figure of fine-tuning."""
    columns = [
        _column(DEPTHS[subject.family][1].capitalize(), number=True),
        _column(CAPACITIES[subject.family], number=True),
        _column("Pruned", number=True),
        _column("Epochs", number=True),
        _column("Fine-tuned", number=True),
        _column("One-shot", number=True),
        _column("Won, points", number=True),
        _column("95% interval"),
        _column("Verdict"),
        _column("Replicates", number=True),
    ]
    rows = [
        [
            row["depth"],
            count(row["capacity"]),
            percent(row["sparsity"], 0),
            row["finetune_epochs"],
            percent(row["mean"], 2),
            percent(row["against_mean"], 2),
            points(row["difference"]),
            _points_interval(row),
            row["verdict"],
            row["replicates"],
        ]
        for row in subject.finetuned.iter_rows(named=True)
    ]
    return {"heading": "What fine-tuning wins", "columns": columns, "rows": rows}


def frontier(subject: Subject) -> Table:
    """Return the numbers behind the frontier of bytes: its best forms, with what else they take."""
    columns = [
        _column(DEPTHS[subject.family][1].capitalize(), number=True),
        _column(CAPACITIES[subject.family], number=True),
        _column("Form"),
        _column("Bytes", number=True),
        _column("Operations", number=True),
        _column("Activations, bytes", number=True),
        _column("Mean accuracy", number=True),
        _column("Simultaneous interval"),
        _column("Not shown to be worse", number=True),
        _column("Replicates", number=True),
    ]
    rows = [
        [
            row["depth"],
            count(row["capacity"]),
            row["form"],
            count(row["bytes"]),
            count(row["macs"]),
            count(row["ram"]),
            percent(row["mean"], 2),
            "–" if row["ci_low"] is None else f"{percent(row['ci_low'], 2)} to {percent(row['ci_high'], 2)}",
            count(row["rivals"]),
            row["replicates"],
        ]
        for row in subject.frontier.filter("best", by="bytes").iter_rows(named=True)
    ]
    return {"heading": "The best forms by bytes", "columns": columns, "rows": rows}


def _points_interval(row: Mapping[str, float | None]) -> str:
    return "–" if row["ci_low"] is None else f"{points(row['ci_low'])} to {points(row['ci_high'])}"


def pruning(subject: Subject) -> Table:
    """Return the numbers behind the pruning figure, every tenth of the weights, at all capacities."""
    columns = [
        _column(DEPTHS[subject.family][1].capitalize(), number=True),
        _column(CAPACITIES[subject.family], number=True),
        _column("Pruned", number=True),
        _column("Replicates", number=True),
        _column("Mean accuracy", number=True),
        _column("Standard deviation", number=True),
    ]
    rows = [
        [
            row["depth"],
            count(row["capacity"]),
            percent(row["sparsity"], 0),
            row["n"],
            percent(row["mean"], 2),
            percent(row["sd"], 2),
        ]
        for row in subject.pruning.iter_rows(named=True)
        if round(100 * row["sparsity"]) % 10 == 0
    ]
    return {"heading": "Accuracy after pruning", "columns": columns, "rows": rows}


def safe_pruning(subject: Subject) -> list[Table]:
    """Return the table of safe pruning ratios and phases of the stable sizes, if there are any."""
    stable = [row for row in subject.safety.iter_rows(named=True) if row["stable"]]
    if not stable:
        return []
    columns = [
        _column(DEPTHS[subject.family][1].capitalize(), number=True),
        _column(SHORT_CAPACITIES[subject.family].capitalize(), number=True),
        _column("Status", badge=True),
        _column("Safe to prune", number=True),
        _column("Loss at most, points", number=True),
        _column("Plateau ends"),
        _column("Floor begins"),
        _column("Replicates", number=True),
    ]
    rows = [
        [
            row["depth"],
            count(row["capacity"]),
            {"key": row["status"], "text": STATUSES.get(row["status"], row["status"])},
            percent(row["safe_sparsity"], 0),
            points(row["loss_bound"]),
            _share(row, "plateau_end"),
            _share(row, "floor_start"),
            count(row["replicates"]),
        ]
        for row in stable
    ]
    margin = f"{100 * stable[0]['margin']:g} point"
    note = (
        f"Safe: non-inferior to the unpruned model, margin {margin}, one-sided 95%. Stable sizes only; 95% intervals in"
        " brackets."
    )
    return [{"heading": "Safe pruning", "columns": columns, "rows": rows, "notes": [note]}]


def _share(row: Mapping[str, float | None], name: str) -> str:
    if row[name] is None:
        return "–"
    return f"{percent(row[name], 0)} ({percent(row[f'{name}_low'], 0)} to {percent(row[f'{name}_high'], 0)})"


def shapes(subject: Subject) -> list[Table]:
    """Return the tables on topologies: from which width they are equivalent, and how much of the spread is theirs."""
    if subject.shape_thresholds.is_empty():
        return []
    thresholds = [
        [
            row["depth"],
            {"key": row["status"], "text": STATUSES.get(row["status"], row["status"])},
            count(row["capacity"]),
            _interval(row["ci_low"], row["ci_high"]),
            row["sizes"],
            row["replicates"],
        ]
        for row in subject.shape_thresholds.iter_rows(named=True)
    ]
    components = [
        [
            row["depth"],
            "stable sizes" if row["scope"] == "stable" else "all sizes",
            *(_spread(row, part) for part in ("size", "topology", "replicate")),
        ]
        for row in subject.shape_components.iter_rows(named=True)
        if not row["adjusted"] and row["topology_sd"] is not None
    ]
    margin = f"{100 * subject.shape_thresholds['margin'][0]:g} point"
    depth = _column(DEPTHS[subject.family][1].capitalize(), number=True)
    tables: list[Table] = [
        {
            "heading": "Topologies of equal width",
            "columns": [
                depth,
                _column("Status", badge=True),
                _column("Equivalent from width, estimate", number=True),
                _column("95% interval"),
                _column("Sizes", number=True),
                _column("Replicates", number=True),
            ],
            "rows": thresholds,
            "notes": [
                f"Equivalent: every two topologies within the equivalence margin, {margin} of accuracy: by the means"
                " seen from the estimate on, shown from the upper end of its interval on.",
                *_grouped_reasons(subject.family, subject.shape_thresholds, "equivalent", lambda _: ""),
            ],
        }
    ]
    if components:
        columns = [depth, _column("Scope"), _column("Sizes"), _column("Topologies"), _column("Replicates")]
        note = "Standard deviations of accuracy in points, with 95% intervals: what of the spread is due to which."
        tables.append({"heading": "Where the spread is from", "columns": columns, "rows": components, "notes": [note]})
    return tables


def _spread(row: Mapping[str, float | None], part: str) -> str:
    sd, low, high = (row[f"{part}_{what}"] for what in ("sd", "low", "high"))
    if sd is None:
        return "–"
    return f"{100 * sd:.2f}" + ("" if low is None or high is None else f" ({100 * low:.2f} to {100 * high:.2f})")


def gaps(subject: Subject) -> Table:
    """Return the numbers behind the quantization figure."""
    columns = [
        _column(DEPTHS[subject.family][1].capitalize(), number=True),
        _column(CAPACITIES[subject.family], number=True),
        _column("Status", badge=True),
        _column("Pairs", number=True),
        _column("Dead, 32-bit", number=True),
        _column("Dead, 8-bit", number=True),
        _column("Gap, points", number=True),
        _column("95% interval"),
    ]
    rows = [
        [
            row["depth"],
            count(row["capacity"]),
            {"key": row["status"], "text": STATUSES.get(row["status"], row["status"])},
            row["pairs"],
            row["dead_fp32"],
            row["dead_int8"],
            points(row["gap"]),
            "–" if row["ci_low"] is None else f"{points(row['ci_low'])} to {points(row['ci_high'])}",
        ]
        for row in subject.gaps.iter_rows(named=True)
    ]
    return {"heading": "Gap to 8 bits", "columns": columns, "rows": rows}


def methods(findings: Findings) -> list[Mapping[str, str]]:
    """Return how each result was found, in the words of the analysis."""
    found: dict[str, list[str]] = {}

    def note(term: str, method: str | None) -> None:
        texts = found.setdefault(term, [])
        if method and method not in texts:
            texts.append(method)

    for method in findings.recommendations["method"].unique(maintain_order=True):
        note("The answer", method)
    for quantity, method in findings.table_one.select("quantity", "method").unique(maintain_order=True).iter_rows():
        note(f"Table I, {quantity}", method)
    if findings.claims is not None:
        for number, title, method in (
            findings.claims.select("claim", "title", "method").unique(maintain_order=True).rows()
        ):
            note(f"Claim {number}, {title}", method)
    for subject in findings.subjects:
        for row in subject.boundaries.iter_rows(named=True):
            note(f"{BOUNDARIES.get(row['boundary'], row['boundary'])} boundary", row["method"])
        for term, frame in {
            "Pruning": subject.safety,
            "Crossing of depths": subject.crossings,
            "Gap to 8 bits": subject.gaps,
            "Topologies": subject.shape_thresholds,
            "Spread over topologies": subject.shape_components,
            "Rise of test loss": subject.onsets,
        }.items():
            for method in frame["method"].unique(maintain_order=True):
                note(term, method)
    return [{"term": term, "text": "; ".join(texts)} for term, texts in found.items()]
