"""docs/store.md tells the truth: its schema is the database's, its queries run, its commands exist."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from store import cli
from store.results import Store
from tests.store import schema_markdown
from tests.store.build import PROTOCOL, grid, make_cuts, make_post_training, make_records, make_run, make_store

PAGE = schema_markdown.PAGE.read_text(encoding="utf-8")
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    shaped = [make_run((10, second), replicate=r) for second in (5, 20) for r in range(3)]
    records = make_records([*grid(precisions=("fp32", "int8", "w4a8")), *shaped])
    cuts = tuple(row for run in records.runs for row in make_cuts(run, [("random", 0), ("magnitude", 5), ("units", 0)]))
    after = tuple(row for run in records.runs if run.precision == "fp32" for row in make_post_training(run))
    records = replace(records, pruning=(*records.pruning, *cuts), post_training=after)
    protocol = replace(PROTOCOL, spec='{"training":{"learning_rate":0.001}}')
    path: Path = tmp_path_factory.mktemp("docs") / "a.duckdb"
    return make_store(path, replace(records, protocols=(protocol,)))


def test_the_schema_is_the_database_s() -> None:
    assert schema_markdown.split(PAGE)[1] == schema_markdown.render(), "run: python -m tests.store.schema_markdown"


def test_there_are_ten_questions() -> None:
    assert len(QUERIES) >= 10
    assert [int(number) for number in re.findall(r"^\*\*(\d+)\.", PAGE, re.MULTILINE)] == list(range(1, 11))


@pytest.mark.parametrize("query", QUERIES, ids=range(1, len(QUERIES) + 1))
def test_queries_answer(query: str, store: Store) -> None:
    frame = store.query(query)
    assert frame.height > 0
    assert all(frame[name].null_count() < frame.height for name in frame.columns), "a column says nothing"


def test_every_command_stands_in_the_page() -> None:
    assert set(re.findall(r"^store (\w+)", PAGE, re.MULTILINE)) == set(cli.group.commands)
