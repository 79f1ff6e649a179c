"""Regimes of planted stores, through the Python API."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import analyze
from analyze import Regime, regimes
from analyze.stats.tolerance import failure_bound
from store.errors import MinarchError
from tests import planted
from tests.analyze.test_cli import call
from tests.planted_store import PlantedSweep, parameters, write


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two datasets, two families, a second protocol, odd shapes, int8 runs and diverged runs."""
    rng = np.random.default_rng(0)
    unstable = planted.clean(rng, 8)
    diverging = rng.normal(0.95, 0.003, (12, 6))
    diverging[:3, :2] = -1
    return write(
        tmp_path_factory.mktemp("planted") / "results.duckdb",
        PlantedSweep(accuracy=planted.digits(rng, 10).accuracy, capacities=planted.DIGITS_LADDER, dataset="digits"),
        PlantedSweep(accuracy=unstable.accuracy, depth=2),
        PlantedSweep(accuracy=rng.random((12, 8)), depth=2, shape="+"),
        PlantedSweep(accuracy=rng.random((12, 8)), depth=2, precision="int8"),
        PlantedSweep(accuracy=rng.random((12, 8)), depth=3, shape="=-", degenerate=True),
        PlantedSweep(accuracy=rng.random((12, 3)), depth=2, protocol="p2"),
        PlantedSweep(accuracy=diverging, family="cnn"),
        PlantedSweep(accuracy=rng.random((12, 2)), family="vit", depth=2),
    )


def only(store: Path, dataset: str | None = None, family: str | None = None) -> dict[str, Regime]:
    return {row.boundary: row for row in regimes(store, dataset, family)}


def test_two_rows_per_sweep_in_order(store: Path) -> None:
    found = [(row.dataset, row.family, row.depth, row.boundary) for row in regimes(store)]
    assert found == [
        (dataset, family, depth, boundary)
        for dataset, family, depth in [
            ("digits", "dnn", 1),
            ("planted", "dnn", 2),
            ("planted", "cnn", 1),
            ("planted", "vit", 2),
        ]
        for boundary in ("stability", "overfitting")
    ]


def test_boundary_is_in_capacities_and_parameters(store: Path) -> None:
    row = only(store, dataset="digits")["stability"]
    assert (row.status, row.capacity, row.parameters) == ("detected", 10, 760)
    assert row.ci_low is not None
    assert row.ci_high is not None
    assert row.ci_low <= 10 <= row.ci_high
    assert row.ci_low in planted.DIGITS_LADDER
    assert (row.replicates, row.sizes) == (10, 10)
    assert parameters(10, 1) == 760


def test_only_equal_widths_in_fp32_count(store: Path) -> None:
    truth = planted.clean(np.random.default_rng(0), 8).boundary
    row = only(store, dataset="planted", family="dnn")["stability"]
    assert truth is not None
    assert (row.status, row.capacity, row.replicates) == ("detected", planted.LADDER[truth], 8)


def test_the_commonest_protocol_is_analysed_and_said(store: Path) -> None:
    results = regimes(store, family="dnn")
    assert {row.protocol_id for row in results} == {"p1"}
    assert results.notes == ("planted, dnn: analysing protocol p1 (96 runs); choose another with --protocol: p2",)
    other = regimes(store, protocol="p2")
    assert [row.status for row in other] == ["insufficient", "insufficient"]
    assert other.notes == ()


def test_diverged_runs_make_a_size_unstable(store: Path) -> None:
    row = only(store, family="cnn")["stability"]
    assert (row.status, row.capacity) == ("detected", 5)


def test_too_few_replicates_says_what_to_run(store: Path) -> None:
    for row in only(store, family="vit").values():
        assert row.status == "insufficient"
        assert row.reason is not None
        assert "--repeats 5" in row.reason


@pytest.mark.parametrize(
    ("dataset", "family", "protocol", "message"),
    [
        ("mnist", None, None, "holds no fp32 runs of equal widths of dataset 'mnist', only of digits, planted"),
        ("digits", "vit", None, "of family 'vit', only of dnn"),
        (None, None, "p9", "of protocol 'p9', only of p1, p2"),
    ],
)
def test_unknown_names_list_the_known_ones(
    store: Path, dataset: str | None, family: str | None, protocol: str | None, message: str
) -> None:
    with pytest.raises(MinarchError, match=message):
        regimes(store, dataset, family, protocol)


def test_an_empty_store_has_no_regimes_and_typed_columns(tmp_path: Path) -> None:
    results = regimes(write(tmp_path / "empty.duckdb"))
    assert len(results) == 0
    assert results.frame().schema["capacity"] == pl.Int64
    command = f"generate convergence --store {tmp_path / 'empty.duckdb'}"
    assert results.notes == (f"the store holds no fp32 runs of equal widths yet; `{command}` adds them",)


