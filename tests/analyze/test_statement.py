"""The citable statement: it says what a planted store knows, nothing else, and what `recommend` says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analyze import Statement, recommend, statement
from store.records import Invocation, Records
from store.results import Store
from tests.analyze.shown import documented
from tests.analyze.test_cli import call
from tests.analyze.test_recommend import planted
from tests.planted import CHANCE, LADDER
from tests.planted_recommend import accuracies
from tests.planted_store import WHEN, PlantedSweep, records, write


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One sweep with pruning and 8 bits, 10 replicates."""
    return planted(tmp_path_factory.mktemp("statement") / "results.duckdb")


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two families with five replicates, neither pruned nor in 8 bits, and one with two replicates."""
    rng = np.random.default_rng(3)
    return write(
        tmp_path_factory.mktemp("few") / "results.duckdb",
        PlantedSweep(accuracy=accuracies(rng, 5)),
        PlantedSweep(accuracy=accuracies(rng, 5) - 0.002, family="cnn"),
        PlantedSweep(accuracy=np.full((12, 2), 0.9), dataset="other"),
    )


def only(path: Path, **options: Any) -> Statement:
    (row,) = statement(path, **options)
    return row


def clauses(row: Statement) -> dict[str, str]:
    """Return the clauses of the Markdown by title."""
    lines = [line for line in row.markdown().splitlines() if line.startswith("- **")]
    return {line[4:].split(".**")[0]: line.split(".** ", 1)[1] for line in lines}


def test_it_says_what_the_store_knows(store: Path) -> None:
    row = only(store)
    answer, said = row.answer, clauses(row)
    text = row.markdown()
    assert f"DNN, 1 hidden layer, {answer.capacity} wide, with {answer.parameters:,} parameters" in text
    assert f"Of {len(LADDER)} networks tried" in text
    assert f"fingerprint `{answer.dataset_fingerprint}` (1,437 training and 360 test images" in said["Population"]
    assert "initial weights, which of the training images validate" in said["What varied between trainings"]
    assert "training and test images" in said["What did not"]
    assert f"width {', '.join(map(str, LADDER))}: 10 replicates" in said["Networks tried"]
    assert "margin 1 point; 8 of these are stable, 8 of them were tested" in said["Test"]
    assert "family-wise error rate 5%" in said["Test"]
    assert "one look" in said["Looks"]
    assert f"mean {100 * (answer.accuracy or 0):.2f}% over 10 trainings" in said["Accuracy"]
    assert f"{100 * (answer.ci_low or 0):.2f}%" in said["Accuracy"]
    assert f"{answer.reached} of 10 did" in said["Reliability"]
    assert "none of its 10 trainings failed" in said["Failures"]
    assert said["Cuts"].startswith("50% of the weights can be pruned for less than 1 point")
    assert "8 bits cost less than 1 point" in said["Cuts"]
    assert "not jointly" in said["Cuts"]
    assert "what pruning and 8 bits cost together" in said["Undecided"]
    assert "240 trainings in 32 and 8 bits" in said["Compute"]
    assert "minarch 0 and PyTorch 0, engine torch" in said["Versions"]
    assert f"`{row.store_id}` (store results.duckdb)" in said["Identity"]
    assert "`p1`" in said["Identity"]


def test_its_numbers_are_those_of_recommend(store: Path, few: Path) -> None:
    for path in (store, few):
        for options in ({}, {"max_drop": 0.02}, {"min_accuracy": 0.9}, {"max_parameters": 3000}):
            assert [row.answer for row in statement(path, **options)] == list(recommend(path, **options))


def test_the_lowest_accuracy_has_the_share_of_all_of_them(store: Path) -> None:
    row = only(store)
    assert row.lowest is not None
    lowest = Store(store).query(
        f"SELECT min(test_accuracy) AS least FROM runs WHERE precision = 'fp32' AND capacity = {row.answer.capacity}"
    )
    assert row.lowest.accuracy == pytest.approx(lowest["least"][0])
    assert row.lowest.share == pytest.approx(0.05 ** (1 / 10))


def test_what_is_not_known_is_not_said(few: Path) -> None:
    for row in statement(few, "planted"):
        said = clauses(row)
        assert "8 bits cost less" not in row.markdown()
        assert "can be pruned for" not in row.markdown()
        assert "hardware: not recorded" in said["What did not"]
        if row.answer.family is None:
            assert set(said).isdisjoint({"Accuracy", "Reliability", "Failures", "Cuts", "Stability"})
            assert row.lowest is None
        else:
            assert said["Cuts"].startswith("pruning is not known; 8 bits are not known.")
        assert "not proven" in row.markdown()
        assert row.answer.guess_reason is not None
        assert row.answer.guess_reason in row.markdown()
        assert row.undecided


def test_too_little_data_says_what_is_missing(few: Path) -> None:
    row = only(few, dataset="other")
    text = row.markdown()
    assert "none is shown to be stable and good enough (insufficient)" in text
    assert "2 of 5 needed replicates" in text
    assert row.answer.command is not None
    assert clauses(row)["What would decide it"] == f"`{row.answer.command}`"
    assert any(
        part.startswith("too little data to tell whether stable: dnn, depth 1, size 1") for part in row.undecided
    )


def test_one_statement_per_dataset_and_scope(few: Path) -> None:
    found = statement(few)
    assert [(row.dataset, row.scope) for row in found] == [(row.dataset, row.scope) for row in recommend(few)]
    assert found.markdown().count("\n## ") == len(found) - 1
    overall = next(row for row in found if row.scope == "all")
    assert {row.family for row in overall.tried} == {"dnn", "cnn"}
    assert overall.compute.trainings == 2 * 12 * 5


def test_limits_are_said(store: Path) -> None:
    text = only(store, min_accuracy=0.9, max_parameters=50000, max_bytes=90000).markdown()
    for words in ("above 90.0%", "at most 50,000 parameters", "at most 90,000 bytes", "trainings reach 90.0%"):
        assert words in text


def test_hardware_and_versions_are_what_was_recorded(tmp_path: Path) -> None:
    path = tmp_path / "two.duckdb"
    accuracy = accuracies(np.random.default_rng(0), 10)
    hosts = ('{"cores": 2, "processor": "A"}', '{"cores": 8, "processor": "B"}')
    calls = [
        Invocation(
            invocation_id=f"call-{at}",
            argv="generate all",
            started_at=WHEN,
            package_version=f"0.{at}",
            torch_version="2.9",
            host=host,
        )
        for at, host in enumerate(hosts)
    ]
    rows = records(PlantedSweep(accuracy=accuracy))
    runs = tuple(replace(run, invocation_id=f"call-{run.replicate % 2}") for run in rows.runs)
    kept: dict[str, Any] = {"protocols": rows.protocols, "datasets": rows.datasets, "labels": rows.labels}
    Store(path).prepare()
    Store(path).append(Records(**kept, invocations=tuple(calls), runs=runs), name="two")
    row = only(path)
    assert row.versions.minarch == ("0.0", "0.1")
    assert row.versions.hosts == ("2 cores, A", "8 cores, B")
    assert "kind of hardware" not in row.same
    assert "hardware did: 2 cores, A; 8 cores, B" in clauses(row)["What did not"]
    one = tuple(replace(run, invocation_id="call-0") for run in rows.runs)
    other = tmp_path / "one.duckdb"
    Store(other).prepare()
    Store(other).append(Records(**kept, invocations=(calls[0],), runs=one), name="one")
    assert "kind of hardware (2 cores, A)" in clauses(only(other))["What did not"]


def test_the_results_identity_changes_with_a_result_alone(tmp_path: Path, store: Path) -> None:
    accuracy = accuracies(np.random.default_rng(0), 10)
    first, again = (only(write(tmp_path / name, PlantedSweep(accuracy=accuracy))) for name in ("a.duckdb", "b.duckdb"))
    assert first.store_id == again.store_id
    accuracy[0, 0] += 0.001
    assert only(write(tmp_path / "c.duckdb", PlantedSweep(accuracy=accuracy))).store_id != first.store_id


def test_json_is_the_python_result_and_every_field_is_documented(store: Path) -> None:
    rows = json.loads(call("recommend", "--statement", "--store", store, "--format", "json").stdout)
    assert rows == json.loads(statement(store).json())
    assert set(rows[0]) == documented("recommend --statement")
    assert rows[0]["answer"]["capacity"] == only(store).answer.capacity
    (answer,) = json.loads(call("recommend", "--store", store, "--format", "json").stdout)
    assert rows[0]["answer"] == answer


def test_markdown_is_the_default_and_files_are_written(store: Path, tmp_path: Path) -> None:
    printed = call("recommend", "--statement", "--store", store)
    assert printed.returncode == 0
    assert printed.stdout.decode() == statement(store).markdown()
    for name in ("statement.md", "statement.json"):
        assert call("recommend", "--statement", "--store", store, "--out", tmp_path / name).stdout == b""
    assert (tmp_path / "statement.md").read_text() == printed.stdout.decode()
    assert len(json.loads((tmp_path / "statement.json").read_text())) == 1


def test_other_formats_are_refused(store: Path) -> None:
    done = call("recommend", "--statement", "--store", store, "--format", "csv")
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
    assert b"--statement is Markdown, or JSON with --format json, not csv" in done.stderr


def test_an_empty_store_has_none(tmp_path: Path) -> None:
    path = write(tmp_path / "empty.duckdb")
    assert len(statement(path)) == 0
    done = call("recommend", "--statement", "--store", path)
    assert (done.returncode, done.stdout) == (0, b"no results\n")
    assert json.loads(call("recommend", "--statement", "--store", path, "--format", "json").stdout) == []


def test_nothing_stable_has_no_target(tmp_path: Path) -> None:
    row = only(write(tmp_path / "dead.duckdb", PlantedSweep(accuracy=np.full((12, 9), CHANCE))))
    assert row.answer.reach is None
    assert "(not_reached)" in row.markdown()
    assert "trainings reach" not in row.markdown()
