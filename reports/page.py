"""The report as one HTML file: charts, tables and scripts in a single template, nothing fetched."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from reports import answer, claims, paper, provenance, tables
from reports.bundle import vega_embed
from reports.charts.vocabulary import DEPTHS, FAMILIES, SHORT_CAPACITIES, dataset_name
from reports.figures import FIGURES, Figure, Missing, View
from store.families import family_facts

if TYPE_CHECKING:
    from reports.findings import Findings
    from reports.subject import Subject

TITLE = "The smallest network that learns reliably"
BESIDE_ANSWER = 200
"""Height in pixels of a figure that stands with the answer."""


def render(findings: Findings) -> str:
    """Return the report as HTML that needs neither network nor other files."""
    from jinja2 import Environment
    from markupsafe import Markup

    from reports.charts.theme import LIGHT, VARIABLES, chart_config, style_variables

    figures: dict[str, dict[str, Any]] = {}
    data: dict[str, Any] = {}
    answered = answer.answers(findings)
    context = {
        "title": TITLE,
        "rendered_on": datetime.now(UTC).strftime("%-d %B %Y"),
        **provenance.headline(findings),
        "answers": answered,
        "margin": answer.margin(findings),
        "target": answer.target(findings),
        "remarks": answer.remarks(findings),
        "reliability": _reliability(findings, figures, data),
        "several": any(row["overall"] for row in answered),
        "of_paper": any(dataset in paper.PAPER for dataset in findings.datasets),
        "table_one": paper.table_one(findings),
        "claims": claims.claims(findings.claims),
        "datasets": _datasets(findings, figures, data),
        "methods": tables.methods(findings),
        "provenance": provenance.block(findings),
        "swatch": _swatch,
        "code": _code,
        "style": Markup(style_variables() + _asset("style.css")),
        "script": Markup(_asset("page.js")),
        "vega": Markup(vega_embed()),
        "data": Markup(
            _json(
                {
                    "figures": figures,
                    "data": data,
                    "pageConfig": chart_config(VARIABLES),
                    "fileConfig": chart_config(LIGHT),
                }
            )
        ),
    }
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(_asset("template.html"))
    return template.render(context)


def _asset(name: str) -> str:
    return files("reports").joinpath("assets", name).read_text(encoding="utf-8")


def _json(value: object) -> str:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _code(text: str) -> object:
    """Return text as HTML, with what stands between backticks as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _swatch(depth: int) -> object:
    from markupsafe import Markup

    outlines = {1: "M8 2a6 6 0 1 0 .01 0z", 2: "M3 3h10v10H3z", 3: "M8 2l6.5 11.5h-13z", 4: "M8 1l5 7-5 7-5-7z"}
    return Markup(f'<path d="{outlines.get(depth, outlines[1])}"/>')


def _datasets(
    findings: Findings, figures: dict[str, dict[str, Any]], data: dict[str, Any]
) -> list[Mapping[str, object]]:
    """Return a tab per dataset, with one per family; charts and their rows go to `figures` and `data`."""
    return [
        {
            "key": findings.key(dataset),
            "name": dataset_name(dataset),
            "facts": provenance.dataset_line(findings, dataset),
            "families": [
                _family(findings, dataset, family, figures, data)
                for family in FAMILIES
                if not findings.families or family in findings.families
            ],
        }
        for dataset in findings.datasets
    ]


def _family(
    findings: Findings, dataset: str, family: str, figures: dict[str, dict[str, Any]], data: dict[str, Any]
) -> Mapping[str, object]:
    subject = findings.subject(dataset, family)
    common = {"key": family, "name": FAMILIES[family], "depth_word": DEPTHS[family][1].capitalize()}
    if subject is None:
        missing = Missing(
            f"No {FAMILIES[family]} runs on {dataset_name(dataset)} yet",
            findings.advice.command("convergence", dataset, family),
        )
        return {**common, "depths": [], "missing": missing}
    prefix = f"{findings.key(dataset)}/{family}"
    from reports.charts.parts import close_up

    figures_of = [
        _figure(findings, figure, subject, prefix, figures, data)
        for figure in FIGURES.values()
        if not figure.answers
        and (family_facts(family).layered or not figure.layered)
        and not (figure.further and figure.missing(subject, findings.advice))
    ]
    return {
        **common,
        "depths": subject.depths,
        "capacities": subject.capacities if _has_choice(subject) else [],
        "chosen": subject.chosen_capacity if _has_choice(subject) else None,
        "capacity_label": SHORT_CAPACITIES[family].capitalize(),
        "close_up": "{:g} {:g}".format(*close_up(subject.stable_means)),
        "missing": None,
        # What is missing is said last: gaps between the figures would look like a fault.
        "figures": sorted(figures_of, key=lambda figure: figure["missing"] is not None),
        "tables": [tables.regimes(subject), *tables.safe_pruning(subject), *tables.shapes(subject)],
    }


