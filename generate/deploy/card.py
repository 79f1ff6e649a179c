"""The card of a model: what it is, what it rests on, what it answers, where that ends, and how to repeat it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generate.deploy.checks import CODE, Checked
from generate.deploy.choice import Choice
from generate.deploy.folder import CARD, FORMAT
from generate.deploy.latency import Latency
from generate.deploy.retrain import Network, Repeated
from generate.deploy.stored import Cut
from generate.display import counted
from generate.protocol import protocol_id

TEXT = "card.md"
LIBRARIES = ("minarch", "torch", "onnx", "onnxruntime", "safetensors", "numpy")


@dataclass(frozen=True, kw_only=True)
class Model:
    """What a card is written about.

    Attributes:
        checked: every file over the test set; `main` is one of them.
        labels: names of the classes.
        truth: class of each test image, int64 [n].
        bytes: sizes of files by name.
        command: the line that makes the model again.
        identity: of the model, see `folder.check_folder`.
    """

    choice: Choice
    network: Network
    cut: Cut | None
    nonzero: int
    repeated: Repeated
    checked: Sequence[Checked]
    latencies: Sequence[Latency]
    labels: Sequence[str]
    truth: NDArray[np.int64]
    bytes: dict[str, int]
    command: str
    identity: str
    remarks: Sequence[str]

    @property
    def title(self) -> str:
        """The network in words, with its cuts."""
        run = self.choice.run
        parts = [run.title, run.precision if run.precision != "fp32" else "", self.cut.words() if self.cut else ""]
        return ", ".join(part for part in parts if part)

    @property
    def main(self) -> Checked:
        """The file whose answers are counted by class: in 8 bits where the run is, else in PyTorch."""
        return next((row for row in self.checked if row.in_levels and row.file != CODE), self.checked[0])

    @property
    def confusion(self) -> NDArray[np.int64]:
        """Test images by true class (row) and answer (column)."""
        found = np.zeros((len(self.labels),) * 2, np.int64)
        np.add.at(found, (self.truth, self.main.answers), 1)
        return found


def write_card(model: Model, folder: Path, files: Sequence[str]) -> None:
    """Write the card as Markdown and as JSON; `files` are all files and folders of the model, these two included."""
    facts = card(model, files)
    (folder / TEXT).write_text("\n".join(_lines(model, facts)) + "\n", encoding="utf-8")
    (folder / CARD).write_text(
        json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )


def card(model: Model, files: Sequence[str]) -> dict[str, Any]:
    """Return the card, ready for JSON; accuracies are fractions, times microseconds."""
    run, network, first = model.choice.run, model.network, model.main
    low, high = exact_interval(first.correct, first.images)
    confusion = model.confusion
    return {
        "format": FORMAT,
        "identity": model.identity,
        "files": sorted(files),
        "bytes": model.bytes,
        "title": model.title,
        "standing": model.choice.standing,
        "network": {
            "family": network.architecture.family,
            "hidden_sizes": list(network.architecture.hidden_sizes),
            "depth": run.depth,
            "parameters": sum(value.numel() for value in network.tensors.values()),
            "nonzero_weights": model.nonzero,
            "precision": run.precision,
            "cut": asdict(model.cut) if model.cut else None,
        },
        "run": {
            "run_id": run.run_id,
            "replicate": run.replicate,
            "protocol_id": protocol_id(run.protocol),
            "dataset": run.dataset,
            "dataset_fingerprint": run.fingerprint,
            "engine": run.engine,
            "best_epoch": run.best_epoch,
            **run.metrics,
        },
        "repeated": asdict(model.repeated),
        "accuracy": {
            "file": first.file,
            "correct": first.correct,
            "images": first.images,
            "accuracy": first.accuracy,
            "ci_low": low,
            "ci_high": high,
            "classes": [
                {"label": label, "correct": int(row[k]), "images": int(row.sum())}
                for k, (label, row) in enumerate(zip(model.labels, confusion, strict=True))
            ],
            "confusion": confusion.tolist(),
        },
        "checked": [{name: value for name, value in asdict(row).items() if name != "answers"} for row in model.checked],
        "latency": [asdict(row) for row in model.latencies],
        "limits": list(limits(model)),
        "remarks": list(model.remarks),
        "command": model.command,
        "versions": dict(_versions()),
        "statement": model.choice.evidence.statement,
    }


def limits(model: Model) -> Iterator[str]:
    """Yield what the model's accuracy does not say."""
    run, image = model.choice.run, model.network.image
    yield (
        f"It answers one of {image.classes} classes whatever it is shown, and its "
        "logits are no calibrated probabilities."
    )
    size = f"{image.height} x {image.width} x {image.channels}"
    yield f"It takes images of {size} bytes, prepared as the test images were; others were not tried."
    yield (
        "The interval of its accuracy is about other images of the same kind, as if drawn like the test images; of "
        "images that differ in origin it says nothing."
    )
    replicates = counted(len(run.others) + 1, "replicate")
    if model.choice.standing != "named":
        yield (
            f"Of {replicates} it is the one with the highest validation accuracy; its test accuracy chose nothing. The "
            "architecture was chosen by the test accuracies of all replicates, so that they are a little flattering."
        )
    yield "What is stated of stability and margins is about trainings of its architecture, not about these weights."
    if model.cut is not None or run.precision != "fp32":
        yield "It was pruned or quantized: the accuracy above is that after it."


