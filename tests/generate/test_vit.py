"""The vision transformer's kernels against the plain module: gradients, optimiser, metrics, odd sizes."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from generate.architectures import Architecture, ImageShape
from generate.engine.pack import normalise
from generate.engine.plain.modules import build_module
from generate.engine.simd.adam import update_without_fusing
from generate.engine.simd.vector import LANES
from generate.engine.vit.forward import activate, exponentiate
from generate.engine.vit.pack import VitKernelPack
from generate.engine.vit.products import linear, product
from generate.families.vit import WIDTHS as VIT_WIDTHS
from generate.families.vit import VitProtocol
from generate.protocol import Training

TRAINING = Training()
SHAPES = {
    "mnist": ImageShape(28, 28, 1, 10),
    "cifar10": ImageShape(32, 32, 3, 10),
    "digits": ImageShape(8, 8, 1, 10),
}
ODD_SHAPE = ImageShape(10, 9, 2, 3)


def vits(*widths: int) -> list[Architecture]:
    return [Architecture("vit", (width,)) for width in widths]


def minibatch(image: ImageShape, size: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (size, image.channels, image.height, image.width), dtype=torch.uint8, generator=rng)
    return images, torch.randint(0, image.classes, (size,), generator=rng)


def scattered_modules(widths: tuple[int, ...], image: ImageShape, *, seed: int = 0) -> list[nn.Module]:
    """Return modules whose gains, shifts and biases are not at their initial values either."""
    modules = []
    for width in widths:
        torch.manual_seed(seed)
        module = build_module(Architecture("vit", (width,)), image, VitProtocol())
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
        modules.append(module)
    return modules


def packed(modules: list[nn.Module], widths: tuple[int, ...], image: ImageShape) -> VitKernelPack:
    pack = VitKernelPack(vits(*widths), image, VitProtocol())
    for model, module in enumerate(modules):
        pack.load(model, module.state_dict())
    pack.refresh()
    return pack


def autograd(module: nn.Module, images: Tensor, labels: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the gradients of the mean loss, computed in `dtype`, as float64."""
    module = copy.deepcopy(module).to(dtype)
    loss = F.cross_entropy(module(normalise(images, TRAINING).to(dtype)), labels)
    gradients = torch.autograd.grad(loss, list(module.parameters()))
    return {name: g.double() for (name, _), g in zip(module.named_parameters(), gradients, strict=True)}


@pytest.mark.parametrize("dataset", SHAPES)
def test_gradients_equal_autograd_with_parameters_resynchronised(dataset: str) -> None:
    image = SHAPES[dataset]
    modules = scattered_modules(VIT_WIDTHS, image)
    optimisers = [torch.optim.Adam(module.parameters(), lr=0.01) for module in modules]
    pack = packed(modules, VIT_WIDTHS, image)
    for step, size in enumerate((40, 23, 16)):
        images, labels = minibatch(image, size, seed=step)
        for model, (module, optimiser) in enumerate(zip(modules, optimisers, strict=True)):
            pack.load(model, module.state_dict())
            expected = autograd(module, images, labels, torch.float64)
            eager = autograd(module, images, labels, torch.float32)
            found = pack.gradients(images, labels)[model]
            assert set(found) == set(expected)
            whole = torch.cat([gradient.flatten() for gradient in expected.values()]).norm()
            for name, gradient in expected.items():
                error = (found[name] - gradient).norm()
                # Some gradients are zero but for rounding, as that of the key's bias: hence the share of the whole.
                # The norm of two nearly equal values is ill-conditioned: hence the error of autograd in float32.
                rounding = 2e-6 * whole + 3 * (eager[name] - gradient).norm()
                assert error <= 1e-5 * gradient.norm() + rounding, (VIT_WIDTHS[model], name)
                assert error <= 1e-4 * gradient.norm() + 2e-6 * whole, (VIT_WIDTHS[model], name)
            for parameter, gradient in zip(module.parameters(), expected.values(), strict=True):
                parameter.grad = gradient.float()
            optimiser.step()


def test_one_wide_models_learn_by_shift_and_head_alone() -> None:
    image = SHAPES["mnist"]
    images, labels = minibatch(image, 30)
    modules = scattered_modules((1,), image)
    (found,) = packed(modules, (1,), image).gradients(images, labels)
    expected = autograd(modules[0], images, labels, torch.float64)
    for name, gradient in expected.items():
        assert torch.allclose(found[name].double(), gradient, rtol=1e-5, atol=1e-7), name
    assert not found["embedding.weight"].any()
    assert found["head.bias"].any()


