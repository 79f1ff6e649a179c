from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from generate.architectures import Architecture, ImageShape
from generate.calibration import Kind, calibrate
from generate.cost import WORKER_SECONDS, model_seconds, post_training_seconds, sweep_seconds
from generate.cuts import METHODS, Cuts
from generate.datasets import Dataset
from generate.families import FAMILIES, protocol_for
from generate.families.cnn import CnnProtocol
from generate.families.counts import training_flops
from generate.families.dnn import DnnProtocol
from generate.plan import UNIT_PARAMETERS, UNIT_SECONDS, Phase, Request, Unit, make_plan, run_id
from generate.protocol import Training
from store.precisions import QUANTIZED


def ids(request: Request, digits: Dataset, stored: frozenset[str] = frozenset()) -> list[str]:
    plan = make_plan(request, [("digits", digits)], stored)
    return [unit.run_id(cell.architecture) for unit in plan.units for cell in unit.cells]


def ids_of(unit: Unit) -> list[str]:
    return [unit.run_id(cell.architecture) for cell in unit.cells]


def test_the_whole_digits_sweep(digits: Dataset) -> None:
    plan = make_plan(Request(phase="all"), [("digits", digits)], frozenset())
    architectures = {cell.architecture for unit in plan.units for cell in unit.cells}
    dnn = sum(a.family == "dnn" for a in architectures)
    phase_2 = {family: sum(a.family == family and a.in_phase_2 for a in architectures) for family in FAMILIES}
    assert phase_2 == {"dnn": 40, "cnn": 10, "vit": 10}
    assert plan.cells == 400 + 10 + 10
    in_fp32, in_int8 = 30 * dnn + 10 * (10 + 10), 30 * 40 + 10 * (10 + 10)
    assert plan.models == in_fp32 + in_int8
    assert plan.stored == 0
    assert plan.missing == sum(len(unit.cells) for unit in plan.units)


def test_nothing_is_planned_twice_and_nothing_that_is_stored(digits: Dataset) -> None:
    request = Request(phase="all", repeats=2)
    everything = ids(request, digits)
    assert len(everything) == len(set(everything))
    half = frozenset(everything[::2])
    assert set(ids(request, digits, half)) == set(everything) - half
    assert ids(request, digits, frozenset(everything)) == []


def test_more_replicates_only_add(digits: Dataset) -> None:
    few, many = (set(ids(Request(phase="convergence", repeats=n), digits)) for n in (2, 3))
    assert few < many


def test_phases_share_their_runs(digits: Dataset) -> None:
    shapes, convergence, whole = (
        set(ids(Request(phase=phase, families=("dnn",), repeats=1), digits))
        for phase in ("shapes", "convergence", "all")
    )
    assert convergence < shapes < whole


def test_quantization_is_the_rest_of_all(digits: Dataset) -> None:
    phases: tuple[Phase, ...] = ("shapes", "convergence", "quantization", "all")
    shapes, convergence, quantization, whole = (set(ids(Request(phase=p, repeats=1), digits)) for p in phases)
    assert shapes | convergence | quantization == whole
    assert not quantization & (shapes | convergence)
    assert len(quantization) == len(convergence) == 60


def test_precisions_are_runs_of_their_own_and_int8_keeps_its_ids(digits: Dataset) -> None:
    request = Request(phase="quantization", repeats=2)
    eight = make_plan(request, [("digits", digits)], frozenset())
    all_bits = replace(request, precisions=QUANTIZED)
    plan = make_plan(all_bits, [("digits", digits)], frozenset())
    assert plan.models == 5 * eight.models == 5 * 120
    assert {unit.precision for unit in plan.units} == set(QUANTIZED)
    found = {unit.precision: {*ids_of(unit)} for unit in eight.units}
    assert found["int8"] < set(ids(all_bits, digits))
    assert {unit.precision for unit in plan.units if unit.integer_check} == {"int8"}
    # The time of eight bits is counted for each.
    assert sum(unit.seconds for unit in plan.units) == pytest.approx(5 * sum(unit.seconds for unit in eight.units))
    architecture = Architecture("dnn", (10,))
    assert [run_id(DnnProtocol(), "data", architecture, precision, 0) for precision in ("int8", "int4")] == [
        "47f5442ed27881df",
        "f522c468882ee27f",
    ]


