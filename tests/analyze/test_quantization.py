"""Quantization gaps, deaths, trends and integer checks, on planted pairs and from a store."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from analyze import integer_agreement, quantization, quantization_trends, wording
from analyze.stats.gaps import gap_trend, paired_gap
from analyze.stats.means import share_interval
from analyze.stats.result import Remark, Shortage
from tests.analyze.levels import held
from tests.analyze.shown import body, documented
from tests.analyze.test_cli import call
from tests.planted import CHANCE
from tests.planted_quantization import LOG_PARAMETERS, pairs
from tests.planted_store import PlantedSweep, parameters, write
from tests.tally import death_coverage, gap_coverage, trend_tally

# Of a store the first size counts, since its sizes share noise. Intervals that cover as measured on other stores pass
# in 999 of 1000 tries, those that cover 10 points less fail in more than 95 of 100.


@pytest.mark.parametrize(
    ("skewed", "replicates", "missed"),
    [(False, 5, 0.045), (False, 10, 0.05), (False, 30, 0.05), (True, 5, 0.085), (True, 10, 0.075), (True, 30, 0.06)],
)
def test_intervals_of_gaps_cover(skewed: bool, replicates: int, missed: float) -> None:
    """On 3000 other stores 3.5 to 5.8% miss. Far wider intervals, which would cover 99.5%, are found out too."""
    covered, intervals = gap_coverage(replicates, range(13_000, 13_600), skewed=skewed, sizes=1)
    held(intervals - covered, intervals, missed, missed + 0.1)
    held(covered, intervals, 0.965, 0.995)


@pytest.mark.parametrize("replicates", [5, 10, 30])
def test_intervals_of_death_rates_cover(replicates: int) -> None:
    covered, intervals = death_coverage(replicates, range(13_000, 13_200), rate=0.2, sizes=1)
    held(intervals - covered, intervals, 0.05, 0.15)


@pytest.mark.parametrize(("replicates", "missed"), [(5, 0.3), (10, 0.025), (30, 0.001)])
def test_trends_are_found_and_covered(replicates: int, missed: float) -> None:
    """On 2000 other stores 70, 98 and 100% are found."""
    falling = trend_tally(replicates, range(13_000, 13_600), slope=-0.01)
    held(falling.stores - falling.located, falling.stores, missed, missed + 0.1)
    held(falling.stores - falling.covered, falling.stores, 0.05, 0.15)
    flat = trend_tally(replicates, range(14_000, 14_620), slope=0.0)
    held(flat.located, flat.stores, 0.05, 0.1)


def test_a_replicate_that_makes_most_of_the_variance_is_named() -> None:
    fp32 = np.full(8, 0.9)
    int8 = fp32 - 0.001 * np.arange(8)
    assert paired_gap(fp32, int8, chance=CHANCE).reasons == ()
    int8[3] = 0.7
    found = paired_gap(fp32, int8, chance=CHANCE)
    assert found.gap is not None
    assert found.gap.largest_share > 0.8
    assert found.reasons == (Remark("one replicate dominates"),)
    gaps = 0.01 + 0.001 * np.random.default_rng(0).standard_normal((6, 8))
    assert gap_trend(gaps, LOG_PARAMETERS).reasons == ()
    gaps[0, 2] += 0.2
    trend = gap_trend(gaps, LOG_PARAMETERS)
    assert trend.slope is not None
    assert trend.slope.largest_share > 0.8
    assert trend.reasons == (Remark("one replicate dominates"),)


@pytest.mark.parametrize(("hits", "n"), [(2, 10), (0, 10), (10, 10), (1, 30)])
def test_share_interval_equals_scipy(hits: int, n: int) -> None:
    reference = binomtest(hits, n).proportion_ci(method="exact")
    assert share_interval(hits, n).interval == pytest.approx((reference.low, reference.high))


def test_deaths_are_counted_apart_from_the_gap() -> None:
    fp32 = np.array([0.9] * 8 + [0.12, np.nan])
    int8 = np.array([0.88] * 6 + [0.11, np.nan] + [0.8, 0.1])
    found = paired_gap(fp32, int8, chance=CHANCE)
    assert (found.dead_fp32, found.dead_int8, found.n) == (2, 3, 6)
    assert found.deaths is not None
    assert found.deaths.estimate == pytest.approx(2 / 8)
    assert found.gap is not None
    assert found.gap.estimate == pytest.approx(0.02)
    assert found.status == "detected"


def test_a_gap_of_the_other_sign_is_found_too() -> None:
    rng = np.random.default_rng(0)
    planted = pairs(rng, 10)
    found = paired_gap(planted.int8[0], planted.fp32[0], chance=CHANCE)
    assert found.status == "detected"
    assert found.gap is not None
    assert found.gap.interval[1] < 0


@pytest.mark.parametrize(
    ("fp32", "int8", "missing", "cure"),
    [
        ([0.9] * 4, [0.8] * 4, Shortage("living pairs", 4, 5), "run with --repeats 5"),
        ([0.9] * 9, [0.1] * 6 + [0.8] * 3, Shortage("living pairs", 3, 5, dead=6), "the others are dead"),
    ],
)
def test_too_few_living_pairs_say_what_to_do(
    fp32: list[float], int8: list[float], missing: Shortage, cure: str
) -> None:
    found = paired_gap(np.array(fp32), np.array(int8), chance=CHANCE)
    assert (found.status, found.gap) == ("insufficient", None)
    assert found.reasons == (missing,)
    assert cure in str(wording.several(found.reasons))


def test_slopes_use_the_sizes_that_a_replicate_has() -> None:
    gaps = 0.05 - 0.01 * LOG_PARAMETERS[:, None] + np.zeros(6)
    gaps[0, 0] = gaps[5, 1] = np.nan
    gaps[:4, 5] = np.nan
    found = gap_trend(gaps, LOG_PARAMETERS)
    assert found.n == 5
    assert found.slope is not None
    assert found.slope.estimate == pytest.approx(-0.01)


def test_a_trend_needs_replicates() -> None:
    assert gap_trend(np.zeros((6, 4)), LOG_PARAMETERS).status == "insufficient"
    assert gap_trend(np.zeros((2, 9)), LOG_PARAMETERS[:2]).status == "insufficient"
    assert gap_trend(np.zeros((0, 9)), LOG_PARAMETERS[:0]).status == "insufficient"


CAPACITIES = (1, 2, 5, 10, 20, 50, 100, 200)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two dead or dying sizes, six living ones whose gap shrinks by a point per tenfold parameters."""
    rng = np.random.default_rng(0)
    sizes = np.log10([parameters(capacity, 1) for capacity in CAPACITIES])
    spread = np.where(np.arange(8) < 2, 0.1, 0.004)[:, None]
    fp32 = np.clip(0.9 + spread * rng.standard_normal((8, 8)), 0.3, 0.97)
    fp32[0] = CHANCE
    int8 = fp32 - (0.03 - 0.01 * (sizes - 3))[:, None] - 0.002 * rng.standard_normal((8, 8))
    int8[0] = CHANCE
    int8[1, :4] = -1
    converted = np.full((8, 8), np.nan)
    converted[2:, 0] = int8[2:, 0] + 0.0005
    return write(
        tmp_path_factory.mktemp("quantized") / "results.duckdb",
        PlantedSweep(accuracy=fp32, capacities=CAPACITIES),
        PlantedSweep(accuracy=int8, capacities=CAPACITIES, precision="int8", converted=converted),
        PlantedSweep(accuracy=rng.random((1, 3)) / 10 + 0.8, capacities=(4,), family="vit", depth=2),
        PlantedSweep(accuracy=rng.random((1, 3)) / 10, capacities=(4,), family="vit", depth=2, precision="int8"),
    )


