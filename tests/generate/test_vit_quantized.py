"""Quantization-aware training of the vision transformer's kernels against torch.ao's modules."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from generate.architectures import Architecture, ImageShape
from generate.engine.pack import normalise
from generate.engine.plain.modules import build_module
from generate.engine.quantize.observer import update_quantizer
from generate.engine.quantize.rows import FIRST, SCALE, ZERO_POINT, new_quantizers
from generate.engine.simd.vector import LANES
from generate.engine.vit.pack import VitKernelPack
from generate.engine.vit.rounding import clip_weight_gradients, quantize, quantize_weights
from generate.families.vit import VitProtocol
from generate.protocol import Training
from store.precisions import Bits

pytest.importorskip("torch.ao.quantization", reason="this PyTorch has no torch.ao")
from tests.generate.quantized_reference import EIGHT, QuantizedVit, configuration, observe, quantized_vit, quantizers_of

TRAINING = Training()
IMAGE = ImageShape(8, 8, 1, 10)
WIDTHS = (1, 2, 5, 8)


def minibatch(size: int, *, seed: int) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    images = torch.randint(seed, 250 - seed, (size, 1, IMAGE.height, IMAGE.width), dtype=torch.uint8, generator=rng)
    return images, torch.randint(0, IMAGE.classes, (size,), generator=rng)


def oracles_and_pack() -> tuple[list[QuantizedVit], VitKernelPack]:
    oracles = []
    for width in WIDTHS:
        torch.manual_seed(width)
        oracles.append(quantized_vit(build_module(Architecture("vit", (width,)), IMAGE, VitProtocol())))
    architectures = [Architecture("vit", (width,)) for width in WIDTHS]
    return oracles, VitKernelPack(architectures, IMAGE, VitProtocol(), bits=EIGHT)


def synchronise(pack: VitKernelPack, oracles: list[QuantizedVit]) -> None:
    for model, oracle in enumerate(oracles):
        pack.load(model, dict(oracle.vit.state_dict()))


def test_quantizers_and_gradients_equal_torch_ao_over_twenty_steps() -> None:
    oracles, pack = oracles_and_pack()
    optimisers = [torch.optim.Adam(oracle.parameters(), lr=0.01) for oracle in oracles]
    flipped = total = 0
    for step in range(20):
        images, labels = minibatch(29, seed=step)
        synchronise(pack, oracles)
        found = pack.gradients(images, labels)
        pack.step(images, labels)
        for model, (oracle, optimiser) in enumerate(zip(oracles, optimisers, strict=True)):
            optimiser.zero_grad()
            F.cross_entropy(oracle(normalise(images, TRAINING)), labels).backward()  # type: ignore[no-untyped-call]
            expected = quantizers_of(oracle)
            assert pack.quantizers(model).keys() == expected.keys()
            for name, row in pack.quantizers(model).items():
                low, high, scale, zero_point = row[:FIRST]
                observer = expected[name].activation_post_process
                extent = max(abs(observer.min_val.item()), abs(observer.max_val.item()))
                assert low.item() == pytest.approx(observer.min_val.item(), abs=1e-4 * extent)
                assert high.item() == pytest.approx(observer.max_val.item(), abs=1e-4 * extent)
                assert scale.item() == pytest.approx(expected[name].scale.item(), rel=1e-4), name
                assert abs(zero_point.item() - expected[name].zero_point.item()) <= 1, name
                total += 1
                flipped += zero_point.item() != expected[name].zero_point.item()
            whole = torch.cat([p.grad.flatten() for p in oracle.parameters() if p.grad is not None]).norm()
            for name, parameter in oracle.vit.named_parameters():
                assert parameter.grad is not None
                # A value that lies between two levels may go to either: hence a tolerance of some levels.
                assert (found[model][name] - parameter.grad).norm() < 0.02 * whole, (WIDTHS[model], step, name)
            optimiser.step()
    assert flipped <= 0.002 * total


def test_outputs_equal_torch_ao_with_quantizers_as_they_are() -> None:
    oracles, pack = oracles_and_pack()
    images, labels = minibatch(40, seed=3)
    for _ in range(2):
        synchronise(pack, oracles)
        pack.step(images, labels)
        for oracle in oracles:
            oracle(normalise(images, TRAINING))
    synchronise(pack, oracles)
    before = [torch.stack(list(pack.quantizers(model).values())) for model in range(len(WIDTHS))]
    images, labels = minibatch(33, seed=4)
    tally = pack.evaluate(images, labels)
    for model, oracle in enumerate(oracles):
        assert torch.equal(torch.stack(list(pack.quantizers(model).values())), before[model])
        observe(oracle, on=False)
        with torch.no_grad():
            expected = F.cross_entropy(oracle(normalise(images, TRAINING)), labels, reduction="sum")
        assert tally.loss[model].item() == pytest.approx(expected.item(), rel=1e-4)


def test_quantized_training_learns_and_repeats_itself() -> None:
    def trained() -> VitKernelPack:
        oracles, pack = oracles_and_pack()
        synchronise(pack, oracles)
        for step in range(30):
            pack.step(*minibatch(20, seed=step % 2))
        return pack

    first, second = trained(), trained()
    images, labels = minibatch(20, seed=0)
    oracles, untrained = oracles_and_pack()
    synchronise(untrained, oracles)
    untrained.step(images, labels)
    synchronise(untrained, oracles)
    tallies = [pack.evaluate(images, labels) for pack in (first, second, untrained)]
    assert torch.equal(tallies[0].loss, tallies[1].loss)
    assert (tallies[0].loss < tallies[2].loss).all()


def test_a_saved_state_brings_back_the_quantizers() -> None:
    oracles, pack = oracles_and_pack()
    synchronise(pack, oracles)
    images, labels = minibatch(20, seed=0)
    pack.step(images, labels)
    saved = {name: value.clone() for name, value in pack.state(2).items()}
    before = pack.evaluate(images, labels)
    pack.step(*minibatch(30, seed=5))
    assert pack.evaluate(images, labels).loss[2] != before.loss[2]
    pack.load(2, saved)
    assert pack.evaluate(images, labels).loss[2] == before.loss[2]


def test_a_diverged_model_shows_nan() -> None:
    oracles, pack = oracles_and_pack()
    synchronise(pack, oracles)
    pack.tensors(2)["blocks.0.expand.bias"][0] = float("nan")
    loss = pack.step(*minibatch(9, seed=0)).loss
    assert loss[2].isnan()
    assert loss[[0, 1, 3]].isfinite().all()


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("symmetric", [False, True])
def test_fake_quantization_equals_torch_bit_for_bit(symmetric: bool, bits: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        config = configuration(Bits(bits, bits))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            oracle = config.weight() if symmetric else config.activation()
        quantizers = new_quantizers([".weight" if symmetric else ""], Bits(bits, bits))[0]
        scale, centre, count = 10 ** rng.uniform(-7, 2), rng.choice([0, 1, -5]), int(rng.choice([1, 2, 50]))
        for _ in range(4):
            values = (scale * (rng.standard_normal(count) + centre)).astype(np.float32)
            x = torch.from_numpy(values.copy()).requires_grad_()
            expected = oracle(x)
            expected.sum().backward()
            assert x.grad is not None
            gradient = np.ones(count, dtype=np.float32)
            if symmetric:
                found = np.zeros_like(values)
                quantize_weights(values, found, 0, count, quantizers, 0, True)
                clip_weight_gradients(values, gradient, 0, count, quantizers, 0)
            else:
                update_quantizer(quantizers, 0, values.min(), values.max(), False)
                space, masks = np.repeat(values, LANES), np.zeros(count, dtype=np.uint16)
                quantize(space, masks, 0, 0, count, 0, quantizers, 0, 1.0)
                found, gradient = space[::LANES], (masks & 1).astype(np.float32)
            assert quantizers[SCALE] == oracle.scale.item()
            assert quantizers[ZERO_POINT] == oracle.zero_point.item()
            assert (found == expected.detach().numpy()).all()
            assert (gradient == x.grad.numpy()).all()