def test_a_single_size(tmp_path: Path) -> None:
    path = write(tmp_path / "one.duckdb", PlantedSweep(accuracy=np.full((1, 6), 0.9), capacities=(10,)))
    rows = only(path)
    assert {row.status for row in rows.values()} == {"insufficient"}


def test_sizes_with_few_replicates_are_left_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    sample = planted.clean(rng, 10)
    accuracy = sample.accuracy.copy()
    accuracy[11, 3:] = np.nan
    path = write(tmp_path / "partial.duckdb", PlantedSweep(accuracy=accuracy))
    row = only(path)["stability"]
    assert row.sizes == 11
    assert row.capacity == planted.LADDER[sample.boundary or 0]
    assert row.reason == "left out for fewer than 5 replicates: 1000"


def test_what_the_replicates_leave_open_stands_beside_every_stability_boundary(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    accuracy = rng.normal(0.9, np.where(np.arange(12) < 4, 0.1, 0.004)[:, None], (12, 30))
    failing = accuracy.copy()
    failing[4, 0] = 0.7
    path = write(
        tmp_path / "open.duckdb",
        PlantedSweep(accuracy=accuracy),
        PlantedSweep(accuracy=failing, depth=2),
        PlantedSweep(accuracy=rng.normal(0.9, 0.004, (12, 10)), depth=3),
        PlantedSweep(accuracy=rng.normal(0.6, 0.1, (12, 10)), depth=4),
    )
    rows = [row for row in regimes(path) if row.boundary == "stability"]
    assert [(row.status, row.capacity, row.failures) for row in rows] == [
        ("detected", 10, 0),
        ("detected", 10, 1),
        ("all_stable", None, 0),
        ("not_reached", None, None),
    ]
    bounds = [1 - 0.05 ** (1 / 30), failure_bound(1, 30), 1 - 0.05 ** (1 / 10)]
    assert [row.failure_bound for row in rows[:3]] == pytest.approx(bounds)
    assert {row.failure_bound for row in regimes(path) if row.boundary == "overfitting"} == {None}
    table = call("regimes", "--store", path).stdout.decode()
    lines = " ".join(table.split())
    assert "depth 1: no replicate at the first stable size failed, which leaves open that up to 9.5%" in lines
    assert "depth 2: 1 of the replicates at the first stable size failed, which leaves open that up to 15%" in lines


def test_sampling_of_the_stores_test_images_is_no_instability(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    accuracy = rng.binomial(360, np.broadcast_to(np.linspace(0.5, 0.97, 12)[:, None], (12, 30))) / 360
    path = write(tmp_path / "few.duckdb", PlantedSweep(accuracy=accuracy))
    assert only(path)["stability"].status == "all_stable"


def test_overfitting_is_sought_above_the_stability_boundary(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    gap = planted.ramp(rng, 10)
    unstable = rng.uniform(0.3, 0.8, (3, 10))
    test = np.concatenate([unstable, gap.test])
    train = np.concatenate([unstable, gap.train])
    path = write(tmp_path / "both.duckdb", PlantedSweep(accuracy=test, last_train=train, last_test=test))
    rows = only(path)
    assert rows["stability"].capacity == planted.LADDER[3]
    assert rows["overfitting"].status == "detected"
    assert rows["overfitting"].capacity == planted.LADDER[3 + (gap.boundary or 0)]


def test_results_do_not_depend_on_what_else_is_analysed(store: Path) -> None:
    alone = regimes(store, dataset="digits").rows
    assert alone == tuple(row for row in regimes(store) if row.dataset == "digits")
    assert regimes(store, dataset="digits", seed=1).rows[0].capacity == alone[0].capacity


def test_frame_holds_the_rows(store: Path) -> None:
    results = regimes(store)
    frame = results.frame()
    assert frame.rows(named=True) == results.records()
    assert frame.schema["p_value"] == pl.Float64


def test_importing_the_package_is_cheap_and_names_are_listed() -> None:
    code = "import sys, analyze; sys.exit(any(name in sys.modules for name in ('numpy', 'polars', 'duckdb')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="No analyze attribute regime"):
        getattr(analyze, "regime")  # noqa: B009  # mypy knows that there is none.
    assert all(callable(getattr(analyze, name)) for name in dir(analyze))
    assert {"regimes", "Regime", "Study"} <= set(dir(analyze))


def test_hundreds_of_sweeps_take_seconds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sweeps = [
        PlantedSweep(accuracy=planted.drifting(rng, 10).accuracy, dataset=f"set-{i}", depth=depth)
        for i in range(10)
        for depth in (1, 2, 3, 4)
    ]
    path = write(tmp_path / "many.duckdb", *sweeps)
    started = time.process_time()
    assert len(regimes(path)) == 80
    assert time.process_time() - started < 5
