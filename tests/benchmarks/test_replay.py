"""Searches replayed on a planted store that has all replicates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import replay
from generate.sequential import SEARCHED_DEPTHS
from store.errors import MinarchError
from store.families import family_facts
from tests.planted_store import PlantedSweep, write

BEST = {"cnn": 8, "dnn": 50}
"""The smallest size that loses nothing; those from a quarter of it on are stable, and too bad."""


def planted(path: Path, replicates: int) -> Path:
    rng = np.random.default_rng(0)
    sweeps = []
    for family in replay.FAMILIES:
        sizes = replay.reachable(family)
        for depth in SEARCHED_DEPTHS if family_facts(family).layered else (1,):
            size = np.array(sizes)
            mean = np.where(size >= BEST[family], 0.96, np.where(size >= BEST[family] / 4, 0.9, 0.5)) - 0.002 * depth
            spread = np.where(mean > 0.8, 0.002, 0.1)
            accuracy = mean[:, None] + spread[:, None] * rng.standard_normal((len(sizes), replicates))
            sweeps.append(
                PlantedSweep(accuracy=accuracy, dataset="digits", family=family, depth=depth, capacities=sizes)
            )
    return write(path, *sweeps)


def test_replays_give_the_answer_of_all_replicates(tmp_path: Path) -> None:
    table = replay.replays(planted(tmp_path / "all.duckdb", 30), range(2))
    rows = {line.split(" | ")[0].strip("| "): line.split(" | ")[1:] for line in table.splitlines() if "|" in line}
    assert rows["cnn"][0] == "CNN 8 channels"
    assert rows["dnn"][0] == "DNN 1 hidden layer, 50 wide"
    for scope in ("cnn", "dnn", "all"):
        assert [cell.split()[0] for cell in rows[scope][1:]] == ["1.000", "0.000", "0.000", "0.000"], scope
    share = float(table.split(": ")[-1].split()[0])
    assert 0 < share < 1


def test_too_few_replicates_are_said(tmp_path: Path) -> None:
    with pytest.raises(MinarchError, match="has 30 replicates: use --train"):
        replay.replays(planted(tmp_path / "few.duckdb", 10), range(1))
