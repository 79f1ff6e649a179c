from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks import bits, grids
from generate.architectures import Architecture
from store.precisions import PRECISIONS


@pytest.mark.slow
def test_every_precision_is_timed_on_the_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINARCH_DATA", raising=False)
    small = replace(grids.GRIDS["cnn-mnist"], architectures=(Architecture("cnn", (1,)), Architecture("cnn", (2,))))
    monkeypatch.setitem(grids.GRIDS, "cnn-mnist", small)
    times = bits.measured("cnn-mnist", 2)
    assert len(times) == len(PRECISIONS)
    assert all(0 < time < 1000 for time in times)


def test_its_grids_are_those_of_the_engines_benchmark() -> None:
    assert set(bits.GRID_NAMES) < set(grids.GRIDS)