@pytest.mark.parametrize("count", [1, LANES - 1, LANES, LANES + 1, 16 * LANES + 3])
def test_metrics_are_sums_over_any_number_of_images(count: int) -> None:
    images, labels = minibatch(ODD_SHAPE, count)
    modules = scattered_modules((3, 5), ODD_SHAPE)
    pack = packed(modules, (3, 5), ODD_SHAPE)
    tally = pack.evaluate(images, labels)
    for model, module in enumerate(modules):
        with torch.no_grad():
            logits = module(normalise(images, TRAINING))
        assert tally.loss[model].item() == pytest.approx(F.cross_entropy(logits, labels).item() * count, rel=1e-5)
        assert tally.correct[model].item() == (logits.argmax(1) == labels).sum().item()


def test_a_step_reports_the_metrics_before_it() -> None:
    images, labels = minibatch(ODD_SHAPE, 21)
    pack = packed(scattered_modules((4,), ODD_SHAPE), (4,), ODD_SHAPE)
    before = pack.evaluate(images, labels)
    tally = pack.step(images, labels)
    assert tally.loss.item() == pytest.approx(before.loss.item(), rel=1e-12)
    assert tally.correct.item() == before.correct.item()
    assert pack.evaluate(images, labels).loss.item() < before.loss.item()


def test_evaluation_changes_nothing() -> None:
    images, labels = minibatch(ODD_SHAPE, 50)
    pack, alone = (packed(scattered_modules((4,), ODD_SHAPE), (4,), ODD_SHAPE) for _ in range(2))
    for _ in range(3):
        pack.evaluate(images, labels)
        pack.step(images, labels)
        alone.step(images, labels)
    for name, tensor in alone.tensors(0).items():
        assert torch.equal(pack.tensors(0)[name], tensor), name


def test_training_does_not_depend_on_how_models_are_packed() -> None:
    image, widths = ODD_SHAPE, (2, 7, 4)
    together = packed(scattered_modules(widths, image), widths, image)
    alone = [packed(scattered_modules((width,), image), (width,), image) for width in widths]
    for step in range(4):
        images, labels = minibatch(image, 20, seed=step)
        for pack in (together, *alone):
            pack.step(images, labels)
    for model, pack in enumerate(alone):
        for name, tensor in pack.tensors(0).items():
            assert torch.equal(together.tensors(model)[name], tensor), name


def test_adam_equals_torch() -> None:
    rng = np.random.default_rng(0)
    start = rng.standard_normal(1000, dtype=np.float32)
    weights, mean, square = start.copy(), np.zeros_like(start), np.zeros_like(start)
    parameter = nn.Parameter(torch.from_numpy(start.copy()))
    optimiser = torch.optim.Adam([parameter], lr=TRAINING.learning_rate, betas=TRAINING.betas, eps=TRAINING.epsilon)
    for step in range(1, 51):
        gradient = (rng.standard_normal(1000) * 10.0 ** rng.uniform(-9, 2, 1000)).astype(np.float32)
        update_without_fusing(
            weights, gradient, mean, square, step, TRAINING.learning_rate, *TRAINING.betas, TRAINING.epsilon
        )
        parameter.grad = torch.from_numpy(gradient)
        optimiser.step()
    assert np.abs(weights - parameter.detach().numpy()).max() < 1e-6


def test_training_follows_the_module_under_torch_adam() -> None:
    image, widths = SHAPES["digits"], (1, 4, 8)
    modules = scattered_modules(widths, image)
    pack = packed(modules, widths, image)
    optimisers = [torch.optim.Adam(module.parameters(), lr=TRAINING.learning_rate) for module in modules]
    for step in range(30):
        images, labels = minibatch(image, 50, seed=step % 5)
        tally = pack.step(images, labels)
        for model, (module, optimiser) in enumerate(zip(modules, optimisers, strict=True)):
            loss = F.cross_entropy(module(normalise(images, TRAINING)), labels)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            assert tally.loss[model].item() / 50 == pytest.approx(loss.item(), rel=2e-4)