def exact_interval(correct: int, images: int) -> tuple[float, float]:
    """Return the exact 95% interval (Clopper and Pearson) of the share of right answers."""
    from scipy.stats import binomtest

    found = binomtest(correct, images).proportion_ci(0.95, method="exact")
    return float(found.low), float(found.high)


def _lines(model: Model, facts: dict[str, Any]) -> Iterator[str]:
    run, first, accuracy = model.choice.run, model.main, facts["accuracy"]
    yield f"# {model.title}: {run.dataset}"
    yield ""
    yield (
        f"{100 * first.accuracy:.2f}% of {first.images:,} test images right ({first.file}; 95% interval for images of "
        f"the same kind {100 * accuracy['ci_low']:.2f}% to {100 * accuracy['ci_high']:.2f}%, exact). "
        f"{facts['network']['parameters']:,} parameters, {model.nonzero:,} weights not zero. "
        f"Standing: {model.choice.standing}."
    )
    yield ""
    protocol = facts["run"]["protocol_id"]
    yield f"- **Run.** `{run.run_id}`, replicate {run.replicate}, protocol `{protocol}`, best epoch {run.best_epoch}"
    yield f"- **Data.** {run.dataset}, fingerprint `{run.fingerprint}`"
    yield f"- **Trained again.** {model.repeated.words()}; engine {model.repeated.engine}"
    yield f"- **Versions.** {', '.join(f'{name} {number}' for name, number in facts['versions'].items())}"
    yield f"- **To repeat.** `{model.command}`"
    for remark in model.remarks:
        yield f"- **Remark.** {remark}"
    yield from ("", "## Files", "")
    yield "| file | bytes | run by | right | accuracy | in the store | answers that differ |"
    yield "|---|---|---|---|---|---|---|"
    for row in model.checked:
        stored = "" if row.stored is None else f"{100 * row.stored:.2f}%"
        size = f"{model.bytes[row.file]:,}" if row.file in model.bytes else ""
        yield (
            f"| `{row.file}` | {size} | {row.run_by} | {row.correct:,} of {row.images:,} | {100 * row.accuracy:.2f}% |"
            f" {stored} | {row.differing:,} from {row.reference} |"
        )
    if model.latencies:
        yield from ("", "## Time for one image", "")
        yield "| file | run by | median, µs | p99, µs | runs |"
        yield "|---|---|---|---|---|"
        for latency in model.latencies:
            yield (
                f"| `{latency.file}` | {latency.run_by} | {latency.median:.1f} | {latency.p99:.1f} | {latency.runs:,} |"
            )
    yield from ("", "## Classes", "")
    yield from _classes(model, facts["accuracy"]["classes"])
    yield from ("", "## Limits", "")
    yield from (f"- {text}" for text in facts["limits"])
    if model.choice.evidence.markdown:
        yield from ("", model.choice.evidence.markdown.rstrip())


def _classes(model: Model, classes: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield accuracy per class with the confusion matrix: rows are true classes, columns answers."""
    names = [label.replace("|", "\\|") for label in model.labels]
    yield f"| true \\ answer | {' | '.join(names)} | right |"
    yield "|---" * (len(names) + 2) + "|"
    for name, row, counts in zip(names, model.confusion.tolist(), classes, strict=True):
        share = f"{100 * counts['correct'] / counts['images']:.1f}%" if counts["images"] else ""
        yield f"| {name} | {' | '.join(str(number) if number else '' for number in row)} | {share} |"


def _versions() -> Iterator[tuple[str, str]]:
    for name in LIBRARIES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue
