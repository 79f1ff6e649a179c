"""Advised commands: each must parse, and continue what is stored."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import click
import pytest

from generate.cli import generate
from generate.datasets import DATASETS, default_epochs
from generate.protocol import PRECISIONS
from generate.requests import PHASES
from store import advice
from store.advice import load_advice
from store.families import FAMILIES
from store.precisions import Precision
from store.records import Protocol
from store.results import Store
from tests.store.build import INVOCATION, make_records, make_run, make_store


def parsed(command: str) -> dict[str, Any]:
    """Return the options that `generate` reads from a command line."""
    program, phase, *words = shlex.split(command)
    assert program == "generate"
    assert isinstance(generate, click.Group)
    found = generate.commands[phase]
    return found.make_context(phase, words).params


def asked(folder: Path, **changes: Any) -> str:
    entry = {"source": str(folder), "dataset": folder.name, "fingerprint": f"fingerprint-{folder.name}"}
    request = {"phase": "convergence", "datasets": [entry], "families": ["dnn"], "capacities": [2, 5], "depths": [1]}
    return json.dumps({**request, "epochs": 7, "repeats": 5, "seed": 3, "data_dir": None, **changes})


def store_of(
    path: Path, folder: Path, request: str | None, *, spec: dict[str, Any] | None = None, **build: Any
) -> Store:
    """Return a store with widths 2 and 5 of one hidden layer, 5 replicates of each."""
    invocation = replace(INVOCATION, request=request, **build)
    runs = [make_run((width,), replicate=r, dataset=folder.name) for width in (2, 5) for r in range(5)]
    records = make_records(runs, invocation=invocation)
    if spec is not None:
        records = replace(records, protocols=(Protocol(protocol_id="protocol0", spec=json.dumps(spec)),))
    return make_store(path, records)


def test_defaults_are_the_protocols() -> None:
    for name in (*DATASETS, "folder"):
        assert default_epochs(name) == (advice.DIGITS_EPOCHS if name == "digits" else advice.EPOCHS)
    assert {*PHASES, "search"} == set(get_args(advice.Phase))
    assert (advice.DEFAULT_PRECISION,) == PRECISIONS


def test_a_command_carries_what_was_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "my images"
    folder.mkdir()
    store = store_of(tmp_path / "s.duckdb", folder, asked(folder))
    command = load_advice(store.path).command("convergence", "my images", "dnn", repeats=10)
    assert command == (
        f"generate convergence --dataset '{folder}' --family dnn --depths 1 --capacities 2,5 --repeats 10 --epochs 7"
        f" --seed 3 --store {store.path}"
    )
    options = parsed(command)
    assert options["capacities"] == (2, 5)
    assert options["datasets"] == (str(folder),)


@pytest.mark.parametrize("name", ["it's, mine", 'all "my" images', "a; b && c", "--family", "$HOME `x`"])
def test_a_folder_of_any_name_is_one_word(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    store = store_of(tmp_path / "s.duckdb", folder, asked(folder))
    options = parsed(load_advice(store.path).command("convergence", name, "dnn", repeats=10))
    assert (options["datasets"], options["families"], options["repeats"]) == ((str(folder),), ("dnn",), 10)


def test_settings_are_those_of_the_runs_not_of_the_last_request(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    spec = {"training": {"epochs": 9, "patience": 4, "seed": 1, "compute": "bf16"}}
    store = store_of(tmp_path / "s.duckdb", folder, asked(folder), spec=spec)
    options = parsed(load_advice(store.path).command("convergence", "mine", "dnn"))
    assert (options["epochs"], options["patience"], options["seed"], options["compute"]) == (9, 4, 1, "bf16")


def test_what_is_given_wins(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    store = store_of(tmp_path / "s.duckdb", folder, asked(folder))
    options = parsed(load_advice(store.path).command("convergence", "mine", "dnn", capacities=(3, 4), epochs=100))
    assert (options["capacities"], options["depths"], options["epochs"], options["repeats"]) == ((3, 4), (1,), 100, 5)


def test_a_folder_that_moved_is_found_where_it_was_used_last(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    new.mkdir()
    store = store_of(tmp_path / "s.duckdb", old, asked(old), started_at=datetime(2026, 1, 1))
    moved = json.loads(asked(new))
    moved["datasets"][0]["fingerprint"] = "fingerprint-old"
    later = replace(INVOCATION, invocation_id="2", request=json.dumps(moved), started_at=datetime(2025, 1, 1))
    store.append(make_records([make_run((9,), dataset="old")], invocation=later), name="moved")
    assert parsed(load_advice(store.path).command("convergence", "old"))["datasets"] == (str(new),)


@pytest.mark.parametrize(
    ("argv", "source"),
    [
        ("generate all --dataset photos/mine --data-dir d", "photos/mine"),
        ("generate all --dataset=photos/mine", "photos/mine"),
        ("generate all", "mine"),
        ("generate all --dataset 'quoted", "mine"),
    ],
)
def test_a_store_of_an_older_version(argv: str, source: str, tmp_path: Path) -> None:
    store = store_of(tmp_path / "s.duckdb", Path("mine"), None, argv=argv)
    command = load_advice(store.path).command("quantization", "mine", "dnn")
    sizes = "--family dnn --depths 1 --capacities 2,5 --repeats 5"
    assert command == f"generate quantization --dataset {source} {sizes} --store {store.path}"
    parsed(command)


def test_a_command_carries_the_settings_of_its_family(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    settings = ["dnn.betas=0.8,0.9", "cnn.betas=0.8,0.9", "dnn.learning_rate=0.01"]
    store = store_of(tmp_path / "s.duckdb", folder, asked(folder, settings=settings))
    command = load_advice(store.path).command("convergence", "images", "dnn")
    assert " --set dnn.betas=0.8,0.9 --set dnn.learning_rate=0.01 " in command
    assert "cnn" not in command
    assert parsed(command)["settings"] == ("dnn.betas=0.8,0.9", "dnn.learning_rate=0.01")


def test_the_protocols_own_values_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINARCH_STORE", raising=False)
    dnn = FAMILIES["dnn"]
    grids = [make_run((w,) * d, replicate=29, dataset="mnist") for w in dnn.capacities for d in dnn.depths]
    for family in ("cnn", "vit"):
        sizes = FAMILIES[family].capacities
        grids += [make_run((w,), replicate=9, dataset="mnist", family=family) for w in sizes]
    make_store(Path("results.duckdb"), make_records(grids))
    found = load_advice(Path("results.duckdb"))
    assert found.command("convergence", "mnist") == "generate convergence --dataset mnist"
    assert found.command("shapes") == "generate shapes --dataset mnist"
    assert found.command("all", ["cifar10", "mnist"]) == "generate all --dataset cifar10 --dataset mnist"
    assert found.command("all", "mnist", "vit") == "generate all --dataset mnist --family vit"
    assert found.command("all", "mnist", repeats=30) == "generate all --dataset mnist --repeats 30"
    monkeypatch.setenv("MINARCH_STORE", "other.duckdb")
    assert found.command("shapes") == "generate shapes --dataset mnist --store results.duckdb"


def test_families_of_different_grids_take_a_command_each(tmp_path: Path) -> None:
    runs = [make_run((2,)), make_run((3,), family="cnn")]
    store = make_store(tmp_path / "s.duckdb", make_records(runs))
    commands = load_advice(store.path).command("convergence", "digits", repeats=5).split(" && ")
    assert [parsed(c)["families"] for c in commands] == [("dnn",), ("cnn",)]
    assert [parsed(c)["capacities"] for c in commands] == [(2,), (3,)]
    assert [parsed(c)["depths"] for c in commands] == [(1,), None]


def test_other_folders_of_data_and_engines(tmp_path: Path) -> None:
    request = json.loads(asked(Path("mnist")))
    request["datasets"][0]["source"] = "mnist"
    request |= {"data_dir": "/some/data", "engine": "torch", "sparsities": [0.0, 0.5], "integer_checks": 0}
    store = store_of(tmp_path / "s.duckdb", Path("mnist"), json.dumps(request))
    found = load_advice(store.path)
    options = parsed(found.command("convergence", "mnist"))
    assert (options["data_dir"], options["engine"], options["sparsities"]) == (Path("/some/data"), "torch", (0.0, 0.5))
    assert parsed(found.command("quantization", "mnist"))["integer_checks"] == 0


@pytest.mark.parametrize(
    ("stored", "wanted", "expected"),
    [
        (("fp32", "int8"), None, None),
        (("fp32",), None, None),
        (("fp32", "w2a8", "int4"), None, ("int8", "int4", "w2a8")),
        (("fp32",), ["int2"], ("int8", "int2")),
        (("fp32", "int4"), ["int8", "int2"], ("int8", "int4", "int2")),
    ],
)
def test_precisions_that_are_stored_or_were_asked_for_go_on(
    stored: tuple[Precision, ...], wanted: list[str] | None, expected: tuple[str, ...] | None, tmp_path: Path
) -> None:
    request = asked(Path("digits"), phase="all", precisions=wanted)
    runs = [make_run((2,), precision=precision) for precision in stored]
    records = make_records(runs, invocation=replace(INVOCATION, request=request))
    found = load_advice(make_store(tmp_path / "s.duckdb", records).path)
    for phase in ("all", "quantization"):
        line = found.command(phase, "digits", "dnn")
        assert ("--precision" in line) == (expected is not None)
        assert parsed(line)["precisions"] == (expected or ("int8",))
    assert "--precision" not in found.command("convergence", "digits", "dnn")
    assert parsed(found.command("quantization", "digits", "dnn", precision=("int4",)))["precisions"] == ("int4",)


def test_shapes_leave_out_the_depth_that_has_one_topology(tmp_path: Path) -> None:
    runs = [make_run((w,) * d) for w in (2, 5) for d in (1, 2)]
    store = make_store(tmp_path / "s.duckdb", make_records(runs))
    options = parsed(load_advice(store.path).command("shapes", "digits"))
    assert (options["capacities"], options["depths"]) == ((2, 5), (2,))


def test_a_command_carries_how_networks_are_pruned(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    cuts: dict[str, Any] = {
        "prune_by": ["magnitude", "units"],
        "finetune": 5,
        "finetune_sparsities": [0.5, 0.8],
        "finetune_by": ["magnitude", "random"],
    }
    store = store_of(tmp_path / "s.duckdb", folder, asked(folder, **cuts, sparsities=[0.0, 0.5]))
    found = load_advice(store.path)
    command = found.command("convergence", "images", "dnn")
    assert " --prune-by magnitude,units --finetune 5 --finetune-sparsities 0.5,0.8" in command
    options = parsed(command)
    assert {name: options[name] for name in cuts} == {
        name: tuple(value) if isinstance(value, list) else value for name, value in cuts.items()
    }
    command = found.command("quantization", "images", "dnn")
    assert "prune-by" not in command
    assert "finetune" not in command
    assert parsed(command)["sparsities"] == (0.0, 0.5)
