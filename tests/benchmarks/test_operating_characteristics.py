"""How the tables of error rates print their figures."""

from __future__ import annotations

import pytest

from benchmarks.operating_characteristics import average, share


@pytest.mark.parametrize(
    ("hits", "trials", "stores", "printed"),
    [
        (20, 400, None, "0.050 ± .011"),
        (0, 400, None, "0.000 ± .002"),
        (400, 400, None, "1.000 ± .002"),
        (120, 2400, 400, "0.050 ± .011"),
        (0, 0, None, "-"),
    ],
)
def test_shares_have_standard_errors_that_are_never_zero(
    hits: int, trials: int, stores: int | None, printed: str
) -> None:
    assert share(hits, trials, stores=stores) == printed


def test_means_have_standard_errors() -> None:
    assert average([0.0, 1.0, 2.0, 1.0]) == "1.00 ± .41"
    assert average([3.0]) == "-"
