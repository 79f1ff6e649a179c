"""Quantization-aware training of the CNN kernels against torch.ao's modules."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch.nn import functional as F

from generate.architectures import Architecture, ImageShape
from generate.engine.cnn.pack import CnnKernelPack
from generate.engine.initialise import initial_tensors
from generate.engine.pack import normalise
from generate.families.cnn import CHANNELS, CnnProtocol
from generate.protocol import Training
from tests.generate.test_cnn import CIFAR, DIGITS, MNIST, SMALL, batch

pytest.importorskip("torch.ao.quantization", reason="this PyTorch has no torch.ao")
from tests.generate.quantized_reference import EIGHT, QuantizedCnn, observe, state_of

TRAINING = Training()


def quantized_pack(channels: Sequence[int], image: ImageShape) -> CnnKernelPack:
    pack = CnnKernelPack([Architecture("cnn", (count,)) for count in channels], image, CnnProtocol(), bits=EIGHT)
    for model, architecture in enumerate(pack.architectures):
        pack.load(model, initial_tensors(architecture, image, CnnProtocol(), dataset="random", replicate=0))
    return pack


@pytest.mark.parametrize(
    ("channels", "image", "steps", "usual"),
    [
        ((1, 3, 10), DIGITS, 20, 1e-5),
        ((1, 2, 5, 8), SMALL, 20, 1e-5),
        ((1, 4, 12), MNIST, 3, 1e-5),
        ((2, 9), CIFAR, 3, 1e-3),
    ],
    ids=["digits", "small", "mnist", "cifar10"],
)
def test_quantizers_and_gradients_are_those_of_torch(
    channels: tuple[int, ...], image: ImageShape, steps: int, usual: float
) -> None:
    """Parameters are resynchronised at each step; the observers run by themselves.

    A value on the edge between two levels may round to either. That moves logits and gradients by a level of one
    value, rarely; where it does not happen, gradients agree to float rounding: most of them must. Of
    the 810,000 activations of nine channels on CIFAR-10 there is one on an edge at almost every step.
    """
    pack = quantized_pack(channels, image)
    oracles = [QuantizedCnn(architecture, image) for architecture in pack.architectures]
    errors = []
    for step in range(steps):
        images, labels = batch(image, 100, step)
        for model, oracle in enumerate(oracles):
            oracle.load(pack.tensors(model))
        gradients = pack.gradients(images, labels)
        tally = pack.step(images, labels)
        for model, oracle in enumerate(oracles):
            oracle.zero_grad()
            loss = F.cross_entropy(oracle(normalise(images, TRAINING)), labels)
            torch.autograd.backward(loss)
            assert float(tally.loss[model]) == pytest.approx(100 * loss.item(), rel=1e-4)
            ours = pack.quantizers(model)
            for name, quantizer in oracle.quantizers().items():
                precision = 1e-3 if name == "linear" else 1e-5
                expected, zero_point = state_of(quantizer)[:3], state_of(quantizer)[3]
                assert ours[name][:3].tolist() == pytest.approx(expected, rel=precision, abs=precision), (step, name)
                assert abs(float(ours[name][3]) - zero_point) <= (name == "linear"), (step, name)
            for name, layer in oracle.layers().items():
                for kind in ("weight", "bias"):
                    slope, got = getattr(layer, kind).grad, gradients[model][f"{name}.{kind}"]
                    errors.append(float((got - slope).norm() / slope.norm()))
    assert sorted(errors)[len(errors) * 3 // 4] < usual, sorted(errors)[:: len(errors) // 8]
    assert max(errors) < 0.05


def test_evaluation_uses_the_quantizers_as_they_are() -> None:
    pack = quantized_pack((3, 8), DIGITS)
    oracles = [QuantizedCnn(architecture, DIGITS) for architecture in pack.architectures]
    for step in range(3):
        images, labels = batch(DIGITS, 100, step)
        for model, oracle in enumerate(oracles):
            oracle.load(pack.tensors(model))
            oracle(normalise(images, TRAINING))
        pack.step(images, labels)
    before = [pack.quantizers(model)["linear"].clone() for model in range(2)]
    images, labels = batch(DIGITS, 130, 9)
    tally = pack.evaluate(images, labels)
    for model, oracle in enumerate(oracles):
        # The last step moved the parameters once more: weights are observed with the next minibatch.
        oracle.load(pack.tensors(model))
        observe(oracle, on=False)
        logits = oracle(normalise(images, TRAINING))
        expected = F.cross_entropy(logits, labels, reduction="sum").item()
        assert float(tally.loss[model]) == pytest.approx(expected, rel=1e-4)
        assert torch.equal(pack.quantizers(model)["linear"], before[model])


def test_values_out_of_range_are_clipped_and_get_no_gradient() -> None:
    pack = quantized_pack((4,), SMALL)
    oracle = QuantizedCnn(pack.architectures[0], SMALL)
    images, labels = batch(SMALL, 60)
    oracle.load(pack.tensors(0))
    oracle(normalise(images, TRAINING))
    pack.step(images, labels)
    for value in pack.tensors(0).values():
        value.mul_(2.5)
    oracle.load(pack.tensors(0))
    gradients = pack.gradients(images, labels)[0]
    torch.autograd.backward(F.cross_entropy(oracle(normalise(images, TRAINING)), labels))
    for name, layer in oracle.layers().items():
        clipped = layer.weight.grad == 0
        assert clipped.any()
        assert torch.equal(clipped, gradients[f"{name}.weight"] == 0)
        torch.testing.assert_close(gradients[f"{name}.weight"], layer.weight.grad, rtol=1e-3, atol=1e-4)


def test_quantizers_are_part_of_a_models_state_and_may_differ_between_models() -> None:
    pack, other = quantized_pack((3, 5, 2), DIGITS), quantized_pack((3, 5, 2), DIGITS)
    images, labels = batch(DIGITS, 130)
    pack.step(images[:90] // 2, labels[:90])
    early = {name: value.clone() for name, value in pack.state(1).items()}
    expected = pack.evaluate(images, labels).loss[1]
    pack.step(images[:90], labels[:90])
    pack.load(1, early)
    assert not torch.equal(pack.quantizers(0)["input"], pack.quantizers(1)["input"])
    assert pack.evaluate(images, labels).loss[1] == expected
    for model in range(3):
        other.load(model, {name: value.clone() for name, value in pack.state(model).items()})
    assert torch.equal(pack.evaluate(images, labels).loss, other.evaluate(images, labels).loss)


def test_the_whole_grid_trains() -> None:
    pack = quantized_pack(CHANNELS, DIGITS)
    images, labels = batch(DIGITS, 100)
    first = pack.step(images, labels)
    for _ in range(20):
        last = pack.step(images, labels)
    assert bool((last.loss < first.loss).all())
