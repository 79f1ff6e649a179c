"""The plain PyTorch pack against its own modules, trained one by one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from generate.architectures import Architecture, ImageShape
from generate.engine.choose import build_pack
from generate.engine.initialise import initial_tensors
from generate.engine.pack import normalise
from generate.engine.plain.modules import build_module
from generate.engine.plain.pack import EVALUATION_BATCH, TorchPack
from generate.engine.quantize.rows import FIRST
from generate.families import protocol_for
from generate.protocol import Training
from store.precisions import Bits

IMAGE = ImageShape(8, 8, 1, 10)
GRID: dict[str, list[tuple[int, ...]]] = {"dnn": [(3,), (5, 2)], "cnn": [(1,), (6,)], "vit": [(2,), (5,)]}
FAMILIES = tuple(GRID)


def make_pack(family: str, training: Training | None = None, *, bits: Bits | None = None) -> TorchPack:
    architectures = [Architecture(family, sizes) for sizes in GRID[family]]
    pack = TorchPack(architectures, IMAGE, protocol_for(family, training), device="cpu", bits=bits)
    for model, architecture in enumerate(architectures):
        pack.load(model, initial_tensors(architecture, IMAGE, protocol_for(family), dataset="random", replicate=0))
    return pack


def batch(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 1, 8, 8), dtype=torch.uint8, generator=rng)
    return images, torch.randint(0, 10, (count,), generator=rng)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_and_metrics_are_those_of_the_modules(family: str) -> None:
    pack = make_pack(family)
    images, labels = batch(70)
    gradients, tally = pack.gradients(images, labels), pack.evaluate(images, labels)
    for model, architecture in enumerate(pack.architectures):
        module = build_module(architecture, IMAGE, pack.protocol)
        module.load_state_dict(pack.tensors(model))
        logits = module(normalise(images, pack.training))
        loss = F.cross_entropy(logits, labels)
        torch.autograd.backward(loss)
        assert float(tally.loss[model]) == pytest.approx(70 * loss.item(), rel=1e-5)
        assert int(tally.correct[model]) == int((logits.argmax(1) == labels).sum())
        for name, value in module.named_parameters():
            torch.testing.assert_close(gradients[model][name], value.grad)


@pytest.mark.parametrize("family", FAMILIES)
def test_steps_are_those_of_one_adam_per_model(family: str) -> None:
    training = Training(learning_rate=0.002, betas=(0.85, 0.99), epsilon=1e-7)
    pack = make_pack(family, training)
    modules = [build_module(architecture, IMAGE, pack.protocol) for architecture in pack.architectures]
    for model, module in enumerate(modules):
        module.load_state_dict(pack.tensors(model))
    optimizers = [torch.optim.Adam(m.parameters(), lr=0.002, betas=(0.85, 0.99), eps=1e-7) for m in modules]
    for step in range(10):
        images, labels = batch(40, step)
        tally = pack.step(images, labels)
        for model, (module, optimizer) in enumerate(zip(modules, optimizers, strict=True)):
            optimizer.zero_grad()
            loss = F.cross_entropy(module(normalise(images, training)), labels)
            torch.autograd.backward(loss)
            optimizer.step()
            assert float(tally.loss[model]) == pytest.approx(40 * loss.item(), rel=1e-4)
    for model, module in enumerate(modules):
        for name, value in pack.tensors(model).items():
            torch.testing.assert_close(value, module.state_dict()[name], rtol=1e-3, atol=1e-5)


def test_gradients_change_nothing() -> None:
    pack, other = make_pack("cnn"), make_pack("cnn")
    images, labels = batch(30)
    pack.gradients(images, labels)
    pack.step(images, labels)
    other.step(images, labels)
    for name, value in pack.tensors(1).items():
        assert torch.equal(value, other.tensors(1)[name])


def test_metrics_of_more_images_than_fit_at_once() -> None:
    pack = make_pack("dnn")
    images, labels = batch(2 * EVALUATION_BATCH + 1)
    whole = pack.evaluate(images, labels)
    parts = [pack.evaluate(images[:300], labels[:300]), pack.evaluate(images[300:], labels[300:])]
    torch.testing.assert_close(whole.loss, parts[0].loss + parts[1].loss, rtol=1e-5, atol=0)
    assert torch.equal(whole.correct, parts[0].correct + parts[1].correct)


def test_bf16_rounds_the_forward_pass_only_a_little() -> None:
    exact, rounded = make_pack("dnn"), make_pack("dnn", Training(compute="bf16"))
    images, labels = batch(100)
    first, second = exact.evaluate(images, labels).loss, rounded.evaluate(images, labels).loss
    assert not torch.equal(first, second)
    torch.testing.assert_close(first, second, rtol=0.02, atol=0)
    assert all(value.dtype == torch.float32 for value in rounded.tensors(0).values())


@pytest.mark.parametrize("family", FAMILIES)
def test_fake_quantization_is_that_of_the_kernels(family: str) -> None:
    """The kernels are held to torch.ao's modules by their own tests.

    A value on the edge of a level may round apart; layer norm at two channels then magnifies it. Most do not.
    """
    pack = make_pack(family, bits=Bits(8, 8))
    kernels = build_pack(pack.architectures, IMAGE, pack.protocol, engine="kernel", bits=Bits(8, 8))
    errors = []
    for step in range(20):
        for model in range(len(pack.architectures)):
            kernels.load(model, pack.tensors(model))
        kernels.refresh()
        images, labels = batch(100, step)
        # Whether an observer sees what only `gradients` is shown is left to each pack.
        before = [{name: row.clone() for name, row in kernels.state(m).items()} for m in range(len(pack.architectures))]
        ours, theirs = pack.gradients(images, labels), kernels.gradients(images, labels)
        for model, state in enumerate(before):
            kernels.load(model, state)
        kernels.refresh()
        torch.testing.assert_close(pack.step(images, labels).loss, kernels.step(images, labels).loss, rtol=1e-2, atol=0)
        for model in range(len(pack.architectures)):
            expected = kernels.quantizers(model)
            assert pack.quantizers(model).keys() == expected.keys()
            for name, row in pack.quantizers(model).items():
                errors.append(float((row - expected[name]).abs().max()))
            for name, gradient in ours[model].items():
                if gradient.norm() > 1e-4:
                    errors.append(float((gradient - theirs[model][name]).norm() / gradient.norm()))
    assert sorted(errors)[len(errors) * 3 // 4] < 1e-4


def test_fake_quantization_is_that_of_torch_ao() -> None:
    pytest.importorskip("torch.ao.quantization")
    from tests.generate.quantized_reference import QuantizedCnn, state_of

    pack = make_pack("cnn", bits=Bits(8, 8))
    oracles = [QuantizedCnn(architecture, IMAGE) for architecture in pack.architectures]
    for step in range(20):
        images, labels = batch(60, step)
        gradients = pack.gradients(images, labels)
        for model, oracle in enumerate(oracles):
            oracle.load(pack.tensors(model))
            oracle.zero_grad()
            torch.autograd.backward(F.cross_entropy(oracle(normalise(images, pack.training)), labels))
        pack.step(images, labels)
        for model, oracle in enumerate(oracles):
            for name, quantizer in oracle.quantizers().items():
                assert pack.quantizers(model)[name][:FIRST].tolist() == state_of(quantizer)
            for name, layer in oracle.layers().items():
                torch.testing.assert_close(gradients[model][f"{name}.weight"], layer.weight.grad, rtol=1e-5, atol=1e-7)


def test_evaluation_leaves_quantizers_alone() -> None:
    pack = make_pack("vit", bits=Bits(8, 8))
    images, labels = batch(50)
    pack.step(images, labels)
    before = {name: row.clone() for name, row in pack.quantizers(0).items()}
    pack.gradients(images // 2, labels)
    pack.evaluate(images // 2, labels)
    assert all(torch.equal(row, before[name]) for name, row in pack.quantizers(0).items())
