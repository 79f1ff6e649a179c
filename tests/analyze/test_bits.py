"""Fewest safe bits and the onset of loss, on planted losses and from a store."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from analyze import bit_steps, bits
from analyze.stats.descent import descend
from tests.analyze.levels import held
from tests.analyze.shown import body, documented
from tests.analyze.test_cli import call
from tests.planted_bits import EDGE, FLAT, LADDER, descent_tally
from tests.planted_store import PlantedSweep, write

CAPACITIES = (5, 10, 20, 50)


@pytest.mark.parametrize(("replicates", "kind"), [(10, "normal"), (30, "normal")])
def test_unsafe_bits_are_rarely_called_safe(replicates: int, kind: str) -> None:
    """5% is the limit where losses are normal; a method that tests every step by itself errs at 10% and more."""
    tally = descent_tally(EDGE, kind, replicates, range(71_000, 71_120))
    held(tally.unsafe, tally.networks, 0.05, 0.2)


def test_no_step_is_said_to_lose_that_loses_nothing() -> None:
    tally = descent_tally(FLAT, "normal", 10, range(72_000, 72_120))
    held(tally.false_onsets, tally.networks, 0.025, 0.14)


def test_the_fewest_safe_bits_are_found_with_thirty_replicates() -> None:
    tally = descent_tally(LADDER, "normal", 30, range(73_000, 73_040))
    assert tally.exact >= 33
    assert tally.onsets == tally.networks


def test_a_step_is_tested_only_where_those_before_passed() -> None:
    rng = np.random.default_rng(5)
    losses = [0.05 + 0.001 * rng.standard_normal(8), 0.001 * rng.standard_normal(8)]
    found = descend(losses, rng=rng)
    assert [step.verdict for step in found.steps] == ["not shown", "not tested"]
    assert (found.safe, found.onset) == (0, 0)
    found = descend([losses[1], losses[1][:4], losses[1]], rng=rng)
    assert [step.verdict for step in found.steps] == ["safe", "too few", "not tested"]
    assert descend(losses[1:], rng=rng, level=0.0).steps[0].verdict == "too few"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four widths, 10 replicates; width 5 has one replicate dead in fp32, width 50 one dead in w4a8."""
    rng = np.random.default_rng(3)
    fp32 = 0.95 + 0.004 * rng.standard_normal((4, 10))

    def after(loss: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return np.clip(fp32 - loss - 0.002 * rng.standard_normal((4, 10)), 0.0, 1.0)

    int8, w4a8, int4 = after(0.0), after(0.004), after(0.05)
    w4a8[3, 0] = 0.1
    int4[:, 4:] = np.nan
    post = {8: after(0.0), 6: after(0.03), 4: after(0.2)}
    fp32[0, 3] = 0.1
    return write(
        tmp_path_factory.mktemp("bits") / "results.duckdb",
        PlantedSweep(accuracy=fp32, capacities=CAPACITIES, post_training=post),
        PlantedSweep(accuracy=int8, capacities=CAPACITIES, precision="int8"),
        PlantedSweep(accuracy=w4a8, capacities=CAPACITIES, precision="w4a8"),
        PlantedSweep(accuracy=int4, capacities=CAPACITIES, precision="int4"),
    )


def test_fewest_bits_of_a_store(store: Path) -> None:
    rows = {(row.quantization, row.capacity): row for row in bits(store)}
    assert len(rows) == 8
    trained = rows["trained", 20]
    assert (trained.fewest, trained.weight_bits, trained.activation_bits) == ("w4a8", 4, 8)
    assert (trained.steps, trained.status, trained.level) == ("int8, w4a8, int4", "detected", 0.025)
    assert trained.loss_bound is not None
    assert 0.004 < trained.loss_bound < 0.01
    assert trained.failure_bound == pytest.approx(0.2589, abs=1e-3)
    assert trained.reason == "int4: 4 of 5 needed replicates alive in fp32: run with --repeats 5 or more"
    one_dead = rows["trained", 50]
    assert one_dead.fewest == "int8"
    assert one_dead.reason == "w4a8 is not shown to be safe: 1 of 10 that are alive in fp32 are dead"
    assert rows["trained", 5].dead_fp32 == 1
    assert rows["trained", 5].replicates == 9
    after = rows["post-training", 20]
    assert (after.fewest, after.onset, after.steps) == ("w8a8", "w6a8", "w8a8, w6a8, w4a8")
    assert after.onset_loss == pytest.approx(0.03, abs=0.003)


def test_one_way_to_quantize_has_the_whole_level(tmp_path: Path) -> None:
    fp32 = 0.9 + 0.001 * np.random.default_rng(1).standard_normal((1, 6))
    path = write(
        tmp_path / "one.duckdb",
        PlantedSweep(accuracy=fp32, capacities=(10,)),
        PlantedSweep(accuracy=fp32 - 0.002, capacities=(10,), precision="int4"),
    )
    (row,) = bits(path)
    assert (row.level, row.fewest, row.steps, row.stable) == (0.05, "int4", "int4", None)
    (step,) = bit_steps(path)
    assert (step.verdict, step.dead, step.ci_level) == ("safe", 0, 0.95)
    assert step.loss == pytest.approx(0.002)


@pytest.mark.parametrize("option", [[], ["--steps"]])
def test_command_prints_every_documented_field(store: Path, option: list[str]) -> None:
    rows = json.loads(call("bits", *option, "--store", store, "--format", "json").stdout)
    assert set(rows[0]) == documented(" ".join(["bits", *option]))
    table = call("bits", *option, "--store", store).stdout.decode()
    assert max(map(len, table.splitlines())) <= 80
    assert "…" not in table
    shown = "bits" if option else "fewest"
    for row, line in zip(rows, body(table), strict=True):
        assert line[:3] == ["dnn", "1", str(row["capacity"])]
        assert row[shown] in line


def test_a_store_without_quantized_runs_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "none.duckdb", PlantedSweep(accuracy=np.full((3, 8), 0.9), capacities=(1, 2, 3)))
    assert len(bits(path)) == len(bit_steps(path)) == 0
    said = call("bits", "--store", path)
    assert b"holds no quantized networks beside fp32 ones yet; `generate quantization " in said.stderr
    assert said.returncode == 0
