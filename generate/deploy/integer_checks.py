"""The accuracy of trained 8-bit networks on integer kernels: onnxruntime's, or QNNPACK's without it."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from generate.deploy import onnx_files
from generate.engine.pack import Pack
from generate.engine.plain import integer as qnnpack
from generate.engine.plain.integer import Values
from generate.families import family_named


def integer_accuracy(pack: Pack, model: int, images: Tensor, labels: Tensor, calibration: Tensor) -> float | None:
    """Return the accuracy of a pack's model on integer kernels, a fraction.

    None where its family has no network in integers, where no kernels are installed, and for a model that diverged.

    Args:
        pack: trained under fake quantization to 8 bits.
        model: its place in the pack.
        images: normalised float32 [n, channels, height, width].
        labels: int64 [n].
        calibration: normalised images, which show the ranges of what enters layers as floats.
    """
    architecture, values = pack.architectures[model], Values(pack.tensors(model), pack.quantizers(model))
    family = family_named(architecture.family)
    if not all(bool(torch.isfinite(value).all()) for part in values for value in part.values()):
        return None
    if family.onnx_graph is not None and onnx_files.available():
        converted = onnx_files.integer_model(architecture, pack.image, pack.protocol, *values, calibration)
        return onnx_files.integer_accuracy(onnx_files.session(converted), images, labels)
    if family.integer_model is not None and qnnpack.available():
        build = functools.partial(family.integer_model, pack.protocol, values, calibration)
        return qnnpack.integer_accuracy(build, images, labels)
    return None