def _reliability(
    findings: Findings, figures: dict[str, dict[str, Any]], data: dict[str, Any]
) -> list[Mapping[str, object]]:
    """Return the figures that stand with the answer, of every dataset and family that has the rows for them."""
    found: list[Mapping[str, object]] = []
    for subject in findings.subjects:
        prefix = f"{findings.key(subject.dataset)}/{subject.family}"
        for figure in (figure for figure in FIGURES.values() if figure.answers):
            drawn = _figure(findings, figure, subject, prefix, figures, data)
            if drawn["missing"] is None:
                figures[f"{prefix}/{figure.name}"]["height"] = BESIDE_ANSWER
                where = f"{dataset_name(subject.dataset)}, {FAMILIES[subject.family]}"
                depth_word = DEPTHS[subject.family][1].capitalize()
                found.append({**drawn, "where": where, "depths": subject.depths, "depth_word": depth_word})
    return found


def _has_choice(subject: Subject) -> bool:
    """Return whether a figure shows one capacity at a time."""
    return not (subject.pruning.is_empty() and subject.curves.is_empty())


def _figure(
    findings: Findings,
    figure: Figure,
    subject: Subject,
    prefix: str,
    figures: dict[str, dict[str, Any]],
    data: dict[str, Any],
) -> Mapping[str, object]:
    missing = figure.missing(subject, findings.advice)
    if missing:
        return {"heading": figure.heading, "missing": missing}
    views = [view for view in figure.views if view.possible(subject)]
    captions: list[str] = []
    shown = []
    for view in views:
        name = f"{prefix}/{figure.name}" + (f"/{view.key}" if len(views) > 1 else "")
        specification = _specification(view, subject, data)
        captions = captions or specification["title"].get("subtitle", [])
        figures[name] = specification
        shown.append(
            {"key": view.key, "label": view.label or SHORT_CAPACITIES[subject.family].capitalize(), "id": name}
        )
    return {
        "name": figure.name,
        "heading": figure.heading,
        "caption": captions,
        "views": shown,
        "switch": figure.switch,
        "replicates": figure.replicates,
        "table": figure.table(subject) if figure.table else None,
        "missing": None,
    }


def _specification(view: View, subject: Subject, data: dict[str, Any]) -> dict[str, Any]:
    """Return the chart as a Vega-Lite dictionary whose rows are moved to `data`, where equal ones are kept once."""
    from altair.utils.schemapi import debug_mode

    # Half of the time is validation against Vega-Lite's schema, which the tests do for every figure.
    with debug_mode(False):
        specification: dict[str, Any] = view.chart(subject).to_dict(validate=False)
    specification |= specification.pop("usermeta")
    for unused in ("$schema", "config"):
        specification.pop(unused, None)
    names = {}
    for name, rows in specification.pop("datasets").items():
        columns = list(rows[0]) if rows else []
        table = {"columns": columns, "rows": [list(row.values()) for row in rows]}
        names[name] = sha256(_json(table).encode()).hexdigest()[:12]
        data[names[name]] = table
    _adapt(specification, names)
    specification["needs"] = list(names.values())
    return specification


def _adapt(node: object, names: Mapping[str, str]) -> None:
    """Rename the chart's data, and take out its legends: on the page the panel's switches are the legend of all."""
    if isinstance(node, list):
        for entry in node:
            _adapt(entry, names)
    elif isinstance(node, dict):
        if set(node) == {"name"} and node["name"] in names:
            node["name"] = names[node["name"]]
        for channel in ("color", "shape", "strokeDash"):
            if isinstance(node.get(channel), dict) and "scale" in node[channel]:
                node[channel]["legend"] = None
        for entry in node.values():
            _adapt(entry, names)
