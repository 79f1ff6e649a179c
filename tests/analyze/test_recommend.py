"""Recommendations: bytes, the tests behind a choice, and the choice itself, on planted stores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import nctdtr, stdtrit
from scipy.stats import skew

from analyze import Recommendation, Results, recommend, regimes
from analyze.questions.guess import Odds
from analyze.questions.storage import storage
from analyze.stats.onesided import loss_p, upper_bounds
from analyze.stats.onesided_power import lost, one_sided_power
from analyze.stats.result import FloatArray
from analyze.stats.selection import fallback, worst_rival_p
from generate.architectures import Architecture, ImageShape
from generate.engine.plain.modules import build_module
from generate.families import protocol_for
from generate.families.counts import depth_of
from tests.analyze.levels import design, held
from tests.analyze.shown import body, documented
from tests.analyze.test_cli import call
from tests.planted import CHANCE, LADDER
from tests.planted_pruning import SPARSITIES
from tests.planted_recommend import GOOD, accuracies, guess_tally, recommend_tally
from tests.planted_store import PlantedCut, PlantedSweep, parameters, write


def pruned(accuracy: FloatArray) -> list[FloatArray]:
    """Return curves that lose nothing up to 50%, and then everything."""
    left = np.where(np.array(SPARSITIES) <= 0.5, 1.0, 0.0)
    return [np.column_stack([CHANCE + (row - CHANCE) * share for share in left]) for row in accuracy]


def planted(path: Path, *, replicates: int = 10, gap: float = 0.001, seed: int = 0, **options: Any) -> Path:
    """Write a store of one DNN sweep with pruning and int8 runs."""
    rng = np.random.default_rng(seed)
    accuracy = accuracies(rng, replicates)
    int8 = accuracy - gap - 0.001 * rng.standard_normal(accuracy.shape)
    return write(
        path,
        PlantedSweep(accuracy=accuracy, pruned=pruned(accuracy), **options),
        PlantedSweep(accuracy=int8, precision="int8", **options),
    )


def only(path: Path, **options: Any) -> Recommendation:
    (row,) = recommend(path, **options)
    return row


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted(tmp_path_factory.mktemp("recommend") / "results.duckdb")


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture("dnn", (7,)),
        Architecture("dnn", (7, 7, 7)),
        Architecture("cnn", (6,)),
        Architecture("vit", (6,)),
    ],
)
def test_storage_counts_what_the_modules_have(architecture: Architecture) -> None:
    module = build_module(
        architecture, ImageShape(height=8, width=8, channels=1, classes=10), protocol_for(architecture.family)
    )
    count = sum(p.numel() for p in module.parameters())
    # Prunable are the weights of linear layers and convolutions: everything with two axes or more.
    weights = sum(p.numel() for p in module.parameters() if p.dim() > 1)
    depth = depth_of(architecture, protocol_for(architecture.family))
    found = storage(architecture.family, depth, architecture.capacity, count, 10)
    assert (found.weights, found.others) == (weights, count - weights)


def test_bytes_of_the_forms() -> None:
    found = storage("dnn", 1, 10, 760, 10)
    assert (found.weights, found.others) == (740, 20)
    assert found.dense() == 3040
    assert found.int8() == 740 + 80
    assert found.pruned(0.5) == 93 + 4 * 370 + 80
    assert found.stored(8, found.kept(0.5)) == 93 + 370 + 80
    assert found.stored(4) == 370 + 80


def test_p_values_agree_with_the_bounds_of_safety() -> None:
    for seed in range(40):
        losses = np.random.default_rng(seed).exponential(0.006, (10, 1))
        bound = float(upper_bounds(losses, rng=np.random.default_rng(1), resamples=9999)[0])
        p = float(loss_p(losses, 0.01, rng=np.random.default_rng(2), resamples=9999)[0])
        assert (bound < 0.01) == (p <= 0.05) or abs(bound - 0.01) < 2e-4


def test_fallback_hands_levels_on() -> None:
    assert fallback([0.01, 0.03, 0.2, 0.001], [0.5, 0.2, 0.2, 0.1]) == pytest.approx([0.025, 0.035, 0.045, 0.005])


@pytest.mark.parametrize(("replicates", "rate"), [(5, 0.005), (10, 0.025), (30, 0.04)])
def test_an_architecture_at_the_margin_seldom_passes(replicates: int, rate: float) -> None:
    """Four rivals, the best exactly a point better: nothing may be called within a point of it.

    Rates are those of 4000 other tables.
    """
    level = design(rate, 0.1)
    wrong = 0
    for seed in level.seeds(1000):
        rng = np.random.default_rng([seed, replicates])
        truth = np.array([0.94, 0.95, 0.948, 0.945, 0.94])
        accuracy = truth[:, None] + 0.005 * rng.standard_normal((5, replicates))
        wrong += worst_rival_p(accuracy, 0, 0.01, rng=rng) <= 0.05
    assert wrong <= level.allowed


@pytest.mark.parametrize(("replicates", "silent", "stores"), [(10, 0.1, 290), (30, 0.005, 110)])
def test_what_passes_is_good_enough_and_the_interval_of_the_smallest_holds(
    replicates: int, silent: float, stores: int
) -> None:
    """Of 300 other stores with 10 replicates 28 get no recommendation; none gets a wrong one."""
    tally = recommend_tally(replicates, range(1000, 1000 + stores))
    held(stores - tally.made, stores, silent, silent + 0.1)
    held(tally.any_wrong, tally.made, 0.003, 0.1)
    held(tally.unstable, tally.made, 0.003, 0.1)
    held(tally.made - tally.covered, tally.made, 0.007, 0.15)


def test_the_smallest_that_is_good_enough_is_recommended(store: Path) -> None:
    row = only(store)
    assert (row.status, row.family, row.capacity) == ("detected", "dnn", LADDER[GOOD + 1])
    assert row.runner_up_capacity == LADDER[GOOD + 2]
    assert row.parameters == parameters(LADDER[GOOD + 1], 1)
    assert row.safe_sparsity == 0.5
    assert row.int8_safe is True
    assert (row.safe_form, row.safe_bytes) == ("int8", row.bytes_int8)
    assert row.ci_level == pytest.approx(1 - 0.05 / 8)


def test_what_was_not_measured_is_not_projected(store: Path) -> None:
    row = only(store)
    assert (row.bytes_pruned_int8, row.safe_sparsity_int8) == (None, None)
    assert "Pruned and in 8 bits at once: not measured; `generate quantization " in row.explanation


def test_pruned_and_quantized_networks_are_tested_as_they_are(tmp_path: Path) -> None:
    """Each alone loses 0.6 points, both at once 1.2; fine-tuned networks lose nothing at 90%."""
    rng = np.random.default_rng(8)
    accuracy = accuracies(rng, 10)

    def cut(size: int, lost: tuple[float, ...], sparsities: tuple[float, ...], epochs: int = 0) -> PlantedCut:
        values = accuracy[size][:, None] - np.array(lost) - 0.001 * rng.standard_normal((10, len(lost)))
        return PlantedCut(capacity=LADDER[size], accuracy=values, sparsities=sparsities, finetune_epochs=epochs)

    both = [cut(size, (0.006, 0.012), (0.3, 0.5)) for size in range(len(LADDER))]
    path = write(
        tmp_path / "both.duckdb",
        PlantedSweep(accuracy=accuracy, cuts=[cut(size, (0.006,), (0.5,)) for size in range(len(LADDER))]),
        PlantedSweep(accuracy=accuracy - 0.006, precision="int8", cuts=both),
    )
    row = only(path)
    assert row.capacity is not None
    parts = storage("dnn", 1, row.capacity, parameters(row.capacity, 1), 10)
    assert (row.safe_sparsity, row.int8_safe, row.safe_sparsity_int8) == (0.5, True, 0.3)
    assert row.bytes_pruned_int8 == parts.stored(8, parts.kept(0.3))
    assert (row.safe_form, row.safe_bytes) == ("int8 magnitude 30%", row.bytes_pruned_int8)
    assert "not measured" not in row.explanation
    tuned = [cut(size, (0.0,), (0.9,), 5) for size in range(len(LADDER))]
    tuned_too = write(
        tmp_path / "tuned.duckdb",
        PlantedSweep(accuracy=accuracy, cuts=tuned),
        PlantedSweep(accuracy=accuracy - 0.006, precision="int8", cuts=both),
    )
    tuned_row = only(tuned_too)
    assert (tuned_row.safe_form, tuned_row.safe_sparsity) == ("fp32 magnitude 90% +5 epochs", None)
    table = call("recommend", "--store", tuned_too).stdout.decode()
    assert "fp32 90% +5ep" in table
    assert max(map(len, table.splitlines())) <= 80


def test_results_are_objects_and_a_frame_as_those_of_every_analysis(store: Path) -> None:
    found = recommend(store)
    assert isinstance(found, Results)
    assert found.frame().to_dicts() == found.records()
    assert found.frame()["capacity"].to_list() == [row.capacity for row in found]
    assert found.evidence.frame().height == len(LADDER)


def test_intervals_of_accuracy_end_where_accuracies_do(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    spread = np.where(np.arange(len(LADDER)) < 4, 0.1, 0.008)[:, None]
    accuracy = np.clip(0.99 + spread * rng.standard_normal((len(LADDER), 5)), 0, 1)
    evidence = recommend(write(tmp_path / "high.duckdb", PlantedSweep(accuracy=accuracy))).evidence
    ends = [
        (row.ci_low, row.mean, row.ci_high) for row in evidence if row.ci_low is not None and row.ci_high is not None
    ]
    assert any(high == 1 for _, _, high in ends)
    assert all(0 <= low <= mean <= high <= 1 for low, mean, high in ends)


def test_a_wider_drop_allows_a_smaller_one(store: Path) -> None:
    smaller = only(store, max_drop=0.04).capacity
    assert smaller is not None
    assert smaller < LADDER[GOOD]


def test_verdicts_of_the_evidence(store: Path) -> None:
    verdicts = [row.verdict for row in recommend(store).evidence]
    assert verdicts[:6] == ["unstable"] * 4 + ["not shown"] * 2
    assert verdicts[GOOD + 1 :] == ["recommended", "runner-up"] + ["qualifies"] * 3


@pytest.mark.parametrize(
    ("limits", "status", "reason", "command"),
    [
        ({"max_parameters": 500}, "absent", "and 500 are allowed", "--depths 1 --capacities 6,7,8,9 --repeats 10"),
        ({"max_bytes": 500}, "absent", "and 500 are allowed", "--capacities 6,7,8,9"),
        ({"min_accuracy": 0.99}, "absent", "and 99% are asked for", "--capacities 2000,4000"),
        ({"max_drop": 0.0001}, "absent", "none of 8 stable architectures is shown", "--repeats"),
    ],
)
def test_what_stands_in_the_way_and_what_would_decide_it(
    store: Path, limits: dict[str, Any], status: str, reason: str, command: str
) -> None:
    row = only(store, **limits)
    assert (row.status, row.family, row.accuracy) == (status, None, None)
    assert row.reason is not None
    assert reason in row.reason
    assert row.command is not None
    assert row.command.startswith("generate convergence --dataset planted --family dnn")
    assert command in row.command
    assert row.reason in row.explanation


def test_a_limit_that_fits_changes_nothing(store: Path) -> None:
    free = only(store)
    largest = parameters(LADDER[-1], 1)
    bound = only(store, max_parameters=largest, max_bytes=4 * largest, max_macs=largest, min_accuracy=0.9)
    assert (bound.capacity, bound.drop, bound.tested) == (free.capacity, free.drop, free.tested)


def test_a_single_candidate_is_judged(store: Path, tmp_path: Path) -> None:
    """One size that fits, or one that is stable: nothing is left to share the level with."""
    smallest = parameters(LADDER[4], 1)
    row = only(store, max_parameters=smallest, max_drop=0.09)
    assert (row.status, row.capacity, row.tested) == ("detected", LADDER[4], 1)
    means, sds = np.linspace(0.3, 0.95, 12)[:, None], np.where(np.arange(12) < 11, 0.08, 0.003)[:, None]
    accuracy = means + sds * np.random.default_rng(0).standard_normal((12, 10))
    row = only(write(tmp_path / "one.duckdb", PlantedSweep(accuracy=accuracy)))
    assert (row.status, row.capacity, row.candidates, row.tested) == ("detected", LADDER[-1], 1, 1)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two families with five replicates: too few to prove what their means say."""
    rng = np.random.default_rng(3)
    accuracy = accuracies(rng, 5)
    other = accuracies(rng, 5) - 0.002
    return write(
        tmp_path_factory.mktemp("few") / "results.duckdb",
        PlantedSweep(accuracy=accuracy),
        PlantedSweep(accuracy=other, family="cnn"),
    )