def test_other_phases_train_in_fp32_alone(digits: Dataset) -> None:
    for phase, expected in (("shapes", {"fp32"}), ("convergence", {"fp32"}), ("all", {"fp32", "int4"})):
        plan = make_plan(Request(phase=phase, repeats=1, precisions=("int4",)), [("digits", digits)], frozenset())  # type: ignore[arg-type]
        assert {unit.precision for unit in plan.units} == expected


def test_shapes_has_no_cnn_and_no_vit(digits: Dataset) -> None:
    plan = make_plan(Request(phase="shapes", repeats=1), [("digits", digits)], frozenset())
    assert {unit.family for unit in plan.units} == {"dnn"}


def test_settings_make_other_runs(digits: Dataset) -> None:
    base = set(ids(Request(phase="convergence", repeats=1), digits))
    for other in (
        Request(phase="convergence", repeats=1, epochs=3),
        Request(phase="convergence", repeats=1, seed=1),
        Request(phase="convergence", repeats=1, patience=5),
    ):
        assert not base & set(ids(other, digits))


def test_the_engine_makes_no_other_runs(digits: Dataset) -> None:
    kernel, torch = (ids(Request(phase="convergence", repeats=1, engine=e), digits) for e in ("kernel", "torch"))
    assert kernel == torch


def test_units_are_short_and_whole_replicates_come_first(digits: Dataset) -> None:
    plan = make_plan(Request(phase="all", repeats=3), [("digits", digits)], frozenset())
    assert [unit.replicate for unit in plan.units] == sorted(unit.replicate for unit in plan.units)
    for unit in plan.units:
        assert unit.seconds <= UNIT_SECONDS or len(unit.cells) == 1
    assert UNIT_PARAMETERS >= 10**6


def test_capacities_and_depths_select(digits: Dataset) -> None:
    request = Request(phase="convergence", capacities=(3, 7), depths=(2,), repeats=1)
    plan = make_plan(request, [("digits", digits)], frozenset())
    architectures = sorted(cell.architecture for unit in plan.units for cell in unit.cells)
    expected = [Architecture(f, s) for f, s in (("cnn", (3,)), ("cnn", (7,)), ("dnn", (3, 3)), ("dnn", (7, 7)))]
    assert [a for a in architectures if a.family != "vit"] == expected


def test_cost_counts_the_arithmetic() -> None:
    image = ImageShape(28, 28, 1, 10)
    # Forward and weight gradient of every layer, input gradient of all but the first, two operations per product.
    assert training_flops(Architecture("dnn", (100,)), image, DnnProtocol()) == 2 * (2 * 784 * 100 + 3 * 100 * 10)
    short, long = (
        model_seconds(Architecture("dnn", (100,)), image, DnnProtocol(training=Training(epochs=e)), 60_000, 10_000)
        for e in (20, 40)
    )
    assert long == pytest.approx(2 * short, rel=0.05)


