"""Quantization-aware training of the DNN kernels against torch.ao's modules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional as F

from generate.architectures import Architecture, ImageShape
from generate.datasets import Dataset
from generate.engine.dnn.pack import DnnKernelPack
from generate.engine.initialise import initial_tensors
from generate.engine.pack import normalise
from generate.engine.quantize.rows import COLUMNS, FIRST
from generate.engine.training import split_data, train
from generate.families.dnn import DnnProtocol
from generate.protocol import Training

pytest.importorskip("torch.ao.quantization")
from tests.generate.quantized_reference import EIGHT, layers_of, load, observe, prepared, quantizer_state, train_oracle

MNIST = ImageShape(28, 28, 1, 10)
SIZES = [(1,), (5,), (10, 20), (50, 50, 50), (100, 3, 7, 10), (500,)]


def quantized_pack(
    sizes: list[tuple[int, ...]], image: ImageShape, training: Training, replicate: int = 0
) -> DnnKernelPack:
    architectures = [Architecture("dnn", hidden) for hidden in sizes]
    pack = DnnKernelPack(architectures, image, DnnProtocol(training=training), bits=EIGHT)
    for model, architecture in enumerate(architectures):
        pack.load(model, initial_tensors(architecture, image, DnnProtocol(), dataset="test", replicate=replicate))
    return pack


def test_observers_scales_outputs_and_gradients_are_torchs_over_20_steps() -> None:
    """Parameters are resynchronised at each step, the observers run by themselves.

    A value on the edge between two levels may be rounded to either: that moves a gradient by about a level's 1/255 of
    one value, and rarely happens. Where it does not, the two agree to float rounding.
    """
    training = Training()
    pack = quantized_pack(SIZES, MNIST, training)
    oracles = [prepared(architecture, MNIST) for architecture in pack.architectures]
    generator = torch.Generator().manual_seed(0)
    errors = []
    for _ in range(20):
        images = torch.randint(0, 256, (100, 1, 28, 28), generator=generator, dtype=torch.uint8)
        labels = torch.randint(0, 10, (100,), generator=generator)
        for model, oracle in enumerate(oracles):
            load(oracle, pack.tensors(model))
        gradients = pack.gradients(images, labels)
        tally = pack.step(images, labels)
        states = pack._quantizers.view(-1, COLUMNS)[:, :FIRST].tolist()
        row = 1
        for model, oracle in enumerate(oracles):
            oracle.zero_grad()
            loss = F.cross_entropy(oracle(normalise(images, training)), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            assert float(tally.loss[model]) / 100 == pytest.approx(loss.item(), rel=1e-3)
            input_state = quantizer_state(oracle.quantize.activation_post_process)  # type: ignore[arg-type]
            assert states[0] == pytest.approx(input_state, rel=1e-6)
            for k, layer in enumerate(layers_of(oracle)):
                for quantizer in (layer.weight_fake_quant, layer.activation_post_process):
                    assert isinstance(quantizer, torch.nn.Module)
                    assert states[row] == pytest.approx(quantizer_state(quantizer), rel=1e-3, abs=1e-6)
                    row += 1
                expected = layer.weight.grad
                assert isinstance(expected, torch.Tensor)
                difference = gradients[model][f"layers.{k}.weight"] - expected
                errors.append(float(difference.norm() / expected.norm().clamp_min(1e-9)))
    assert max(errors) < 0.01
    assert np.quantile(errors, 0.8) < 1e-5


def test_evaluation_holds_the_observers() -> None:
    training = Training()
    pack = quantized_pack(SIZES[:3], MNIST, training)
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (250, 1, 28, 28), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 10, (250,), generator=generator)
    oracles = [prepared(architecture, MNIST) for architecture in pack.architectures]
    for model, oracle in enumerate(oracles):
        load(oracle, pack.tensors(model))
        observe(oracle, on=True)
        oracle(normalise(images[:100], training))
        observe(oracle, on=False)
    before = pack.gradients(images[:100], labels[:100])
    assert len(before) == 3
    saved = [{name: value.clone() for name, value in pack.tensors(model).items()} for model in range(3)]
    pack.step(images[:100], labels[:100])
    for model, values in enumerate(saved):
        pack.load(model, values)
    state = pack._quantizers.clone()
    tally = pack.evaluate(images, labels)
    assert torch.equal(state, pack._quantizers)
    for model, oracle in enumerate(oracles):
        with torch.no_grad():
            logits = oracle(normalise(images, training))
        expected = F.cross_entropy(logits, labels, reduction="sum").item()
        assert float(tally.loss[model]) == pytest.approx(expected, rel=1e-3)


def test_quantized_training_reaches_what_torchs_reaches(digits: Dataset) -> None:
    """Two-sample Kolmogorov-Smirnov test over replicates at level 0.001: test accuracy of the best epoch."""
    training, hidden, replicates = Training(epochs=25), (10,), 8
    data = (digits.train_images, digits.train_labels, digits.test_images, digits.test_labels)
    ours, theirs = [], []
    for replicate in range(replicates):
        pack = quantized_pack([hidden], digits.image, training, replicate)
        split = split_data(*data, training, dataset="digits", replicate=replicate)
        result = train(pack, split, dataset="digits", replicate=replicate)
        ours.append(result.curves.test_accuracy[result.best_epoch[0] - 1][0])
        theirs.append(train_oracle(Architecture("dnn", hidden), digits, epochs=training.epochs, seed=replicate))
    assert min(ours) > 0.5
    assert stats.ks_2samp(ours, theirs).pvalue > 0.001, (ours, theirs)