def test_beside_what_is_proven_stands_the_best_guess(few: Path) -> None:
    for row in recommend(few):
        assert row.guess_parameters is not None
        assert row.parameters is None or row.guess_parameters < row.parameters
        assert row.guess_drop is not None
        assert row.guess_drop < 0.01
        evidence = {r.verdict: r for r in recommend(few).evidence if r.scope == row.scope}
        guess = evidence["guess"]
        assert (guess.family, guess.capacity, guess.mean) == (row.guess_family, row.guess_capacity, row.guess_accuracy)
        assert guess.p_value is not None
        assert guess.level is not None
        assert guess.p_value > guess.level
        assert "Best guess, not proven: " in row.explanation
        assert row.guess_reason is not None
        assert row.guess_reason in row.explanation


def test_a_guess_says_what_would_prove_it_and_how_long_that_takes(few: Path) -> None:
    """Replicates are missing of all that it is compared with, each of 0.1 s."""
    for row in recommend(few):
        assert row.guess_replicates is not None
        assert row.guess_cores is not None
        assert 10 <= row.guess_replicates <= 100
        compared = [r for r in recommend(few).evidence if r.scope == row.scope and r.stable]
        assert row.guess_trainings == len(compared) * (row.guess_replicates - 5)
        assert row.guess_seconds == pytest.approx(0.1 * row.guess_trainings / row.guess_cores)
        commands = (row.guess_command or "").split(" && ")
        assert len(commands) == (2 if row.scope == "all" else 1)
        for command, family in zip(commands, ("dnn", "cnn") if row.scope == "all" else (row.scope,), strict=True):
            sizes = ",".join(str(r.capacity) for r in compared if r.family == family)
            assert command.startswith(f"generate convergence --dataset planted --family {family} ")
            # A number of replicates that is the family's default need not be said.
            repeats = (
                "" if row.guess_replicates == {"dnn": 30, "cnn": 10}[family] else f" --repeats {row.guess_replicates}"
            )
            assert f"--capacities {sizes}{repeats} --" in f"{command} --"
            assert f"--store {few}" in command


