"""The command `analyze` as a user meets it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from analyze.cli import main
from tests import planted
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
    documented = (Path(__file__).parents[2] / "docs" / "method.md").read_text()
    assert [row["boundary"] for row in rows] == ["stability", "overfitting"]
    assert rows[0]["capacity"] == 10
    for field in rows[0]:
        assert f"`{field}`" in documented


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
    fastest = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        done = in_a_process("regimes", "--help")
        fastest = min(fastest, time.perf_counter() - started)
    assert b"Example" in done.stdout
    assert fastest < 0.5
