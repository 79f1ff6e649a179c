"""What fine-tuning wins, and magnitude over its baselines, from a store with planted differences."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from analyze import finetuned_networks, finetuning
from tests.analyze.shown import body, documented
from tests.analyze.test_cli import call
from tests.planted_store import PlantedCut, PlantedSweep, write

CAPACITIES = (10, 20)
GRID = (0.5, 0.9)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two widths, 10 replicates: fine-tuning wins 4 points at 90% and nothing at 50%; random pruning loses 10."""
    rng = np.random.default_rng(23)
    base = 0.9 + 0.004 * rng.standard_normal((2, 10))

    def cut(size: int, lost: tuple[float, float], **kind: object) -> PlantedCut:
        accuracy = base[size][:, None] - np.array(lost) + 0.001 * rng.standard_normal((10, 2))
        return PlantedCut(capacity=CAPACITIES[size], accuracy=accuracy, sparsities=GRID, **kind)  # type: ignore[arg-type]

    cuts = [
        one
        for size in range(2)
        for one in (
            cut(size, (0.0, 0.05)),
            cut(size, (0.0, 0.01), finetune_epochs=5),
            cut(size, (0.1, 0.15), method="random"),
            cut(size, (0.1, 0.11), method="random", finetune_epochs=5),
            cut(size, (0.0, 0.03 + 0.04 * size), method="layerwise"),
        )
    ]
    few = PlantedCut(capacity=10, accuracy=np.full((4, 1), 0.5), sparsities=(0.7,), finetune_epochs=5)
    one_shot = PlantedCut(capacity=10, accuracy=np.full((4, 1), 0.4), sparsities=(0.7,))
    path = tmp_path_factory.mktemp("finetuning") / "results.duckdb"
    return write(path, PlantedSweep(accuracy=base, capacities=CAPACITIES, cuts=[*cuts, few, one_shot]))


def test_treatments_of_a_store_pooled(store: Path) -> None:
    rows = {(row.against, row.pruned_by, row.finetune_epochs, row.sparsity): row for row in finetuning(store)}
    assert len(rows) == 2 * 2 + 2 * 2 + 2
    won = rows["one-shot", "magnitude", 5, 0.9]
    assert (won.verdict, won.networks, won.replicates, won.comparisons) == ("better", 2, 10, 10)
    assert won.difference == pytest.approx(0.04, abs=0.001)
    assert won.against_mean == pytest.approx(0.85, abs=0.003)
    assert rows["one-shot", "magnitude", 5, 0.5].verdict == "equivalent"
    assert rows["random", "magnitude", 0, 0.5].difference == pytest.approx(0.1, abs=0.001)
    assert rows["random", "magnitude", 5, 0.9].verdict == "better"
    assert rows["layerwise", "magnitude", 0, 0.9].verdict == "equivalent", "one network loses as much as the other wins"


def test_treatments_of_every_network(store: Path) -> None:
    rows = finetuned_networks(store)
    layerwise = {row.capacity: row.verdict for row in rows if row.against == "layerwise" and row.sparsity == 0.9}
    assert layerwise == {10: "worse", 20: "better"}
    few = [row for row in rows if row.sparsity == 0.7]
    assert [(row.verdict, row.replicates, row.difference) for row in few] == [("too few", 4, None)]
    assert {row.comparisons for row in rows} == {20}


@pytest.mark.parametrize("option", [[], ["--networks"]])
def test_command_prints_every_documented_field(store: Path, option: list[str]) -> None:
    rows = json.loads(call("finetuning", *option, "--store", store, "--format", "json").stdout)
    assert set(rows[0]) == documented("finetuning")
    table = call("finetuning", *option, "--store", store).stdout.decode()
    assert max(map(len, table.splitlines())) <= 80
    assert "…" not in table
    assert len(body(table)) == len(rows)
    for row, line in zip(rows, body(table), strict=True):
        assert row["verdict"].split()[0] in line
        assert row["difference"] is None or f"{100 * row['difference']:.2f}" in line


def test_a_store_without_other_treatments_says_so(tmp_path: Path) -> None:
    accuracy = np.full((1, 8), 0.9)
    pruned = [np.full((8, 3), 0.9)]
    sweep = PlantedSweep(accuracy=accuracy, capacities=(10,), pruned=pruned, sparsities=(0.0, 0.5, 1.0))
    done = call("finetuning", "--store", write(tmp_path / "none.duckdb", sweep))
    assert (done.returncode, done.stderr.count(b"\n")) == (0, 1)
    assert b"holds no fine-tuned networks" in done.stderr
    assert b"--finetune" in done.stderr