def test_power_is_that_of_the_noncentral_t_distribution() -> None:
    for n, drop, sd, level in [(10, 0.004, 0.006, 0.05), (30, 0.007, 0.006, 0.01), (20, 0.0, 0.01, 0.001)]:
        drops, sds = np.array([[0.0, drop], [-drop, 0.0]]), np.full((2, 2), sd)
        seen = Odds(drops, sds, np.full(2, np.inf), np.full(2, sd)).power(0, n, level, 0.01)
        # The tests add 0.001^2 to every variance.
        shift = (0.01 - drop) * np.sqrt(n) / np.hypot(sd, 0.001)
        shift -= lost(n, level)
        assert seen == pytest.approx(1 - nctdtr(n - 1, shift, stdtrit(n - 1, 1 - level)), abs=0.006)


@pytest.mark.parametrize(("n", "level"), [(10, 0.05), (13, 0.025), (30, 0.007), (60, 0.002)])
def test_the_power_promised_is_that_of_the_test(n: int, level: float) -> None:
    """Where t alone would find 80% in 74 to 78% at 5%: simulated, to within 3.5 standard errors and 2 points."""
    rng = np.random.default_rng([n, 77])
    shifts = np.linspace(0, 12, 1201)
    shift = float(shifts[np.argmax(one_sided_power(shifts, n, level) >= 0.8)])
    samples = 600
    losses = 0.01 - shift * 0.02 / np.sqrt(n) + 0.02 * rng.standard_normal((samples, n))
    found = np.mean([loss_p(row[:, None], 0.01, rng=rng)[0] <= level for row in losses])
    assert found == pytest.approx(0.8, abs=3.5 * np.sqrt(0.16 / samples) + 0.02)


