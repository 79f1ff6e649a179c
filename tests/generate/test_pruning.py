from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import prune

from generate.architectures import Architecture, ImageShape
from generate.datasets import Dataset
from generate.engine.choose import build_pack
from generate.engine.initialise import initial_tensors
from generate.engine.pack import Pack, normalise
from generate.engine.plain.modules import build_module
from generate.engine.plain.quantization import hooked_forward
from generate.engine.pruning import Order, evaluate_pruned, magnitude_ranks, prunable, pruning_order
from generate.engine.training import split_data, train
from generate.families import family_named, protocol_for
from generate.protocol import SPARSITIES, Training
from store.precisions import Bits, Precision, bits_of

SIZES: dict[str, list[tuple[int, ...]]] = {
    "dnn": [(5,), (20, 20), (30, 10, 5)],
    "cnn": [(1,), (3,)],
    "vit": [(2,), (8,)],
}


def trained(family: str, digits: Dataset, precision: Precision = "fp32") -> Pack:
    training = Training(epochs=3)
    architectures = [Architecture(family, sizes) for sizes in SIZES[family]]
    pack = build_pack(architectures, digits.image, protocol_for(family, training), bits=bits_of(precision))
    for model, architecture in enumerate(architectures):
        protocol = protocol_for(family, training)
        pack.load(model, initial_tensors(architecture, digits.image, protocol, dataset="digits", replicate=0))
    pack.refresh()
    data = (digits.train_images, digits.train_labels, digits.test_images, digits.test_labels)
    train(pack, split_data(*data, training, dataset="digits", replicate=0), dataset="digits", replicate=0)
    return pack


