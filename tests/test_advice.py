"""Every command that an analysis or the report advises runs: it is parsed by `generate` and planned on the data."""

from __future__ import annotations

import html
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import duckdb
import numpy as np
import pytest
from click.testing import CliRunner

import analyze
from analyze import Recommendations, Results
from generate import cli, requests
from generate.datasets import load_dataset
from generate.plan import Plan, make_plan
from store.errors import MinarchError
from tests.generate.datasets.files import make_split, write_tree
from tests.planted import CHANCE
from tests.planted_store import PlantedSweep, write

QUOTED = re.compile(r"`(generate [^`]*)`")
SIZES = (2, 4, 8, 16, 32, 64)
# Everything else than these counts as advice that forgot what the user asked for.
ALLOWED = {*SIZES, *range(1, 4 * SIZES[-1] + 1)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "my images"
    write_tree(path, make_split(60, side=8), make_split(20, side=8, seed=1))
    return path


def own(path: Path, folder: Path, *sweeps: PlantedSweep) -> Path:
    """Return a store of sweeps on the folder, with the request that its user made for them."""
    write(path, *sweeps)
    request = {
        "phase": "convergence",
        "datasets": [{"source": str(folder), "dataset": folder.name, "fingerprint": f"data-of-{folder.name}"}],
        "families": ["dnn"],
        "capacities": SIZES,
        "depths": [1],
        "epochs": 3,
        "repeats": 5,
        "seed": 4,
    }
    with duckdb.connect(path) as connection:
        connection.execute("UPDATE invocations SET request = ?", [json.dumps(request)])
    return path


def planted(folder: Path, kind: str) -> list[PlantedSweep]:
    rng = np.random.default_rng(0)
    mean = np.array([0.3, 0.5, 0.9, 0.93, 0.94, 0.95])
    spread = np.array([0.1, 0.1, 0.01, 0.01, 0.01, 0.01])

    def sweep(n: int, **more: object) -> PlantedSweep:
        accuracy = mean[:, None] + spread[:, None] * rng.standard_normal((len(SIZES), n))
        return PlantedSweep(accuracy=accuracy, dataset=folder.name, capacities=SIZES, **more)  # type: ignore[arg-type]

    dead = PlantedSweep(accuracy=np.full((6, 5), CHANCE), dataset=folder.name, capacities=SIZES)
    return {
        "five": [sweep(5)],
        "two": [sweep(2)],
        "dead": [dead],
        "families": [sweep(5), sweep(5, family="cnn")],
        "depths": [sweep(5), sweep(5, depth=2)],
        "shapes": [sweep(5), sweep(3, depth=2), sweep(3, depth=2, shape="+")],
        "quantized": [sweep(5), sweep(3, precision="int8")],
    }[kind]


def advised(store: Path, dataset: str, *, limited: bool = True) -> Iterator[str]:
    """Yield every command in the results of all analyses, of recommendations within limits too where `limited`."""
    study = analyze.Study.read(store)
    for name in analyze.__all__:
        analysis = getattr(analyze, name)
        if not callable(analysis) or isinstance(analysis, type):
            continue
        for limits in ({}, {"max_parameters": 100}, {"max_bytes": 300}, {"min_accuracy": 0.99}, {"max_drop": 1e-4}):
            if limits and (name != "recommend" or not limited):
                continue
            try:
                found = analysis(study, **limits)
            except MinarchError as error:
                yield from QUOTED.findall(str(error))
                continue
            yield from commands_of(found)


def commands_of(found: object) -> Iterator[str]:
    if isinstance(found, Recommendations):
        yield from commands_of(found.evidence)
    if isinstance(found, Results):
        for note in found.notes:
            yield from QUOTED.findall(note)
        for row in found.records():
            for name, value in row.items():
                if isinstance(value, str) and "generate " in value:
                    yield from [value] if name in COMMANDS else QUOTED.findall(value)


def planned(command: str) -> Plan:
    """Return what `generate` would run for one command line."""
    program, phase, *words = shlex.split(command)
    assert program == "generate"
    assert isinstance(cli.generate, click.Group)
    with cli.generate.commands[phase].make_context(phase, words) as context:
        options = dict(context.params)
        for name in ("store_path", "executor", "scheduler", "workers"):
            options.pop(name)
        requests.auto_of(options)
        request = requests.request_of(phase, options)
    datasets = [(name, load_dataset(name, request.data_dir, download=False)) for name in request.datasets]
    return make_plan(request, datasets, frozenset())


COMMANDS = ("command", "to_test", "guess_command")
KINDS = ("five", "two", "dead", "families", "depths", "shapes", "quantized")


@pytest.mark.parametrize("kind", KINDS)
def test_advice_is_planned_as_the_user_asked(kind: str, folder: Path, tmp_path: Path) -> None:
    store = own(tmp_path / "own.duckdb", folder, *planted(folder, kind))
    found = set(advised(store, folder.name, limited=kind in ("five", "dead", "families")))
    assert found
    for text in found:
        for command in text.split(" && "):
            if "--dataset mnist" in command or "--dataset cifar10" in command or "--dataset fashion" in command:
                continue  # The claims of the paper are on its own data.
            words = shlex.split(command)
            assert str(folder) in words, command
            assert str(store) in words, command
            plan = planned(command)
            assert plan.units, command
            for unit in plan.units:
                assert unit.protocol.training.seed == 4, command
                assert unit.protocol.training.epochs in (3, 100), command
                assert {cell.architecture.capacity for cell in unit.cells} <= ALLOWED, command
            assert plan.models <= 2 * 1000 * len(SIZES), command


def test_a_study_advises_as_its_store_does(folder: Path, tmp_path: Path) -> None:
    store = own(tmp_path / "own.duckdb", folder, *planted(folder, "families"))
    for analysis in (analyze.recommend, analyze.table_one, analyze.regimes):
        assert analysis(analyze.Study.read(store)).records() == analysis(store).records()
    assert any(row.guess_command for row in analyze.recommend(store))


def test_the_report_advises_the_same(folder: Path, tmp_path: Path) -> None:
    from reports.cli import cli as reports

    store = own(tmp_path / "own.duckdb", folder, *planted(folder, "five"))
    out = tmp_path / "report.html"
    done = CliRunner().invoke(reports, ["render", "--store", str(store), "--out", str(out)])
    assert done.exit_code == 0, done.output
    found = [html.unescape(text) for text in re.findall(r"<code>(generate [^<]*)</code>", out.read_text())]
    assert found
    for text in found:
        for command in text.split(" && "):
            if str(folder) in shlex.split(command):
                assert planned(command).units
            else:
                assert "--dataset mnist" in command or "cifar10" in command or "fashion_mnist" in command, command


def test_where_sizes_are_lacking_the_advice_adds_some(tmp_path: Path, folder: Path) -> None:
    rng = np.random.default_rng(5)
    accuracy = np.array([0.5, 0.8, 0.9])[:, None] + 0.01 * rng.standard_normal((3, 5))
    path = own(
        tmp_path / "few.duckdb", folder, PlantedSweep(accuracy=accuracy, capacities=(2, 4, 8), dataset=folder.name)
    )
    row = analyze.recommend(path)[0]
    assert row.status == "insufficient"
    words = shlex.split(row.command or "")
    assert words[words.index("--capacities") + 1] == "2,4,8,16,32"
