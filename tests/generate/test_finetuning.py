"""Fine-tuning, held to a plain loop of one model over `torch.nn.utils.prune` with the same data order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import prune

from generate.architectures import Architecture
from generate.datasets import Dataset
from generate.engine.choose import EngineChoice, build_pack
from generate.engine.finetuning import fine_tune
from generate.engine.initialise import initial_tensors, seed_sequence
from generate.engine.pack import Pack, normalise
from generate.engine.plain.modules import build_module
from generate.engine.pruning import pruning_order
from generate.engine.training import Split, split_data, train
from generate.families import protocol_for
from generate.protocol import Training

SIZES: dict[str, list[tuple[int, ...]]] = {"dnn": [(8,), (20, 20)], "cnn": [(3,), (4,)], "vit": [(4,), (8,)]}
SPARSITIES = (0.5, 0.9)
FAMILIES = pytest.mark.parametrize("family", ["dnn", "cnn", "vit"])


def trained(family: str, digits: Dataset) -> tuple[Pack, Split]:
    training = Training(epochs=4)
    architectures = [Architecture(family, sizes) for sizes in SIZES[family]]
    protocol = protocol_for(family, training)
    pack = build_pack(architectures, digits.image, protocol)
    for model, architecture in enumerate(architectures):
        pack.load(model, initial_tensors(architecture, digits.image, protocol, dataset="digits", replicate=0))
    pack.refresh()
    data = (digits.train_images, digits.train_labels, digits.test_images, digits.test_labels)
    split = split_data(*data, training, dataset="digits", replicate=0)
    train(pack, split, dataset="digits", replicate=0)
    return pack, split


def held(pack: Pack, model: int, sparsity: float, *, engine: EngineChoice = "auto") -> Pack:
    """Return a new pack of one model, pruned by magnitude."""
    tensors = pack.tensors(model)
    new = build_pack([pack.architectures[model]], pack.image, pack.protocol, engine=engine)
    new.load(0, tensors)
    new.refresh()
    new.hold([pruning_order("magnitude", tensors, np.random.default_rng(0)).masks(sparsity)])
    return new


def pruned_module(pack: Pack, model: int, sparsity: float) -> nn.Module:
    """Return the plain module of one model, pruned by PyTorch: its gradients are masked from now on."""
    module = build_module(pack.architectures[model], pack.image, pack.protocol)
    module.load_state_dict(pack.tensors(model))
    layers = [(layer, "weight") for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    prune.global_unstructured(layers, pruning_method=prune.L1Unstructured, amount=sparsity)
    return module


def effective(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters that the module computes with, by their names before pruning."""
    values: dict[str, Any] = dict(module.named_parameters())
    masks = dict(module.named_buffers())
    return {
        name.removesuffix("_orig"): (value * masks[name.replace("_orig", "_mask")] if name.endswith("_orig") else value)
        .detach()
        .clone()
        for name, value in values.items()
    }


def plain_loop(
    module: nn.Module, split: Split, training: Training, epochs: int
) -> tuple[int, float, dict[str, Tensor]]:
    """Train on as one would with PyTorch alone; return the best epoch, its test accuracy and its weights."""
    optimiser = torch.optim.Adam(module.parameters(), lr=training.learning_rate)
    seeds = seed_sequence(seed=0, dataset="digits", replicate=0, purpose="fine-tuning order")
    order = np.random.default_rng(seeds)
    images, tests = normalise(split.images, training), normalise(split.test_images, training)
    best, result = -1.0, (0, 0.0, effective(module))
    for epoch in range(1, epochs + 1):
        shuffled = split.training[torch.from_numpy(order.permutation(len(split.training)))]
        for rows in torch.split(shuffled, training.batch_size):
            optimiser.zero_grad()
            F.cross_entropy(module(images[rows]), split.labels[rows]).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        with torch.no_grad():
            valid = float((module(images[split.validation]).argmax(1) == split.labels[split.validation]).float().mean())
            test = float((module(tests).argmax(1) == split.test_labels).float().mean())
        if valid > best:
            best, result = valid, (epoch, test, effective(module))
    return result


@FAMILIES
def test_it_is_the_plain_loop_over_torch_s_pruning(family: str, digits: Dataset) -> None:
    pack, split = trained(family, digits)
    for model in range(len(pack.architectures)):
        for sparsity in SPARSITIES:
            module = pruned_module(pack, model, sparsity)
            before = effective(module)
            epoch, accuracy, weights = plain_loop(module, split, pack.training, 3)
            ours = held(pack, model, sparsity)
            found = fine_tune(ours, split, epochs=3, dataset="digits", replicate=0)
            case = (family, model, sparsity)
            # An image or two whose best logits are equal to rounding may go either way.
            assert abs(found.accuracy[0] - accuracy) <= 2.1 / 360, case
            moved = torch.cat([(weights[name] - before[name]).flatten() for name in before])
            error = torch.cat([(ours.tensors(0)[name] - weights[name]).flatten() for name in before])
            assert found.best_epoch[0] == epoch, case
            assert float(error.norm()) < 0.02 * float(moved.norm()), case


