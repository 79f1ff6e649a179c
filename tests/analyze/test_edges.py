"""Stores with next to nothing in them: a clear status each, never a traceback or a warning."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from analyze import (
    Results,
    Study,
    claims,
    depth_crossings,
    epoch_overfitting,
    integer_agreement,
    power,
    pruning,
    quantization,
    quantization_trends,
    recommend,
    regimes,
    shape_components,
    shape_thresholds,
    shapes,
    table_one,
)
from analyze.cli import analyze
from tests.analyze.shown import body
from tests.planted import CHANCE, LADDER
from tests.planted_curves import PlantedCurves
from tests.planted_store import PlantedSweep, write

ANALYSES: list[Callable[[Study], Results[Any]]] = [
    regimes,
    epoch_overfitting,
    pruning,
    depth_crossings,
    quantization,
    quantization_trends,
    integer_agreement,
    shapes,
    shape_thresholds,
    shape_components,
    power,
    table_one,
    claims,
    recommend,
]
COMMANDS = [
    ["regimes"],
    ["regimes", "--epochs"],
    ["pruning"],
    ["pruning", "--crossings"],
    ["quantization"],
    ["quantization", "--trend"],
    ["quantization", "--integer"],
    ["shapes"],
    ["shapes", "--threshold"],
    ["shapes", "--components"],
    ["power"],
    ["table-one"],
    ["claims"],
    ["recommend"],
    ["recommend", "--explain"],
]


def _sweeps(sizes: int, replicates: int, accuracy: float, **options: Any) -> list[PlantedSweep]:
    """Return two depths with curves, pruning, int8 runs and integer checks, all at one accuracy (-1: diverged)."""
    table = np.full((sizes, replicates), accuracy)
    shown = max(accuracy, CHANCE)
    curves = [PlantedCurves(np.full((replicates, 20), 0.5), np.full((replicates, 20), 0.5), 0.0)] * sizes
    pruned = [np.full((replicates, 21), shown)] * sizes
    common: dict[str, Any] = {"capacities": LADDER[:sizes], **options}
    return [
        sweep
        for depth in (1, 2)
        for sweep in (
            PlantedSweep(accuracy=table, depth=depth, curves=curves, pruned=pruned, **common),
            PlantedSweep(accuracy=table, depth=depth, precision="int8", converted=np.full_like(table, shown), **common),
        )
    ]


STORES: dict[str, list[PlantedSweep]] = {
    "empty": [],
    "two replicates": _sweeps(12, 2, 0.9),
    "one replicate": _sweeps(12, 1, 0.9),
    "single size": _sweeps(1, 10, 0.9),
    "all dead": _sweeps(12, 10, CHANCE),
    "all diverged": _sweeps(12, 10, -1.0),
    "all the same": _sweeps(12, 10, 0.9),
    "only degenerate": _sweeps(12, 10, 0.9, degenerate=True),
    "only int8": [PlantedSweep(accuracy=np.full((6, 6), 0.9), capacities=LADDER[:6], precision="int8")],
}


@pytest.fixture(scope="module", params=STORES)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("edge") / "results.duckdb", *STORES[request.param])


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=() if name in ("empty", "two replicates", "all diverged") else pytest.mark.slow)
        for name in STORES
    ],
)
def printed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("edge") / "results.duckdb", *STORES[request.param])


def test_analyses_give_a_status_and_finite_numbers(store: Path) -> None:
    study = Study.read(store)
    for analysis in ANALYSES:
        results = analysis(study)
        frame = results.frame()
        assert frame.height == len(results)
        for record in results.records():
            for value in record.values():
                assert not isinstance(value, float) or np.isfinite(value), (analysis.__name__, record)
            if record.get("status") in ("insufficient", "not_reached"):
                assert record["reason"]
            if record.get("verdict") == "not_testable":
                assert record["detail"]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_commands_print_every_row_and_no_broken_number(printed: Path, command: list[str]) -> None:
    table = CliRunner().invoke(analyze, [*command, "--store", str(printed)], catch_exceptions=False)
    assert table.exit_code == 0
    rows = CliRunner().invoke(analyze, [*command, "--store", str(printed), "--format", "json"], catch_exceptions=False)
    found = json.loads(rows.stdout)
    lines = body(table.stdout)
    assert not {"nan", "inf", "-inf", "None", "null"} & {word.strip("[](),;") for word in table.stdout.split()}
    assert len(lines) >= len(found), table.stdout
    assert ("no results" in table.stdout) == (not found)


def test_statuses_of_dead_diverged_and_equal_sweeps(tmp_path: Path) -> None:
    for name, expected in {
        "all dead": "not_reached",
        "all diverged": "not_reached",
        "all the same": "all_stable",
    }.items():
        path = write(tmp_path / f"{name.replace(' ', '-')}.duckdb", *STORES[name])
        study = Study.read(path)
        assert {row.status for row in regimes(study) if row.boundary == "stability"} == {expected}
        # Twelve sizes at two depths; what diverged has neither curves nor pruned networks.
        trained = name != "all diverged"
        assert [row.status for row in epoch_overfitting(study)] == ["absent"] * (24 * trained)
        assert [row.status for row in depth_crossings(study)] == ["absent"] * (12 * trained)
