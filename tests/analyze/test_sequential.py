"""Decisions over looks: what they follow from, and that stopping can only take them away."""

from __future__ import annotations

import numpy as np
import pytest

from analyze.stats.result import FloatArray
from analyze.stats.sequential import Ladder, SequentialTest, Verdicts
from analyze.stats.spending import LOOKS

NONE = np.array([-np.inf] * 4)
LADDER = (Ladder((0, 1, 2, 3), (0.5, 0.2, 0.2, 0.1)),)


def planted(rng: np.random.Generator, drops: tuple[float, ...], sd: float = 0.004) -> FloatArray:
    """Return accuracies of rows that are worse than the first by so much; shape (rows, 30)."""
    return 0.95 - np.array(drops)[:, None] + sd * rng.standard_normal((len(drops), LOOKS[-1]))


def decided(accuracy: FloatArray, looks: tuple[int, ...], *, ladders: tuple[Ladder, ...] = LADDER) -> Verdicts:
    verdicts = Verdicts.none(len(accuracy))
    test = SequentialTest(margin=0.01)
    for n in looks:
        test.step(verdicts, accuracy, np.full(len(accuracy), n), ladders, NONE[: len(accuracy)])
    return verdicts


def test_rows_within_the_margin_pass_and_others_do_not() -> None:
    verdicts = decided(planted(np.random.default_rng(1), (0.0, 0.001, 0.002, 0.03)), LOOKS)
    assert verdicts.passed.tolist() == [True, True, True, False]
    assert not verdicts.beaten[3, 0]
    assert verdicts.p[3] > 0.5


def test_nothing_passes_below_ten_replicates() -> None:
    accuracy = planted(np.random.default_rng(2), (0.0, 0.0, 0.0, 0.0), sd=1e-5)
    assert not decided(accuracy, (5,)).passed.any()
    assert decided(accuracy, (5, 10)).passed.all()


def test_a_row_that_passes_hands_its_level_on() -> None:
    accuracy = planted(np.random.default_rng(3), (0.0, 0.0, 0.03, 0.0))
    verdicts = decided(accuracy, LOOKS)
    assert verdicts.passed.tolist() == [True, True, False, True]
    # Of 5%: the first its own half, the second that and its own fifth, the third all before; the last its own tenth.
    assert verdicts.level == pytest.approx([0.025, 0.035, 0.045, 0.005])


def test_two_ladders_share_the_level() -> None:
    accuracy = planted(np.random.default_rng(3), (0.0, 0.0, 0.0, 0.0))
    ladders = (Ladder((0, 1), (0.5, 0.5)), Ladder((2, 3), (0.5, 0.5)))
    assert decided(accuracy, LOOKS, ladders=ladders).level == pytest.approx([0.0125, 0.025, 0.0125, 0.025])


def test_a_rival_without_replicates_keeps_a_row_from_passing() -> None:
    accuracy = planted(np.random.default_rng(4), (0.0, 0.0, 0.0, 0.0))
    verdicts = Verdicts.none(4)
    test = SequentialTest(margin=0.01)
    test.step(verdicts, accuracy, np.array([30, 30, 30, 5]), LADDER, NONE)
    assert not verdicts.passed.any()
    test.step(verdicts, accuracy, np.array([30, 30, 30, 30]), LADDER, NONE)
    assert verdicts.passed.all()


def test_stopping_or_skipping_looks_only_takes_decisions_away() -> None:
    for seed in range(16):
        accuracy = planted(np.random.default_rng([5, seed]), (0.0, 0.004, 0.006, 0.008), sd=0.006)
        every = decided(accuracy, LOOKS)
        for fewer in ((10, 20), (20,), (15, 30), (30,)):
            some = decided(accuracy, fewer)
            assert not (some.passed & ~every.passed).any(), seed


def test_replicates_past_a_look_wait_for_the_next_one() -> None:
    accuracy = planted(np.random.default_rng(6), (0.0, 0.0, 0.0, 0.0))
    changed = accuracy.copy()
    changed[:, 10:] = 0.1  # Not looked at before 15 are there.
    for n in (10, 12, 14):
        assert decided(accuracy, (n,)).look.tolist() == decided(changed, (n,)).look.tolist() == [10] * 4
        assert decided(accuracy, (n,)).p.tolist() == decided(changed, (n,)).p.tolist()


def test_a_floor_has_to_be_exceeded_too() -> None:
    accuracy = planted(np.random.default_rng(7), (0.0, 0.0, 0.0, 0.0))
    for floor, passes in ((0.93, True), (0.95, False), (0.97, False)):
        verdicts = Verdicts.none(4)
        test = SequentialTest(margin=0.01)
        for n in LOOKS:
            test.step(verdicts, accuracy, np.full(4, n), LADDER, np.full(4, floor))
        assert verdicts.passed.tolist() == [passes] * 4, floor


def test_sizes_that_join_use_no_level_twice() -> None:
    """Wherever sizes join, no level falls that was used, and the levels of what did not pass never exceed the whole."""
    for seed in range(8):
        rng = np.random.default_rng([8, seed])
        rows = 9
        accuracy = planted(rng, tuple(rng.choice([0.0, 0.005, 0.01], rows)), sd=0.006)
        ladder = Ladder((0, 1, 2, 3, 4), (0.375, 0.1, 0.1, 0.1, 0.075), (5, 6, 7, 8), (0.0625, 0.03, 0.02, 0.01), 0.5)
        verdicts, held, used = Verdicts.none(rows), np.zeros(rows, dtype=np.int64), np.zeros(rows)
        for look, n in enumerate((10, 15, 20, 30, 30, 30)):
            held[:5] = n
            held[5 : 5 + look] = n
            passed = verdicts.passed.copy()
            SequentialTest(margin=0.01).step(verdicts, accuracy, held, (ladder,), np.full(rows, -np.inf))
            assert not (passed & ~verdicts.passed).any(), seed
            assert (verdicts.level >= used - 1e-12).all(), seed
            used = verdicts.level.copy()
            assert used[~verdicts.passed].sum() <= 0.05 + 1e-12, seed


def test_a_size_added_between_takes_half_of_the_reserve_and_gives_it_back() -> None:
    accuracy = planted(np.random.default_rng(9), (0.0, 0.0, 0.03, 0.0, 0.03, 0.0))
    ladder = Ladder((0, 1, 2), (0.5, 0.1, 0.1), (3, 4, 5), (0.1, 0.1, 0.1), 0.5)
    verdicts = Verdicts.none(6)
    for held in ((30, 30, 30, 0, 0, 0), (30, 30, 30, 30, 0, 0), (30,) * 6):
        SequentialTest(margin=0.01).step(verdicts, accuracy, np.array(held), (ladder,), np.full(6, -np.inf))
    assert verdicts.passed.tolist() == [True, True, False, True, False, True]
    # Of 5%: the first and second hand half of 0.5 and of 0.1 + 0.25 down, and reserve as much: 0.425.
    first = 0.2125 + 0.1
    second = (0.2125 + first) / 2 + 0.1
    third = (0.2125 + first) / 4 + 0.1
    assert verdicts.level / 0.05 == pytest.approx([0.5, 0.35, 0.275, first, second, third])
