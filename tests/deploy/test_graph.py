"""ONNX graphs and module texts of every family and setting against the plain module, and 8 bits against its levels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from generate.architectures import Architecture, ImageShape
from generate.deploy import onnx_files
from generate.deploy.graph import QuantizedGraph
from generate.deploy.plain import run_plain, write_plain
from generate.deploy.retrain import Network
from generate.engine.initialise import initial_tensors
from generate.engine.pack import normalise
from generate.engine.plain.modules import build_module
from generate.engine.plain.quantization import hooked_forward, quantizers_for, rounded_by
from generate.families import family_named
from generate.families.cnn import CnnProtocol
from generate.families.dnn import DnnProtocol
from generate.families.vit import VitProtocol
from generate.protocol import FamilyProtocol
from store.precisions import Bits

onnx = pytest.importorskip("onnx", reason="onnx comes with the extra deploy")
pytest.importorskip("onnxruntime", reason="onnxruntime comes with the extra deploy")

GREY, COLOUR = ImageShape(8, 8, 1, 10), ImageShape(9, 11, 3, 7)
NETWORKS: list[tuple[FamilyProtocol, tuple[int, ...]]] = [
    (DnnProtocol(), (5,)),
    (DnnProtocol(), (5, 7, 3)),
    (CnnProtocol(), (4,)),
    (CnnProtocol(kernel_size=5, stride=2, padding=1), (3,)),
    (VitProtocol(), (6,)),
    (VitProtocol(blocks=3, heads=2, mlp_ratio=4, grid=3), (4,)),
]


def network(
    protocol: FamilyProtocol, sizes: tuple[int, ...], image: ImageShape, *, bits: Bits | None = None
) -> Network:
    """Return a network of large random weights, whose quantizers, if any, have seen some images."""
    architecture = Architecture(protocol.family, sizes)
    tensors = initial_tensors(architecture, image, protocol, dataset="d", replicate=0)
    rng = np.random.default_rng(5)
    for name, value in tensors.items():
        value += torch.from_numpy(rng.normal(0, 0.2, value.shape).astype(np.float32))
        assert value.std() > 0, name
    quantizers: dict[str, Tensor] = {}
    if bits:
        module = build_module(architecture, image, protocol)
        module.load_state_dict(tensors)
        quantizers = quantizers_for(module, torch.device("cpu"), bits)
        forward(protocol.family)(module, inputs(image, protocol), rounded_by(quantizers, observe=True))
    return Network(architecture, image, protocol, tensors, quantizers)


def forward(family: str) -> Any:
    return family_named(family).quantized_forward or hooked_forward


def raw(image: ImageShape, n: int = 40) -> Tensor:
    shape = (n, image.channels, image.height, image.width)
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8))


def inputs(image: ImageShape, protocol: FamilyProtocol) -> Tensor:
    return normalise(raw(image), protocol.training)


def expected(found: Network) -> Tensor:
    module = build_module(found.architecture, found.image, found.protocol)
    module.load_state_dict(found.tensors)
    images = inputs(found.image, found.protocol)
    with torch.no_grad():
        if found.quantizers:
            rounded: Tensor = forward(found.architecture.family)(
                module, images, rounded_by(found.quantizers, observe=False)
            )
            return rounded
        logits: Tensor = module(images)
        return logits


@pytest.mark.parametrize("image", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize(("protocol", "sizes"), NETWORKS)
def test_files_in_float_compute_the_module(
    protocol: FamilyProtocol, sizes: tuple[int, ...], image: ImageShape, tmp_path: Path
) -> None:
    found = network(protocol, sizes, image)
    write_plain(found, tmp_path, title="a title", dataset="d", facts={"run_id": "x"})
    torch.testing.assert_close(run_plain(tmp_path, raw(image)), expected(found), rtol=1e-6, atol=1e-6)
    model = onnx_files.float_model(found.architecture, image, protocol, found.tensors, {"run_id": "x"})
    assert {entry.key: entry.value for entry in model.metadata_props} == {"run_id": "x"}
    logits = onnx_files.run(onnx_files.session(model), inputs(image, protocol))
    np.testing.assert_allclose(logits, expected(found).numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("image", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize(("protocol", "sizes"), NETWORKS)
def test_files_in_8_bits_compute_the_fake_quantized_module(
    protocol: FamilyProtocol, sizes: tuple[int, ...], image: ImageShape, tmp_path: Path
) -> None:
    found = network(protocol, sizes, image, bits=Bits(8, 8))
    write_plain(found, tmp_path, title="a title", dataset="d", facts={})
    step = found.quantizers[list(found.quantizers)[len(found.quantizers) // 2]][2]
    torch.testing.assert_close(run_plain(tmp_path, raw(image)), expected(found), rtol=0, atol=float(step) / 4)
    images = inputs(image, protocol)
    model = onnx_files.integer_model(found.architecture, image, protocol, found.tensors, found.quantizers, images)
    optimised = tmp_path / "optimised.onnx"
    logits = onnx_files.run(onnx_files.session(model, optimised=optimised), images)
    levels = np.abs(logits - expected(found).numpy()) / float(step)
    inner = found.architecture.family == "vit"
    # Between its layers the ViT computes in floats, which are rounded in this file alone.
    assert (levels > 0.5).mean() < (0.8 if inner else 0.02)
    assert levels.max() < (12.0 if inner else 1.5)
    # Every layer is fused to an integer kernel.
    operators = [node.op_type for node in onnx.load(optimised).graph.node]
    layers = sum(name.endswith(".weight") for name in found.quantizers)
    assert operators.count("QGemm") + operators.count("QLinearConv") == layers
    assert not {"Gemm", "Conv"} & set(operators)


@pytest.mark.parametrize("sign", [-1, 1])
def test_pairs_of_large_products_do_not_saturate(sign: int) -> None:
    # On processors without VNNI, 255 x 127 + 255 x 127 is cut off at 32,767 where bytes with and without sign meet.
    image = ImageShape(4, 4, 1, 2)
    rows = np.zeros((3, 6), np.float32)
    rows[:, 2:] = [[1, 0, 0, 255], [1, 0, -128, 127], [16384, 128, 0, 255]]
    quantizers = dict(zip(("input", "layers.0.weight", "layers.0"), rows, strict=True))
    weights = np.full((2, 16), 127.0 * sign, np.float32)
    weights[1, ::2] *= -1
    parameters = {"layers.0.weight": weights, "layers.0.bias": np.zeros(2, np.float32)}
    build = QuantizedGraph(parameters, image, quantizers)
    logits = build.linear("layers.0", build.entering(build.flattened("images")))
    running = onnx_files.session(build.model(logits, name="d", facts={}))
    found = onnx_files.run(running, torch.full((3, 1, 4, 4), 255.0))
    exact = 16384 * np.rint(np.array([16 * 255 * 127 * sign, 0]) / 16384)
    np.testing.assert_array_equal(found, np.broadcast_to(exact, (3, 2)))


def test_weights_of_one_sign_keep_their_zero_point() -> None:
    found = network(DnnProtocol(), (5,), GREY, bits=Bits(8, 8))
    found.tensors["layers.0.weight"].abs_()
    module = build_module(found.architecture, GREY, found.protocol)
    module.load_state_dict(found.tensors)
    fresh = quantizers_for(module, torch.device("cpu"), Bits(8, 8))
    forward("dnn")(module, inputs(GREY, found.protocol), rounded_by(fresh, observe=True))
    assert fresh["layers.0.weight"][3] == -128
    one_sign = found.__class__(found.architecture, GREY, found.protocol, found.tensors, fresh)
    images = inputs(GREY, found.protocol)
    model = onnx_files.integer_model(one_sign.architecture, GREY, one_sign.protocol, one_sign.tensors, fresh, images)
    logits = onnx_files.run(onnx_files.session(model), images)
    assert (np.abs(logits - expected(one_sign).numpy()) > float(fresh["layers.1"][2]) / 2).mean() < 0.02
