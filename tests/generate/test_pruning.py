from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

from generate.architectures import Architecture
from generate.datasets import Dataset
from generate.engine.choose import build_pack
from generate.engine.initialise import initial_tensors
from generate.engine.pack import Pack, normalise
from generate.engine.plain.modules import build_module
from generate.engine.pruning import evaluate_pruned, magnitude_ranks
from generate.engine.training import split_data, train
from generate.families import protocol_for
from generate.protocol import SPARSITIES, Training

SIZES: dict[str, list[tuple[int, ...]]] = {
    "dnn": [(5,), (20, 20), (30, 10, 5)],
    "cnn": [(1,), (3,)],
    "vit": [(2,), (8,)],
}


def trained(family: str, digits: Dataset) -> Pack:
    training = Training(epochs=3)
    architectures = [Architecture(family, sizes) for sizes in SIZES[family]]
    pack = build_pack(architectures, digits.image, protocol_for(family, training))
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
