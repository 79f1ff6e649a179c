"""Running every file of a model over the whole test set, against the network it was made of and what the store has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from generate.datasets import Dataset
from generate.deploy import onnx_files
from generate.deploy.plain import BATCH, MODULE, WEIGHTS, run_plain
from generate.deploy.retrain import Network
from generate.engine.pack import normalise
from generate.engine.plain.modules import build_module
from generate.engine.plain.quantization import hooked_forward, rounded_by
from generate.families import family_named
from store.errors import MinarchError

if TYPE_CHECKING:
    from generate.deploy.integer import IntegerNetwork

LOGIT_TOLERANCE = 1e-3
"""Largest difference of logits in float32, as a share of the largest logit: rounding makes a thousandth of it."""
TIES_TOLERATED = 0.002
"""Share of answers in 8 bits that ties in rounding may change; those of floats between layers see `INNER_TOLERATED`."""
INNER_TOLERATED = 0.02

CODE = "c/model.c"
INTEGERS = "integers in NumPy"

Logits = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a file answers on the test images.

    Attributes:
        file: its name.
        run_by: what ran it.
        correct: right answers, of `images`.
        stored: accuracy that the store has of this network, a fraction; None where it has none.
        reference: what its answers are compared with.
        differing: answers that are not those of the reference.
        apart: largest difference of a logit; in 8 bits in levels.
        answers: the class of each test image.
    """

    file: str
    run_by: str
    correct: int
    images: int
    stored: float | None
    reference: str
    differing: int
    apart: float
    in_levels: bool
    answers: NDArray[np.int64]

    @property
    def accuracy(self) -> float:
        """As a fraction."""
        return self.correct / self.images


@dataclass(frozen=True)
class Answers:
    """What a network answers in PyTorch: logits [n, classes] as trained and, of an int8 run, as floats alone."""

    trained: Logits
    floats: Logits


def trained_answers(network: Network, dataset: Dataset) -> Answers:
    """Return what the plain module of a network answers on the test images."""
    module = build_module(network.architecture, network.image, network.protocol)
    module.load_state_dict(network.tensors)
    forward = family_named(network.architecture.family).quantized_forward or hooked_forward
    rounded = rounded_by(network.quantizers, observe=False)
    floats, trained = [], []
    with torch.no_grad():
        for some in torch.split(normalise(dataset.test_images, network.protocol.training), BATCH):
            floats.append(module(some))
            if network.quantizers:
                trained.append(forward(module, some, rounded))
    plain = torch.cat(floats).numpy()
    return Answers(torch.cat(trained).numpy() if trained else plain, plain)


def check_plain(folder: Path, dataset: Dataset, expected: Answers, stored: float | None) -> Checked:
    """Run the weights with `model.py`."""
    found = run_plain(folder, dataset.test_images).numpy()
    return floats_checked(WEIGHTS, MODULE, found, expected.trained, dataset, stored)


def check_float(folder: Path, network: Network, dataset: Dataset, expected: Answers, stored: float | None) -> Checked:
    """Run `model.onnx`, whose arithmetic is in float32 whatever the run's precision."""
    images = normalise(dataset.test_images, network.protocol.training)
    found = onnx_files.run(onnx_files.session(folder / onnx_files.FLOAT), images)
    return floats_checked(onnx_files.FLOAT, "onnxruntime", found, expected.floats, dataset, stored)


def floats_checked(
    file: str, run_by: str, found: Logits, expected: Logits, dataset: Dataset, stored: float | None
) -> Checked:
    """Return how logits in float32 compare with those of the network.

    Raises:
        MinarchError: they differ by more than rounding makes.
    """
    apart = float(np.abs(found - expected).max())
    if not apart <= LOGIT_TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise MinarchError(f"{file} does not compute the network that it was made of: logits differ by {apart:.3g}")
    answers = (found.argmax(1), expected.argmax(1))
    return _checked(file, run_by, *answers, dataset, reference="PyTorch", apart=apart, stored=stored)


