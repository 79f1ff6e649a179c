"""Writing reports and figures to files."""

from __future__ import annotations

import json
import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.figures import FIGURES, Figure, View
from store import files
from store.errors import MinarchError
from store.words import counted

if TYPE_CHECKING:
    import altair

    from reports.findings import Findings
    from reports.subject import Subject


def write_report(
    out: Path,
    store: Path,
    datasets: Sequence[str],
    families: Sequence[str],
    protocol: str | None = None,
    *,
    with_claims: bool = True,
) -> str:
    """Write the report to `out` and return what was done, on one line.

    Raises:
        MinarchError: the store lacks what was asked for, or `out` cannot be written.
    """
    from reports.findings import load
    from reports.page import render

    files.check_writable(out)
    findings = load(store, datasets, families, protocol, with_claims=with_claims)
    page = render(findings).encode()
    files.write(out, page)
    notes = "".join(f"; {note}" for note in findings.notes)
    return f"{out}: {counted(int(findings.models['models'].sum()), 'model')}, {len(page) / 1e6:.1f} MB{notes}"


def write_figure(
    name: str,
    kind: str,
    out: Path | None,
    store: Path,
    dataset: str | None,
    family: str | None,
    view: str | None = None,
    capacity: int | None = None,
    *,
    replicates: bool = False,
    protocol: str | None = None,
) -> str:
    """Write one figure in the format `kind` and return the file's name.

    Raises:
        MinarchError: the figure, view, dataset or family is unknown or ambiguous, the store lacks the runs for it, or
            the file cannot be written.
    """
    _named(FIGURES, name, "figure")
    target = out or Path(f"{name}.{kind}")
    files.check_writable(target)
    specification = _specification(name, store, dataset, family, view, capacity, replicates, protocol)
    files.write(target, _encode(specification, kind))
    return str(target)


def figure(
    name: str,
    store: str | Path,
    dataset: str | None = None,
    family: str | None = None,
    view: str | None = None,
    *,
    capacity: int | None = None,
    replicates: bool = False,
    protocol: str | None = None,
) -> altair.TopLevelMixin:
    """Return a figure of the report as an Altair chart with its data, as `reports figure NAME` draws it.

    Args:
        name: `convergence`, `pruning` and so on, as `reports figure --help` lists them.
        store: path of the store.
        dataset: which one, where the store has several.
        family: likewise.
        view: what the figure is to show, where it has several views; None: its first one.
        capacity: which size to begin with, where one is chosen.
        replicates: show every replicate, where they can be shown.
        protocol: only runs under this protocol; None: the one with most runs.

    Raises:
        MinarchError: the figure, view, dataset or family is unknown or ambiguous, or the store lacks the runs for it.
    """
    import altair

    _named(FIGURES, name, "figure")
    specification = _specification(name, Path(store), dataset, family, view, capacity, replicates, protocol)
    return altair.Chart.from_dict(specification)


def _specification(
    name: str,
    store: Path,
    dataset: str | None,
    family: str | None,
    view: str | None,
    capacity: int | None,
    replicates: bool,
    protocol: str | None,
) -> dict[str, Any]:
    from reports.findings import load

    chosen = FIGURES[name]
    findings = load(store, [dataset] if dataset else [], [family] if family else [], protocol)
    subject = _only(findings)
    missing = chosen.missing(subject, findings.advice)
    if missing:
        raise MinarchError(f"{missing.text}: `{missing.command}`")
    specification: dict[str, Any] = _view(chosen, view, subject).chart(subject).to_dict()
    if capacity is not None:
        _switch(specification, "chosen", _one_of(capacity, subject.capacities), chosen)
    if replicates:
        _switch(specification, "replicates", True, chosen)
    return specification


def show(path: Path) -> None:
    """Open a file in the user's browser.

    Raises:
        MinarchError: there is no browser to open it with.
    """
    if not webbrowser.open(path.absolute().as_uri()):
        raise MinarchError(f"no browser to show {path} with; open it by hand")


def _named(known: Mapping[str, Figure], name: str, what: str) -> Figure:
    if name not in known:
        raise MinarchError(f"no {what} {name!r}; the {what}s are {', '.join(known)}")
    return known[name]


def _view(figure: Figure, key: str | None, subject: Subject) -> View:
    views = {view.key: view for view in figure.views if view.possible(subject)}
    if key is None:
        return next(iter(views.values()))
    if key not in views:
        raise MinarchError(f"no view {key!r} of {figure.name}; there is {', '.join(views)}")
    return views[key]


def _switch(specification: dict[str, Any], name: str, value: object, figure: Figure) -> None:
    """Set a parameter of a chart, as the page's control would."""
    for parameter in specification["params"]:
        if parameter["name"] == name:
            parameter["value"] = value
            return
    raise MinarchError(f"{figure.name} has nothing that --{'capacity' if name == 'chosen' else name} would change")


def _one_of(capacity: int, known: Sequence[int]) -> int:
    if capacity not in known:
        raise MinarchError(f"no capacity {capacity} here; there is {', '.join(map(str, known))}")
    return capacity


def _only(findings: Findings) -> Subject:
    """Return the one subject, or say between which to choose."""
    if len(findings.subjects) == 1:
        return findings.subjects[0]
    if not findings.subjects:
        command = findings.advice.command("convergence")
        raise MinarchError(f"no runs of equal width in fp32 yet; `{command}` adds them")
    choices = ", ".join(f"--dataset {s.dataset} --family {s.family}" for s in findings.subjects)
    raise MinarchError(f"a figure shows one dataset and family; choose one of: {choices}")


def _encode(specification: dict[str, Any], kind: str) -> bytes:
    """Return a Vega-Lite chart in a file format."""
    import vl_convert

    from reports.charts.theme import LIGHT, chart_config

    specification = {**specification, "config": chart_config(LIGHT)}
    if kind == "json":
        return json.dumps(specification, indent=1).encode()
    # As text: the converter refuses dicts whose keys are numbers, which JSON writes as text.
    text = json.dumps(specification)
    if kind == "html":
        return str(vl_convert.vegalite_to_html(text, bundle=True, renderer="svg")).encode()
    if kind == "svg":
        return str(vl_convert.vegalite_to_svg(text)).encode()
    if kind == "png":
        return bytes(vl_convert.vegalite_to_png(text, scale=2))
    return bytes(vl_convert.vegalite_to_pdf(text))
