"""The report's answer: per dataset and family the smallest network to use, what may be cut of it, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import isclose
from typing import TYPE_CHECKING, Any

from analyze.questions.reach import reach_in_words
from analyze.stats.safety import MARGIN
from reports.charts.vocabulary import FAMILIES, count, dataset_name, percent, points
from reports.provenance import duration
from store.families import family_facts
from store.words import counted

if TYPE_CHECKING:
    from reports.findings import Findings
    from reports.subject import Subject

FORMS = {"fp32": "in 32 bits", "pruned": "pruned", "int8": "in 8 bits"}


def scope_name(scope: str) -> str:
    """Return what a recommendation is about: all families, or the name of one."""
    return "All families" if scope == "all" else FAMILIES[scope]


def answers(findings: Findings) -> list[Mapping[str, object]]:
    """Return, per dataset and scope, the recommended network and its cuts, or why there is none and what to run."""
    return [
        {
            "dataset": dataset_name(row["dataset"]),
            "family": scope_name(row["scope"]),
            "target": f"{findings.key(row['dataset'])}/{_family(findings, row)}",
            "overall": row["scope"] == "all",
            "explanation": row["explanation"].split("\n"),
            "guess": None if row["guess_family"] is None else _guess(row),
            **(_nothing(findings, row) if row["capacity"] is None else _network(row)),
        }
        for row in _rows(findings)
    ]


def margin(findings: Findings) -> str:
    """Return the accuracy that may be lost against the best, in words."""
    lost = next(iter(findings.recommendations["max_drop"]), MARGIN)
    return "a point" if isclose(lost, MARGIN) else f"{100 * lost:g} points"


def target(findings: Findings) -> str:
    """Return in words which accuracy trainings are to reach."""
    if findings.min_accuracy is not None:
        return f"an accuracy of {100 * findings.min_accuracy:g}%"
    return f"the median accuracy of the family's best stable network minus {margin(findings)}"


def remarks(findings: Findings) -> list[str]:
    """Return what to know about the recommended networks, equal remarks once with the datasets and families."""
    found: dict[str, list[str]] = {}
    for row in _rows(findings):
        if row["capacity"] is not None and row["reason"] and row["scope"] != "all":
            found.setdefault(row["reason"], []).append(f"{dataset_name(row['dataset'])}, {scope_name(row['scope'])}")
    return [f"{'; '.join(whose)}: {remark}." for remark, whose in found.items()]


def _rows(findings: Findings) -> Iterator[dict[str, Any]]:
    """Yield the recommendations: datasets as the report has them, all families first."""
    rows = list(findings.recommendations.iter_rows(named=True))
    for dataset in findings.datasets:
        for scope in ("all", *FAMILIES):
            yield from (row for row in rows if (row["dataset"], row["scope"]) == (dataset, scope))


def _family(findings: Findings, row: Mapping[str, Any]) -> str:
    """Return the family whose figures a row leads to: its own, the chosen one's, else the first there is."""
    if row["scope"] != "all":
        return str(row["scope"])
    return str(row["family"] or next(s.family for s in findings.subjects if s.dataset == row["dataset"]))


def _network(row: Mapping[str, Any]) -> dict[str, object]:
    return {
        "network": _name(row["family"], row["depth"], row["capacity"], spelled=row["scope"] == "all"),
        "parameters": count(row["parameters"]),
        "failures": _failures(row),
        "reach": reach_in_words(row["reach"], row["reached"], row["replicates"], row["reach_share"]),
        "accuracy": percent(row["accuracy"]),
        "interval": _interval(row["ci_low"], row["ci_high"], percent),
        "pruning": "not known" if row["safe_sparsity"] is None else percent(row["safe_sparsity"], 0),
        "eight_bits": _eight_bits(row),
        "bytes": count(row["bytes_fp32"]),
        "safe_bytes": count(row["safe_bytes"]),
        "safe_form": FORMS.get(row["safe_form"], row["safe_form"]),
        "macs": "" if row["safe_macs"] is None else f"{count(row['safe_macs'])} operations",
        "ram": "" if row["safe_ram"] is None else f"{count(row['safe_ram'])} bytes of activations",
    }


def _failures(row: Mapping[str, Any]) -> str:
    """Return how many trainings failed, and what share of all that leaves open."""
    seen = "none" if row["failures"] == 0 else count(row["failures"])
    return f"{seen} of {counted(row['replicates'], 'training')} failed: up to {percent(row['failure_bound'], 0)} may"


def _guess(row: Mapping[str, Any]) -> dict[str, object]:
    """Return the smallest network that looks good enough without being shown to be, and what would prove it."""
    drop = row["guess_drop"]
    below = "the best of those seen" if drop is None or drop <= 0 else f"{100 * drop:.2f} points below the best"
    if row["guess_replicates"] is None:
        proof = "so close to what is allowed that 1000 replicates would not prove it"
    else:
        work = f"{counted(row['guess_trainings'], 'training')}, about {duration(row['guess_seconds'])}"
        proof = (
            f"if that is so, {count(row['guess_replicates'])} replicates of all that it is compared with prove it in "
            f"80% of cases: {work} on {counted(row['guess_cores'], 'core')}"
        )
    return {
        "network": _name(row["guess_family"], row["guess_depth"], row["guess_capacity"], spelled=row["scope"] == "all"),
        "parameters": count(row["guess_parameters"]),
        "accuracy": percent(row["guess_accuracy"]),
        "proof": f"Estimated {below}; {proof}",
        "command": row["guess_command"],
    }


def _nothing(findings: Findings, row: Mapping[str, Any]) -> dict[str, object]:
    """Return why nothing is recommended, the command that would decide it, and the smallest stable network at least."""
    reason = row["reason"]
    return {
        "network": None,
        "reason": reason[:1].upper() + reason[1:],
        # What proves the guess is said in its own row.
        "command": None if row["command"] == row["guess_command"] else row["command"],
        "stable": _smallest_stable(findings.subject(row["dataset"], row["scope"])),
    }


def _smallest_stable(subject: Subject | None) -> str | None:
    """Return the network with the fewest parameters at a detected stability boundary, in words."""
    if subject is None:
        return None
    found = subject.boundaries.filter(boundary="stability", status="detected")
    at = subject.cells.join(found.select("depth", "capacity"), on=["depth", "capacity"], how="semi")
    if at.is_empty():
        return None
    best = at.sort("parameters").row(0, named=True)
    network = _name(subject.family, best["depth"], best["capacity"], spelled=False)
    return f"{network}: {count(best['parameters'])} parameters, {percent(best['mean'])}"


def _eight_bits(row: Mapping[str, Any]) -> dict[str, str]:
    """Return whether 8 bits are safe, as the word, the key of its colour, and the gap in points."""
    key, word = {True: ("detected", "safe"), False: ("insufficient", "not shown safe"), None: ("absent", "not known")}[
        row["int8_safe"]
    ]
    gap = "" if row["gap"] is None else f"gap {points(row['gap'])}"
    return {"key": key, "text": word, "gap": gap, "interval": _interval(row["gap_low"], row["gap_high"], points)}


def _interval(low: float | None, high: float | None, written: Callable[[float | None], str]) -> str:
    return "" if low is None or high is None else f"{written(low)} to {written(high)}"


def _name(family: str, depth: int, capacity: int, *, spelled: bool) -> str:
    """Return a network in words, with its family where that is not said beside it."""
    words = family_facts(family).sized(depth, capacity)
    return f"{FAMILIES[family]}, {words}" if spelled else words
