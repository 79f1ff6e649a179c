"""The CNN kernels against the plain module: gradients, Adam, metrics, and what a pack promises."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from generate.architectures import Architecture, ImageShape
from generate.engine.choose import build_pack
from generate.engine.cnn.pack import CnnKernelPack
from generate.engine.initialise import initial_tensors
from generate.engine.pack import normalise
from generate.engine.plain.cnn import Cnn
from generate.engine.simd.vector import LANES
from generate.families.cnn import CHANNELS, CnnProtocol
from generate.families.counts import parameter_count
from generate.protocol import Training
from store.errors import MinarchError
from tests.generate.test_simd import run_python

MNIST, CIFAR, DIGITS = ImageShape(28, 28, 1, 10), ImageShape(32, 32, 3, 10), ImageShape(8, 8, 1, 10)
SMALL = ImageShape(9, 7, 2, 5)
TRAINING = Training()


def make_pack(channels: Sequence[int], image: ImageShape, training: Training = TRAINING) -> CnnKernelPack:
    architectures = [Architecture("cnn", (count,)) for count in channels]
    pack = CnnKernelPack(architectures, image, CnnProtocol(training=training))
    for model, architecture in enumerate(architectures):
        values = initial_tensors(architecture, image, CnnProtocol(), dataset="random", replicate=0)
        pack.load(
            model,
            {
                name: value + 0.01 * torch.sin(torch.arange(value.numel())).view_as(value)
                for name, value in values.items()
            },
        )
    pack.refresh()
    return pack


def batch(image: ImageShape, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    shape = (count, image.channels, image.height, image.width)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=rng)
    return images, torch.randint(0, image.classes, (count,), generator=rng)


def reference(pack: CnnKernelPack, model: int) -> Cnn:
    """The plain module in double precision, with the model's parameters."""
    module = Cnn(pack.architectures[model].hidden_sizes, pack.image, CnnProtocol()).double()
    module.load_state_dict(pack.tensors(model))
    return module


def decided(pack: CnnKernelPack, images: Tensor) -> Tensor:
    """Mask of the images on which no ReLU of any model is so close to its kink that rounding may flip it."""
    keep = torch.ones(len(images), dtype=torch.bool)
    for model in range(len(pack.architectures)):
        inputs = normalise(images, pack.training).double()
        with torch.no_grad():
            keep &= reference(pack, model).convolution(inputs).abs().flatten(1).amin(1) > 2e-6
    return keep


def assert_gradients_agree(pack: CnnKernelPack, images: Tensor, labels: Tensor, tolerance: float = 1e-5) -> None:
    inputs = normalise(images, pack.training).double()
    for model, gradients in enumerate(pack.gradients(images, labels)):
        module = reference(pack, model)
        torch.autograd.backward(F.cross_entropy(module(inputs), labels))
        expected = {name: value.grad for name, value in module.named_parameters()}
        assert list(gradients) == list(expected)
        for name, gradient in expected.items():
            assert gradient is not None
            error = (gradients[name] - gradient).norm() / gradient.norm()
            assert error < tolerance, (pack.architectures[model], name, float(error))


@pytest.mark.parametrize("image", [MNIST, CIFAR, DIGITS], ids=["mnist", "cifar10", "digits"])
def test_gradients_agree_with_autograd_over_the_grid_while_training(image: ImageShape) -> None:
    pack = make_pack(CHANNELS, image)
    for seed in range(2):
        images, labels = batch(image, 300, seed)
        keep = decided(pack, images)
        images, labels = images[keep][:100], labels[keep][:100]
        assert len(images) == 100
        assert_gradients_agree(pack, images, labels)
        pack.step(images, labels)


@pytest.mark.parametrize(
    ("channels", "image", "count"),
    [
        ((5, 40, 33), SMALL, 41),
        ((3,), ImageShape(3, 3, 1, 2), 7),
        ((2, 7), ImageShape(4, 12, 1, 37), 100),
        ((9,), ImageShape(10, 6, 4, 13), 20),
        ((6,), ImageShape(8, 8, 3, 3), 1),
    ],
)
def test_gradients_agree_for_any_image_and_number_of_classes(
    channels: tuple[int, ...], image: ImageShape, count: int
) -> None:
    pack = make_pack(channels, image)
    images, labels = batch(image, count)
    keep = decided(pack, images)
    assert keep.any()
    assert_gradients_agree(pack, images[keep], labels[keep])


@pytest.mark.parametrize("lanes", [4, pytest.param(8, marks=pytest.mark.skipif(LANES < 8, reason="needs AVX2"))])
@pytest.mark.slow
def test_gradients_agree_on_smaller_machines(tmp_path: Path, lanes: int) -> None:
    code = (
        "from tests.generate import test_cnn as t\n"
        "t.test_gradients_agree_with_autograd_over_the_grid_while_training(t.DIGITS)\n"
        "t.test_gradients_agree_for_any_image_and_number_of_classes((5, 40, 33), t.SMALL, 41)\n"
        "print(t.LANES)"
    )
    features = {4: "+sse2", 8: "+avx2,+fma"}[lanes]
    process = run_python(code, tmp_path, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES=features)
    out, error = process.communicate(timeout=300)
    assert out.strip() == str(lanes), error


