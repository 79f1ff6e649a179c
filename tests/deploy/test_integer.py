"""The reference in integers against torch's QNNPACK kernels, the fake-quantized networks, and sums by hand."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from generate.architectures import Architecture, ImageShape
from generate.deploy.integer import (
    LONGEST_SHIFT,
    IntegerNetwork,
    Quantizer,
    accumulators,
    fixed_point,
    integer_network,
    requantized,
    run,
)
from generate.engine.plain.integer import Values, available, qnnpack
from generate.engine.quantize.rows import SCALE
from generate.families import family_named, protocol_for
from generate.families.cnn import CnnProtocol
from store.errors import MinarchError
from tests.deploy.conftest import Example, Train, untrained

NETWORKS = [("dnn", (10,)), ("dnn", (50, 50)), ("cnn", (6,))]
UNUSUAL = {
    "padded": (Architecture("cnn", (5,)), CnnProtocol(kernel_size=5, stride=2, padding=3), ImageShape(9, 7, 3, 4)),
    "deep": (Architecture("dnn", (7, 1, 9)), protocol_for("dnn"), ImageShape(6, 5, 3, 3)),
}


def converted(example: Example) -> IntegerNetwork:
    given = (example.parameters, example.quantizers)
    return integer_network(example.family, example.protocol, *given, example.image)


def by_qnnpack(example: Example) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return the logits that PyTorch's kernels compute."""
    build = family_named(example.family).integer_model
    assert build is not None
    if not available():
        pytest.skip("this build of PyTorch has no QNNPACK")
    with qnnpack(), torch.no_grad():
        model = build(example.protocol, Values(example.parameters, example.quantizers), example.normalised)
        found: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = model(example.normalised).numpy()
    return found


@pytest.mark.parametrize(("family", "sizes"), NETWORKS)
def test_trained_networks_answer_as_on_qnnpack_and_as_they_were_trained(
    family: str, sizes: tuple[int, ...], trained: Train
) -> None:
    example = trained(family, *sizes)
    network = converted(example)
    levels = run(network, example.images, "float")
    assert levels.shape == (360, 10)
    np.testing.assert_array_equal(network.logits(levels), by_qnnpack(example))
    fake = example.logits()
    steps = np.rint((network.logits(levels) - fake) / network.outputs.scale)
    # The bias, too, is rounded here; to steps of the products, which are fine.
    assert np.abs(steps).max() <= 1
    assert (steps != 0).mean() < 0.02
    answers = levels.argmax(1)
    assert (answers == example.labels).mean() > 0.6
    assert (answers == fake.argmax(1)).mean() > 0.98


@pytest.mark.parametrize(("family", "sizes"), NETWORKS)
def test_fixed_point_differs_from_floats_only_next_to_ties(family: str, sizes: tuple[int, ...], trained: Train) -> None:
    example = trained(family, *sizes)
    network = converted(example)
    levels = network.input_table[example.images].reshape(360, -1).astype(np.int64)
    for layer in network.layers:
        sums = accumulators(layer, levels)
        fixed, floats = (requantized(layer, sums, rounding) for rounding in ("fixed", "float"))
        exact = sums * (layer.inputs.scale * layer.weight.scale / layer.outputs.scale)
        away = np.abs(exact - np.floor(exact) - 0.5)[fixed != floats]
        assert len(away) <= 2
        assert (away < 1e-4).all()
        levels = fixed


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_networks_answer_as_on_qnnpack(name: str) -> None:
    example = untrained(*UNUSUAL[name])
    network = converted(example)
    assert network.layers[-1].weight.zero_point != 0
    if name == "padded":
        assert network.layers[0].output_shape == (5, 6, 5)
    np.testing.assert_array_equal(network.logits(run(network, example.images, "float")), by_qnnpack(example))


@pytest.mark.parametrize("precision", ["w4a8", "int4", "int2"])
def test_fewer_bits_keep_to_their_levels(precision: str, trained: Train) -> None:
    example = trained("dnn", 20, 20, precision=precision)
    network = converted(example)
    levels = run(network, example.images, "float")
    difference = np.rint((network.logits(levels) - example.logits()) / network.outputs.scale)
    weight_bits, activation_bits = {"w4a8": (4, 8), "int4": (4, 4), "int2": (2, 2)}[precision]
    for layer in network.layers:
        assert np.abs(layer.weights + 0.5).max() < 2 ** (weight_bits - 1)
        assert layer.highest == 2**activation_bits - 1
    assert levels.max() <= network.outputs.last
    assert (difference != 0).mean() < 0.1