def test_calibration_is_measured_and_remembered_for_a_day(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def factor(*, remembered: bool = True, width: int = 5) -> float:
        kind: Kind = (DnnProtocol(), "int8")
        wanted = {kind: [Architecture("dnn", (width,))]}
        return calibrate(wanted, digits.image, engine="torch", device="cpu", remembered=remembered)[kind]

    assert 0 < factor() < 1000
    (memory,) = tmp_path.rglob("*.json")
    memory.write_text("2.5")
    assert factor() == 2.5
    assert factor(width=6) != 2.5, "of another model"
    os.utime(memory, (0, 0))
    assert factor() != 2.5, "too old"
    memory.write_text("2.5")
    assert factor(remembered=False) != 2.5
    memory.write_text("nonsense")
    assert 0 < factor() < 1000


def test_what_comes_beside_training_counts_too() -> None:
    assert sweep_seconds(0.1, units=1, kinds=1, workers=2) > WORKER_SECONDS
    alone, shared = (sweep_seconds(3600, units=100, kinds=2, workers=workers) for workers in (1, 2))
    assert alone == pytest.approx(2 * shared, rel=0.02)
    assert sweep_seconds(10, units=400, kinds=1, workers=1) > sweep_seconds(10, units=4, kinds=1, workers=1) + 60


def test_pruning_is_part_of_what_a_unit_takes(digits: Dataset) -> None:
    few, many = (
        make_plan(
            Request(phase="convergence", families=("cnn",), capacities=(8,), repeats=1, sparsities=sparsities),
            [("digits", digits)],
            frozenset(),
        )
        for sparsities in ((0.0,), tuple(step / 20 for step in range(21)))
    )
    assert 1.005 < many.units[0].seconds / few.units[0].seconds < 1.2


def test_quantization_after_training_is_part_of_what_a_unit_takes(digits: Dataset) -> None:
    image = ImageShape(28, 28, 1, 10)
    for architecture, protocol in (
        (Architecture("dnn", (50, 50)), DnnProtocol()),
        (Architecture("cnn", (8,)), CnnProtocol()),
    ):
        training = model_seconds(architecture, image, protocol, 60_000, 10_000)
        assert 0.002 < post_training_seconds(architecture, image, protocol, 10_000) / training < 0.05
    small, request = (
        Architecture("cnn", (8,)),
        Request(phase="convergence", families=("cnn",), capacities=(8,), repeats=1),
    )
    (unit,) = make_plan(replace(request, sparsities=()), [("digits", digits)], frozenset()).units
    counts = (len(digits.train.images), len(digits.test.images))
    alone = model_seconds(small, digits.image, unit.protocol, *counts)
    assert unit.seconds == pytest.approx(alone + post_training_seconds(small, digits.image, unit.protocol, counts[1]))


def planned_seconds(digits: Dataset, family: str, **asked: Any) -> float:
    request = Request(phase="convergence", families=(family,), capacities=(8,), depths=(2,), epochs=20, repeats=1)
    plan = make_plan(replace(request, **asked), [("digits", digits)], frozenset())
    return sum(unit.seconds for unit in plan.units)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_fine_tuning_is_part_of_what_a_unit_takes(family: str, digits: Dataset) -> None:
    plain, architecture = planned_seconds(digits, family), Architecture(family, (8, 8) if family == "dnn" else (8,))
    once = planned_seconds(digits, family, finetune=10, finetune_sparsities=(0.5, 0.9))
    twice = planned_seconds(digits, family, finetune=10, finetune_sparsities=(0.5, 0.9), finetune_by=METHODS[:2])
    protocol = protocol_for(family, Training(epochs=20))
    training = model_seconds(architecture, digits.image, protocol, len(digits.train.images), len(digits.test.images))
    # 10 of 20 epochs for each of two shares, which test once and not after every epoch.
    assert 0.7 < (once - plain) / training < 1
    assert twice - once == pytest.approx(once - plain)
    smaller = planned_seconds(digits, family, finetune=10, finetune_sparsities=(0.5, 0.9), finetune_by=("units",))
    assert (smaller == plain) == (family == "vit")
    assert smaller < once


def test_other_methods_are_part_of_what_a_unit_takes(digits: Dataset) -> None:
    none, one, all_ = (
        planned_seconds(digits, "cnn", **asked)
        for asked in ({"sparsities": ()}, {}, {"prune_by": ("magnitude", "random", "layerwise")})
    )
    assert all_ - none == pytest.approx(3 * (one - none))


def test_quantized_networks_are_pruned_by_magnitude_alone(digits: Dataset) -> None:
    request = Request(phase="all", families=("cnn",), repeats=1, prune_by=METHODS, finetune=5)
    for unit in make_plan(request, [("digits", digits)], frozenset()).units:
        assert unit.cuts == (request.cuts if unit.precision == "fp32" else Cuts())


def test_a_plan_waits_for_nothing_heavy(tmp_path: Path) -> None:
    """Once this machine is known: neither PyTorch nor the kernels are loaded."""
    code = (
        "import sys; from pathlib import Path\n"
        "from generate.commands import show_plan; from generate.plan import Request\n"
        "request = Request(phase='convergence', families=('dnn',), capacities=(1,), engine='torch')\n"
        "show_plan(request, Path(sys.argv[1]))\n"
        "print('torch' in sys.modules, 'numba' in sys.modules)"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", code, str(tmp_path / "none.duckdb")]
    for expected in ("True True", "False False"):  # The first one measures.
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == expected


def test_a_driver_leaves_what_is_heavy_to_its_workers(tmp_path: Path) -> None:
    """Also where it measures how long a step takes."""
    code = (
        "import sys; from generate.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code in (0, None), end.code\n"
        "print('torch' in sys.modules, 'numba' in sys.modules)"
    )
    sweep = ["convergence", "--family", "dnn", "--depths", "1", "--capacities", "1", "--epochs", "1", "--repeats", "1"]
    environment = {**os.environ, "MINARCH_STORE": str(tmp_path / "s.duckdb")}
    command = [sys.executable, "-c", code, *sweep, "--workers", "1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "1 model trained" in done.stdout
    assert done.stdout.splitlines()[-1] == "False False"