def pruned_by_torch(module: nn.Module, sparsity: float) -> nn.Module:
    layers = [m for m in module.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    prune.global_unstructured(
        [(layer, "weight") for layer in layers], pruning_method=prune.L1Unstructured, amount=sparsity
    )
    return module


@pytest.mark.parametrize("family", ["dnn", "cnn", "vit"])
def test_every_sparsity_is_what_torch_prunes(family: str, digits: Dataset) -> None:
    pack = trained(family, digits)
    before = [{name: value.clone() for name, value in pack.tensors(m).items()} for m in range(len(pack.architectures))]
    result = evaluate_pruned(pack, digits.test_images, digits.test_labels, SPARSITIES)
    images = normalise(digits.test_images, pack.training)
    for model, architecture in enumerate(pack.architectures):
        for row, sparsity in enumerate(SPARSITIES):
            module = build_module(architecture, digits.image, protocol_for(architecture.family))
            module.load_state_dict(before[model])
            pruned_by_torch(module, sparsity)
            with torch.no_grad():
                logits = module(images)
            layers = [m for m in module.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
            assert result.nonzero[row, model] == sum(int(layer.weight.count_nonzero()) for layer in layers)
            loss = F.cross_entropy(logits, digits.test_labels).item()
            assert result.loss[row, model] == pytest.approx(loss, rel=1e-4), (architecture, sparsity)
            accuracy = float((logits.argmax(1) == digits.test_labels).double().mean())
            # An image whose two best logits are equal to rounding may go either way.
            assert abs(result.accuracy[row, model] - accuracy) <= 1 / 360 + 1e-12
        for name, value in pack.tensors(model).items():
            assert torch.equal(value, before[model][name])


def test_nothing_is_pruned_at_0_and_everything_at_1(digits: Dataset) -> None:
    pack = trained("dnn", digits)
    whole = pack.evaluate(digits.test_images, digits.test_labels)
    result = evaluate_pruned(pack, digits.test_images, digits.test_labels, (0.0, 1.0))
    assert (result.accuracy[0] * 360).round().tolist() == whole.correct.tolist()
    assert result.nonzero[1].tolist() == [0, 0, 0]
    # Without weights every image gets the class of the largest bias of the head.
    for model in range(3):
        answer = int(list(pack.tensors(model).values())[-1].argmax())
        assert result.accuracy[1, model] == float((digits.test_labels == answer).double().mean())


def test_ties_go_by_position() -> None:
    tensors = {
        "a.weight": torch.tensor([[2.0, -1.0], [1.0, 0.0]]),
        "a.bias": torch.zeros(2),
        "norm.weight": torch.ones(3),
        "b.weight": torch.tensor([[-1.0, 2.0]]),
    }
    ranks = magnitude_ranks(tensors)
    assert list(ranks) == ["a.weight", "b.weight"]
    assert ranks["a.weight"].tolist() == [[4, 1], [2, 0]]
    assert ranks["b.weight"].tolist() == [[3, 5]]


def test_the_number_pruned_is_rounded() -> None:
    values = torch.arange(1.0, 12.0).reshape(1, 11)
    for sparsity in SPARSITIES:
        expected = prune.L1Unstructured(sparsity).compute_mask(values, torch.ones_like(values))  # type: ignore[no-untyped-call]
        ours = magnitude_ranks({"x.weight": values})["x.weight"] >= round(sparsity * 11)
        assert torch.equal(expected.bool(), ours)


def rounding(quantizers: dict[str, Tensor], bits: Bits) -> Callable[[str, Tensor], Tensor]:
    """Return what rounds values to the levels of a trained quantizer, with PyTorch's own operator."""

    def rounded(name: str, values: Tensor) -> Tensor:
        scale, zero_point = (float(value) for value in quantizers[name][2:4])
        half = 2 ** (bits.weights - 1)
        levels = (-half, half - 1) if name.endswith(".weight") else (0, 2**bits.activations - 1)
        return torch.fake_quantize_per_tensor_affine(values, scale, int(zero_point), *levels)

    return rounded


@pytest.mark.parametrize("precision", ["int8", "w4a8"])
@pytest.mark.parametrize("family", ["dnn", "cnn", "vit"])
def test_quantized_networks_are_pruned_as_floats_and_scored_as_quantized(
    family: str, precision: Precision, digits: Dataset
) -> None:
    pack, bits = trained(family, digits, precision), bits_of(precision)
    assert bits is not None
    before = [{name: value.clone() for name, value in pack.state(m).items()} for m in range(len(pack.architectures))]
    result = evaluate_pruned(pack, digits.test_images, digits.test_labels, (0.0, 0.4, 0.8, 1.0))
    images, forward = normalise(digits.test_images, pack.training), family_named(family).quantized_forward
    for model, architecture in enumerate(pack.architectures):
        rounded = rounding(pack.quantizers(model), bits)
        for row, sparsity in enumerate(result.sparsities):
            module = build_module(architecture, digits.image, protocol_for(family))
            module.load_state_dict({n: v for n, v in before[model].items() if not n.endswith("quantizer")})
            layers = {n: m for n, m in pruned_by_torch(module, sparsity).named_modules() if hasattr(m, "weight_mask")}
            for name, layer in layers.items():
                mask: Tensor = layer.weight_mask
                assert not rounded(f"{name}.weight", layer.weight)[mask == 0].any()
                prune.remove(layer, "weight")  # type: ignore[no-untyped-call]
            with torch.no_grad():
                logits = (forward or hooked_forward)(module, images, rounded)
            loss = F.cross_entropy(logits, digits.test_labels).item()
            # A value between two levels goes to either by its last bit, and moves a logit by a level.
            assert result.loss[row, model] == pytest.approx(loss, rel=0.01, abs=1e-3), (architecture, sparsity)
            accuracy = float((logits.argmax(1) == digits.test_labels).double().mean())
            assert abs(result.accuracy[row, model] - accuracy) <= 0.02, (architecture, sparsity)
        for name, value in pack.state(model).items():
            assert torch.equal(value, before[model][name])


def weights_of(family: str, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    module = build_module(Architecture(family, SIZES[family][-1]), ImageShape(8, 8, 1, 10), protocol_for(family))
    return {name: torch.randn(value.shape, generator=generator) for name, value in module.state_dict().items()}


@pytest.mark.parametrize("family", ["dnn", "cnn", "vit"])
def test_layerwise_is_what_torch_prunes_of_every_layer(family: str) -> None:
    tensors = weights_of(family, 1)
    order = pruning_order("layerwise", tensors, np.random.default_rng(0))
    for sparsity in SPARSITIES:
        for name, mask in order.masks(sparsity).items():
            layer = nn.Module()
            layer.weight = nn.Parameter(tensors[name])
            prune.l1_unstructured(layer, "weight", amount=sparsity)  # type: ignore[no-untyped-call]
            expected: Tensor = layer.weight_mask  # type: ignore[assignment]
            assert torch.equal(mask, expected.bool()), (name, sparsity)


def random_order(seed: int) -> Order:
    return pruning_order("random", weights_of("dnn", 2), np.random.default_rng(seed))


def test_random_takes_the_same_number_and_more_at_every_larger_sparsity() -> None:
    tensors, order = weights_of("dnn", 2), random_order(0)
    total = sum(value.numel() for name, value in tensors.items() if prunable(name, value))
    gone = torch.zeros(total, dtype=torch.bool)
    for sparsity in SPARSITIES:
        now = torch.cat([~mask.flatten() for mask in order.masks(sparsity).values()])
        assert int(now.sum()) == round(sparsity * total)
        assert bool(now[gone].all())
        gone = now
    assert any(not torch.equal(a, b) for a, b in zip(order.ranks.values(), random_order(1).ranks.values(), strict=True))


def test_random_treats_all_weights_alike() -> None:
    """The mean rank of each of 300 weights over 400 orders: its deviation is normal, and 5 of them never occur."""
    tensors = {"a.weight": torch.arange(200.0).view(10, 20), "b.weight": torch.arange(100.0).view(5, 20)}
    draws = [pruning_order("random", tensors, np.random.default_rng(seed)).ranks for seed in range(400)]
    ranks = np.array([np.concatenate([rank.flatten().numpy() for rank in ranks.values()]) for ranks in draws])
    deviations = (ranks.mean(axis=0) - 149.5) / np.sqrt((300**2 - 1) / 12 / 400)
    assert np.abs(deviations).max() < 5
    assert 0.8 < deviations.std() < 1.2
