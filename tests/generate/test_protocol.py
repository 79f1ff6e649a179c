from __future__ import annotations

import pytest
import torch

from generate.architectures import (
    Architecture,
    ImageShape,
    default_capacities,
    dnn_cells,
    hidden_sizes,
    parameter_count,
    single_layer_cells,
    step,
)
from generate.engine.plain.modules import build_module
from generate.plan import run_id
from generate.protocol import (
    CNN_CHANNELS,
    DNN_DEPTHS,
    DNN_LADDER,
    FAMILIES,
    SPARSITIES,
    VIT_WIDTHS,
    CnnProtocol,
    DnnProtocol,
    Training,
    VitProtocol,
    protocol_for,
    protocol_id,
)

MNIST = ImageShape(28, 28, 1, 10)
CIFAR10 = ImageShape(32, 32, 3, 10)
DIGITS = ImageShape(8, 8, 1, 10)


def test_phase_one_has_480_cells_of_428_architectures() -> None:
    cells = dnn_cells(DNN_LADDER, DNN_DEPTHS, all_topologies=True)
    assert len(cells) == 428
    assert len({cell.architecture for cell in cells}) == 428
    assert sum(len(cell.topologies) for cell in cells) == 480
    by_depth = [sum(len(c.topologies) for c in cells if c.architecture.depth == d) for d in DNN_DEPTHS]
    assert by_depth == [12, 36, 108, 324]


def test_phase_two_has_48_cells_with_the_labels_of_phase_one() -> None:
    all_cells = {c.architecture: c for c in dnn_cells(DNN_LADDER, DNN_DEPTHS, all_topologies=True)}
    equal = dnn_cells(DNN_LADDER, DNN_DEPTHS, all_topologies=False)
    assert len(equal) == 48
    assert all(all_cells[cell.architecture] == cell for cell in equal)


def test_every_architecture_has_one_label_that_is_not_degenerate() -> None:
    for cell in dnn_cells(DNN_LADDER, DNN_DEPTHS, all_topologies=True):
        (own,) = [t for t in cell.topologies if not t.degenerate]
        assert hidden_sizes(cell.architecture.capacity, own.shape, DNN_LADDER) == cell.architecture.hidden_sizes


@pytest.mark.parametrize(
    ("width", "direction", "expected"),
    [
        (5, "+", 10),
        (5, "-", 3),
        (5, "=", 5),
        (1000, "+", 1000),
        (1, "-", 1),
        (7, "+", 10),
        (7, "-", 5),
        (2000, "+", 2000),
    ],
)
def test_a_step_is_one_rung_of_the_ladder(width: int, direction: str, expected: int) -> None:
    assert step(width, direction, DNN_LADDER) == expected


def test_the_grids_are_the_protocols() -> None:
    assert default_capacities("dnn", "mnist") == (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1000)
    assert default_capacities("dnn", "digits")[-1] == 200
    assert default_capacities("cnn", "mnist") == CNN_CHANNELS == (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
    assert default_capacities("vit", "digits") == VIT_WIDTHS == (1, 2, 3, 4, 6, 8, 10, 12, 14, 16)
    assert SPARSITIES[:3] == (0.0, 0.05, 0.1)
    assert len(SPARSITIES) == 21
    assert SPARSITIES[-1] == 1.0


@pytest.mark.parametrize("image", [MNIST, CIFAR10, DIGITS, ImageShape(30, 41, 3, 7)])
@pytest.mark.parametrize("family", FAMILIES)
def test_parameter_counts_are_the_modules(family: str, image: ImageShape) -> None:
    cells = (
        dnn_cells((1, 5, 100), DNN_DEPTHS, all_topologies=False)
        if family == "dnn"
        else single_layer_cells("cnn" if family == "cnn" else "vit", (1, 4, 7, 16))
    )
    for cell in cells:
        with torch.device("meta"):
            module = build_module(cell.architecture, image)
        assert parameter_count(cell.architecture, image) == sum(p.numel() for p in module.parameters())


def test_parameter_counts_of_the_paper_s_cnns() -> None:
    assert parameter_count(Architecture("cnn", (4,)), MNIST) == 27_090
    assert parameter_count(Architecture("cnn", (32,)), CIFAR10) == 288_906


def test_identities_do_not_change() -> None:
    """Stored runs are found again by these hashes: a change here makes every store start anew."""
    assert protocol_id(DnnProtocol()) == "eb54802ce17a3e00"
    assert protocol_id(CnnProtocol()) == "131e1362aa5f3c82"
    assert protocol_id(VitProtocol()) == "4e029e97974103db"
    assert run_id(DnnProtocol(), "f" * 16, Architecture("dnn", (10, 20)), "fp32", 3) == "f332f5e1de674470"


def test_every_setting_is_part_of_the_identity() -> None:
    ids = {
        protocol_id(protocol_for("dnn", training))
        for training in (
            Training(),
            Training(epochs=5),
            Training(seed=1),
            Training(patience=3),
            Training(compute="bf16"),
        )
    }
    assert len(ids) == 5