def test_what_is_guessed_from_five_replicates_is_good_enough() -> None:
    tally = guess_tally(5, range(1000, 1080))
    held(tally.stores - tally.made, tally.stores, 0.005, 0.1)
    held(tally.made - tally.stable, tally.made, 0.005, 0.1)
    held(tally.made - tally.good, tally.made, 0.005, 0.1)
    held(tally.wrong, tally.named, 0.005, 0.1)


@pytest.mark.slow
@pytest.mark.parametrize(("replicates", "silent", "unproven"), [(5, 0.005, 0.23), (10, 0.09, 0.13)])
def test_following_the_advice_proves_the_guess(replicates: int, silent: float, unproven: float) -> None:
    """The odds are stated from the means and spreads of a few replicates: 80% at best. Shares are of 200 others."""
    tally = guess_tally(replicates, range(2000, 2600))
    held(tally.stores - tally.made, tally.stores, silent, silent + 0.1)
    held(tally.made - tally.good, tally.made, 0.005, 0.1)
    held(tally.named - tally.proven, tally.named, unproven, unproven + 0.1)
    held(tally.wrong, tally.named, 0.005, 0.1)


def test_what_is_proven_to_be_the_smallest_leaves_no_guess(tmp_path: Path) -> None:
    accuracy = np.where(np.arange(12)[:, None] < 6, 0.5, 0.95) + np.where(np.arange(12)[:, None] < 6, 0.1, 0.002) * (
        np.random.default_rng(0).standard_normal((12, 10))
    )
    row = only(write(tmp_path / "clear.duckdb", PlantedSweep(accuracy=accuracy)))
    assert (row.status, row.capacity, row.guess_capacity, row.guess_command) == ("detected", LADDER[6], None, None)


