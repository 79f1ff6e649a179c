"""`generate model`: from a store to a folder of files that all compute the network that the store has results of."""

from __future__ import annotations

import functools
import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from generate.analysis import ask
from generate.cli import generate
from generate.datasets import load_dataset
from generate.deploy import folder as folders
from generate.deploy.c.compiler import COMPILERS
from generate.deploy.choice import Evidence
from generate.deploy.retrain import chance_difference, compared
from generate.deploy.stored import METRICS, StoredRun, stored_run
from generate.driver import run_sweep
from generate.plan import Phase, Request, make_plan
from generate.provenance import new_invocation, request_spec
from store.errors import MinarchError
from store.results import Store
from tests.generate.test_sweep import Inline

for module in ("onnx", "onnxruntime", "safetensors"):
    pytest.importorskip(module, reason=f"{module} comes with the extra deploy")

SWEEPS: tuple[tuple[Phase, str, tuple[int, ...], int, int], ...] = (
    ("convergence", "dnn", (2, 5, 20, 50, 100), 5, 30),
    ("quantization", "dnn", (100,), 1, 12),
    ("quantization", "cnn", (3,), 1, 12),
    ("quantization", "vit", (4,), 1, 12),
)
"""Phase, family, sizes, replicates, epochs."""
C = ["c/model.c"] if any(map(shutil.which, COMPILERS)) else []
FILES = {
    "model.safetensors",
    "model.py",
    "model.onnx",
    "labels.json",
    "preprocessing.json",
    "test_vector.json",
    "card.md",
    "card.json",
    "c",
}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with DNNs of five widths, and one network of each family in 8 bits."""
    store = Store(tmp_path_factory.mktemp("swept") / "results.duckdb")
    store.prepare()
    datasets = [("digits", load_dataset("digits", None))]
    for phase, family, capacities, repeats, epochs in SWEEPS:
        request = Request(
            phase=phase,
            families=(family,),
            capacities=capacities,
            depths=(1,),
            epochs=epochs,
            repeats=repeats,
            prune_by=("magnitude", "random", "units"),
            sparsities=(0.0, 0.25, 0.5),
            finetune=2,
            finetune_sparsities=(0.5,),
        )
        plan = make_plan(request, datasets, frozenset())
        invocation = new_invocation(request_spec(request, datasets))
        assert run_sweep(plan.units, store, Inline(), invocation).models_done == plan.models
    store.ingest(60)
    return store


asked_once = functools.cache(ask)


@pytest.fixture(autouse=True)
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask `analyze`, which takes seconds, only about what is recommended, and nothing twice."""
    monkeypatch.setattr("generate.deploy.command._evidence", lambda *_: Evidence())
    monkeypatch.setattr("generate.deploy.choice.ask", asked_once)


def run_of(store: Store, family: str, precision: str) -> str:
    sql = "SELECT run_id FROM runs WHERE family = ? AND precision = ? ORDER BY capacity DESC, replicate LIMIT 1"
    return str(store.query(sql, [family, precision]).item())


def model(store: Store, *words: object) -> Result:
    return CliRunner().invoke(generate, ["model", "--store", str(store.path), *map(str, words)])


def written(store: Store, out: Path, *words: object) -> dict[str, Any]:
    """Make a model and return its card."""
    result = model(store, *words, "--out", out)
    assert result.exit_code == 0, result.output + repr(result.exception)
    card: dict[str, Any] = json.loads((out / "card.json").read_text())
    return card


def fault(result: Result) -> str:
    """Return the one line of a command that fails."""
    assert isinstance(result.exception, MinarchError), result.output
    text = str(result.exception)
    assert "\n" not in text
    return text


