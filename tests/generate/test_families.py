"""What a family says of itself against its module and PyTorch's counts, and settings against what they train."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from generate.architectures import Architecture, ImageShape
from generate.cuts import Cuts
from generate.datasets import Dataset
from generate.engine.choose import build_pack, kernel_obstacle
from generate.engine.plain.modules import build_module
from generate.engine.plain.vit import attend
from generate.families import FAMILIES, family_named, protocol_for
from generate.families.cnn import CnnProtocol
from generate.families.counts import (
    counted_flops,
    counted_parameters,
    depth_of,
    parameter_count,
    training_flops,
)
from generate.families.dnn import DnnProtocol
from generate.families.settings import check_settings, parse_setting, with_settings
from generate.families.vit import VitProtocol
from generate.plan import Request, make_plan
from generate.protocol import FamilyProtocol, Training, protocol_id
from generate.worker import run_unit
from store.errors import MinarchError
from store.families import FAMILIES as FACTS
from store.records import Records

MNIST, CIFAR10, DIGITS = ImageShape(28, 28, 1, 10), ImageShape(32, 32, 3, 10), ImageShape(8, 8, 1, 10)
PROTOCOLS: list[FamilyProtocol] = [
    DnnProtocol(),
    CnnProtocol(),
    CnnProtocol(kernel_size=5, padding=1),
    CnnProtocol(stride=2),
    CnnProtocol(kernel_size=1, stride=3, padding=2),
    VitProtocol(),
    VitProtocol(blocks=3, heads=2, mlp_ratio=4),
    VitProtocol(grid=5, grid_of_8x8_images=3),
]
SIZES: dict[str, list[tuple[int, ...]]] = {"dnn": [(1,), (5, 7, 100)], "cnn": [(1,), (7,)], "vit": [(2,), (16,)]}


def test_generate_and_store_name_the_same_families_in_the_same_order() -> None:
    assert list(FAMILIES) == list(FACTS)
    for name, family in FAMILIES.items():
        assert family.name == name
        assert family.protocol().family == name


def test_an_unknown_family_is_an_error_that_lists_the_known_ones() -> None:
    for ask in (
        lambda: family_named("mlp"),
        lambda: protocol_for("mlp"),
        lambda: parameter_count(Architecture("mlp", (3,)), MNIST, DnnProtocol()),
        lambda: build_pack([Architecture("mlp", (3,))], MNIST, FamilyProtocol(family="mlp")),
    ):
        with pytest.raises(MinarchError, match="no family 'mlp'; known are dnn, cnn, vit"):
            ask()


def test_a_protocol_trains_its_own_family_alone() -> None:
    with pytest.raises(ValueError, match="a protocol of the family dnn trains no"):
        build_module(Architecture("cnn", (3,)), MNIST, DnnProtocol())
    with pytest.raises(ValueError, match="a protocol of the family vit trains no other"):
        build_pack([Architecture("vit", (3,)), Architecture("cnn", (3,))], MNIST, VitProtocol())


@pytest.mark.parametrize("image", [MNIST, CIFAR10, DIGITS, ImageShape(30, 41, 3, 7)])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_parameters_are_those_of_the_module(protocol: FamilyProtocol, image: ImageShape) -> None:
    for sizes in SIZES[protocol.family]:
        count = parameter_count(Architecture(protocol.family, sizes), image, protocol)
        assert count == counted_parameters(sizes, image, protocol)


@pytest.mark.parametrize("image", [MNIST, ImageShape(9, 11, 3, 7)])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_operations_are_those_that_pytorch_counts(protocol: FamilyProtocol, image: ImageShape) -> None:
    for sizes in SIZES[protocol.family]:
        flops = training_flops(Architecture(protocol.family, sizes), image, protocol)
        assert flops == counted_flops(sizes, image, protocol)


def test_parameter_counts_of_the_paper_s_cnns() -> None:
    assert parameter_count(Architecture("cnn", (4,)), MNIST, CnnProtocol()) == 27_090
    assert parameter_count(Architecture("cnn", (32,)), CIFAR10, CnnProtocol()) == 288_906


def test_the_depth_is_that_of_the_network() -> None:
    assert depth_of(Architecture("dnn", (5, 7)), DnnProtocol()) == 2
    assert depth_of(Architecture("cnn", (5,)), CnnProtocol()) == 1
    assert depth_of(Architecture("vit", (5,)), VitProtocol()) == 2
    assert depth_of(Architecture("vit", (5,)), VitProtocol(blocks=5)) == 5


@pytest.mark.parametrize(
    ("protocol", "obstacle"),
    [
        (CnnProtocol(), ""),
        (CnnProtocol(linear_std=0.5), ""),
        (CnnProtocol(kernel_size=5), "they compute with kernel_size 3, not 5"),
        (CnnProtocol(stride=2), "they compute with stride 1, not 2"),
        (CnnProtocol(padding=1), "they compute with padding 0, not 1"),
        (VitProtocol(grid=5), ""),
        (VitProtocol(blocks=3), "they compute with blocks 2, not 3"),
        (VitProtocol(heads=2), "they compute with heads 1, not 2"),
        (VitProtocol(mlp_ratio=4), "they compute with mlp_ratio 1, not 4"),
        (DnnProtocol(training=Training(compute="bf16")), "they compute in float32, not in bf16"),
    ],
)
def test_what_the_kernels_do_not_compute_falls_to_pytorch(protocol: FamilyProtocol, obstacle: str) -> None:
    assert kernel_obstacle(protocol, "cpu") == obstacle
    architectures = [Architecture(protocol.family, (4,))]
    assert build_pack(architectures, MNIST, protocol).engine == ("torch" if obstacle else "kernel")
    if obstacle:
        with pytest.raises(MinarchError, match=f"the compiled kernels cannot be used: {obstacle}"):
            build_pack(architectures, MNIST, protocol, engine="kernel")


def test_the_kernels_cut_images_as_the_protocol_says() -> None:
    protocol, architectures = VitProtocol(grid=5), [Architecture("vit", (4,))]
    kernel, plain = (build_pack(architectures, MNIST, protocol, engine=engine) for engine in ("kernel", "torch"))
    torch.manual_seed(0)
    for name, value in plain.tensors(0).items():
        value.add_(0.1 * torch.randn(value.shape))
        kernel.tensors(0)[name].copy_(value)
    images, labels = torch.randint(0, 256, (50, 1, 28, 28), dtype=torch.uint8), torch.randint(0, 10, (50,))
    torch.testing.assert_close(
        kernel.evaluate(images, labels).loss, plain.evaluate(images, labels).loss, rtol=1e-5, atol=0
    )


# What `--set` says, or the field of the request that an option of its own sets.
EVERY: list[dict[str, Any]] = [
    {"settings": ("batch_size=50",)},
    {"settings": ("learning_rate=0.01",)},
    {"settings": ("betas=0.5,0.9",)},
    {"settings": ("epsilon=0.001",)},
    {"settings": ("validation_fraction=0.3",)},
    {"settings": ("input_mean=0.2",)},
    {"settings": ("input_std=0.3",)},
    {"epochs": 2},
    {"seed": 1},
]
OWN: dict[str, list[dict[str, Any]]] = {
    "dnn": [{"compute": "bf16"}],
    "cnn": [{"settings": (text,)} for text in ("kernel_size=5", "stride=2", "padding=1", "linear_std=0.1")],
    "vit": [
        {"settings": (text,)}
        for text in ("grid_of_8x8_images=2", "blocks=3", "heads=2", "mlp_ratio=2", "class_token_std=0.5")
    ],
}


def trained(request: Request, digits: Dataset) -> Records:
    (unit,) = make_plan(request, [("digits", digits)], frozenset()).units
    return run_unit(dataclasses.replace(unit, cuts=Cuts(sparsities=(0.0, 0.5))), "invocation")


def results(records: Records) -> tuple[float | None, ...]:
    return tuple(
        figure
        for run in records.runs
        for figure in (run.parameters, run.train_loss, run.validation_loss, run.test_loss, run.last_test_loss)
    )


@pytest.mark.parametrize("engine", ["auto", "torch"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_setting_changes_what_is_trained(family: str, engine: Any, digits: Dataset) -> None:
    depths = (1,) if FAMILIES[family].facts.layered else None
    base = Request(
        phase="convergence",
        families=(family,),
        capacities=(4,),
        depths=depths,
        epochs=1,
        repeats=1,
        engine=engine,
    )
    first = trained(base, digits)
    assert results(first) == results(trained(base, digits))
    for change in EVERY + OWN[family]:
        other = trained(dataclasses.replace(base, **change), digits)
        assert other.runs[0].run_id != first.runs[0].run_id, change
        assert other.runs[0].protocol_id != first.runs[0].protocol_id, change
        assert results(other) != results(first), change


def test_patience_and_grid_change_what_is_trained(digits: Dataset) -> None:
    """The one stops models that no longer improve, the other cuts images that are not 8 x 8."""
    base = Request(phase="convergence", families=("cnn",), capacities=(4,), epochs=12, repeats=1)
    short = trained(dataclasses.replace(base, patience=1), digits)
    assert short.runs[0].epochs < trained(base, digits).runs[0].epochs == 12
    counts = [parameter_count(Architecture("vit", (4,)), MNIST, VitProtocol(grid=grid)) for grid in (7, 4)]
    assert counts[0] != counts[1]


def test_blocks_are_stored_as_depth(digits: Dataset) -> None:
    request = Request(phase="quantization", families=("vit",), capacities=(4,), epochs=1, repeats=1)
    records = trained(dataclasses.replace(request, settings=("blocks=3", "heads=2")), digits)
    assert [run.depth for run in records.runs] == [3]
    assert len(records.integer_checks) == 1


def test_settings_are_read() -> None:
    protocol = with_settings(
        protocol_for("vit"), ("blocks=3", "cnn.stride=2", "betas=0.8,0.9", "vit.class_token_std=1")
    )
    assert protocol == VitProtocol(blocks=3, class_token_std=1.0, training=Training(betas=(0.8, 0.9)))
    assert protocol_id(with_settings(protocol_for("vit"), ("blocks=2",))) == protocol_id(VitProtocol())
    assert with_settings(protocol_for("cnn"), ("blocks=3",)) == CnnProtocol()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("blocks", "not of the form NAME=VALUE or FAMILY.NAME=VALUE"),
        ("=3", "not of the form"),
        ("blocks=", "not of the form"),
        (".blocks=3", "not of the form"),
        ("cnn.stride=2", "the family 'cnn' is not trained; those are vit"),
        ("stride=2", "there is no setting 'stride'; there are grid, grid_of_8x8_images, blocks, heads"),
        ("epochs=3", "there is no setting 'epochs'"),
        ("blocks=two", "blocks=two: the value must be a whole number"),
        ("blocks=1.5", "the value must be a whole number"),
        ("learning_rate=fast", "the value must be a number"),
        ("betas=0.9", "betas=0.9: the value must be like 0.9,0.999"),
        ("blocks=0", "blocks must be at least 1, not 0"),
        ("activation=tanh", "activation: only 'gelu' is implemented, not 'tanh'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(text: str, message: str) -> None:
    with pytest.raises(MinarchError, match=message):
        check_settings((text,), ("vit",))


def test_a_setting_is_parsed() -> None:
    assert dataclasses.astuple(parse_setting("vit.blocks=3")) == ("vit", "blocks", "3")
    assert dataclasses.astuple(parse_setting("kernel_init=a = b")) == ("", "kernel_init", "a = b")


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_heads_attend_as_in_pytorch(heads: int) -> None:
    joint = torch.randn(3, 5, 24, generator=torch.Generator().manual_seed(0))
    query, key, value = (part.view(3, 5, heads, 8 // heads).transpose(1, 2) for part in joint.chunk(3, -1))
    expected = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
    torch.testing.assert_close(attend(joint, heads), expected)