def test_a_guess_satisfies_the_limits(few: Path) -> None:
    free = {row.scope: row for row in recommend(few)}
    largest = max(row.guess_parameters or 0 for row in free.values())
    for row in recommend(few, max_parameters=largest - 1):
        assert row.guess_parameters is None or row.guess_parameters < largest
    for row in recommend(few, max_bytes=4 * largest - 1):
        assert row.guess_parameters is None or row.guess_parameters < largest
    for row in recommend(few, min_accuracy=0.9499):
        assert row.guess_accuracy is None or row.guess_accuracy > 0.9499


@pytest.mark.parametrize(("replicates", "bound"), [(5, 0.4507), (10, 0.2589), (30, 0.0950)])
def test_what_clean_replicates_leave_open_is_said(tmp_path: Path, replicates: int, bound: float) -> None:
    """1 - 0.05^(1/R): what R trainings without a failure cannot rule out."""
    row = only(write(tmp_path / "equal.duckdb", PlantedSweep(accuracy=np.full((12, replicates), 0.9))))
    assert (row.replicates, row.failures) == (replicates, 0)
    assert row.failure_bound == pytest.approx(bound, abs=5e-5)
    assert f"leaves open that up to {100 * bound:.2g}% do" in row.explanation


def test_failures_seen_raise_what_is_left_open(tmp_path: Path) -> None:
    """Clopper and Pearson: 1 of 30 leaves 14.9% open, one-sided 95%."""
    accuracy = np.full((12, 30), 0.9)
    accuracy[:, 7] = CHANCE
    (first, *_) = recommend(write(tmp_path / "dead.duckdb", PlantedSweep(accuracy=accuracy))).evidence
    assert (first.failures, first.replicates) == (1, 30)
    assert first.failure_bound == pytest.approx(0.1486, abs=5e-5)