def test_the_recommended_network_is_trained_again_and_every_file_computes_it(swept: Store, tmp_path: Path) -> None:
    out = tmp_path / "digits"
    card = written(swept, out, "--recommended", "--dataset", "digits", "--max-drop", "20%", "--family", "dnn")
    assert {path.name for path in out.iterdir()} == FILES == set(card["files"])
    assert card["standing"] == "recommended"
    answer = card["statement"]["answer"]
    assert card["network"]["hidden_sizes"] == [answer["capacity"]]
    # Of its replicates the one that validation chose, whatever its test accuracy.
    sql = (
        "SELECT arg_max(run_id, (validation_accuracy, -replicate)) FROM runs"
        " WHERE capacity = ? AND precision = 'fp32' AND family = 'dnn'"
    )
    assert card["run"]["run_id"] == swept.query(sql, [answer["capacity"]]).item()
    assert card["repeated"]["verdict"] == "identical"
    stored = swept.query("SELECT test_accuracy FROM runs WHERE run_id = ?", [card["run"]["run_id"]]).item()
    code = {path.name for path in (out / "c").iterdir()}
    assert code == {"model.h", "model.c", "model_run.c", "model_test.c"}
    assert [row["file"] for row in card["checked"]] == ["model.safetensors", "model.onnx", *C]
    for row in card["checked"]:
        assert (row["correct"] / row["images"], row["differing"]) == (stored, 0)
        assert row["stored"] == stored
    confusion = np.array(card["accuracy"]["confusion"])
    truth = load_dataset("digits", None).test.labels
    assert confusion.sum(1).tolist() == np.bincount(truth).tolist()
    assert confusion.trace() == card["accuracy"]["correct"] == round(stored * 360)
    text = (out / "card.md").read_text()
    assert "## The smallest reliable network: digits, dnn" in text
    assert f"`{card['command']}`" in text


def test_model_py_answers_without_minarch(swept: Store, tmp_path: Path) -> None:
    out = tmp_path / "model"
    card = written(swept, out, "--run", run_of(swept, "vit", "int8"))
    check = (
        "import json, runpy, sys, torch; from safetensors import safe_open; module = runpy.run_path('model.py');"
        "vector = json.load(open('test_vector.json'));"
        "logits = module['load']()(module['normalise'](torch.tensor([vector['image']], dtype=torch.uint8)));"
        "print(json.dumps([logits.tolist()[0], int(module['predict'](torch.tensor([vector['image']]).byte())[0])]));"
        "assert not {'generate', 'store', 'onnx'} & set(sys.modules);"
        "assert safe_open('model.safetensors', 'pt').metadata()['minarch'].count(sys.argv[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", check, card["run"]["run_id"]], cwd=out, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    vector = json.loads((out / "test_vector.json").read_text())
    logits, answer = json.loads(done.stdout)
    assert logits == pytest.approx(vector["logits"]["model.safetensors"], abs=1e-5)
    assert answer == int(np.argmax(logits))
    digits = load_dataset("digits", None)
    assert vector["image"] == digits.test.images[vector["test_image"]].tolist()
    facts = json.loads((out / "preprocessing.json").read_text())
    expected = (np.array(vector["image"]) / 255 - facts["mean"][0]) / facts["std"][0]
    np.testing.assert_allclose(np.array(vector["input"]), expected, atol=1e-6)


@pytest.mark.parametrize("family", ["dnn", "cnn", "vit"])
def test_8_bits_are_written_with_the_scales_of_training(family: str, swept: Store, tmp_path: Path) -> None:
    run_id = run_of(swept, family, "int8")
    card = written(swept, tmp_path / "model", "--run", run_id)
    floats = swept.query("SELECT test_accuracy FROM runs WHERE run_id = ?", [run_id]).item()
    rows = {row["file"]: row for row in card["checked"]}
    assert rows["model.safetensors"]["stored"] == floats
    integer = rows["model.int8.onnx"]
    checked = swept.query("SELECT test_accuracy FROM integer_checks WHERE run_id = ?", [run_id])["test_accuracy"]
    assert len(checked) == 1
    assert integer["stored"] == checked[0] == integer["correct"] / integer["images"]
    assert integer["correct"] / integer["images"] == pytest.approx(floats, abs=0.03)
    assert integer["differing"] == 0 or family == "vit"
    assert rows["model.onnx"]["stored"] is None
    assert card["accuracy"]["file"] == "model.int8.onnx"


@pytest.mark.parametrize(
    ("precision", "words"),
    [
        ("fp32", "--sparsity 0.5"),
        ("fp32", "--sparsity 0.25 --method random"),
        ("fp32", "--sparsity 0.5 --method units"),
        ("fp32", "--sparsity 0.5 --finetune 2"),
        ("int8", "--sparsity 0.25"),
    ],
)
def test_pruned_networks_are_those_that_the_store_measured(
    precision: str, words: str, swept: Store, tmp_path: Path
) -> None:
    run_id = run_of(swept, "dnn", precision)
    card = written(swept, tmp_path / "model", "--run", run_id, *words.split())
    cut = card["network"]["cut"]
    sql = (
        "SELECT test_accuracy, nonzero FROM pruning WHERE run_id = ? AND sparsity = ? AND method = ?"
        " AND finetune_epochs = ?"
    )
    accuracy, nonzero = swept.query(sql, [run_id, cut["sparsity"], cut["method"], cut["finetune_epochs"]]).row(0)
    row = card["checked"][0]
    assert (row["correct"] / row["images"], row["stored"]) == (accuracy, accuracy)
    assert card["network"]["nonzero_weights"] == nonzero
    assert card["network"]["hidden_sizes"] == ([50] if cut["method"] == "units" else [100])
    assert shlex.split(card["command"])[4:8] == ["--sparsity", f"{cut['sparsity']:g}", "--method", cut["method"]]


