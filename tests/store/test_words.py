"""Numbers in words: one of a thing is said in the singular."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from store.describe import show
from store.results import Store
from store.words import counted
from tests.planted_store import PlantedSweep, write


def test_counts_and_verbs() -> None:
    assert [counted(n, "call") for n in (0, 1, 2, 1234)] == ["0 calls", "1 call", "2 calls", "1,234 calls"]
    assert counted(1, "unit", one="waits", many="wait") == "1 unit waits"
    assert counted(2, "unit", one="waits", many="wait") == "2 units wait"


def test_a_store_of_one_call_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "one.duckdb", PlantedSweep(accuracy=np.full((1, 1), 0.9), capacities=(5,)))
    show(Store(path).info(), "table")
    assert "1 protocol, 1 call of generate" in capsys.readouterr().out
