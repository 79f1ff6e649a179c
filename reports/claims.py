"""The report's section on the paper's claims: the verdicts with their evidence, and what would test the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any

from analyze.paper.claims.rows import SCALES
from reports.charts.vocabulary import FAMILIES, count, dataset_name, p_value

if TYPE_CHECKING:
    import polars as pl

VERDICTS = {
    "supported": ("detected", "supported"),
    "contradicted": ("insufficient", "contradicted"),
    "inconclusive": ("absent", "inconclusive"),
    "not_testable": ("absent", "not testable"),
}
"""Per verdict the key of its colour and its words."""


def claims(found: pl.DataFrame | None) -> Mapping[str, object] | None:
    """Return the claims with evidence, grouped, and the others by what to run; None where they were not asked for."""
    if found is None:
        return None
    rows = list(found.iter_rows(named=True))
    tested = [row for row in rows if row["verdict"] != "not_testable"]
    return {
        "counts": [
            {"key": key, "text": f"{n} {words}"}
            for verdict, (key, words) in VERDICTS.items()
            if (n := sum(row["verdict"] == verdict for row in rows))
        ],
        "groups": [
            _group(list(members)) for _, members in groupby(tested, key=lambda row: (row["claim"], row["title"]))
        ],
        "untested": _untested(row for row in rows if row["verdict"] == "not_testable"),
    }


def _heading(row: Mapping[str, Any]) -> tuple[int, str]:
    return row["claim"], row["title"]


def _group(members: list[dict[str, Any]]) -> Mapping[str, object]:
    """Return one claim with a row per dataset and family."""
    first = members[0]
    return {
        "number": first["claim"],
        "title": _sentence(first["title"]),
        "statistic": _sentence(first["statistic"]) + SCALES[first["unit"]],
        "rows": [
            {
                "where": _where(row),
                "verdict": dict(zip(("key", "text"), VERDICTS[row["verdict"]], strict=True)),
                "here": value(row["unit"], row["estimate"]),
                "interval": span(row["unit"], row["ci_low"], row["ci_high"]),
                "claimed": span(row["unit"], row["claim_low"], row["claim_high"]),
                "p": p_value(row["p_adjusted"]),
                "n": count(row["n"]),
                "detail": row["detail"] or "",
            }
            for row in members
        ],
    }


def _untested(rows: Iterable[dict[str, Any]]) -> list[Mapping[str, object]]:
    """Return the claims that could not be tested by the command that adds what they lack, the longest list first."""
    commands: dict[str | None, dict[str, list[str]]] = {}
    for row in rows:
        title = f"{row['claim']}. {_sentence(row['title'])}"
        commands.setdefault(row["to_test"], {}).setdefault(title, []).append(_where(row))
    return [
        {
            "command": command,
            "claims": [f"{title} ({', '.join(dict.fromkeys(where))})" for title, where in titles.items()],
        }
        for command, titles in sorted(commands.items(), key=lambda entry: -len(entry[1]))
    ]


def _where(row: Mapping[str, Any]) -> str:
    """Return the dataset and family of a row in words; a claim that spans all of either does not name it."""
    names = [
        dataset_name(row["dataset"]) if row["dataset"] else "",
        FAMILIES.get(row["family"], row["family"]) if row["family"] else "",
    ]
    return " ".join(name for name in names if name) or "the paper's datasets"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def value(unit: str, number: float | None) -> str:
    """Return a number of a claim as a reader writes it: counts whole, ratios as they are, fractions times 100."""
    if number is None:
        return "–"
    if unit in {"count", "parameters"}:
        return count(number)
    if unit == "ratio":
        return f"{number:.2f}"
    digits = 0 if number == 0 or (unit == "sparsity" and abs(100 * number % 1) < 1e-6) else 2
    return f"{100 * number:.{digits}f}".replace("-", "−")


def span(unit: str, low: float | None, high: float | None) -> str:
    """Return a range of such numbers; one end may be open, and none is no range."""
    if low is None and high is None:
        return ""
    if low is None:
        return f"at most {value(unit, high)}"
    if high is None:
        return f"at least {value(unit, low)}"
    return value(unit, low) if low == high else f"{value(unit, low)} to {value(unit, high)}"