def test_the_command_on_the_card_makes_the_same_files(swept: Store, tmp_path: Path) -> None:
    out = tmp_path / "model"
    run_id = run_of(swept, "dnn", "int8")
    card = written(swept, out, "--run", run_id)
    first = {path.name: path.read_bytes() for path in out.rglob("*.*")}
    program, *words = shlex.split(card["command"])
    assert program == "generate"
    result = CliRunner().invoke(generate, words)
    assert result.exit_code == 0, result.output
    assert {path.name: path.read_bytes() for path in out.rglob("*.*")} == first


def test_without_a_compiler_the_c_is_written_and_not_run(
    swept: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generate.deploy.c.compiler.COMPILERS", ("no-such-compiler",))
    card = written(swept, tmp_path / "model", "--run", run_of(swept, "dnn", "fp32"))
    assert (tmp_path / "model" / "c" / "model.c").is_file()
    assert [row["file"] for row in card["checked"]] == ["model.safetensors", "model.onnx"]
    assert any("not run: there is no C compiler" in remark for remark in card["remarks"])


def test_one_image_is_timed(swept: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("latency", "files"):
        monkeypatch.setattr(f"generate.deploy.{place}.MOST_RUNS", 20)
    card = written(swept, tmp_path / "model", "--run", run_of(swept, "dnn", "int8"), "--measure")
    assert [row["file"] for row in card["latency"]] == ["model.onnx", "model.int8.onnx", *C]
    for row in card["latency"]:
        assert 0 < row["median"] <= row["p99"]
        assert row["runs"] == 20


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("--run unknown", "has no run 'unknown'"),
        ("--recommended --dataset mnist", "has no runs on mnist; it has digits"),
        ("--recommended --dataset nowhere", "there is no dataset 'nowhere'"),
        ("--recommended --dataset paper", "stands for several"),
        ("--recommended --family vit", "no fp32 runs of equal widths of family 'vit', only of dnn"),
        ("--run {dnn} --sparsity 0.33", "was not pruned to 0.33 by magnitude: measured are 0, 0.25, 0.5"),
        ("--run {dnn} --sparsity 0.5 --method layerwise", "measured are --method magnitude"),
        ("--run {cnn} --sparsity 0.25 --method units", "was not pruned by units: measured are --method magnitude"),
        ("--run {w4a8}", "has no run"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(words: str, text: str, swept: Store, tmp_path: Path) -> None:
    named = {"dnn": run_of(swept, "dnn", "fp32"), "cnn": run_of(swept, "cnn", "int8"), "w4a8": "0" * 16}
    assert text in fault(model(swept, *words.format(**named).split(), "--out", tmp_path / "model"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("", "give either --recommended or --run ID"),
        ("--recommended --run x", "give either --recommended or --run ID"),
        ("--run x --family dnn", "--family goes with --recommended"),
        ("--run x --precision int8", "--precision goes with --recommended"),
        ("--run x --max-drop 1%", "--max-drop goes with --recommended"),
        ("--run x --method units", "--method goes with --sparsity"),
        ("--run x --finetune 2", "--finetune goes with --sparsity"),
        ("--run x --out {here}/test_model.py", "is a file"),
        ("--run x --sparsity 1", "is not in the range"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_done(words: str, text: str, swept: Store, tmp_path: Path) -> None:
    given = words.format(here=Path(__file__).parent).split()
    result = model(swept, *([] if "--out" in given else ["--out", tmp_path / "model"]), *given)
    assert result.exit_code == 2
    assert text in result.output


def test_a_guess_is_taken_where_nothing_is_recommended(swept: Store, tmp_path: Path) -> None:
    best = swept.query("SELECT max(mean) FROM cells WHERE precision = 'fp32' AND family = 'dnn'").item()
    words = ("--recommended", "--dataset", "digits", "--family", "dnn", "--min-accuracy", best - 1e-4)
    said = fault(model(swept, *words, "--out", tmp_path / "model"))
    assert "the best guess, not proven, is DNN, 1 hidden layer, " in said
    assert said.endswith(": --guess takes it")
    card = written(swept, tmp_path / "model", *words, "--guess")
    assert card["standing"] == "best guess, not proven"
    assert card["network"]["hidden_sizes"] == [card["statement"]["answer"]["guess_capacity"]]


def test_limits_are_those_of_recommend(swept: Store, tmp_path: Path) -> None:
    words = ("--recommended", "--dataset", "digits", "--family", "dnn", "--max-drop", "20%")
    budget = ("--max-macs", "1.4k", "--max-ram", "1MiB", "--max-bytes", "1MB", "--max-parameters", "2M", "--by", "macs")
    said = fault(model(swept, *words, *budget, "--out", tmp_path / "model"))
    assert "at most 1,000,000 bytes, at most 1,400 multiply-accumulates and at most 1,048,576 bytes of acti" in said
    result = model(swept, "--run", run_of(swept, "dnn", "fp32"), "--max-ram", "1MiB", "--out", tmp_path / "model")
    assert result.exit_code == 2
    assert "--max-ram goes with --recommended" in result.output


def test_8_bits_that_were_not_trained_are_advised(swept: Store, tmp_path: Path) -> None:
    words = ("--recommended", "--dataset", "digits", "--family", "dnn", "--max-drop", "20%", "--precision", "int8")
    said = fault(model(swept, *words, "--out", tmp_path / "model"))
    assert "has no int8 run of DNN, 1 hidden layer, " in said
    command = said.split("`")[1]
    assert command.startswith("generate quantization --dataset digits --family dnn")


def test_a_run_that_diverged_has_no_model(swept: Store, tmp_path: Path) -> None:
    store = Store(tmp_path / "results.duckdb")
    shutil.copy(swept.path, store.path)
    run_id = run_of(store, "dnn", "fp32")
    import duckdb

    with duckdb.connect(str(store.path)) as connection:
        connection.execute("UPDATE runs SET status = 'diverged' WHERE run_id = ?", [run_id])
    assert f"run {run_id} diverged" in fault(model(store, "--run", run_id, "--out", tmp_path / "model"))


def test_changed_data_are_refused(swept: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digits = load_dataset("digits", None)
    changed = replace(digits, fingerprint="f" * 16)
    monkeypatch.setattr("generate.deploy.command.load_dataset", lambda *_: changed)
    said = fault(model(swept, "--run", run_of(swept, "dnn", "fp32"), "--out", tmp_path / "model"))
    assert f"fingerprint {'f' * 16}, the store has {digits.fingerprint}" in said
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_named(swept: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "generate.requirements.find_spec", lambda name: None if name in ("onnx", "onnxruntime") else name
    )
    said = fault(model(swept, "--run", "x", "--out", tmp_path / "model"))
    assert said == "a model's files need onnx, onnxruntime: pip install 'minarch[deploy]'"


def test_a_folder_that_holds_something_else_stays(
    swept: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, run_id = tmp_path / "model", run_of(swept, "dnn", "fp32")
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    said = fault(model(swept, "--run", run_id, "--out", out))
    assert said == f"{out} holds something else than this model (thesis.txt); name a new folder, or --force"
    assert (out / "thesis.txt").read_text() == "years of work"
    monkeypatch.chdir(out)
    assert f"{out} holds {out}" in fault(model(swept, "--run", run_id, "--out", out, "--force"))
    monkeypatch.chdir(tmp_path)
    written(swept, out, "--run", run_id, "--force")
    assert not (out / "thesis.txt").exists()
    # Another model is something else too; the same one is not.
    assert "--force" in fault(model(swept, "--run", run_of(swept, "cnn", "int8"), "--out", out))
    (out / "notes.txt").write_text("mine")
    assert "notes.txt" not in fault(model(swept, "--run", run_id, "--out", out)).split("(")[0]
    (out / "notes.txt").unlink()
    written(swept, out, "--run", run_id)


@pytest.mark.parametrize(
    ("place", "text"),
    [("missing/model", "there is no folder"), ("locked/model", "permission")],
)
def test_places_that_cannot_be_written(place: str, text: str, swept: Store, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    if place.startswith("locked") and os.access(tmp_path / "locked", os.W_OK):
        pytest.skip("this user may write anywhere")
    assert text in fault(model(swept, "--run", run_of(swept, "dnn", "fp32"), "--out", tmp_path / place))


def interrupted(out: Path) -> None:
    with folders.new_folder(out) as partial:
        (partial / "half").write_text("")
        raise ZeroDivisionError


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "model"
    for before in (None, "earlier"):
        if before:
            out.mkdir()
            (out / before).write_text("")
        with pytest.raises(ZeroDivisionError):
            interrupted(out)
        assert [path.name for path in tmp_path.iterdir()] == (["model"] if before else [])
        assert not (out / "half").exists()
    with folders.new_folder(out) as partial:
        (partial / "whole").write_text("")
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "whole"]


def test_what_a_killed_command_left_is_removed(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from generate.deploy import folder\n"
        "with folder.new_folder(Path(sys.argv[1])) as partial:\n"
        "    (partial / 'half').write_text('')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    out = tmp_path / "model"
    assert subprocess.run([sys.executable, "-c", code, str(out)], check=False).returncode == -9
    assert not out.exists()
    assert [path.name.startswith(".model.part-") for path in tmp_path.iterdir()] == [True]
    with folders.new_folder(out) as partial:
        (partial / "whole").write_text("")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_moved_away_by_a_killed_command_comes_back(tmp_path: Path) -> None:
    (tmp_path / ".model.part-0.old").mkdir()
    (tmp_path / ".model.part-0.old" / "earlier").write_text("")
    with pytest.raises(ZeroDivisionError):
        interrupted(tmp_path / "model")
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["earlier"]


def summary(run: StoredRun, **changes: Any) -> dict[str, Any]:
    return {"status": "ok", "best_epoch": run.best_epoch, **{name: run.metrics[name] for name in METRICS}, **changes}


def test_a_repetition_is_identical_equivalent_or_refused(swept: Store) -> None:
    run = stored_run(swept, run_of(swept, "dnn", "fp32"))
    assert compared(run, summary(run), 360, "kernel").verdict == "identical"
    for changes in ({"test_loss": run.metrics["test_loss"] + 1e-9}, {"best_epoch": run.best_epoch + 1}):
        assert compared(run, summary(run, **changes), 360, "kernel").verdict == "equivalent, not identical"
    stored = round(360 * run.metrics["test_accuracy"])
    most = chance_difference(run, 360)
    found = compared(run, summary(run, test_accuracy=(stored - most) / 360), 360, "kernel")
    assert found.words() == (
        f"equivalent, not identical: {stored - most} of 360 test answers right, {most} fewer than the {stored} stored;"
        f" chance may make {most}"
    )
    with pytest.raises(MinarchError, match="cannot be repeated here"):
        compared(run, summary(run, test_accuracy=(stored - most - 1) / 360), 360, "kernel")
    with pytest.raises(MinarchError, match="cannot be repeated here"):
        compared(run, summary(run, status="diverged"), 360, "kernel")


def test_chance_goes_by_the_replicates_where_they_are_far_apart(swept: Store) -> None:
    run = stored_run(swept, run_of(swept, "dnn", "fp32"))
    metrics = {**run.metrics, "test_accuracy": 0.9}
    near, far = ((0.9,) * 5, (0.5, 0.9, 0.7, 0.8, 0.6))
    # Two independent draws of 360 answers, 0.1% two-sided: 3.29 x sqrt(2 x 0.9 x 0.1 / 360) x 360, rounded up.
    assert chance_difference(replace(run, metrics=metrics, others=near), 360) == 27
    # t of 4 degrees of freedom: 8.610 x sqrt(2) x 0.158 x 360.
    assert chance_difference(replace(run, metrics=metrics, others=far), 360) == 694
    assert chance_difference(replace(run, metrics=metrics, others=far[:4]), 360) == 27


def test_a_protocol_of_another_version_is_refused(swept: Store, tmp_path: Path) -> None:
    store = Store(tmp_path / "results.duckdb")
    shutil.copy(swept.path, store.path)
    import duckdb

    with duckdb.connect(str(store.path)) as connection:
        connection.execute('UPDATE protocols SET spec = json_merge_patch(spec, \'{"training": {"new": 1}}\')')
    said = fault(model(store, "--run", run_of(store, "dnn", "fp32"), "--out", tmp_path / "model"))
    assert "settings that this version of minarch does not know" in said