def test_bytes_and_their_normalised_floats_are_one_input(trained: Train) -> None:
    example = trained("cnn", 6)
    network = converted(example)
    np.testing.assert_array_equal(run(network, example.normalised.numpy()), run(network, example.images))
    assert run(network, example.images[:0]).shape == (0, 10)


def test_one_neuron_by_hand() -> None:
    """Input 0 .. 255 stands for -1 .. 1: levels are bytes; 3 weights of 0.5, -1, 0.25 in steps of 1/4."""
    parameters = {"layers.0.weight": np.array([[0.5, -1, 0.25]]), "layers.0.bias": np.array([1.0])}
    step = 2 / 255
    quantizers = {
        "input": [-1, 1, step, 128, 0, 255],
        "layers.0.weight": [-1, 1, 0.25, 0, -128, 127],
        "layers.0": [-2, 2, 1 / 64, 100, 0, 255],
    }
    network = integer_network("dnn", protocol_for("dnn"), parameters, quantizers, ImageShape(1, 3, 1, 1))
    (layer,) = network.layers
    assert layer.weights.tolist() == [[2, -4, 1]]
    # 1 / (0.25 x 2 / 255) = 510
    assert layer.bias.tolist() == [510]
    images = np.array([[[[255, 0, 200]]]], np.uint8)
    levels = network.input_table[images].reshape(-1).astype(int) - 128
    total = 2 * levels[0] - 4 * levels[1] + levels[2] + 510
    expected = 100 + int(np.floor(total * 0.25 * step * 64 + 0.5))
    assert run(network, images).tolist() == [[min(expected, 255)]]


@pytest.mark.parametrize("ratio", [1e-12, 3e-9, 1e-3, 0.1234567, 0.5, 1 - 2**-40, 1.0, 7.3, 2.0**29])
def test_multipliers_are_the_nearest_of_31_bits(ratio: float) -> None:
    multiplier, shift = fixed_point(ratio)
    assert 1 <= shift <= LONGEST_SHIFT
    assert 0 <= multiplier < 2**31
    assert abs(Fraction(multiplier, 2**shift) - Fraction(ratio)) <= Fraction(1, 2 ** (shift + 1))
    if shift < LONGEST_SHIFT:
        assert multiplier >= 2**30


def test_halves_go_up_in_fixed_point_and_to_even_levels_in_floats() -> None:
    example = untrained(*UNUSUAL["deep"])
    layer = converted(example).layers[-1]
    half = replace(
        layer,
        weight=Quantizer(0.5, 0, -128, 127),
        inputs=Quantizer(1.0, 0, 0, 255),
        outputs=Quantizer(1.0, 10, 0, 255),
    )
    sums = np.array([-5, -3, -1, 1, 3, 5, 10**6, -(10**6)])
    assert requantized(half, sums, "fixed").tolist() == [8, 9, 10, 11, 12, 13, 255, 0]
    assert requantized(half, sums, "float").tolist() == [8, 8, 10, 10, 12, 12, 255, 0]
    assert requantized(replace(half, relu=True), sums, "fixed").tolist() == [10, 10, 10, 11, 12, 13, 255, 10]


def test_what_has_no_network_in_integers_says_why() -> None:
    architecture, protocol, image = UNUSUAL["deep"]
    example = untrained(architecture, protocol, image)
    scale = example.quantizers["layers.1"].clone()
    scale[SCALE] = float("nan")
    with pytest.raises(MinarchError, match="a scale is nan: the training diverged"):
        converted(replace(example, quantizers={**example.quantizers, "layers.1": scale}))
    bias = torch.full((3,), float("inf"))
    with pytest.raises(MinarchError, match=r"layers.3.bias is not finite: the training diverged"):
        converted(replace(example, parameters={**example.parameters, "layers.3.bias": bias}))
    with pytest.raises(MinarchError, match=r"layers.3: its sums may not fit into 32 bits"):
        converted(replace(example, parameters={**example.parameters, "layers.3.bias": torch.full((3,), 1e9)}))
    with pytest.raises(MinarchError, match="the family vit has no network in integers"):
        integer_network("vit", protocol_for("vit"), {}, {}, image)