def test_the_evidence_says_how_skewed_its_losses_are(tmp_path: Path) -> None:
    accuracy = 0.9 + 0.002 * np.random.default_rng(5).standard_normal((12, 20))
    accuracy[3, 0] -= 0.08
    rows = recommend(write(tmp_path / "skewed.duckdb", PlantedSweep(accuracy=accuracy))).evidence
    losses = accuracy[None] - accuracy[:, None]
    with np.errstate(invalid="ignore"):  # Against itself it loses nothing.
        found = np.asarray(skew(losses, axis=-1, bias=False))
    np.fill_diagonal(found, 0.0)
    tested = [row for row in rows if row.p_value is not None]
    assert tested
    for row in tested:
        one = found[LADDER.index(row.capacity)]
        assert row.skewness == pytest.approx(one[np.abs(one).argmax()], rel=0.2)
    assert {row.skewness for row in rows if row.p_value is None} <= {None}


def test_a_training_stuck_half_way_failed_as_in_regimes(tmp_path: Path) -> None:
    accuracy = np.full((12, 30), 0.9)
    accuracy[:, 7] = 0.79
    path = write(tmp_path / "stuck.duckdb", PlantedSweep(accuracy=accuracy))
    (stability, *_) = regimes(path)
    assert {row.failures for row in recommend(path).evidence} == {stability.failures} == {1}


def test_why_all_can_differ_is_said_where_there_is_such_a_row(few: Path, store: Path) -> None:
    for path, said in ((few, True), (store, False)):
        for option in ([], ["--explain"]):
            text = " ".join(call("recommend", "--store", path, *option).stdout.decode().split())
            assert ("Why `all` can differ from a family's row" in text) == said


def test_proven_and_guess_are_told_apart_in_the_table(few: Path) -> None:
    lines = call("recommend", "--store", few).stdout.decode().splitlines()
    rows = {row.scope: row for row in recommend(few)}
    for scope, row in rows.items():
        at = next(index for index, line in enumerate(lines) if line.startswith(f"{scope} "))
        assert lines[at + 1].split()[:3] == ["guess", str(row.guess_family), f"1x{row.guess_capacity}"]
    assert sum(line.startswith("  guess ") for line in lines) == len(rows)
    text = " ".join(" ".join(lines).split())
    assert text.count("guess, not proven: ") == len(rows)


def test_int8_that_costs_more_than_the_margin_is_not_safe(tmp_path: Path) -> None:
    row = only(planted(tmp_path / "gap.duckdb", gap=0.02))
    assert row.int8_safe is False
    assert row.safe_form == "pruned"
    assert row.reason is not None
    assert "not shown to cost less than 1 point" in row.reason


def test_without_pruning_and_int8_the_rest_is_still_said(tmp_path: Path) -> None:
    accuracy = accuracies(np.random.default_rng(0), 10)
    row = only(write(tmp_path / "plain.duckdb", PlantedSweep(accuracy=accuracy)))
    assert (row.status, row.safe_sparsity, row.int8_safe, row.safe_form) == ("detected", None, None, "fp32")
    assert row.reason is not None
    assert "generate quantization" in row.reason


def test_a_dataset_that_was_not_pruned_hides_no_other(tmp_path: Path) -> None:
    accuracy = accuracies(np.random.default_rng(0), 10)
    path = write(
        tmp_path / "both.duckdb",
        PlantedSweep(accuracy=accuracy, pruned=pruned(accuracy), dataset="cut"),
        PlantedSweep(accuracy=accuracy, dataset="uncut"),
    )
    for dataset in (None, ["cut", "uncut"]):
        cut, uncut = recommend(path, dataset)
        assert (cut.safe_sparsity, uncut.safe_sparsity) == (0.5, None)


