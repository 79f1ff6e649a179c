"""What a unit of work stores of its pruned networks."""

from __future__ import annotations

import dataclasses

import pytest

import generate.cutting
from generate.architectures import Architecture
from generate.cuts import METHODS, Cuts, Finetuning
from generate.datasets import Dataset
from generate.engine.plain.modules import tensor_shapes
from generate.families import FAMILIES, family_named
from generate.plan import Request, Unit, make_plan
from generate.worker import run_unit
from store.records import Pruned

SHARES = (0.0, 0.3, 0.6, 1.0)
EVERYTHING = Cuts(
    sparsities=SHARES, methods=METHODS, finetuning=Finetuning(epochs=2, sparsities=(0.4, 0.8), methods=METHODS)
)
SIZES = {"dnn": (4, 10), "cnn": (2, 3), "vit": (4,)}


def unit_of(family: str, digits: Dataset, cuts: Cuts, **asked: object) -> Unit:
    request = Request(
        phase="convergence", families=(family,), capacities=SIZES[family], depths=(2,), epochs=2, repeats=1
    )
    (unit,) = make_plan(dataclasses.replace(request, **asked), [("digits", digits)], frozenset()).units  # type: ignore[arg-type]
    return dataclasses.replace(unit, cuts=cuts)


def keys(rows: tuple[Pruned, ...]) -> list[tuple[str, str, int, float]]:
    return [(row.run_id, row.method, row.finetune_epochs, row.sparsity) for row in rows]


@pytest.mark.parametrize("family", list(FAMILIES))
def test_every_method_and_share_has_a_row(family: str, digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = unit_of(family, digits, EVERYTHING)
    rows = run_unit(unit, "invocation").pruning
    removable = family_named(family).without_units is not None
    wanted = {
        (unit.run_id(cell.architecture), method, epochs, share)
        for cell in unit.cells
        for method in METHODS
        for epochs, shares in ((0, SHARES), (2, (0.4, 0.8)))
        for share in shares
        if method != "units" or (removable and share < 1)
    }
    assert len(rows) == len(wanted)
    assert set(keys(rows)) == wanted
    of_magnitude = run_unit(unit_of(family, digits, Cuts(sparsities=SHARES)), "invocation").pruning
    assert of_magnitude == tuple(row for row in rows if (row.method, row.finetune_epochs) == ("magnitude", 0))
    # In packs of one network each come the same figures.
    monkeypatch.setattr(generate.cutting, "UNIT_PARAMETERS", 1)
    for one, same in zip(rows, run_unit(unit, "invocation").pruning, strict=True):
        assert same.test_loss == pytest.approx(one.test_loss, rel=1e-5)
        assert dataclasses.replace(same, test_loss=one.test_loss) == one
    for row in rows:
        assert row.test_accuracy is not None
        unpruned = next(r for r in rows if (r.run_id, r.method, r.sparsity) == (row.run_id, "magnitude", 0))
        if row.method == "units":
            (cell,) = (cell for cell in unit.cells if unit.run_id(cell.architecture) == row.run_id)
            sizes = tuple(max(1, width - round(row.sparsity * width)) for width in cell.architecture.hidden_sizes)
            shapes = tensor_shapes(Architecture(family, sizes), digits.image, unit.protocol)
            assert row.nonzero == sum(_size(shape) for shape in shapes.values() if len(shape) > 1)
        else:
            assert (
                abs(row.nonzero - (1 - row.sparsity) * unpruned.nonzero) <= 5
            )  # Rounded in each of five layers or so.
        if row.sparsity == 0:
            assert row.test_accuracy == unpruned.test_accuracy


def _size(shape: tuple[int, ...]) -> int:
    product = 1
    for length in shape:
        product *= length
    return product


def test_random_weights_go_by_seed_replicate_and_architecture(digits: Dataset) -> None:
    cuts = Cuts(sparsities=(0.5,), methods=("magnitude", "random"))
    unit = unit_of("dnn", digits, cuts)
    first, again = (run_unit(unit, "invocation").pruning for _ in range(2))
    assert first == again
    (alone,) = (run_unit(dataclasses.replace(unit, cells=unit.cells[1:]), "invocation").pruning,)
    assert set(alone) <= set(first), "whatever else is in the unit"


def test_only_networks_of_phase_2_are_pruned(digits: Dataset) -> None:
    unit = unit_of("dnn", digits, Cuts(sparsities=(0.0, 0.5)), phase="shapes")
    pruned = {row.run_id for row in run_unit(unit, "invocation").pruning}
    assert pruned == {unit.run_id(cell.architecture) for cell in unit.cells if cell.architecture.in_phase_2}
    assert 0 < len(pruned) < len(unit.cells)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_quantized_networks_are_pruned_by_magnitude(family: str, digits: Dataset) -> None:
    request = Request(
        phase="quantization",
        families=(family,),
        capacities=SIZES[family],
        depths=(1,),
        epochs=2,
        repeats=1,
        sparsities=SHARES,
        prune_by=METHODS,
        finetune=3,
    )
    (unit,) = make_plan(request, [("digits", digits)], frozenset()).units
    records = run_unit(unit, "invocation")
    assert {(row.method, row.finetune_epochs) for row in records.pruning} == {("magnitude", 0)}
    assert len(records.pruning) == len(SHARES) * len(records.runs)
    for run in records.runs:
        (unpruned,) = (row for row in records.pruning if row.run_id == run.run_id and row.sparsity == 0)
        assert unpruned.test_accuracy == run.test_accuracy
    assert len(records.integer_checks) == len(records.runs)
