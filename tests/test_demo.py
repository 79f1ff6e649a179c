"""`make demo` is a search that ends in an answer for each of its families, and in a report."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

import analyze.cli
import generate.cli
import generate.searching
import reports.cli
from analyze.stats.spending import FIRST_DECISION
from generate.datasets import load_dataset
from generate.plan import Request
from generate.sequential import SearchRequest, design_of

ROOT = Path(__file__).parent.parent
PROGRAMS: dict[str, click.Group] = {
    "generate": generate.cli.generate,
    "analyze": analyze.cli.analyze,
    "reports": reports.cli.cli,
}


def commands(folder: Path) -> list[list[str]]:
    """Return the program and the arguments of each command of `make demo`, its files put into a folder."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    found = re.search(r"^demo:.*\n((?:\t.*\n)+)", text, re.MULTILINE)
    assert found
    lines = [shlex.split(line.replace("$(DEMO)", str(folder))) for line in found[1].splitlines()]
    return [[line[0].removeprefix("$(BIN)/"), *line[1:]] for line in lines if line[0].startswith("$(BIN)/")]


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "80"},
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    return done


def answers(store: Path, max_drop: str) -> dict[str, str]:
    """Return the status of the answer by scope."""
    done = run("analyze", "recommend", "--store", str(store), "--max-drop", max_drop, "--format", "json")
    return {row["scope"]: row["status"] for row in json.loads(done.stdout)}


def test_the_demo_runs_every_program_from_data_to_report(tmp_path: Path) -> None:
    found = commands(tmp_path)
    assert [command[:2] for command in found] == [["generate", "search"], ["analyze", "regimes"], ["reports", "render"]]
    assert found[-1][-2:] == ["--out", str(tmp_path / "report.html")]
    for program, name, *arguments in found:
        command = PROGRAMS[program].commands[name]
        parsed = command.make_context(name, arguments).params  # Fails on an option that is not there.
        assert parsed["store_path"] == tmp_path / "demo.duckdb"


def test_the_demo_searches_dnn_and_cnn_on_the_bundled_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Request, SearchRequest]] = []
    monkeypatch.setattr(generate.searching, "search", lambda request, wanted, *_, **__: asked.append((request, wanted)))
    _, *arguments = commands(tmp_path)[0]
    generate.cli.generate(arguments, standalone_mode=False)
    ((request, wanted),) = asked
    assert request.datasets == ("digits",)
    spec = design_of(request, wanted, "digits", load_dataset("digits", None))
    assert {(ladder.family, ladder.depth) for ladder in spec.ladders} == {("dnn", 1), ("cnn", 1)}
    assert all(len(ladder.capacities) >= 5 for ladder in spec.ladders)  # With fewer no boundary is detected.
    assert sum(n >= FIRST_DECISION for n in spec.looks) >= 2  # Nothing is decided before.


@pytest.mark.slow
def test_the_whole_demo_ends_in_answers_and_a_report(tmp_path: Path) -> None:
    for program, *arguments in commands(tmp_path):
        run(program, *arguments)
    assert answers(tmp_path / "demo.duckdb", "0.02") == dict.fromkeys(("all", "dnn", "cnn"), "detected")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Smallest" in page
    (program, *arguments), *_ = commands(tmp_path)
    again = run(program, *arguments)
    assert "models, about" not in again.stderr  # Nothing is left to train.
