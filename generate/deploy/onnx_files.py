"""`model.onnx` and `model.int8.onnx`: written from a family's description, and run by onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from generate.architectures import Architecture, ImageShape
from generate.deploy.graph import INPUT, OUTPUT, FloatGraph, Floats, QuantizedGraph
from generate.engine.plain.integer import LEVELS
from generate.families import family_named
from generate.protocol import FamilyProtocol

if TYPE_CHECKING:
    import onnx

FLOAT, INTEGER = "model.onnx", "model.int8.onnx"
BATCH = 500


def available() -> bool:
    """Return whether onnx and onnxruntime are installed."""
    return all(find_spec(name) is not None for name in ("onnx", "onnxruntime"))


def float_model(
    architecture: Architecture,
    image: ImageShape,
    protocol: FamilyProtocol,
    parameters: Mapping[str, Tensor],
    facts: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """Return the model in float32, from normalised images to logits; its family must have an `onnx_graph`."""
    build = FloatGraph(_arrays(parameters), image)
    return build.model(_describe(build, architecture, protocol), name=architecture.family, facts=facts or {})


def integer_model(
    architecture: Architecture,
    image: ImageShape,
    protocol: FamilyProtocol,
    parameters: Mapping[str, Tensor],
    quantizers: Mapping[str, Tensor],
    calibration: Tensor,
    *,
    facts: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """Return the model in 8 bits, with the scales of training; its family must have an `onnx_graph`.

    What enters layers as floats, as in families that compute in floats between layers, was not quantized in training.
    It gets the range that it has over images, `calibration`, normalised float32 [n, channels, height, width], when all
    layers before are in integers.
    """
    arrays, rows = _arrays(parameters), _arrays(quantizers)
    inner: dict[str, Floats] = {}
    while True:
        build = QuantizedGraph(arrays, image, rows, inner)
        logits = _describe(build, architecture, protocol)
        missing = [layer for layer in build.floats if layer not in inner]
        if not missing:
            return build.model(logits, name=architecture.family, facts=facts or {})
        entering = run(session(build.value(build.floats[missing[0]])), calibration)
        inner[missing[0]] = _observed(float(entering.min()), float(entering.max()))


def session(model: onnx.ModelProto | Path, *, optimised: Path | None = None) -> Any:
    """Return an onnxruntime session on one thread of the CPU; `optimised` names a file for the graph that it runs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def run(running: Any, images: Tensor) -> NDArray[np.float32]:
    """Return the output, mostly logits [n, classes], of normalised images float32 [n, channels, height, width]."""
    parts = [running.run([OUTPUT], {INPUT: some.numpy()})[0] for some in torch.split(images, BATCH)]
    return np.concatenate(parts)


def integer_accuracy(running: Any, images: Tensor, labels: Tensor) -> float:
    """Return the accuracy of a session, a fraction, on normalised images with labels int64 [n]."""
    return float((run(running, images).argmax(1) == labels.numpy()).mean())


def _observed(low: float, high: float) -> Floats:
    """Return the quantizer of values between two numbers, as `engine.plain.vit.IntegerVit` sets it."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / LEVELS, float(np.finfo(np.float32).eps))
    return np.array([low, high, scale, round(-low / scale), 0, LEVELS], np.float32)


def _describe(build: FloatGraph, architecture: Architecture, protocol: FamilyProtocol) -> str:
    describe = family_named(architecture.family).onnx_graph
    assert describe is not None
    return describe(build, architecture.hidden_sizes, protocol)


def _arrays(tensors: Mapping[str, Tensor]) -> dict[str, Floats]:
    return {name: np.ascontiguousarray(value.detach().numpy()) for name, value in tensors.items()}