def test_gaps_of_a_store(store: Path) -> None:
    rows = {(row.family, row.capacity): row for row in quantization(store)}
    assert len(rows) == 9
    dead, dying, living = rows["dnn", 1], rows["dnn", 2], rows["dnn", 50]
    assert (dead.status, dead.dead_fp32, dead.dead_int8, dead.death_rate) == ("insufficient", 8, 8, None)
    assert (dying.status, dying.dead_int8, dying.death_rate, dying.replicates) == ("insufficient", 4, 0.5, 4)
    assert (living.status, living.stable, living.dead_int8, living.replicates) == ("detected", True, 0, 8)
    assert living.gap is not None
    assert living.gap == pytest.approx(0.03 - 0.01 * (np.log10(parameters(50, 1)) - 3), abs=0.003)
    assert (rows["vit", 4].status, rows["vit", 4].stable, rows["vit", 4].dead_int8) == ("insufficient", None, 3)


def test_trend_of_a_store(store: Path) -> None:
    dnn, vit = quantization_trends(store)
    assert (dnn.status, dnn.smallest, dnn.largest, dnn.sizes) == ("detected", 5, 200, 6)
    assert dnn.slope == pytest.approx(-0.01, abs=0.002)
    assert vit.status == "insufficient"


def test_integer_models_agree(store: Path) -> None:
    (row,) = integer_agreement(store)
    assert (row.agrees, row.runs) == (True, 6)
    assert row.difference == pytest.approx(0.0005)
    assert row.largest == pytest.approx(0.0005)


@pytest.mark.parametrize("option", [[], ["--trend"], ["--integer"]])
def test_command_prints_every_documented_field(store: Path, option: list[str]) -> None:
    rows = json.loads(call("quantization", *option, "--store", store, "--format", "json").stdout)
    assert set(rows[0]) == documented(" ".join(["quantization", *option]))
    table = call("quantization", *option, "--store", store).stdout.decode()
    assert max(map(len, table.splitlines())) <= 80
    assert "…" not in table
    identity = {"": ("family", "depth", "capacity"), "--trend": ("family", "depth"), "--integer": ("dataset", "family")}
    names = identity[" ".join(option)]
    assert [line[: len(names)] for line in body(table)] == [[str(row[name]) for name in names] for row in rows]
    value = {"": "gap", "--trend": "slope", "--integer": "difference"}[" ".join(option)]
    for row, line in zip(rows, body(table), strict=True):
        assert row[value] is None or f"{100 * row[value]:.2f}" in line


def test_a_store_without_int8_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "none.duckdb", PlantedSweep(accuracy=np.full((3, 8), 0.9), capacities=(1, 2, 3)))
    assert len(quantization(path)) == len(quantization_trends(path)) == len(integer_agreement(path)) == 0
    assert b"holds no int8 runs beside fp32 ones yet" in call("quantization", "--store", path).stderr
