"""Where the numbers come from: data, versions, hosts, commands, settings, number of models and hours."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from reports.charts.vocabulary import FAMILIES, dataset_name
from store.words import counted, host_in_words

if TYPE_CHECKING:
    from reports.findings import Findings

HOUR = 3600


def duration(seconds: float) -> str:
    """Return a length of time in the unit that suits it."""
    if seconds >= HOUR:
        number, unit = f"{seconds / HOUR:,.1f}", "hour"
    else:
        number, unit = (f"{seconds / 60:.0f}", "minute") if seconds >= 60 else (f"{seconds:.0f}", "second")
    return f"{number} {unit}" + ("" if number == "1" else "s")


def headline(findings: Findings) -> Mapping[str, str]:
    """Return what the page's first line says of the size of the study."""
    names = [dataset_name(dataset) for dataset in findings.datasets]
    families = [name for family, name in FAMILIES.items() if any(s.family == family for s in findings.subjects)]
    return {
        "models": counted(int(findings.models["models"].sum()), "trained model"),
        "hours": duration(float(findings.models["seconds"].sum())),
        "subjects_line": f"{', '.join(families)} on {', '.join(names)}",
    }


def dataset_line(findings: Findings, dataset: str) -> str:
    """Return a dataset's size in words."""
    for row in findings.dataset_facts.iter_rows(named=True):
        if row["dataset"] == dataset:
            colour = "" if row["channels"] == 1 else f" by {row['channels']} channels"
            return (
                f"{row['train_images']:,} training and {row['test_images']:,} test images of "
                f"{row['height']} by {row['width']} pixels{colour}, {row['classes']} classes"
            )
    return ""


def block(findings: Findings) -> Mapping[str, object]:
    """Return the provenance section for the template."""
    from importlib.metadata import version

    packages = {name: version(name) for name in ("minarch", "altair", "vl-convert-python", "polars", "duckdb")}
    return {
        "facts": [
            {"term": "Models", "text": f"{findings.models['models'].sum():,}"},
            {"term": "Time of training", "text": duration(float(findings.models["seconds"].sum()))},
            {"term": "Trained on", "text": "; ".join(dict.fromkeys(map(host_in_words, findings.invocations["host"])))},
            {"term": "Report made with", "text": ", ".join(f"{name} {number}" for name, number in packages.items())},
        ],
        "tables": [_models(findings), _datasets(findings), _invocations(findings)],
        "protocols": [_protocol(row) for row in findings.protocols.iter_rows(named=True)],
    }


def _column(title: str, *, number: bool = False) -> dict[str, object]:
    return {"title": title, "number": number, "badge": False}


def _models(findings: Findings) -> Mapping[str, object]:
    titles = ("Models", "Architectures", "Replicates, at most", "Epochs, at most", "Time")
    rows = [
        [
            dataset_name(row["dataset"]),
            FAMILIES.get(row["family"], row["family"]),
            row["precision"],
            f"{row['models']:,}",
            f"{row['architectures']:,}",
            row["replicates"],
            row["epochs"],
            duration(row["seconds"]),
        ]
        for row in findings.models.iter_rows(named=True)
    ]
    columns = [_column("Dataset"), _column("Family"), _column("Precision"), *(_column(t, number=True) for t in titles)]
    return {"heading": "Models trained", "columns": columns, "rows": rows}


def _datasets(findings: Findings) -> Mapping[str, object]:
    rows = [
        [
            dataset_name(row["dataset"]),
            f"{row['train_images']:,}",
            f"{row['test_images']:,}",
            f"{row['height']} x {row['width']} x {row['channels']}",
            row["classes"],
            f"{row['chance_accuracy']:.1%}",
            row["dataset_fingerprint"],
        ]
        for row in findings.dataset_facts.iter_rows(named=True)
    ]
    columns = [
        _column("Dataset"),
        _column("Training images", number=True),
        _column("Test images", number=True),
        _column("Pixels"),
        _column("Classes", number=True),
        _column("Chance", number=True),
        _column("Fingerprint"),
    ]
    return {"heading": "Data", "columns": columns, "rows": rows}


def _invocations(findings: Findings) -> Mapping[str, object]:
    rows = [
        [
            f"{row['started_at']:%Y-%m-%d %H:%M} UTC",
            row["argv"],
            f"{row['models']:,}",
            duration(row["seconds"]),
            row["package_version"],
            row["torch_version"],
        ]
        for row in findings.invocations.iter_rows(named=True)
    ]
    columns = [
        _column("Started"),
        _column("Command"),
        _column("Models", number=True),
        _column("Time", number=True),
        _column("minarch"),
        _column("PyTorch"),
    ]
    return {"heading": "Commands that trained them", "columns": columns, "rows": rows}


def _protocol(row: Mapping[str, object]) -> Mapping[str, object]:
    spec = json.loads(str(row["spec"]))
    return {
        "id": row["protocol_id"],
        "family": FAMILIES.get(spec.get("family"), spec.get("family", "")),
        "models": counted(int(str(row["models"])), "model"),
        "settings": [{"term": term, "text": text} for term, text in _flat(spec)],
    }


def _flat(value: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the settings of a nested specification as words and values."""
    for key, entry in value.items():
        name = f"{prefix}{key.replace('_', ' ')}"
        if isinstance(entry, dict):
            yield from _flat(entry, f"{name}: ")
        else:
            yield name, "none" if entry is None else str(entry)