def test_families_and_all(tmp_path: Path) -> None:
    accuracy = accuracies(np.random.default_rng(0), 10)
    path = write(
        tmp_path / "two.duckdb",
        PlantedSweep(accuracy=accuracy),
        PlantedSweep(accuracy=accuracy - 0.05, family="cnn"),
    )
    rows = {row.scope: row for row in recommend(path)}
    assert list(rows) == ["all", "dnn", "cnn"]
    assert rows["all"].family == "dnn"
    assert rows["cnn"].family == "cnn"


@pytest.mark.parametrize(
    ("sweeps", "status", "word"),
    [
        ([PlantedSweep(accuracy=np.full((12, 2), 0.9))], "insufficient", "2 of 5 needed replicates"),
        ([PlantedSweep(accuracy=np.full((1, 9), 0.9), capacities=(5,))], "insufficient", "1 of 5 needed sizes"),
        ([PlantedSweep(accuracy=np.full((12, 9), CHANCE))], "not_reached", "at chance"),
        ([PlantedSweep(accuracy=np.full((12, 9), -1.0))], "not_reached", "at chance"),
    ],
)
def test_too_little_to_recommend(tmp_path: Path, sweeps: list[PlantedSweep], status: str, word: str) -> None:
    row = only(write(tmp_path / "little.duckdb", *sweeps))
    assert row.status == status
    assert row.reason is not None
    assert word in row.reason
    assert row.command is not None
    assert row.command.startswith("generate convergence")


def test_equal_models_recommend_the_smallest(tmp_path: Path) -> None:
    row = only(write(tmp_path / "equal.duckdb", PlantedSweep(accuracy=np.full((12, 9), 0.9))))
    assert (row.capacity, row.stability) == (1, "all_stable")


def test_an_empty_store_says_so(tmp_path: Path) -> None:
    done = call("recommend", "--store", write(tmp_path / "empty.duckdb"))
    assert (done.returncode, b"no results" in done.stdout) == (0, True)
    assert b"holds no fp32 runs" in done.stderr


@pytest.mark.parametrize("option", [[], ["--evidence"]])
def test_command_prints_every_documented_field(store: Path, option: list[str]) -> None:
    rows = json.loads(call("recommend", *option, "--store", store, "--format", "json").stdout)
    assert set(rows[0]) == documented(" ".join(["recommend", *option]))


@pytest.mark.parametrize("option", [[], ["--evidence"], ["--explain"], ["--max-parameters", "9"]])
def test_tables_fit(store: Path, option: list[str]) -> None:
    table = call("recommend", *option, "--store", store).stdout.decode()
    assert max(map(len, table.splitlines())) <= 80
    assert "…" not in table
    recommended = [["dnn", "dnn", "1x50", "3,760"], ["guess", "dnn", "1x30", "2,260"]]
    evidence = [["dnn", "1", str(capacity)] for capacity in LADDER]
    wanted: list[list[str]] = {
        "": recommended,
        "--evidence": evidence,
        "--explain": [*recommended, *evidence],
        "--max-parameters": [["dnn", "absent"]],
    }["".join(option[:1])]
    assert [line[: len(words)] for line, words in zip(body(table), wanted, strict=True)] == wanted


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--max-drop", "0"], 2, "0.0 is not in the range 0<x<1"),
        (["--max-parameters", "0"], 2, "0 is not in the range x>=1"),
        (["--max-bytes", "-5"], 2, "-5 is not in the range x>=1"),
        (["--min-accuracy", "97"], 2, "97.0 is not in the range 0<x<1"),
        (["--dataset", "mnist"], 1, "of dataset 'mnist', only of planted"),
        (["--family", "vit"], 1, "of family 'vit', only of dnn"),
    ],
)
def test_wrong_input_is_one_line(store: Path, arguments: list[str], code: int, message: str) -> None:
    done = call("recommend", "--store", store, *arguments)
    assert (done.returncode, done.stdout) == (code, b"")
    assert message in done.stderr.decode()
    assert done.stderr.decode().count("\n") == 1
