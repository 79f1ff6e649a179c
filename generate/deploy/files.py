"""All files of a model but its card: written, and each run over the test set."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray

from generate.datasets import Dataset
from generate.datasets.labels import class_names
from generate.deploy import checks, onnx_files
from generate.deploy.c import compile_and_run, float_network, write_c
from generate.deploy.c import measure as time_c
from generate.deploy.checks import Checked
from generate.deploy.graph import INPUT, OUTPUT
from generate.deploy.integer import IntegerNetwork
from generate.deploy.latency import MOST_RUNS, WARM_UP, Latency, measured, summary
from generate.deploy.plain import MODULE, WEIGHTS, scaling, write_plain
from generate.deploy.retrain import Network
from generate.deploy.stored import Cut, StoredRun
from generate.engine.pack import normalise
from generate.engine.post_training import CALIBRATION_IMAGES
from generate.families import family_named
from store.errors import MinarchError

C = "c"
LABELS, PREPROCESSING, VECTOR = "labels.json", "preprocessing.json", "test_vector.json"


@dataclass
class Files:
    """What was written.

    Attributes:
        labels: names of the classes.
        names: of files and folders.
        checked: what each file that computes answers on the test images.
        latencies: of one image, where they were asked for.
        remarks: what is to be said of the files, a line each.
        bytes: sizes by name.
    """

    labels: tuple[str, ...]
    names: list[str] = field(default_factory=list)
    checked: list[Checked] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    bytes: dict[str, int] = field(default_factory=dict)


def written(
    network: Network, run: StoredRun, cut: Cut | None, dataset: Dataset, source: str, folder: Path, *, measure: bool
) -> Files:
    """Write all files of a network into a folder and return what each answers.

    Args:
        network: what is written.
        run: the run that it comes from.
        cut: how it was pruned.
        dataset: what it was trained and is tested on.
        source: what the dataset was loaded from, a name or a folder.
        folder: where to; empty.
        measure: time one image too.

    Raises:
        MinarchError: a file does not compute the network, or its family has none.
    """
    files = Files(class_names(source, dataset.classes))
    writer = _Writer(network, run, cut, dataset, folder, files)
    writer.plain()
    writer.onnx(measure=measure)
    writer.c(measure=measure)
    if not files.checked:
        raise MinarchError(f"nothing can be written of the family {run.architecture.family}: it brings no file's form")
    writer.data()
    files.bytes = {name: (folder / name).stat().st_size for name in files.names if (folder / name).is_file()}
    return files


class _Writer:
    """Writes the files of one network into a folder and adds them to `files`."""

    def __init__(
        self, network: Network, run: StoredRun, cut: Cut | None, dataset: Dataset, folder: Path, files: Files
    ) -> None:
        self.network, self.run, self.dataset, self.folder, self.files = network, run, dataset, folder, files
        self.expected = checks.trained_answers(network, dataset)
        self.stored = cut.test_accuracy if cut else run.metrics["test_accuracy"]
        self.stored_integer = self.stored if cut or run.integer_accuracy is None else run.integer_accuracy
        self.images = normalise(dataset.test_images, network.protocol.training)
        self.facts = {
            "title": run.title,
            "dataset": run.dataset,
            "dataset_fingerprint": run.fingerprint,
            "run_id": run.run_id,
            "pruning": cut.words() if cut else "none",
        }
        self.logits: dict[str, NDArray[Any]] = {}
        self.integers: IntegerNetwork | None = None
        right = (self.expected.trained.argmax(1) == dataset.test.labels).nonzero()[0]
        self.example = int(right[0]) if len(right) else 0

    def plain(self) -> None:
        """Write the weights and the module."""
        names = write_plain(self.network, self.folder, title=self.run.title, dataset=self.run.dataset, facts=self.facts)
        self.files.names += names
        if MODULE in names:
            self.files.checked.append(checks.check_plain(self.folder, self.dataset, self.expected, self.stored))
            self.logits[WEIGHTS] = self.expected.trained[self.example]
        else:
            self.files.remarks.append(f"the family {self.run.architecture.family} has no text for {MODULE}")

    def onnx(self, *, measure: bool) -> None:
        """Write the ONNX files."""
        network = self.network
        what = (network.architecture, network.image, network.protocol, network.tensors)
        if family_named(network.architecture.family).onnx_graph is None:
            self.files.remarks.append(f"the family {network.architecture.family} has no ONNX graph")
            return
        path = self.folder / onnx_files.FLOAT
        onnx.save(onnx_files.float_model(*what, facts=self.facts), path)
        stored = None if network.quantizers else self.stored
        self.files.checked.append(checks.check_float(self.folder, network, self.dataset, self.expected, stored))
        self._ran(path, measure=measure)
        if not network.quantizers:
            return
        self.files.remarks.append(
            f"{path.name} computes in float32 with the weights before rounding: the store has no accuracy of it"
        )
        path = self.folder / onnx_files.INTEGER
        calibration = normalise(self.dataset.train_images[:CALIBRATION_IMAGES], network.protocol.training)
        onnx.save(onnx_files.integer_model(*what, network.quantizers, calibration, facts=self.facts), path)
        self.integers, reason = checks.integers_of(network)
        self.files.remarks += [reason] if reason else []
        checked = checks.check_integer(self.folder, network, self.integers, self.dataset, self.stored_integer)
        self.files.checked.append(checked)
        self._ran(path, measure=measure)

    def c(self, *, measure: bool) -> None:
        """Write the C, and compile and run it where there is a compiler."""
        network, family, place = self.network, self.network.architecture.family, self.folder / C
        example = self.dataset.test.images[self.example]
        given = (family, network.protocol, network.tensors, network.quantizers, network.image)
        try:
            write_c(
                self.integers or float_network(*given),
                place,
                image=example,
                logits=self.expected.trained[self.example],
                title=f"{self.run.title}, for {self.run.dataset}: run {self.run.run_id}.",
            )
        except MinarchError as error:
            self.files.remarks.append(str(error))
            return
        self.files.names.append(C)
        found = compile_and_run(place, self.dataset.test.images)
        if found.answers is None or found.logits is None:
            self.files.remarks.append(f"the C was written and not run: {found.reason}")
            return
        checked = checks.check_c(found.logits, network, self.integers, self.dataset, self.expected, self.stored)
        if self.integers is not None:
            others = int((checked.answers != self.files.checked[-1].answers).sum())
            self.files.remarks.append(
                f"the C rounds by integers, onnxruntime by floats: {others:,} of {checked.images:,} answers differ"
            )
        self.files.checked.append(checked)
        self.logits[checked.file] = found.logits[self.example]
        if measure:
            timed = time_c(place, example, times=WARM_UP + MOST_RUNS)
            if timed.nanoseconds is not None:
                times = timed.nanoseconds[WARM_UP:].tolist()
                self.files.latencies.append(summary(checked.file, checked.run_by, times))

    def _ran(self, path: Path, *, measure: bool) -> None:
        """Keep the logits of the example, and time it."""
        running, one = onnx_files.session(path), self.images[self.example : self.example + 1]
        self.files.names.append(path.name)
        self.logits[path.name] = onnx_files.run(running, one)[0]
        if measure:
            feed = {INPUT: one.numpy()}
            self.files.latencies.append(measured(path.name, "onnxruntime", lambda: running.run([OUTPUT], feed)))

    def data(self) -> None:
        """Write labels, preprocessing and the test vector."""
        training, image = self.network.protocol.training, self.network.image
        scale, shift = scaling(training)
        self._json(LABELS, list(self.files.labels))
        self._json(
            PREPROCESSING,
            {
                "shape": ["n", image.channels, image.height, image.width],
                "colours": "RGB" if image.channels == 3 else "grey",
                "formula": "(x / 255 - mean) / std, for bytes x of every channel",
                "mean": [training.input_mean] * image.channels,
                "std": [training.input_std] * image.channels,
                "scale": scale,
                "shift": shift,
                "as computed": "x * scale - shift, float32",
            },
        )
        at = self.example
        self._json(
            VECTOR,
            {
                "test_image": at,
                "label": int(self.dataset.test.labels[at]),
                "image": self.dataset.test.images[at].tolist(),
                "input": self.images[at].tolist(),
                "logits": {name: values.tolist() for name, values in self.logits.items()},
            },
        )

    def _json(self, name: str, content: object) -> None:
        (self.folder / name).write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
        self.files.names.append(name)
