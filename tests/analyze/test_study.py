"""A study reads a store once, answers each question once, and does not change while others write."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import polars
import pytest

import analyze
from analyze.paper import table_one
from analyze.questions import power
from analyze.questions.regimes import boundaries
from analyze.study import Study
from store.errors import MinarchError
from store.results import Store
from tests.reports.planted import plant

QUESTIONS = (
    analyze.regimes,
    analyze.pruning,
    analyze.depth_crossings,
    analyze.quantization,
    analyze.quantization_trends,
    analyze.shapes,
    analyze.shape_thresholds,
    analyze.shape_components,
    analyze.power,
    analyze.table_one,
    analyze.claims,
    analyze.curves,
    analyze.learning_curves,
    analyze.epoch_overfitting,
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "planted.duckdb"
    plant(path, families=("dnn", "cnn"), replicates=5, every_topology=True, epochs=5, pruning=True, quantization=True)
    return path


def test_questions_of_one_study_read_the_store_once_and_share_boundaries(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    located: list[object] = []
    monkeypatch.setattr("store.database._connect", _counted("store.database", "_connect", opened))
    monkeypatch.setattr(
        "analyze.questions.regimes.stability_boundary",
        _counted("analyze.questions.regimes", "stability_boundary", located),
    )
    study = Study.read(path)
    for question in QUESTIONS:
        assert question(study).rows, question
    assert len(opened) == 1
    assert len(located) == len(boundaries(study)) == 5


CUTS = """
INSERT INTO runs
SELECT runs.* REPLACE (run_id || '-' || p AS run_id, p AS precision, 0.9 * test_accuracy AS test_accuracy)
FROM runs, unnest(['int4', 'w2a8']) AS lower(p) WHERE precision = 'int8';
INSERT INTO labels SELECT labels.* REPLACE (run_id || '-' || p AS run_id)
FROM labels, unnest(['int4', 'w2a8']) AS lower(p) WHERE run_id IN (SELECT run_id FROM runs WHERE precision = 'int8');
INSERT INTO pruning SELECT pruning.* REPLACE (m AS method, e AS finetune_epochs, 0.5 * test_accuracy AS test_accuracy)
FROM pruning, (VALUES ('random', 0), ('layerwise', 0), ('magnitude', 5), ('units', 5)) AS ways(m, e);
INSERT INTO pruning SELECT r.run_id, s, 0.3, 1.0, 5, 'magnitude', 0
FROM runs r, unnest([0.0, 0.05, 0.5, 1.0]) AS grid(s) WHERE precision <> 'fp32';
INSERT INTO post_training SELECT run_id, 4, 8, 0.2, 1.0, 1.0 FROM runs WHERE precision = 'fp32';
"""


@pytest.fixture(scope="module")
def enriched(path: Path) -> Path:
    """The same store with runs in fewer bits, and with rows of other ways to prune and quantize."""
    other = path.with_name("enriched") / path.name
    other.parent.mkdir()
    shutil.copy(path, other)
    with duckdb.connect(other) as connection:
        connection.execute(CUTS)
    return other


@pytest.mark.parametrize(
    "question",
    [
        analyze.pruning,
        analyze.quantization,
        *(partial(analyze.curves, over=over) for over in ("size", "sparsity", "precision", "topology")),
        lambda study: study.query(power.LOSSES),
        lambda study: study.query(table_one.LOSSES),
        *(pytest.param(question, marks=pytest.mark.slow) for question in (*QUESTIONS, analyze.recommend)),
    ],
)
def test_fewer_bits_and_other_ways_to_prune_change_no_answer(question: Any, path: Path, enriched: Path) -> None:
    before, after = (question(Study.read(store)) for store in (path, enriched))
    if isinstance(before, polars.DataFrame):
        assert before.equals(after)
    else:
        assert repr(after.rows).replace(str(enriched), str(path)) == repr(before.rows)


def _counted(module: str, name: str, calls: list[object]) -> object:
    import importlib

    original = getattr(importlib.import_module(module), name)

    def counted(*args: object, **options: object) -> object:
        calls.append(name)
        return original(*args, **options)

    return counted


@pytest.mark.parametrize("question", [analyze.regimes, analyze.pruning, analyze.quantization, analyze.shape_components])
def test_a_study_gives_what_its_path_gives(path: Path, question: object) -> None:
    study = Study.read(path, dataset="digits", family="dnn", seed=3)
    from_path = question(path, "digits", "dnn", seed=3)  # type: ignore[operator]
    assert question(study).rows == from_path.rows  # type: ignore[operator]


def test_a_study_stays_as_it_was_read_while_others_write(tmp_path: Path) -> None:
    path = tmp_path / "growing.duckdb"
    plant(path, families=("cnn",))
    study = Study.read(path)
    plant(path, families=("vit",))
    assert {row.family for row in analyze.regimes(study)} == {"cnn"}
    assert {row.family for row in analyze.curves(study)} == {"cnn"}
    assert {row.family for row in analyze.regimes(path)} == {"cnn", "vit"}


def test_a_study_has_made_its_choice(path: Path) -> None:
    with pytest.raises(MinarchError, match=r"a study has its own choice .* choose in Study\.read"):
        analyze.regimes(Study.read(path), dataset="digits")


def test_a_study_says_which_table_it_was_read_without(path: Path) -> None:
    study = Study.read(path, tables=("runs", "labels", "datasets"))
    with pytest.raises(MinarchError, match="read without the table pruning"):
        analyze.pruning(study)


def test_what_is_not_there_is_an_error_unless_the_study_is_lenient(path: Path) -> None:
    with pytest.raises(MinarchError, match="no fp32 runs of equal widths of dataset 'mnist', only of digits"):
        analyze.regimes(Study.read(path, dataset="mnist"))
    assert analyze.regimes(Study.read(path, dataset="mnist", lenient=True)).rows == ()


def test_a_snapshot_holds_the_views_over_its_tables_only(path: Path) -> None:
    snapshot = Store(path).snapshot(("runs", "labels"))
    assert snapshot.query("SELECT sum(n) AS n FROM cells")["n"].item() > 0
    with pytest.raises(MinarchError, match="pruning_curves does not exist"):
        snapshot.query("FROM pruning_curves")
    with pytest.raises(MinarchError, match="INSERT is refused"):
        snapshot.query("INSERT INTO labels VALUES ('a', '', false)")
