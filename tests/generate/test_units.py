"""Removing hidden units and channels: which, how many, and that the smaller network is the one without them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from generate.architectures import Architecture, ImageShape
from generate.cuts import units_left
from generate.engine.plain.modules import build_module
from generate.engine.units import largest_units
from generate.families import family_named, protocol_for
from generate.families.cnn import CnnProtocol
from generate.families.counts import parameter_count
from generate.protocol import SPARSITIES, FamilyProtocol

IMAGE = ImageShape(8, 8, 1, 10)
CASES: list[tuple[tuple[int, ...], FamilyProtocol]] = [
    ((7,), protocol_for("dnn")),
    ((20, 20), protocol_for("dnn")),
    ((10, 10, 10, 10), protocol_for("dnn")),
    ((1, 1), protocol_for("dnn")),
    ((6,), protocol_for("cnn")),
    ((5,), CnnProtocol(kernel_size=5, stride=2, padding=1)),
]


def drawn(sizes: tuple[int, ...], protocol: FamilyProtocol) -> nn.Module:
    """Return a module with weights and biases that all matter."""
    module = build_module(Architecture(protocol.family, sizes), IMAGE, protocol)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for value in module.parameters():
            value.copy_(0.3 * torch.randn(value.shape, generator=generator))
    return module


def zeroed(module: nn.Module, share: float) -> nn.Module:
    """Return the module with the units zeroed, weights and biases, that PyTorch prunes by the L2 norm."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    for layer in layers[:-1]:
        amount = layer.weight.shape[0] - units_left(layer.weight.shape[0], share)
        if amount:
            prune.ln_structured(layer, "weight", amount, n=2, dim=0)  # type: ignore[no-untyped-call]
            mask: Tensor = layer.weight_mask  # type: ignore[assignment]
            assert layer.bias is not None
            with torch.no_grad():
                layer.bias.mul_(mask.flatten(1)[:, 0])
            prune.remove(layer, "weight")  # type: ignore[no-untyped-call]
    return module


@pytest.mark.parametrize(("sizes", "protocol"), CASES)
def test_the_smaller_network_computes_what_the_zeroed_one_does(
    sizes: tuple[int, ...], protocol: FamilyProtocol
) -> None:
    images = torch.randn(50, 1, 8, 8, generator=torch.Generator().manual_seed(4))
    without = family_named(protocol.family).without_units
    assert without is not None
    for share in SPARSITIES:
        module = drawn(sizes, protocol)
        smaller = without(module.state_dict(), share)
        assert smaller.hidden_sizes == tuple(units_left(width, share) for width in sizes)
        architecture = Architecture(protocol.family, smaller.hidden_sizes)
        built = build_module(architecture, IMAGE, protocol)
        built.load_state_dict(smaller.tensors)
        assert sum(value.numel() for value in built.parameters()) == parameter_count(architecture, IMAGE, protocol)
        with torch.no_grad():
            assert torch.allclose(built(images), zeroed(module, share)(images), rtol=1e-4, atol=1e-4), share


def test_the_number_is_rounded_and_one_unit_stays() -> None:
    assert [units_left(10, share) for share in (0, 0.04, 0.05, 0.15, 0.5, 0.94, 0.96, 1)] == [10, 10, 10, 8, 5, 1, 1, 1]
    assert [units_left(1, share) for share in (0, 0.5, 0.51, 1)] == [1, 1, 1, 1]
    for width in (3, 8, 33):
        for share in SPARSITIES[:-1]:
            rows = torch.arange(1.0, 2 * width + 1).view(width, 2)
            expected = prune.LnStructured(share, 2, 0).compute_mask(rows, torch.ones_like(rows))  # type: ignore[no-untyped-call]
            assert max(1, int(expected[:, 0].sum())) == units_left(width, share)


def test_the_smallest_norms_go_and_of_equal_ones_the_first() -> None:
    weights = torch.tensor([[3.0, 4.0], [0.0, -5.0], [1.0, 1.0], [6.0, 0.0], [5.0, 0.0]])
    assert largest_units(weights, 0.2).tolist() == [0, 1, 3, 4]
    assert largest_units(weights, 0.4).tolist() == [1, 3, 4]
    assert largest_units(weights, 0.6).tolist() == [3, 4]
    assert largest_units(weights, 1).tolist() == [3]


def test_a_transformer_has_no_units_to_remove() -> None:
    assert family_named("vit").without_units is None