def check_integer(
    folder: Path, network: Network, integers: IntegerNetwork | None, dataset: Dataset, stored: float | None
) -> Checked:
    """Run `model.int8.onnx` against the integer reference, or where there is none against ONNX's own in NumPy."""
    path = folder / onnx_files.INTEGER
    images = normalise(dataset.test_images, network.protocol.training)
    found = onnx_files.run(onnx_files.session(path), images)
    if integers is not None:
        from generate.deploy.integer import run

        expected, reference = integers.logits(run(integers, dataset.test.images, "float")), INTEGERS
        tolerated, step = TIES_TOLERATED, integers.outputs.scale
    else:
        expected, reference = reference_logits(path, images), "ONNX's reference"
        tolerated, step = INNER_TOLERATED, _step(expected)
    levels = float(np.abs(found - expected).max()) / step
    result = _checked(
        path.name,
        "onnxruntime",
        found.argmax(1),
        expected.argmax(1),
        dataset,
        reference=reference,
        apart=round(levels),
        stored=stored,
        in_levels=True,
    )
    require_alike(result, tolerated)
    return result


def require_alike(checked: Checked, tolerated: float) -> None:
    """Accept answers that differ from their reference's in a share of images at most.

    Raises:
        MinarchError: more differ.
    """
    if checked.differing > tolerated * checked.images:
        raise MinarchError(
            f"{checked.file} answers {checked.differing:,} of {checked.images:,} test images otherwise than"
            f" {checked.reference}: more than ties in rounding make"
        )


def reference_logits(path: Path, images: Tensor) -> Logits:
    """Return the logits that onnx's evaluator in NumPy, which fuses nothing, computes of normalised images."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    evaluator: Any = ReferenceEvaluator(onnx.load(path))
    parts = [evaluator.run(None, {"images": some.numpy()})[0] for some in torch.split(images, BATCH)]
    return np.concatenate(parts).astype(np.float32)


def check_c(
    found: Logits,
    network: Network,
    integers: IntegerNetwork | None,
    dataset: Dataset,
    expected: Answers,
    stored: float | None,
) -> Checked:
    """Compare what compiled C returned: in integers every level has to be the reference's.

    Raises:
        MinarchError: it does not compute the network.
    """
    if integers is not None:
        from generate.deploy.integer import run

        levels = run(integers, dataset.test.images, "fixed").astype(np.float32)
        apart = float(np.abs(found - levels).max())
        answers = (found.argmax(1), levels.argmax(1))
        result = _checked(
            CODE, "C, integers", *answers, dataset, reference=INTEGERS, apart=apart, stored=stored, in_levels=True
        )
        if apart:
            raise MinarchError(f"{CODE} does not compute the network that it was made of: {apart:g} levels apart")
        return result
    if not network.quantizers:
        return floats_checked(CODE, "C, float32", found, expected.trained, dataset, stored)
    # Rounded in floats as in training: where a sum lies at a tie, its order decides.
    apart = round(float(np.abs(found - expected.trained).max()) / _step(expected.trained))
    answers = (found.argmax(1), expected.trained.argmax(1))
    result = _checked(
        CODE, "C, float32", *answers, dataset, reference="PyTorch", apart=apart, stored=stored, in_levels=True
    )
    require_alike(result, INNER_TOLERATED)
    return result


def integers_of(network: Network) -> tuple[IntegerNetwork | None, str]:
    """Return a network in integers, or None and why there is none."""
    from generate.deploy.integer import integer_network

    family = network.architecture.family
    try:
        found = integer_network(family, network.protocol, network.tensors, network.quantizers, network.image)
    except MinarchError as error:
        return None, str(error)
    return found, ""


def _checked(
    file: str,
    run_by: str,
    answers: NDArray[Any],
    expected: NDArray[Any],
    dataset: Dataset,
    *,
    reference: str,
    apart: float,
    stored: float | None,
    in_levels: bool = False,
) -> Checked:
    labels = dataset.test.labels
    return Checked(
        file=file,
        run_by=run_by,
        correct=int((answers == labels).sum()),
        images=len(labels),
        stored=stored,
        reference=reference,
        differing=int((answers != expected).sum()),
        apart=apart,
        in_levels=in_levels,
        answers=answers.astype(np.int64),
    )


def _step(logits: Logits) -> float:
    """Return the distance of two levels of logits that are multiples of it."""
    values = np.unique(logits)
    return float(np.diff(values).min()) if len(values) > 1 else 1.0
