"""Fake quantization to 8 bits and fewer, in every family and engine, against torch.ao's modules at the same ranges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional as F

from generate.architectures import Architecture, ImageShape
from generate.datasets import Dataset
from generate.engine.choose import EngineChoice, build_pack
from generate.engine.initialise import initial_tensors
from generate.engine.pack import Pack, normalise
from generate.engine.plain.modules import build_module
from generate.engine.quantize.rows import FIRST
from generate.engine.training import split_data, train
from generate.families import protocol_for
from generate.protocol import Training
from store.precisions import QUANTIZED, Bits, Precision, bits_of

pytest.importorskip("torch.ao.quantization", reason="this PyTorch has no torch.ao")
from tests.generate.quantized_reference import (
    configuration,
    layers_of,
    named_quantizers,
    quantized,
    state_of,
    train_oracle,
)

IMAGE = ImageShape(8, 8, 1, 10)
SIZES: dict[str, list[tuple[int, ...]]] = {
    "dnn": [(1,), (5,), (10, 20), (50, 50, 50)],
    "cnn": [(1,), (3,), (9,)],
    "vit": [(1,), (2,), (5,), (8,)],
}
STEPS = 8


class Oracle:
    """One model with torch.ao's modules, whose parts are named as in a pack."""

    def __init__(self, architecture: Architecture, module: nn.Module, bits: Bits) -> None:
        self.model: Any = quantized(module, architecture, IMAGE, configuration(bits))
        self.quantizers = named_quantizers(architecture.family, self.model)
        layers: dict[str, Any] = {}
        if architecture.family == "dnn":
            layers = {f"layers.{k}": layer for k, layer in enumerate(layers_of(self.model))}
        elif architecture.family == "cnn":
            layers = self.model.layers()
        self.parameters: dict[str, Any] = {
            f"{name}.{kind}": getattr(layer, kind) for name, layer in layers.items() for kind in ("weight", "bias")
        } or dict(self.model.vit.named_parameters())

    @torch.no_grad()
    def take_over(self, pack: Pack, model: int) -> None:
        """Copy parameters, and what the quantizers have observed so far, from a model of a pack."""
        for name, value in pack.tensors(model).items():
            self.parameters[name].copy_(value)
        for name, row in pack.quantizers(model).items():
            observer = self.quantizers[name].activation_post_process
            observer.min_val.copy_(row[0])
            observer.max_val.copy_(row[1])

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross-entropy; the quantizers observe, and parameters get new gradients."""
        self.model.zero_grad()
        loss = F.cross_entropy(self.model(normalise(images, Training())), labels)
        torch.autograd.backward(loss)
        return loss


def pack_and_oracles(family: str, precision: Precision, engine: EngineChoice) -> tuple[Pack, list[Oracle]]:
    bits = bits_of(precision)
    assert bits is not None
    architectures, protocol = [Architecture(family, sizes) for sizes in SIZES[family]], protocol_for(family)
    pack, oracles = build_pack(architectures, IMAGE, protocol, engine=engine, bits=bits), []
    for model, architecture in enumerate(architectures):
        module = build_module(architecture, IMAGE, protocol)
        pack.load(model, initial_tensors(architecture, IMAGE, protocol, dataset="random", replicate=0))
        oracles.append(Oracle(architecture, module, bits))
    pack.refresh()
    return pack, oracles


def levels(name: str, precision: Precision) -> list[float]:
    """Return the first and last level of the quantizer of that name."""
    weights = {"int8": 8, "int4": 4, "int2": 2, "w4a8": 4, "w2a8": 2}[precision]
    activations = {"int8": 8, "int4": 4, "int2": 2, "w4a8": 8, "w2a8": 8}[precision]
    half = 2 ** (weights - 1)
    return [-half, half - 1] if name.endswith(".weight") else [0, 2**activations - 1]


@pytest.mark.parametrize("engine", ["kernel", "torch"])
@pytest.mark.parametrize("precision", QUANTIZED)
@pytest.mark.parametrize("family", list(SIZES))
def test_quantizers_losses_and_gradients_are_torchs(family: str, precision: Precision, engine: EngineChoice) -> None:
    """Parameters and observed ranges are resynchronised at each step.

    A value on the edge between two levels may go to either in the kernels, whose sums differ in their last bits; with
    few bits that shows in whatever comes after it. It happens in few of the steps: all others agree to float rounding.
    """
    pack, oracles = pack_and_oracles(family, precision, engine)
    generator = torch.Generator().manual_seed(0)
    errors = []
    for _ in range(STEPS):
        images = torch.randint(0, 256, (100, 1, 8, 8), generator=generator, dtype=torch.uint8)
        labels = torch.randint(0, 10, (100,), generator=generator)
        for model, oracle in enumerate(oracles):
            oracle.take_over(pack, model)
        gradients, tally = pack.gradients(images, labels), pack.step(images, labels)
        for model, oracle in enumerate(oracles):
            loss = oracle.loss(images, labels).item()
            worst = abs(float(tally.loss[model]) / 100 - loss) / loss
            ours = pack.quantizers(model)
            assert ours.keys() == oracle.quantizers.keys()
            for name, row in ours.items():
                assert row[FIRST:].tolist() == levels(name, precision)
                expected = torch.tensor(state_of(oracle.quantizers[name]))
                worst = max(worst, float((row[:FIRST] - expected).abs().max() / expected[:2].abs().max()))
            theirs = {name: value.grad for name, value in oracle.parameters.items()}
            whole = torch.cat([value.flatten() for value in theirs.values()]).norm()
            worst = max(worst, *(float((gradients[model][name] - theirs[name]).norm() / whole) for name in theirs))
            errors.append(worst)
    assert np.quantile(errors, 1.0 if engine == "torch" else 0.75) < 1e-5, sorted(errors)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "size", "epochs"), [("dnn", 10, 25), ("cnn", 4, 12), ("vit", 6, 12)], ids=["dnn", "cnn", "vit"]
)
@pytest.mark.parametrize("precision", ["int4", "int2", "w2a8"])
def test_training_in_few_bits_reaches_what_torchs_reaches(
    family: str, size: int, epochs: int, precision: Precision, digits: Dataset
) -> None:
    """Two-sample Kolmogorov-Smirnov test over replicates at level 0.001: test accuracy of the best epoch."""
    bits, architecture, protocol = bits_of(precision), Architecture(family, (size,)), protocol_for(family)
    assert bits is not None
    protocol = protocol_for(family, Training(epochs=epochs))
    data = (digits.train_images, digits.train_labels, digits.test_images, digits.test_labels)
    ours, theirs = [], []
    for replicate in range(10):
        pack = build_pack([architecture], digits.image, protocol, bits=bits)
        pack.load(0, initial_tensors(architecture, digits.image, protocol, dataset="digits", replicate=replicate))
        pack.refresh()
        split = split_data(*data, protocol.training, dataset="digits", replicate=replicate)
        result = train(pack, split, dataset="digits", replicate=replicate)
        ours.append(result.curves.test_accuracy[result.best_epoch[0] - 1][0])
        theirs.append(train_oracle(architecture, digits, epochs=epochs, seed=replicate, bits=bits))
    assert stats.ks_2samp(ours, theirs).pvalue > 0.001, (ours, theirs)
