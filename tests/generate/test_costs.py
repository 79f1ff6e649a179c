"""Costs of an inference: closed forms against PyTorch's counts, and the schedule on modules worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from generate.architectures import Architecture, ImageShape
from generate.families import FAMILIES, protocol_for
from generate.families.activations import ram
from generate.families.cnn import CnnProtocol
from generate.families.counts import counted_costs, inference_costs
from generate.families.dnn import DnnProtocol
from generate.families.vit import VitProtocol
from generate.protocol import FamilyProtocol
from store.costs import CNN_SPEC, VIT_SPEC, Costs, cnn_costs, dnn_costs, vit_costs

MNIST, CIFAR10, DIGITS = ImageShape(28, 28, 1, 10), ImageShape(32, 32, 3, 10), ImageShape(8, 8, 1, 10)
IMAGES = [MNIST, CIFAR10, DIGITS, ImageShape(9, 11, 3, 200)]
NETWORKS: list[tuple[FamilyProtocol, tuple[int, ...]]] = [
    *((DnnProtocol(), sizes) for sizes in ((1,), (7, 7), (5, 300, 2), (3, 3, 3, 3), (1000, 1))),
    *((CnnProtocol(), sizes) for sizes in ((1,), (32,))),
    (CnnProtocol(kernel_size=5, padding=1), (7,)),
    (CnnProtocol(kernel_size=1, stride=3, padding=2), (7,)),
    *((VitProtocol(), sizes) for sizes in ((1,), (16,))),
    (VitProtocol(blocks=3, heads=2, mlp_ratio=4), (6,)),
    (VitProtocol(blocks=1, heads=4, mlp_ratio=9), (64,)),
    (VitProtocol(grid=5, grid_of_8x8_images=3), (2,)),
    (VitProtocol(grid=1, grid_of_8x8_images=1), (1,)),
]


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize(("protocol", "sizes"), NETWORKS)
def test_closed_forms_are_what_pytorch_counts(
    protocol: FamilyProtocol, sizes: tuple[int, ...], image: ImageShape
) -> None:
    known = inference_costs(Architecture(protocol.family, sizes), image, protocol)
    assert known == counted_costs(sizes, image, protocol)


def test_every_family_of_ours_has_a_closed_form() -> None:
    assert all(family.facts.costs is not None for family in FAMILIES.values())


def test_what_a_spec_lacks_is_as_the_protocols_have_it() -> None:
    for usual, protocol in ((CNN_SPEC, CnnProtocol()), (VIT_SPEC, VitProtocol())):
        assert usual == {name: getattr(protocol, name) for name in usual}
    assert cnn_costs((4,), MNIST, {}) == inference_costs(Architecture("cnn", (4,)), MNIST, CnnProtocol())
    assert vit_costs((4,), MNIST, {}) == inference_costs(Architecture("vit", (4,)), MNIST, protocol_for("vit"))


def test_costs_of_a_dnn_by_hand() -> None:
    """784 inputs and 20 units at once; 784 x 20 + 20 x 10 products."""
    assert dnn_costs((20,), MNIST, {}) == Costs(weights=15_880, macs=15_880, ram_fp32=3216, ram_int8=804)
    # A layer of 1000 after one of 900: these are more than the image with the first.
    assert dnn_costs((900, 1000), MNIST, {}).ram_int8 == 1900


def test_costs_of_a_cnn_by_hand() -> None:
    """4 channels of 26 x 26 after 784 pixels; 9 products each, 2704 x 10 in the head."""
    assert cnn_costs((4,), MNIST, {}) == Costs(weights=27_076, macs=51_376, ram_fp32=4 * 3488, ram_int8=3488)


def test_costs_of_a_vit_by_hand() -> None:
    """50 tokens of width 4: tokens, query, key, value and gathered are 5 x 200, scores 2500; floats but for 8 of 9."""
    found = vit_costs((4,), MNIST, {"blocks": 1})
    assert found.ram_fp32 == 4 * (5 * 200 + 2500)
    assert found.ram_int8 == 4 * (200 + 2500) + 800
    # 49 patches of 16 pixels; six products of width 4 x 4 per token, two of 50 x 50 x 4; the head.
    assert found.macs == 49 * 16 * 4 + 50 * 6 * 16 + 2 * 2500 * 4 + 4 * 10


@dataclass
class Case:
    """A module on one image of 1 x 4 x 4, and the elements that are alive at its fullest moment."""

    forward: Callable[[nn.Linear, Tensor], Tensor]
    elements: int
    bytes_in_8_bits: int


CASES = {
    # 16 in, 16 out; the function of it is in place, and 16 more are needed only where both are read later.
    "in place": Case(lambda layer, x: torch.tanh(layer(x.flatten(1))), 32, 32),
    "changed in place": Case(lambda layer, x: layer(x.flatten(1)).relu_(), 32, 32),
    "residual": Case(lambda layer, x: x.flatten(1) + layer(x.flatten(1)), 32, 4 * 16 + 16),
    "twice a residual": Case(lambda layer, x: x.flatten(1) + layer(layer(x.flatten(1))), 48, 4 * 16 + 16 + 16),
    "joined": Case(lambda layer, x: torch.cat([layer(x.flatten(1)), layer(x.flatten(1))], 1), 48, 16 + 4 * 32),
    "padded": Case(lambda layer, x: layer(F.pad(x, (1, 1))[..., 1:5].flatten(1)), 32, 32),
    "a constant": Case(lambda layer, x: layer(x.flatten(1)) * torch.ones(1, 16, device="meta").exp(), 32, 32),
    "never looks": Case(lambda layer, x: torch.zeros(1, 16, device="meta"), 16, 16),
}


@pytest.mark.parametrize("name", CASES)
def test_the_schedule_by_hand(name: str) -> None:
    case = CASES[name]

    class Module(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(16, 16)

        def forward(self, images: Tensor) -> Tensor:
            return case.forward(self.layer, images)

    with torch.device("meta"):
        assert ram(Module(), torch.empty(1, 1, 4, 4)) == (4 * case.elements, case.bytes_in_8_bits)
