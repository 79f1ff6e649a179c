from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from generate.architectures import Architecture, ImageShape
from generate.engine.dnn.pack import DnnKernelPack
from generate.engine.initialise import initial_tensors
from generate.engine.pack import normalise
from generate.engine.plain.modules import build_module
from generate.families import Design
from generate.families.dnn import DEPTHS, LADDER, DnnProtocol, layered_cells
from generate.protocol import Training

SHAPES = {"mnist": ImageShape(28, 28, 1, 10), "cifar10": ImageShape(32, 32, 3, 10), "digits": ImageShape(8, 8, 1, 10)}
ODD = ImageShape(5, 7, 3, 3)
NARROW = [
    c.architecture for c in layered_cells("dnn", Design(tuple(w for w in LADDER if w <= 100), DEPTHS, True, LADDER))
]
WIDE = [Architecture("dnn", sizes) for sizes in ((500,), (200, 500, 1000), (1000, 500), (333, 7))]
FLIP = 1e-6
"""A ReLU whose input is smaller may be on in one computation and off in the other: such models are skipped."""


def minibatch(image: ImageShape, images: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (images, image.channels, image.height, image.width)
    return (
        torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8),
        torch.randint(0, image.classes, (images,), generator=generator),
    )


def packed(
    architectures: list[Architecture], image: ImageShape, *, replicate: int = 0, training: Training | None = None
) -> DnnKernelPack:
    pack = DnnKernelPack(architectures, image, DnnProtocol(training=training or Training()))
    for model, architecture in enumerate(architectures):
        pack.load(model, initial_tensors(architecture, image, DnnProtocol(), dataset="test", replicate=replicate))
    return pack


def module_of(pack: DnnKernelPack, model: int) -> nn.Module:
    module = build_module(pack.architectures[model], pack.image, pack.protocol)
    module.load_state_dict(pack.tensors(model))
    return module


def smallest_relu_input(module: nn.Module, images: Tensor) -> float:
    h, smallest = images.flatten(1), float("inf")
    for layer in list(module.layers)[:-1]:  # type: ignore[arg-type]
        z = layer(h)
        smallest = min(smallest, float(z.detach().abs().min()))
        h = F.relu(z)
    return smallest


@pytest.mark.parametrize("name", SHAPES)
def test_gradients_are_autograds(name: str) -> None:
    image = SHAPES[name]
    pack = packed(NARROW[::11] + WIDE, image)
    checked = 0
    for seed in range(2):
        images, labels = minibatch(image, 100, seed)
        found = pack.gradients(images, labels)
        for model in range(len(pack.architectures)):
            module = module_of(pack, model)
            batch = normalise(images, pack.training)
            if smallest_relu_input(module, batch) < FLIP:
                continue
            F.cross_entropy(module(batch), labels).backward()  # type: ignore[no-untyped-call]
            expected = {key: p.grad for key, p in module.named_parameters() if p.grad is not None}
            whole = float(torch.stack([gradient.norm() for gradient in expected.values()]).norm())
            for key, gradient in expected.items():
                # A tensor whose gradient all but cancels is known to the rounding of what cancelled.
                error = float((found[model][key] - gradient).norm()) / max(float(gradient.norm()), 0.01 * whole)
                assert error < 1e-5, (pack.architectures[model], key)
                checked += whole > 0
        pack.step(images, labels)
    assert checked > 60


def test_gradients_leave_the_pack_as_it_was() -> None:
    pack, twin = packed(NARROW[:5], ODD), packed(NARROW[:5], ODD)
    pack.gradients(*minibatch(ODD, 100, 0))
    for seed in range(2):
        pack.step(*minibatch(ODD, 100, seed))
        twin.step(*minibatch(ODD, 100, seed))
    for model in range(5):
        for key, value in pack.tensors(model).items():
            assert torch.equal(value, twin.tensors(model)[key])


@pytest.mark.parametrize("size", [1, 37, 100])
def test_steps_are_those_of_adam(size: int) -> None:
    architectures = [Architecture("dnn", sizes) for sizes in ((3,), (10, 10), (20, 30, 5))]
    pack = packed(architectures, ODD)
    modules = [module_of(pack, model) for model in range(3)]
    optimisers = [torch.optim.Adam(module.parameters(), lr=1e-3) for module in modules]
    for seed in range(5):
        images, labels = minibatch(ODD, size, seed)
        tally = pack.step(images, labels)
        for model, (module, optimiser) in enumerate(zip(modules, optimisers, strict=True)):
            logits = module(normalise(images, pack.training))
            loss = F.cross_entropy(logits, labels)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            assert float(tally.loss[model]) / size == pytest.approx(loss.item(), rel=1e-5)
            assert int(tally.correct[model]) == int((logits.argmax(1) == labels).sum())
    for model, module in enumerate(modules):
        for key, value in module.state_dict().items():
            # Adam divides by the gradient's size: a gradient near zero makes rounding visible.
            assert torch.allclose(pack.tensors(model)[key], value, atol=2e-5), key


@pytest.mark.parametrize("number", [1, 111, 112, 500])
def test_evaluation_is_the_modules(number: int) -> None:
    pack = packed([Architecture("dnn", sizes) for sizes in ((1,), (50, 20), (600,))], SHAPES["mnist"])
    images, labels = minibatch(SHAPES["mnist"], number, 7)
    tally = pack.evaluate(images, labels)
    for model in range(3):
        logits = module_of(pack, model)(normalise(images, pack.training))
        expected = F.cross_entropy(logits, labels, reduction="sum").item()
        assert float(tally.loss[model]) == pytest.approx(expected, rel=1e-5)
        assert int(tally.correct[model]) == int((logits.argmax(1) == labels).sum())


def test_a_model_does_not_depend_on_its_pack() -> None:
    image, together = SHAPES["digits"], packed(NARROW[::40], SHAPES["digits"])
    alone = [packed([architecture], image) for architecture in together.architectures]
    for seed in range(3):
        batch = minibatch(image, 100, seed)
        tally = together.step(*batch)
        for model, pack in enumerate(alone):
            assert float(pack.step(*batch).loss[0]) == float(tally.loss[model])
    for model, pack in enumerate(alone):
        for key, value in pack.tensors(0).items():
            assert torch.equal(value, together.tensors(model)[key])


def test_a_tie_is_the_first_class() -> None:
    pack = DnnKernelPack([Architecture("dnn", (4,))], ODD, DnnProtocol())
    images, _ = minibatch(ODD, 30, 0)
    labels = torch.arange(30) % 3
    assert pack.evaluate(images, labels).correct.tolist() == [10]


def test_a_model_that_diverges_says_so_and_hurts_no_other() -> None:
    pack, twin = packed(NARROW[:2], ODD), packed(NARROW[1:2], ODD)
    pack.tensors(0)["layers.0.weight"].fill_(float("nan"))
    batch = minibatch(ODD, 100, 0)
    tally, alone = pack.step(*batch), twin.step(*batch)
    assert torch.isnan(tally.loss[0])
    assert float(tally.loss[1]) == float(alone.loss[0])
