"""What estimators return as data has words, every kind of it."""

from __future__ import annotations

from typing import get_args

import pytest

from analyze import wording
from analyze.stats.result import Needed, Observed, Reason, Remark, Shortage

NEEDS: tuple[Needed, ...] = get_args(Needed)
OBSERVED: tuple[Observed, ...] = get_args(Observed)


def test_every_kind_has_words() -> None:
    assert set(wording.SHORTAGES) == set(NEEDS)
    assert set(wording.REMARKS) == set(OBSERVED)


@pytest.mark.parametrize("of", NEEDS)
def test_a_shortage_says_how_much_is_missing_and_what_to_run(of: Needed) -> None:
    words = wording.one(Shortage(of, 3, 7))
    assert words.startswith("one topology only" if of == "topologies" else "3 of 7 ")
    assert "{" not in words
    assert "run " in words


@pytest.mark.parametrize(
    ("reasons", "words"),
    [
        ([], None),
        ([Shortage("replicates", 4, 5)], "4 of 5 needed replicates: run with --repeats 5 or more"),
        (
            [Shortage("sizes", 2, 5), Shortage("replicates", 2, 5)],
            "2 of 5 needed sizes: run more --capacities; 2 of 5 needed replicates: run with --repeats 5 or more",
        ),
        (
            [Shortage("sizes", 2, 5, stable_only=True), Shortage("replicates", 2, 5, stable_only=True)],
            "at or above the stability boundary: 2 of 5 needed sizes: run more --capacities; "
            "2 of 5 needed replicates: run with --repeats 5 or more",
        ),
        (
            [Shortage("living pairs", 3, 5, dead=6)],
            "3 of 5 needed replicates alive in both; the others are dead: run larger sizes, or --repeats 5 or more",
        ),
        (
            [Remark("straight decline"), Shortage("replicates for intervals", 5, 10)],
            "a straight line describes accuracy over sparsity as well; 5 of 10 replicates that intervals of onset and "
            "collapse take: run with --repeats 10 or more",
        ),
        (
            [Remark("no fall", (0.4, 0.0123))],
            "no fall in spread found (p = 0.4); pooled sd 1.2 points (unstable: 2 or more)",
        ),
        (
            [Remark("no fall", (0.4, 0.05))],
            "no fall in spread found (p = 0.4); pooled sd 5 points (unstable: 2 or more): run larger sizes",
        ),
        (
            [Remark("one side of the limit", (0.012, 0.002, 0.008))],
            "the spread falls, but does not part unstable from stable sizes: 1.2 to 0.2 points (unstable: 2 or more)",
        ),
        (
            [Remark("gap opens slowly", (0.002,))],
            "the gap opens by 0.2 points per size only (least that counts: 0.3)",
        ),
        (
            [Remark("gap opens little", (0.008,))],
            "the gap opens by 0.8 points in all only (least that counts: 1)",
        ),
        (
            [Remark("topologies left out", (1, 4))],
            "1 of 4 topologies left out for fewer than 5 replicates",
        ),
        ([Remark("spread", (0.031, 0.5, 0.004))], "sd 3.1 points at 50%, 0.4 unpruned"),
    ],
)
def test_reasons_in_words(reasons: list[Reason], words: str | None) -> None:
    assert wording.several(reasons) == words
