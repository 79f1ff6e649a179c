"""Claims as a design for them has them: verdicts over looks, and what open rows ask for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from analyze import claims
from analyze.paper.claims.looks import key_of
from analyze.paper.claims.rows import ClaimVerdict
from analyze.questions.next import next_look
from analyze.stats.spending import LOOKS, look_shares
from store.designs import Place
from tests.analyze.levels import held
from tests.analyze.test_auto import only_design, planted_store
from tests.planted_auto import WIDTHS, spec
from tests.planted_claims import (
    EDGE,
    SKEWED,
    TRUE,
    World,
    claims_by_looks,
    claims_looked_tally,
    wrong,
)

SHARES = dict(zip(LOOKS, look_shares(), strict=True))


def by_key(rows: Iterable[ClaimVerdict]) -> dict[object, ClaimVerdict]:
    return {key_of(row): row for row in rows}


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with 15 replicates of everything, under a design for the claims."""
    wanted = replace(spec("shapes"), phases=("shapes", "convergence", "quantization"), goal="claims")
    return planted_store(tmp_path_factory.mktemp("claims") / "looked.duckdb", 15, wanted)


def test_p_values_are_those_over_looks(looked: Path, tmp_path: Path) -> None:
    other = claims(planted_store(tmp_path / "other.duckdb", 15, spec("convergence")))
    fixed = by_key(other)
    rows = claims(looked)
    assert {row.planned_looks for row in rows if row.design} == {"5, 10, 15, 20, 30"}
    tested = [row for row in rows if row.look]
    assert {row.claim for row in tested} >= {2, 3, 10}
    for row in tested:
        single = fixed[key_of(row)]
        assert row.design == only_design(looked)
        assert row.look == 15
        # Ten replicates can only have made it smaller.
        assert row.p_for is not None
        assert single.p_for is not None
        assert row.p_for <= min(1.0, single.p_for / SHARES[15]) + 1e-12
        assert (row.estimate, row.n) == (single.estimate, single.n)
        if row.verdict != "inconclusive":
            assert (row.p_adjusted or 0.0) <= 0.05
    # The same data without a design for the claims say more, and that something else chose how many.
    assert "chose replicates for another question" in other.notes[-1]


def test_open_rows_ask_for_the_next_look_of_what_they_rest_on(looked: Path) -> None:
    rows = by_key(claims(looked))
    found = next_look(looked, only_design(looked))
    asked = {"equal": found.look.asked, "topologies": found.look.topologies, "8 bits": found.look.quantized}
    assert {n for counts in asked.values() for n in counts.values()} == {20}
    everywhere = {Place("dnn", 2, width) for width in WIDTHS}
    kinds = {1: "equal", 2: "topologies", 3: "topologies", 6: "equal", 8: "equal", 9: "equal", 10: "8 bits"}
    open_kinds = {kinds[row.claim] for row in rows.values() if row.design and row.verdict == "inconclusive"}
    if "8 bits" in open_kinds:
        open_kinds.add("equal")
    assert open_kinds == {kind for kind, counts in asked.items() if counts}
    assert all(set(counts) == everywhere for counts in asked.values() if counts)
    assert found.look.question.startswith("claim ")


def test_all_looks_taken_leave_nothing_to_ask(tmp_path: Path) -> None:
    wanted = replace(spec("shapes"), phases=("shapes",), goal="claims", looks=(5, 10))
    path = planted_store(tmp_path / "done.duckdb", 10, wanted)
    found = next_look(path, only_design(path))
    assert found.done
    assert found.notes[0].startswith("claims: ")


@pytest.mark.slow
@pytest.mark.parametrize("world", [EDGE, SKEWED])
def test_tables_at_the_edge_are_seldom_wrong_at_any_look(world: World) -> None:
    tally = claims_looked_tally(world, range(3300, 3330))
    held(tally.tables_wrong, tally.stores, 0.05, 0.3)


@pytest.mark.slow
def test_what_was_shown_stays_shown_and_less_is_trained() -> None:
    found = claims_by_looks(TRUE, 3300)
    last = by_key(found.rows)
    early = [row for row in found.early if row.verdict in ("supported", "contradicted")]
    assert early
    assert all(last[key_of(row)].verdict == row.verdict for row in early)
    assert not any(wrong(TRUE, row) for row in found.rows)
    assert found.trainings < found.everything