@FAMILIES
def test_gradients_of_what_is_left_are_those_of_torch_s_pruned_module(family: str, digits: Dataset) -> None:
    pack, split = trained(family, digits)
    rows = split.training[:100]
    for model in range(len(pack.architectures)):
        module = pruned_module(pack, model, 0.7)
        logits = module(normalise(split.images[rows], pack.training))
        F.cross_entropy(logits, split.labels[rows]).backward()  # type: ignore[no-untyped-call]
        masks = {name.removesuffix("_mask"): mask for name, mask in module.named_buffers() if name.endswith("_mask")}
        (found,) = held(pack, model, 0.7).gradients(split.images[rows], split.labels[rows])
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None
            mask = masks.get(name.removesuffix("_orig"), torch.ones(1))
            ours = found[name.removesuffix("_orig")] * mask
            assert torch.allclose(ours, parameter.grad, rtol=1e-4, atol=2e-6 * float(parameter.grad.abs().max() + 1)), (
                name
            )


@FAMILIES
@pytest.mark.parametrize("engine", ["kernel", "torch"])
def test_what_is_pruned_stays_zero_and_the_rest_moves(family: str, engine: EngineChoice, digits: Dataset) -> None:
    pack, split = trained(family, digits)
    for model in range(len(pack.architectures)):
        ours = held(pack, model, 0.5, engine=engine)
        masks = pruning_order("magnitude", pack.tensors(model), np.random.default_rng(0)).masks(0.5)
        fine_tune(ours, split, epochs=1, dataset="digits", replicate=0)
        before, after = pack.tensors(model), ours.tensors(0)
        assert not any(after[name][~mask].any() for name, mask in masks.items())
        moved = torch.cat([(after[name] != before[name])[mask] for name, mask in masks.items()])
        # Weights of units that answer no image have no gradient.
        assert float(moved.float().mean()) > 0.8


@FAMILIES
def test_one_is_tuned_the_same_alone_and_among_others(family: str, digits: Dataset) -> None:
    pack, split = trained(family, digits)
    orders = [pruning_order("magnitude", pack.tensors(m), np.random.default_rng(0)) for m in range(2)]
    together = build_pack([*pack.architectures, *pack.architectures], pack.image, pack.protocol)
    for place in range(4):
        together.load(place, pack.tensors(place % 2))
    together.refresh()
    together.hold([orders[place % 2].masks(SPARSITIES[place // 2]) for place in range(4)])
    found = fine_tune(together, split, epochs=2, dataset="digits", replicate=0)
    for place in range(4):
        alone = fine_tune(held(pack, place % 2, SPARSITIES[place // 2]), split, epochs=2, dataset="digits", replicate=0)
        assert (found.best_epoch[place], found.accuracy[place]) == (alone.best_epoch[0], alone.accuracy[0])
        assert found.loss[place] == pytest.approx(alone.loss[0], rel=1e-5)


def test_the_best_validation_epoch_counts_and_the_start_does_not_compete(digits: Dataset) -> None:
    pack, split = trained("dnn", digits)
    ours = held(pack, 1, 0.5)
    found = fine_tune(ours, split, epochs=4, dataset="digits", replicate=0)
    tally = ours.evaluate(split.test_images, split.test_labels)
    assert found.accuracy[0] == float(tally.correct[0]) / 360, "the pack holds the selected weights"
    reached = []
    for epochs in range(1, 5):
        again = held(pack, 1, 0.5)
        fine_tune(again, split, epochs=epochs, dataset="digits", replicate=0)
        reached.append(int(again.evaluate(split.images[split.validation], split.labels[split.validation]).correct[0]))
    assert reached == sorted(reached), "more epochs to choose from are never worse"
    assert found.best_epoch[0] == 1 + reached.index(max(reached))
    # Ruined weights that nothing is learned from: the first epoch counts all the same, not the better start.
    worse = held(pack, 1, 0.5)
    worse.protocol = protocol_for("dnn", Training(epochs=4, learning_rate=50.0))
    assert fine_tune(worse, split, epochs=1, dataset="digits", replicate=0).best_epoch.tolist() == [1]
