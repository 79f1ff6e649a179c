from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from generate.architectures import Architecture, Cell, ImageShape
from generate.families import FAMILIES, Design, protocol_for
from generate.families.cnn import CHANNELS, CnnProtocol
from generate.families.dnn import DEPTHS, LADDER, DnnProtocol, hidden_sizes, layered_cells, step
from generate.families.vit import WIDTHS, VitProtocol
from generate.plan import run_id
from generate.protocol import SPARSITIES, Quantization, Training, protocol_id
from store.errors import MinarchError

MNIST = ImageShape(28, 28, 1, 10)
CIFAR10 = ImageShape(32, 32, 3, 10)
DIGITS = ImageShape(8, 8, 1, 10)


def phase_one() -> list[Cell]:
    return layered_cells("dnn", Design(LADDER, DEPTHS, True, LADDER))


def test_phase_one_has_480_cells_of_428_architectures() -> None:
    cells = phase_one()
    assert len(cells) == 428
    assert len({cell.architecture for cell in cells}) == 428
    assert sum(len(cell.topologies) for cell in cells) == 480
    by_depth = [sum(len(c.topologies) for c in cells if len(c.architecture.hidden_sizes) == d) for d in DEPTHS]
    assert by_depth == [12, 36, 108, 324]


def test_phase_two_has_48_cells_with_the_labels_of_phase_one() -> None:
    all_cells = {c.architecture: c for c in phase_one()}
    equal = layered_cells("dnn", Design(LADDER, DEPTHS, False, LADDER))
    assert len(equal) == 48
    assert all(all_cells[cell.architecture] == cell for cell in equal)


def test_every_architecture_has_one_label_that_is_not_degenerate() -> None:
    for cell in phase_one():
        (own,) = [t for t in cell.topologies if not t.degenerate]
        assert hidden_sizes(cell.architecture.capacity, own.shape, LADDER) == cell.architecture.hidden_sizes


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
    assert step(width, direction, LADDER) == expected


def test_the_grids_are_the_protocols() -> None:
    assert FAMILIES["dnn"].facts.grid("mnist") == (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1000)
    assert FAMILIES["dnn"].facts.grid("digits")[-1] == 200
    assert FAMILIES["cnn"].facts.grid("mnist") == CHANNELS == (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
    assert FAMILIES["vit"].facts.grid("digits") == WIDTHS == (1, 2, 3, 4, 6, 8, 10, 12, 14, 16)
    assert SPARSITIES[:3] == (0.0, 0.05, 0.1)
    assert len(SPARSITIES) == 21
    assert SPARSITIES[-1] == 1.0


def test_identities_do_not_change() -> None:
    """Stored runs are found again by these hashes: a change here makes every store start anew."""
    assert protocol_id(DnnProtocol()) == "eb54802ce17a3e00"
    assert protocol_id(CnnProtocol()) == "131e1362aa5f3c82"
    assert protocol_id(VitProtocol()) == "4e029e97974103db"
    assert run_id(DnnProtocol(), "f" * 16, Architecture("dnn", (10, 20)), "fp32", 3) == "f332f5e1de674470"


@pytest.mark.parametrize("family", FAMILIES)
def test_every_field_is_part_of_the_identity(family: str) -> None:
    protocol = protocol_for(family)
    others = [protocol, *(dataclasses.replace(protocol, **{name: value}) for name, value in CHANGES[family].items())]
    others += [
        dataclasses.replace(protocol, training=dataclasses.replace(Training(), **{name: value}))
        for name, value in TRAINING_CHANGES.items()
    ]
    assert len({protocol_id(other) for other in others}) == len(others)


CHANGES: dict[str, dict[str, Any]] = {
    "dnn": {},
    "cnn": {"kernel_size": 5, "stride": 2, "padding": 1, "linear_std": 0.1},
    "vit": {
        "grid": 5,
        "grid_of_8x8_images": 2,
        "blocks": 3,
        "heads": 2,
        "mlp_ratio": 2,
        "class_token_std": 0.5,
    },
}
TRAINING_CHANGES: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 50,
    "learning_rate": 0.01,
    "betas": (0.8, 0.99),
    "epsilon": 1e-3,
    "validation_fraction": 0.3,
    "patience": 1,
    "input_mean": 0.2,
    "input_std": 0.3,
    "compute": "bf16",
    "seed": 1,
    "seeding": "fingerprint",
}


def texts(spec: object) -> list[str]:
    names = [field.name for field in dataclasses.fields(spec)]  # type: ignore[arg-type]
    return [name for name in names if isinstance(getattr(spec, name), str)]


@pytest.mark.parametrize("spec", [DnnProtocol(), CnnProtocol(), VitProtocol(), Training(), Quantization()], ids=repr)
def test_texts_that_are_not_implemented_are_refused(spec: Any) -> None:
    assert texts(spec)
    for name in texts(spec):
        with pytest.raises(MinarchError, match=f"{name}: only '.*is implemented, not 'tanh'"):
            dataclasses.replace(spec, **{name: "tanh"})


def test_numbers_out_of_range_are_refused() -> None:
    cases: list[tuple[Any, str, Any]] = [
        (Training(), "batch_size", 0),
        (Training(), "learning_rate", 0.0),
        (Training(), "betas", (0.9, 1.0)),
        (Training(), "validation_fraction", 1.0),
        (Training(), "input_std", float("nan")),
        (CnnProtocol(), "stride", 0),
        (CnnProtocol(), "padding", -1),
        (VitProtocol(), "blocks", 0),
    ]
    for spec, name, value in cases:
        with pytest.raises(MinarchError, match=f"{name} must be (at least|above|below)"):
            dataclasses.replace(spec, **{name: value})


def test_every_field_is_covered() -> None:
    """Each is either changed in the tests of what training does with it, or a text with one value."""
    for family, changes in CHANGES.items():
        protocol = protocol_for(family)
        own = {field.name for field in dataclasses.fields(protocol)} - {"training", "quantization"}
        assert own == set(changes) | set(texts(protocol))
    assert {field.name for field in dataclasses.fields(Training)} == set(TRAINING_CHANGES) | {"loss", "selection"}