def test_tensors_are_views_named_as_in_the_module() -> None:
    pack = VitKernelPack(vits(3, 6), ODD_SHAPE, VitProtocol())
    expected = build_module(Architecture("vit", (6,)), ODD_SHAPE, VitProtocol()).state_dict()
    tensors = pack.tensors(1)
    assert [(name, value.shape) for name, value in tensors.items()] == [(n, v.shape) for n, v in expected.items()]
    tensors["head.bias"].fill_(2.0)
    assert pack.tensors(1)["head.bias"].eq(2.0).all()
    assert not pack.tensors(0)["head.bias"].any()


def test_a_diverged_model_shows_nan() -> None:
    images, labels = minibatch(ODD_SHAPE, 9)
    pack = packed(scattered_modules((4, 4), ODD_SHAPE), (4, 4), ODD_SHAPE)
    pack.tensors(0)["blocks.0.query_key_value.weight"][0, 0] = float("nan")
    loss = pack.step(images, labels).loss
    assert loss[0].isnan()
    assert loss[1].isfinite()


def vectors(*arrays: Any) -> tuple[Any, list[int]]:
    """Return a workspace with a zero slot and these arrays [..., LANES], and the slots where they begin."""
    flat = [np.zeros(LANES, np.float32), *(array.astype(np.float32).ravel() for array in arrays)]
    slots = np.cumsum([len(part) // LANES for part in flat[:-1]]).tolist()
    return np.concatenate(flat), slots


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 3, 2), (7, 6, 9), (50, 17, 4)])
def test_products_of_any_size(shape: tuple[int, int, int]) -> None:
    rows, columns, terms = shape
    rng = np.random.default_rng(1)
    left, right = rng.standard_normal((rows, terms, LANES)), rng.standard_normal((terms, columns, LANES))
    start = rng.standard_normal((rows, columns, LANES))
    weights = np.concatenate([[0], rng.standard_normal((terms + 1) * columns)]).astype(np.float32)
    space, (out, a, b) = vectors(start, left, right)
    result = space[out * LANES :][: start.size].reshape(start.shape)
    matrices = (out, columns, 1), (a, terms, 1), (b, columns, 1)
    product(space, True, *matrices, shape)
    expected = start + np.einsum("mkl,knl->mnl", left, right)
    assert np.abs(result - expected).max() < 1e-5
    linear(space, matrices[0], (0, 0, 0), matrices[1], weights, (1, columns, 1), (1 + terms * columns, 0, 1), shape)
    matrix, bias = weights[1:-columns].reshape(terms, columns), weights[-columns:, None]
    assert np.abs(result - np.einsum("mkl,kn->mnl", left, matrix) - bias).max() < 1e-5


def test_gelu_and_its_slope() -> None:
    x = torch.linspace(-12, 12, 64 * LANES, dtype=torch.float64, requires_grad=True)
    expected = F.gelu(x)
    (slope,) = torch.autograd.grad(expected.sum(), x)
    space, (values, slopes) = vectors(x.detach().numpy(), np.zeros(x.shape))
    activate(space, values, slopes, 64)
    assert np.abs(space[LANES:].reshape(2, -1) - torch.stack([expected.detach(), slope]).numpy()).max() < 1e-6


@pytest.mark.parametrize("spread", [1.0, 100.0, 1e4])
@pytest.mark.parametrize("tokens", [5, 17, 50])
def test_attention_weights_are_a_softmax(spread: float, tokens: int) -> None:
    scores = spread * np.random.default_rng(2).standard_normal((3, tokens, LANES))
    space, (rows, inverse_sums) = vectors(scores, np.zeros((3, LANES)))
    exponentiate(space, rows, inverse_sums, 3, tokens)
    weights = space[LANES : -3 * LANES].reshape(scores.shape) * space[-3 * LANES :].reshape(3, 1, LANES)
    exact = torch.softmax(torch.from_numpy(scores.astype(np.float32)).double() * np.log(2), dim=1).numpy()
    assert np.abs(weights - exact).max() < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("cpu", ["x86-64", "haswell"])
def test_gradients_with_fewer_lanes(cpu: str, tmp_path: Any) -> None:
    """The kernels compiled for a processor with 4 or 8 lanes agree with autograd too."""
    environment = {**os.environ, "NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path)}
    if cpu == "haswell":
        environment["NUMBA_CPU_FEATURES"] = "+avx,+avx2,+fma,+sse4.2"
    tests = [
        f"{__file__}::{test.__name__}"
        for test in (test_gelu_and_its_slope, test_one_wide_models_learn_by_shift_and_head_alone)
    ]
    tests.append(f"{__file__}::test_gradients_equal_autograd_with_parameters_resynchronised[digits]")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
