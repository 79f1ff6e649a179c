from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import analyses
from store.errors import MinarchError
from tests.reports.planted import plant


def test_every_command_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delitem(analyses.COMMANDS, "reports render")  # It is rendered often enough.
    table = analyses.run(plant(tmp_path / "a.duckdb").path, repeats=1)
    assert " runs; least of 1; load average" in table
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[5:]]
    assert [name for name, _ in rows] == [*analyses.COMMANDS, "import of the libraries alone"]
    assert all(float(seconds) > 0.1 for _, seconds in rows)


def test_a_command_that_fails_is_no_time(tmp_path: Path) -> None:
    with pytest.raises(MinarchError, match="no store at"):
        analyses.run(tmp_path / "none.duckdb", repeats=1)
