"""What `--repeats auto` asks for next, on planted sweeps that draw what it asks for."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from analyze import quantization, recommend, shapes
from analyze.questions.next import next_look
from analyze.stats.spending import FIRST_DECISION, LOOKS, look_shares, p_over_looks
from store.designs import DesignSpec, Ladder, LookSpec, Place, read_design, read_look
from store.records import Precision, Records
from store.results import Store
from tests.analyze.levels import held
from tests.planted_auto import (
    MARGIN,
    WIDTHS,
    PlantedTopologies,
    grid_tally,
    on_grid,
    pairs_of,
    pairs_tally,
    spec,
    topologies_of,
    topologies_tally,
)
from tests.planted_search import SWEEPS, normal, search, skewed
from tests.planted_store import PlantedSweep, write

WHEN = datetime(2026, 3, 1)


def test_the_level_is_shared_by_the_looks_that_decide() -> None:
    shares = dict(zip(LOOKS, look_shares(), strict=True))
    assert sum(shares.values()) == pytest.approx(1.0)
    assert [n for n, share in shares.items() if share == 0] == [n for n in LOOKS if n < FIRST_DECISION]
    # O'Brien-Fleming type, 2 - 2 Phi(1.96 / sqrt(1/3)) of 0.05, from R's gsDesign: 0.00069.
    assert shares[10] * 0.05 == pytest.approx(0.00069, abs=1e-5)


def test_a_look_more_can_only_make_p_smaller() -> None:
    rng = np.random.default_rng(1)
    for values in rng.random((50, len(LOOKS))):
        looked = [*zip(LOOKS, values, strict=True)]
        p = [p_over_looks(looked[:n]) for n in range(len(LOOKS) + 1)]
        assert p[0] == 1.0
        assert p == sorted(p, reverse=True)


def test_p_over_looks_errs_at_the_level() -> None:
    walks = np.random.default_rng(2).standard_normal((100_000, LOOKS[-1])).cumsum(axis=1)
    from scipy.special import ndtr

    hits = np.zeros(len(walks), dtype=np.bool_)
    for n, share in zip(LOOKS, look_shares(), strict=True):
        hits |= ndtr(-walks[:, n - 1] / np.sqrt(n)) <= 0.05 * share
    assert 0.03 < hits.mean() < 0.05


def test_designs_of_sweeps_come_back_as_they_were_stored_and_ids_of_searches_stay() -> None:
    design = spec("shapes")
    row = design.record(WHEN)
    assert read_design({"design_id": row.design_id, "spec": row.spec}) == design
    look = LookSpec(
        held={}, asked={}, topologies={Place("dnn", 2, 5): 10}, quantized={Place("dnn", 1, 2): 15}, question="?"
    )
    stored = look.record(row.design_id, 3, WHEN)
    assert read_look({"design_id": stored.design_id, "number": 3, "spec": stored.spec}) == look
    plain = LookSpec(held={}, asked={Place("dnn", 1, 2): 5}).record("d", 0, WHEN)
    assert plain.spec == '{"added":[],"asked":[["dnn",1,2,5]],"held":[],"question":""}'
    shares = (0.09375, 0.09375, 0.09375, 0.09375, 0.375)
    searched = DesignSpec(
        fingerprint="planted",
        protocols={"dnn": "p"},
        ladders=(Ladder("dnn", 1, (1, 2, 3, 5, 10), shares),),
        looks=LOOKS,
    )
    assert searched.design_id == "37278ddf7ad7d171"
    assert len({searched.design_id, design.design_id, replace(design, goal="claims").design_id}) == 3


def test_a_sweep_stays_on_its_grid_and_trains_less_than_everything() -> None:
    world = on_grid(np.random.default_rng(1), normal, 0.8)
    assert all(sum(ladder.shares) == pytest.approx(1.0) for ladder in world.spec.ladders)
    found = search(world, seed=1)
    assert found.last.answers == {"dnn": Place("dnn", 1, 10), "cnn": Place("cnn", 1, 8), "all": Place("cnn", 1, 8)}
    assert {(place.family, place.depth, place.capacity) for place in world.count} == {
        (*sweep, size) for sweep, sizes in SWEEPS.items() for size in sizes
    }
    assert found.last.quantize == {}
    assert found.trainings < 0.8 * LOOKS[-1] * len(world.count)
    assert min(world.count.values()) >= FIRST_DECISION


def test_sizes_where_some_trainings_die_get_more_replicates() -> None:
    world = on_grid(np.random.default_rng(3), normal, 0.8)
    dead, mixed = Place("dnn", 1, 1), Place("dnn", 1, 2)
    for place in (dead, mixed):
        world.train(place, 1)
        world.drawn[place][:] = 0.1
    world.drawn[mixed][::2] = 0.4
    search(world, seed=3)
    assert (world.count[dead], world.count[mixed]) == (FIRST_DECISION, LOOKS[-1])


def test_topologies_get_replicates_until_each_size_is_decided() -> None:
    rng = np.random.default_rng(4)
    planted = PlantedTopologies.drawn(rng, normal, (0.03, 0.03, 0.0, 0.0, 0.009, 0.009))
    ended, verdicts = topologies_of(planted, seed=4)
    assert verdicts[:4] == ["different"] * 2 + ["equivalent"] * 2
    assert dict(ended.looks[0].topologies) == {Place("dnn", 2, width): 5 for width in WIDTHS}
    assert dict(ended.looks[1].topologies) == {Place("dnn", 2, width): 10 for width in WIDTHS}
    assert (
        ended.looks[1].question
        == "are topologies within 1 point of each other: DNN 2 hidden layers, 10 wide and 5 others?"
    )
    last = {place.capacity: n for look in ended.looks for place, n in look.topologies.items()}
    assert max(last[width] for width in WIDTHS[:4]) < LOOKS[-1]
    assert ended.trainings < len(WIDTHS) * LOOKS[-1]


def test_eight_bits_get_no_more_replicates_than_their_partners() -> None:
    ended, _ = pairs_of(np.random.default_rng(5), normal, (MARGIN,) * 6, partners=12)
    assert {n for look in ended.looks for n in look.quantized.values()} == {5, 10}
    further, verdicts = pairs_of(np.random.default_rng(5), normal, (0.0,) * 3 + (0.05,) * 3)
    assert verdicts == ["within"] * 3 + ["beyond"] * 3
    assert further.trainings < len(WIDTHS) * LOOKS[-1]


@pytest.mark.parametrize("noise", [normal, skewed])
def test_gaps_of_the_margin_are_seldom_called_smaller(noise: object) -> None:
    tally = pairs_tally(noise, range(3200, 3220))  # type: ignore[arg-type]
    held(tally.wrong, 3 * tally.stores, 0.025, 0.2)
    assert tally.decided >= 0.9 * tally.decidable


@pytest.mark.slow
@pytest.mark.parametrize("noise", [normal, skewed])
def test_topologies_at_the_margin_are_seldom_called_equivalent(noise: object) -> None:
    tally = topologies_tally(noise, range(3200, 3350))  # type: ignore[arg-type]
    held(tally.wrong, tally.stores, 0.05, 0.15)
    held(tally.wrong_other, tally.stores, 0.05, 0.15)
    assert tally.decided >= 0.8 * tally.decidable


@pytest.mark.slow
@pytest.mark.parametrize(("noise", "correlation"), [(normal, 0.8), (skewed, 0.0)])
def test_answers_on_a_grid_are_seldom_too_small(noise: object, correlation: float) -> None:
    tally = grid_tally(noise, correlation, range(3200, 3350))  # type: ignore[arg-type]
    held(tally.wrong, tally.stores, 0.05, 0.15)
    held(tally.wrong_other, 2 * tally.stores, 0.05, 0.15)


def planted_store(path: Path, n: int, design: DesignSpec) -> Path:
    """Return a store with so many replicates of topologies and 8 bits of `WIDTHS`, under a design of depth 2."""
    rng = np.random.default_rng(0)
    mean = np.array([0.3, 0.5, 0.9, 0.95, 0.95, 0.95])[:, None]
    spread = np.array([0.1, 0.1, 0.004, 0.003, 0.003, 0.003])[:, None]
    kinds: tuple[tuple[str, Precision], ...] = (("=", "fp32"), ("+", "fp32"), ("-", "fp32"), ("=", "int8"))
    swept = [
        PlantedSweep(
            accuracy=mean + spread * rng.standard_normal((len(WIDTHS), n)),
            dataset="mine",
            capacities=WIDTHS,
            depth=2,
            shape=shape,
            precision=precision,
        )
        for shape, precision in kinds
    ]
    write(path, *swept)
    store = Store(path)
    row = store.query("SELECT DISTINCT dataset_fingerprint, protocol_id FROM runs").row(0, named=True)
    design = replace(design, fingerprint=row["dataset_fingerprint"], protocols={"dnn": row["protocol_id"]})
    places = [Place("dnn", 2, width) for width in WIDTHS]
    counts = dict.fromkeys(places, n)
    look = LookSpec(
        held={},
        asked=counts if "convergence" in design.phases else {},
        topologies=counts if "shapes" in design.phases else {},
        quantized=counts if "quantization" in design.phases else {},
    )
    records = Records(designs=(design.record(WHEN),), looks=(look.record(design.design_id, 0, WHEN),))
    store.append(records, name="design")
    return path


def only_design(path: Path) -> str:
    return str(Store(path).query("SELECT design_id FROM designs")["design_id"].item())


def test_shapes_and_gaps_are_tested_by_the_looks_of_their_design(tmp_path: Path) -> None:
    fixed = planted_store(tmp_path / "fixed.duckdb", 10, spec("convergence"))
    looked = planted_store(tmp_path / "looked.duckdb", 10, replace(spec("shapes"), phases=("shapes", "quantization")))
    plain, by_looks = shapes(fixed), shapes(looked)
    assert [row.status for row in plain[3:]] == ["equivalent"] * 3
    assert "looks at 5, 10, 15, 20, 30 replicates" in by_looks[3].method
    for one, other in zip(plain[3:], by_looks[3:], strict=True):
        assert other.p_value == pytest.approx(min(1.0, (one.p_value or 0.0) / look_shares()[1]))
    gaps, repeated = quantization(fixed), quantization(looked)
    for gap, wider in zip(gaps[3:], repeated[3:], strict=True):
        assert wider.ci_low is not None
        assert gap.ci_low is not None
        assert wider.ci_low < gap.ci_low
    assert [row.design for row in recommend(looked)] == [only_design(looked)]


def test_the_design_of_the_question_is_found_though_a_newer_one_asks_another(tmp_path: Path) -> None:
    path = planted_store(tmp_path / "two.duckdb", 10, spec("convergence"))
    (first,) = Store(path).query("SELECT design_id, spec FROM designs").iter_rows(named=True)
    other = replace(read_design(first), max_drop=0.05)
    look = LookSpec(held={}, asked={}).record(other.design_id, 0, WHEN)
    later = WHEN.replace(year=WHEN.year + 1)
    Store(path).append(Records(designs=(other.record(later),), looks=(look,)), name="another")
    assert {row.design for row in recommend(path)} == {first["design_id"]}
    assert {row.design for row in recommend(path, max_drop=0.05)} == {other.design_id}
    assert {row.design for row in recommend(path, max_drop=0.02)} == {None}


def test_a_design_looks_at_the_runs_of_its_own_protocol(tmp_path: Path) -> None:
    path = planted_store(tmp_path / "two.duckdb", 5, spec("convergence"))
    accuracy = np.full((len(WIDTHS), 20), 0.5)
    write(path, PlantedSweep(accuracy=accuracy, dataset="mine", capacities=WIDTHS, depth=2, protocol="p2"))
    found = next_look(path, only_design(path))
    assert set(found.look.held.values()) == {5}
    assert set(found.look.asked.values()) == {10}


def test_phases_ask_in_order(tmp_path: Path) -> None:
    design = replace(spec("shapes"), phases=("shapes", "convergence", "quantization"), looks=(5, 10))
    path = planted_store(tmp_path / "all.duckdb", 10, design)
    found = next_look(path, only_design(path))
    assert found.done
    assert [note.partition(":")[0] for note in found.notes] == ["topologies, 2 hidden layers", "8 bits"]
    assert found.answers["dnn"] is not None
    path = planted_store(tmp_path / "few.duckdb", 5, design)
    found = next_look(path, only_design(path))
    assert set(found.look.topologies.values()) == {10}
    assert not found.look.asked
    assert not found.look.quantized
