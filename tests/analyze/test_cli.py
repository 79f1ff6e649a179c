"""The command `analyze` as a user meets it."""

from __future__ import annotations

import inspect
import io
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl
import pytest

import analyze
import reports
import store as store_package
from analyze.arguments import OWN, RULES
from analyze.cli import main
from analyze.questions.costs import By
from analyze.questions.curves import Over
from analyze.questions.matched import Size
from store.errors import MinarchError
from tests import planted
from tests.analyze.shown import documented
from tests.cpu import children_seconds
from tests.planted_store import PlantedSweep, write


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    return write(
        tmp_path_factory.mktemp("planted") / "results.duckdb",
        PlantedSweep(accuracy=planted.digits(rng, 10).accuracy, capacities=planted.DIGITS_LADDER, dataset="digits"),
        PlantedSweep(accuracy=planted.all_dead(rng, 5).accuracy, dataset="fashion_mnist", depth=4),
        PlantedSweep(accuracy=planted.all_dead(rng, 3).accuracy, dataset="fashion_mnist", family="vit", depth=2),
    )


@dataclass(frozen=True)
class Done:
    """What a finished command left behind."""

    returncode: int
    stdout: bytes
    stderr: bytes


def call(*arguments: str | Path) -> Done:
    """Run the command in this process: starting another for every test takes too long."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["analyze", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
    for stream in (out, err):
        stream.flush()
    return Done(int(exit_.value.code or 0), _written(out), _written(err))


def _written(stream: io.TextIOWrapper) -> bytes:
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue()


def in_a_process(*arguments: str | Path) -> Done:
    command = [sys.executable, "-c", "from analyze.cli import main; main()", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


def test_table_fits_80_columns_and_is_plain_in_a_pipe(store: Path) -> None:
    done = in_a_process("regimes", "--store", store)
    assert done.returncode == 0
    text = done.stdout.decode()
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for word in ("digits", "fashion_mnist", "overfitting", "detected", "not_reached", "insufficient", "760"):
        assert word in text
    assert "--repeats 5" in " ".join(text.split())


def test_json_is_a_list_of_documented_objects(store: Path) -> None:
    done = call("regimes", "--store", store, "--dataset", "digits", "--format", "json")
    rows = json.loads(done.stdout)
    assert [row["boundary"] for row in rows] == ["stability", "overfitting"]
    assert rows[0]["capacity"] == 10
    assert set(rows[0]) == documented("regimes")


def test_csv_and_parquet_hold_the_same_rows(store: Path, tmp_path: Path) -> None:
    csv = pl.read_csv(io.BytesIO(call("regimes", "--store", store, "--format", "csv").stdout))
    out = tmp_path / "regimes.parquet"
    done = call("regimes", "--store", store, "--out", out)
    assert (done.returncode, done.stdout) == (0, b"")
    parquet = pl.read_parquet(out)
    assert csv.columns == parquet.columns
    assert csv["capacity"].to_list() == parquet["capacity"].to_list()


def test_the_ending_of_the_file_names_the_format(store: Path, tmp_path: Path) -> None:
    for name in ("regimes.json", "regimes.csv", "regimes.txt"):
        assert call("regimes", "--store", store, "--out", tmp_path / name).returncode == 0
    assert len(json.loads((tmp_path / "regimes.json").read_text())) == 6
    assert (tmp_path / "regimes.csv").read_text().startswith("dataset,family,depth,boundary")
    assert "not_reached" in (tmp_path / "regimes.txt").read_text()


def test_equal_seeds_print_equal_bytes(store: Path) -> None:
    outputs = {call("regimes", "--store", store, "--format", "json", "--seed", "3").stdout for _ in range(2)}
    assert len(outputs) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--dataset", "mnist"], 1, "of dataset 'mnist', only of digits, fashion_mnist"),
        (["--family", "cnn"], 1, "of family 'cnn', only of dnn, vit"),
        (["--family", "rnn"], 2, "'rnn' is not one of 'dnn', 'cnn', 'vit'"),
        (["--format", "xml"], 2, "'xml' is not one of 'table', 'json', 'csv', 'parquet'"),
        (["--format", "parquet"], 2, "--format parquet needs --out FILE"),
        (["--protocol", "none"], 1, "of protocol 'none', only of p1"),
        (["--seed", "-1"], 2, "-1 is not in the range x>=0"),
        (["--depth", "2"], 2, "No such option"),
        (["--out", "/no/such/folder/x.txt"], 1, "/no/such/folder"),
    ],
)
def test_wrong_input_is_one_line(store: Path, arguments: list[str], code: int, message: str) -> None:
    done = call("regimes", "--store", store, *arguments)
    complaint = done.stderr.decode()
    assert done.returncode == code
    assert message in complaint
    assert complaint.count("\n") == 1
    assert done.stdout == b""


ANALYSES: dict[str, Callable[..., Any]] = {
    name: getattr(analyze, name) for name in analyze.__all__ if inspect.isfunction(getattr(analyze, name))
}
OUT_OF_RANGE: dict[str, list[tuple[object, str]]] = {
    "family": [
        ("rnn", "'rnn' is not one of 'dnn', 'cnn', 'vit'"),
        (["dnn", "rnn"], "'rnn' is not one of"),
        (3, "name"),
    ],
    "dataset": [(3, "3 is not a name or a sequence of names"), ([3], "[3] is not a name")],
    "protocol": [(3, "3 is not a name"), (["p1"], "['p1'] is not a name")],
    "margin": [(value, f"{value} is not in the range 0<x<1") for value in (0.0, 3.0, -0.1, float("nan"))],
    "max_drop": [(value, f"{value} is not in the range 0<x<1") for value in (0.0, 3.0, float("inf"), float("nan"))],
    "min_accuracy": [(97.0, "97.0 is not in the range 0<x<1"), ("high", "'high' is not a valid float")],
    "max_parameters": [(0, "0 is not in the range x>=1"), (2.5, "2.5 is not a valid integer")],
    "max_bytes": [(-5, "-5 is not in the range x>=1"), (True, "True is not a valid integer")],
    "seed": [(-1, "-1 is not in the range x>=0"), (1.5, "1.5 is not a valid integer"), (None, "None is not")],
    "max_macs": [(0, "0 is not in the range x>=1"), ("1M", "'1M' is not a valid integer")],
    "max_ram": [(-1, "-1 is not in the range x>=1"), (1.5, "1.5 is not a valid integer")],
    "by": [("weights", "'weights' is not one of "), (None, "None is not a name")],
    "over": [("width", "'width' is not one of 'size', 'sparsity', 'precision', 'topology'")],
    "store": [(5, "5 is not a path")],
}


@pytest.mark.parametrize("name", ANALYSES)
def test_python_refuses_what_the_command_line_refuses(store: Path, name: str) -> None:
    taken = inspect.signature(ANALYSES[name]).parameters
    assert set(taken) <= set(RULES) == set(OUT_OF_RANGE)
    for argument in taken:
        for value, message in OUT_OF_RANGE[argument]:
            with pytest.raises(ValueError, match=f"^{argument}: ") as refused:
                ANALYSES[name](**{"store": store, argument: value})
            assert isinstance(refused.value, MinarchError)
            assert message in str(refused.value)
            assert "\n" not in str(refused.value)


def test_what_may_be_plotted_over_is_said_once() -> None:
    assert getattr(RULES["over"], "known", None) == get_args(Over)
    assert getattr(RULES["by"], "known", None) == get_args(By)
    assert getattr(OWN["prune_or_small"]["by"], "known", None) == get_args(Size)


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        ("recommend", "--max-drop", "3.0"),
        ("recommend", "--max-drop", "nan"),
        ("recommend", "--min-accuracy", "97.0"),
        ("recommend", "--max-bytes", "-5"),
        ("pruning", "--margin", "nan"),
        ("shapes", "--margin", "0.0"),
        ("power", "--margin", "1.0"),
        ("regimes", "--seed", "-1"),
        ("regimes", "--family", "rnn"),
    ],
)
def test_both_say_the_same_of_a_wrong_argument(store: Path, command: str, option: str, value: str) -> None:
    done = call(command, "--store", store, option, value)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
    argument = option.removeprefix("--").replace("-", "_")
    given: object = value if argument == "family" else int(value) if argument in ("seed", "max_bytes") else float(value)
    with pytest.raises(ValueError, match=argument) as refused:
        ANALYSES[command](store, **{argument: given})
    said = str(refused.value).removeprefix(f"{argument}: ")
    assert said in done.stderr.decode()


def test_what_a_store_lacks_is_said_alike(store: Path) -> None:
    for option, name in (("--dataset", "mnist"), ("--protocol", "none")):
        done = call("regimes", "--store", store, option, name)
        with pytest.raises(MinarchError) as refused:
            ANALYSES["regimes"](store, **{option[2:]: name})
        assert done.stderr.decode() == f"analyze: {refused.value}\n"


def test_names_of_the_package_are_listed() -> None:
    listed = [name for name in dir(analyze) if not name.startswith("_")]
    assert listed == sorted(analyze.__all__)
    assert all(getattr(analyze, name).__module__.startswith("analyze") for name in listed)
    for package in (store_package, reports):
        assert [name for name in dir(package) if not name.startswith("_")] == package.__all__
        assert all(getattr(package, name).__name__ == name for name in package.__all__)


def test_a_missing_store_is_one_line(tmp_path: Path) -> None:
    done = call("regimes", "--store", tmp_path / "none.duckdb")
    assert done.returncode == 1
    assert done.stderr.decode().count("\n") == 1


def test_an_empty_store_says_so_and_gives_an_empty_list(tmp_path: Path) -> None:
    path = write(tmp_path / "empty.duckdb")
    done = call("regimes", "--store", path, "--format", "json")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])
    assert b"holds no fp32 runs of equal widths yet" in done.stderr
    assert b"no results" in call("regimes", "--store", path).stdout


def test_help_is_quick_and_has_an_example() -> None:
    done = in_a_process("regimes", "--help")
    assert b"\n  Examples:\n    analyze regimes --dataset mnist --family dnn\n" in done.stdout
    assert children_seconds(lambda: in_a_process("regimes", "--help")) < 0.5
