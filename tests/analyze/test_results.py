"""What analyses return, as a notebook shows it."""

from __future__ import annotations

from pathlib import Path

from analyze import Results, recommend, regimes
from analyze.questions.regimes import Regime
from tests.analyze.test_edges import STORES
from tests.planted_store import write


def test_they_are_shown_in_short_and_as_a_table(tmp_path: Path) -> None:
    path = write(tmp_path / "s.duckdb", *STORES["two replicates"])
    found = regimes(path)
    assert repr(found) == f"<{len(found)} rows of Regime: .frame() has them all>"
    assert repr(Results(Regime, (), ("a", "b"))) == "<0 rows of Regime: .frame() has them all, 2 in .notes>"
    page = found._repr_html_()
    assert page.count("<table") == 1
    assert all(row.family in page for row in found)
    assert len(repr(recommend(path))) < 100


def test_a_remark_is_text_and_no_markup() -> None:
    assert "<script>" not in Results(Regime, (), ("<script>alert(1)</script>",))._repr_html_()
