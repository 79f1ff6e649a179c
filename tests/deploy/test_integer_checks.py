"""The integer check on onnxruntime against QNNPACK's kernels, level for level, and what it does without either."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from generate.deploy import integer_checks, onnx_files
from generate.engine.choose import build_pack
from generate.engine.pack import Pack
from generate.engine.plain import integer as qnnpack
from generate.engine.plain.integer import Values
from generate.engine.quantize.rows import SCALE
from generate.families import family_named
from store.precisions import Bits
from tests.deploy.conftest import Example, Train

pytest.importorskip("onnxruntime", reason="onnxruntime comes with the extra deploy")

NETWORKS = [("dnn", (10,)), ("dnn", (50, 50)), ("cnn", (6,)), ("vit", (6,))]


def pack_of(example: Example) -> Pack:
    pack = build_pack([example.architecture], example.image, example.protocol, engine="torch", bits=Bits(8, 8))
    quantizers = {f"{name} quantizer": row for name, row in example.quantizers.items()}
    pack.load(0, {**example.parameters, **quantizers})
    return pack


@pytest.mark.parametrize(("family", "sizes"), NETWORKS)
def test_onnxruntime_answers_as_qnnpack(
    family: str, sizes: tuple[int, ...], trained: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not qnnpack.available():
        pytest.skip("this build of PyTorch has no QNNPACK")
    example = trained(family, *sizes)
    images, labels = example.normalised, torch.from_numpy(example.labels)
    given = (example.parameters, example.quantizers)
    model = onnx_files.integer_model(example.architecture, example.image, example.protocol, *given, images)
    found = onnx_files.run(onnx_files.session(model), images)
    convert: Any = family_named(family).integer_model
    with qnnpack.qnnpack(), torch.no_grad():
        expected = convert(example.protocol, Values(*given), images)(images).numpy()
    head = [name for name in example.quantizers if f"{name}.weight" in example.quantizers][-1]
    levels = np.abs(found - expected) / float(example.quantizers[head][SCALE])
    assert (levels > 0.5).mean() < 0.001
    pack = pack_of(example)
    accuracy = integer_checks.integer_accuracy(pack, 0, images, labels, images)
    assert accuracy == (found.argmax(1) == example.labels).mean()
    monkeypatch.setattr(onnx_files, "available", lambda: False)
    assert integer_checks.integer_accuracy(pack, 0, images, labels, images) == pytest.approx(accuracy, abs=0.003)
    monkeypatch.setattr(qnnpack, "available", lambda: False)
    assert integer_checks.integer_accuracy(pack, 0, images, labels, images) is None


def test_a_model_that_diverged_is_not_checked(trained: Train) -> None:
    example = trained("dnn", 10)
    pack = pack_of(example)
    pack.tensors(0)["layers.0.bias"][0] = float("nan")
    labels = torch.from_numpy(example.labels)
    assert integer_checks.integer_accuracy(pack, 0, example.normalised, labels, example.normalised) is None
