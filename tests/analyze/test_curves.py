"""Curves are the means, spreads and intervals of exactly the runs that the regimes are found on."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from scipy.stats import t

from analyze import CurvePoint, Results, curves, learning_curves, regimes
from analyze.questions.curves import Over
from store.errors import MinarchError
from tests.planted import CHANCE
from tests.planted_curves import PlantedCurves
from tests.planted_store import PlantedSweep, write

SIZES = (2, 5)
ACCURACY = np.array([[0.5, 0.6, 0.7], [0.9, -1, 0.92]])
INT8 = np.array([[0.45, 0.5, np.nan], [0.9, 0.9, 0.91]])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two sizes of three replicates, of which one diverged, one lacks its 8-bit twin, and all were pruned by half."""
    curve = PlantedCurves(validation=np.full((3, 4), 0.5), test=np.arange(12.0).reshape(3, 4), rise=3)
    return write(
        tmp_path / "results.duckdb",
        PlantedSweep(
            accuracy=ACCURACY,
            capacities=SIZES,
            curves=(curve, curve),
            pruned=(ACCURACY[0][:, None] * [1, 0.5], np.abs(ACCURACY[1])[:, None] * [1, 0.5]),
            sparsities=(0, 0.5),
        ),
        PlantedSweep(accuracy=INT8, capacities=SIZES, precision="int8"),
        PlantedSweep(accuracy=ACCURACY, capacities=SIZES, depth=2, shape="+"),
        PlantedSweep(accuracy=ACCURACY, capacities=SIZES, depth=2, shape="-", degenerate=True),
    )


def _check(point: CurvePoint, values: list[float]) -> None:
    """Hold a point to the values that it should sum up; the interval to SciPy's."""
    assert point.replicates == len(values)
    assert point.mean == pytest.approx(np.mean(values))
    assert point.sd == pytest.approx(np.std(values, ddof=1))
    ends = t.interval(0.95, len(values) - 1, np.mean(values), np.std(values, ddof=1) / np.sqrt(len(values)))
    assert (point.ci_low, point.ci_high) == pytest.approx(np.clip(ends, 0, 1))


def test_a_point_is_mean_spread_and_t_interval(path: Path) -> None:
    small, large = curves(path)
    _check(small, [0.5, 0.6, 0.7])
    # What diverged learned nothing: it counts at chance.
    _check(large, [0.9, CHANCE, 0.92])
    assert (small.diverged, large.diverged) == (0, 1)
    assert (small.capacity, large.capacity, small.shape, small.sparsity) == (2, 5, "", 0)


def test_over_sparsity_every_step_is_a_point(path: Path) -> None:
    points = {(p.capacity, p.sparsity): p for p in curves(path, over="sparsity")}
    assert set(points) == {(2, 0), (2, 0.5), (5, 0), (5, 0.5)}
    _check(points[2, 0.5], [0.25, 0.3, 0.35])


def test_over_precision_only_replicates_with_both_count(path: Path) -> None:
    points = {(p.capacity, p.precision): p for p in curves(path, over="precision")}
    _check(points[2, "fp32"], [0.5, 0.6])
    _check(points[2, "int8"], [0.45, 0.5])
    _check(points[5, "fp32"], [0.9, CHANCE, 0.92])


def test_over_topology_cut_ladders_are_left_out(path: Path) -> None:
    points = [(p.depth, p.shape, p.capacity) for p in curves(path, over="topology")]
    assert points == [(1, "", 2), (1, "", 5), (2, "+", 2), (2, "+", 5)]


def test_learning_curves_leave_out_what_diverged(path: Path) -> None:
    found = {(p.capacity, p.split, p.epoch): p for p in learning_curves(path)}
    assert len(found) == 2 * 2 * 4
    assert found[2, "test", 1].loss == pytest.approx((0 + 4 + 8) / 3)
    assert found[5, "test", 4].loss == pytest.approx((3 + 11) / 2)
    assert (found[5, "test", 4].replicates, found[5, "train", 4].loss) == (2, None)


def test_one_replicate_has_a_mean_and_no_spread(tmp_path: Path) -> None:
    path = write(tmp_path / "one.duckdb", PlantedSweep(accuracy=np.array([[0.8]]), capacities=(2,)))
    (point,) = curves(path)
    assert (point.mean, point.sd, point.ci_low, point.ci_high) == (0.8, None, None, None)


def test_the_sweeps_are_those_of_the_regimes(tmp_path: Path) -> None:
    path = write(
        tmp_path / "two.duckdb",
        PlantedSweep(accuracy=ACCURACY, capacities=SIZES),
        PlantedSweep(accuracy=ACCURACY[:1], capacities=SIZES[:1], protocol="p2"),
        PlantedSweep(accuracy=ACCURACY, capacities=SIZES, dataset="other", family="cnn"),
    )
    assert curves(path).notes == regimes(path).notes != ()
    assert {(p.dataset, p.protocol_id) for p in curves(path)} == {("planted", "p1"), ("other", "p1")}
    assert {p.protocol_id for p in curves(path, "planted", protocol="p2")} == {"p2"}
    assert {p.family for p in curves(path, family="cnn")} == {"cnn"}
    with pytest.raises(MinarchError, match="no fp32 runs of equal widths of dataset 'mnist'"):
        curves(path, "mnist")


@pytest.mark.parametrize("over", get_args(Over))
def test_an_empty_store_has_no_points_but_columns(tmp_path: Path, over: Over) -> None:
    empty = write(tmp_path / "empty.duckdb")
    found: Results[CurvePoint] = curves(empty, over=over)
    assert len(found) == 0
    assert found.frame().schema == curves(empty).frame().schema
    assert "generate convergence" in found.notes[0]


def test_an_unknown_curve_is_named_with_those_there_are(path: Path) -> None:
    with pytest.raises(ValueError, match="over: 'depth' is not one of 'size', 'sparsity', 'precision', 'topology'"):
        curves(path, over="depth")  # type: ignore[arg-type]