def test_steps_follow_adam() -> None:
    training = Training(learning_rate=0.003, betas=(0.8, 0.99), epsilon=1e-6)
    pack = make_pack((1, 6), SMALL, training)
    modules = [reference(pack, model) for model in range(2)]
    optimizers = [torch.optim.Adam(m.parameters(), lr=0.003, betas=(0.8, 0.99), eps=1e-6) for m in modules]
    start = pack.tensors(1)["linear.weight"].clone()
    for step in range(20):
        images, labels = batch(SMALL, 50, step)
        tally = pack.step(images, labels)
        for model, (module, optimizer) in enumerate(zip(modules, optimizers, strict=True)):
            optimizer.zero_grad()
            logits = module(normalise(images, training).double())
            loss = F.cross_entropy(logits, labels)
            torch.autograd.backward(loss)
            optimizer.step()
            assert float(tally.loss[model]) == pytest.approx(50 * loss.item(), rel=1e-4)
    for model, module in enumerate(modules):
        for name, value in pack.tensors(model).items():
            torch.testing.assert_close(value, module.state_dict()[name].float(), rtol=1e-3, atol=2e-5)
    assert (pack.tensors(1)["linear.weight"] - start).abs().max() > 0.02


@pytest.mark.parametrize("count", [1, 99, 100, 233])
def test_metrics_of_any_number_of_images(count: int) -> None:
    pack = make_pack((2, 5), SMALL)
    images, labels = batch(SMALL, count)
    before = [{name: value.clone() for name, value in pack.tensors(model).items()} for model in range(2)]
    tally = pack.evaluate(images, labels)
    for model in range(2):
        logits = reference(pack, model)(normalise(images, TRAINING).double())
        assert float(tally.loss[model]) == pytest.approx(
            F.cross_entropy(logits, labels, reduction="sum").item(), rel=1e-5
        )
        assert int(tally.correct[model]) == int((logits.argmax(1) == labels).sum())
        for name, value in pack.tensors(model).items():
            torch.testing.assert_close(value, before[model][name], rtol=0, atol=0)


def test_results_do_not_depend_on_the_pack() -> None:
    together, alone = make_pack((8, 3, 12), SMALL), make_pack((3,), SMALL)
    for step in range(5):
        images, labels = batch(SMALL, 60, step)
        first, second = together.step(images, labels), alone.step(images, labels)
        assert first.loss[1] == second.loss[0]
    for name, value in alone.tensors(0).items():
        assert torch.equal(value, together.tensors(1)[name])


def test_repeated_training_is_bitwise_equal() -> None:
    packs = [make_pack((4, 10), DIGITS) for _ in range(2)]
    for step in range(3):
        images, labels = batch(DIGITS, 100, step)
        first, second = (pack.step(images, labels) for pack in packs)
        assert torch.equal(first.loss, second.loss)


def test_parameters_are_views_with_the_names_and_shapes_of_the_module() -> None:
    pack = make_pack((4,), MNIST)
    tensors = pack.tensors(0)
    assert {k: v.shape for k, v in tensors.items()} == {
        k: v.shape for k, v in Cnn((4,), MNIST, CnnProtocol()).state_dict().items()
    }
    assert sum(value.numel() for value in tensors.values()) == parameter_count(
        pack.architectures[0], MNIST, pack.protocol
    )
    assert sum(value.numel() for value in tensors.values()) == 27090
    images, labels = batch(MNIST, 10)
    for value in tensors.values():
        value.zero_()
    assert float(pack.evaluate(images, labels).loss[0]) == pytest.approx(10 * torch.tensor(10.0).log().item(), rel=1e-6)


def test_a_diverged_model_shows_and_leaves_the_others_alone() -> None:
    pack = make_pack((4, 4), SMALL)
    pack.tensors(0)["linear.weight"][0, 0] = float("nan")
    images, labels = batch(SMALL, 50)
    tally = pack.step(images, labels)
    assert torch.isnan(tally.loss).tolist() == [True, False]
    assert all(bool(value.isfinite().all()) for value in pack.tensors(1).values())


def test_images_that_are_too_small_are_refused() -> None:
    assert build_pack([Architecture("cnn", (4,))], ImageShape(3, 28, 1, 10), CnnProtocol()).engine == "kernel"
    with pytest.raises(MinarchError, match="images of at least 3 x 3 pixels"):
        build_pack([Architecture("cnn", (4,))], ImageShape(2, 28, 1, 10), CnnProtocol())
