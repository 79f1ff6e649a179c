"""The report's Table I: the paper's figures and the store's, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from reports.charts.vocabulary import FAMILIES, STATUSES, count, dataset_name, percent, points

if TYPE_CHECKING:
    from reports.findings import Findings

PAPER = ("mnist", "fashion_mnist", "cifar10")


def _whole(value: float | None) -> str:
    return percent(value, 0)


QUANTITIES: Mapping[str, tuple[str, Callable[[float | None], str]]] = {
    "parameters": ("Minimum stable parameters", count),
    "safe sparsity": ("Safe pruning", _whole),
    "8-bit gap": ("8-bit gap, points", points),
}


def table_one(findings: Findings) -> Mapping[str, object] | None:
    """Return Table I for the datasets of the paper that have runs, and what is missing; None if none of them has."""
    present = [dataset for dataset in PAPER if dataset in findings.datasets]
    figures = {
        (row["dataset"], row["family"], row["quantity"]): row for row in findings.table_one.iter_rows(named=True)
    }
    rows = [
        {
            "dataset": dataset_name(dataset),
            "family": FAMILIES[family],
            "cells": [_cell(figures[dataset, family, name], written) for name, (_, written) in QUANTITIES.items()],
        }
        for dataset in present
        for family in FAMILIES
        if (dataset, family, "parameters") in figures
    ]
    if not rows:
        return None
    return {"titles": [title for title, _ in QUANTITIES.values()], "rows": rows, "missing": _missing(findings, figures)}


def _cell(row: Mapping[str, Any], written: Callable[[float | None], str]) -> Mapping[str, object]:
    """Return the figure with its interval, the paper's, and whether the paper's lies in the interval."""
    inside = {True: ("detected", "inside"), False: ("insufficient", "outside"), None: None}[row["paper_inside"]]
    known = row["estimate"] is not None
    return {
        "here": written(row["estimate"]) if known else STATUSES.get(row["status"], row["status"]),
        "interval": _interval(row["ci_low"], row["ci_high"], written) if known else "",
        "reason": None if known else row["reason"],
        "paper": written(row["paper"]),
        "inside": None if inside is None else {"key": inside[0], "text": inside[1]},
    }


def _interval(low: float | None, high: float | None, written: Callable[[float | None], str]) -> str:
    if high is None:
        return ""
    return f"up to {written(high)}" if low is None else f"{written(low)} to {written(high)}"


def _missing(findings: Findings, figures: Mapping[tuple[str, str, str], object]) -> list[str]:
    """Return what of the paper's table the store has no runs for, a line per dataset."""
    families = [family for family in FAMILIES if not findings.families or family in findings.families]
    lines = []
    for dataset in PAPER:
        lacking = [family for family in families if (dataset, family, "parameters") not in figures]
        if lacking:
            names = ", ".join(FAMILIES[family] for family in lacking)
            command = findings.advice.command("all", dataset, lacking)
            lines.append(f"No {names} runs on {dataset_name(dataset)} here: `{command}`")
    return lines
