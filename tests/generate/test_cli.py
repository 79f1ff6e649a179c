from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

from generate.cli import generate
from generate.datasets import DATASETS
from store.results import Store
from tests.cpu import children_seconds

PROGRAM = Path(sys.executable).parent / "generate"


def call(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *arguments], cwd=folder, capture_output=True, text=True, timeout=120)


WRONG = {
    ("all", "--dataset", "imagenet"): "digits",
    ("all", "--family", "rnn"): "'dnn', 'cnn', 'vit'",
    ("all", "--capacities", "0"): "whole numbers from 1 to 10000",
    ("all", "--capacities", "1,x"): "whole numbers from 1 to 10000",
    ("all", "--capacities", ""): "whole numbers from 1 to 10000",
    ("all", "--depths", "0,1"): "whole numbers from 1 to 6",
    ("all", "--depths", "7"): "whole numbers from 1 to 6",
    ("all", "--epochs", "0"): "1<=x<=10000",
    ("all", "--epochs", "ten"): "not a valid integer",
    ("all", "--repeats", "-1"): "whole number from 1 to 1000, nor auto",
    ("shapes", "--repeats", "seven"): "'seven' is not a whole number from 1 to 1000, nor auto",
    ("shapes", "--for", "claims"): "--for goes with --repeats auto",
    ("convergence", "--repeats", "5", "--max-drop", "2%"): "--max-drop goes with --repeats auto",
    ("quantization", "--budget", "2h"): "--budget goes with --repeats auto",
    ("plan", "all", "--looks", "5,10"): "--looks goes with --repeats auto",
    ("all", "--repeats", "auto", "--for", "fun"): "'answer', 'claims'",
    ("all", "--repeats", "auto", "--looks", "10"): "takes two numbers of replicates or more",
    ("all", "--repeats", "auto", "--max-drop", "150%"): "is not a share between 0 and 1",
    ("all", "--repeats", "auto", "--executor", "dask"): "--scheduler ADDRESS",
    ("search", "--repeats", "auto"): "--repeats goes with sweeps; a search decides it by itself",
    ("all", "--patience", "0"): "1<=x<=10000",
    ("all", "--sparsities", "0.5,1.1"): "numbers from 0 to 1",
    ("all", "--sparsities", "nan"): "numbers from 0 to 1",
    ("all", "--precision", "int1"): "'int1' is not a list of int8, int4, int2, w4a8, w2a8, separated by commas",
    ("quantization", "--precision", "int8,w9a8"): "is not a list of int8, int4, int2, w4a8, w2a8, separated by commas",
    ("plan", "all", "--precision", "fp32"): "is not a list of int8, int4, int2, w4a8, w2a8, separated by commas",
    ("all", "--precision", ""): "is not a list of int8, int4, int2, w4a8, w2a8, separated by commas",
    ("plan", "convergence", "--precision", "int4"): "--precision goes with the phases all and quantization",
    ("convergence", "--precision", "int4"): "generate convergence takes",
    ("all", "--precision", "int8,int4", "--repeats", "auto"): "--repeats auto decides about int8 alone",
    ("all", "--prune-by", "size"): "'size' is not a list of magnitude, random, layerwise, units, separated by commas",
    ("all", "--prune-by", ""): "is not a list of magnitude, random",
    ("convergence", "--finetune", "-1"): "1<=x<=10000",
    ("convergence", "--finetune", "0"): "1<=x<=10000",
    ("all", "--finetune", "5", "--finetune-sparsities", "0.5,1"): "numbers above 0 and below 1, separated by commas",
    ("all", "--finetune", "5", "--finetune-sparsities", "0"): "numbers above 0 and below 1",
    ("all", "--finetune", "5", "--finetune-sparsities", "nan"): "numbers above 0 and below 1",
    ("all", "--finetune-sparsities", "0.5"): "--finetune-sparsities goes with --finetune EPOCHS",
    ("all", "--prune-by", "random", "--finetune-by", "random"): "--finetune-by goes with --finetune EPOCHS",
    ("all", "--finetune", "5", "--finetune-by", "norm"): "'norm' is not a list of magnitude, random, layerwise, units",
    ("quantization", "--finetune", "5"): "--finetune goes with phases that train in fp32",
    ("search", "--finetune", "5"): "--finetune goes with sweeps; a search decides it by itself",
    ("all", "--workers", "0"): "1<=x<=1024",
    ("all", "--seed", "-3"): "0<=x<=4294967295",
    ("all", "--engine", "jax"): "'auto', 'kernel', 'torch'",
    ("all", "--compute", "fp8"): "'float32', 'bf16'",
    ("all", "--integer-check", "-1"): "0<=x<=1000",
    ("all", "--device", "tpu"): "'cpu', 'cuda'",
    ("all", "--executor", "slurm"): "'local', 'dask'",
    ("all", "--executor", "dask"): "--scheduler ADDRESS",
    ("all", "--scheduler", "tcp://localhost:1"): "--executor dask",
    ("all", "--store", "."): "is a directory",
    ("all", "--data-dir", "file"): "is a file",
    ("all", "--compare"): "generate all takes",
    ("all", "extra"): "unexpected extra argument",
    ("shapes", "--family", "cnn"): "the shapes phase has the family dnn only",
    ("convergence", "--family", "vit", "--depths", "2"): "--depths goes with the family dnn",
    ("plan", "everything"): "'all', 'shapes', 'convergence', 'quantization'",
    ("fly",): "all, array, convergence, model, plan, quantization, search, shapes, work",
}


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = call(*arguments, folder=tmp_path)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert WRONG[arguments] in done.stderr
    assert done.stderr.startswith("generate: ")
    assert not done.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]


def test_an_unknown_dataset_is_answered_with_the_known(tmp_path: Path) -> None:
    message = call("all", "--dataset", "imagenet", folder=tmp_path).stderr
    assert all(name in message for name in DATASETS)
    assert "paper" in message


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("all", "--dataset", "mnist", "--data-dir", "nowhere"), "nowhere"),
        (("all", "--store", "text"), "text"),
        (("all", "--store", "text/s.duckdb"), "text"),
    ],
)
def test_faults_at_run_time_are_one_line_and_exit_code_1(
    arguments: tuple[str, ...], expected: str, tmp_path: Path
) -> None:
    (tmp_path / "text").write_text("no database")
    done = call(*arguments, folder=tmp_path)
    assert done.returncode == 1, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert expected in done.stderr
    assert (tmp_path / "text").read_text() == "no database"


def test_networks_are_pruned_and_trained_on_as_asked_once(tmp_path: Path) -> None:
    store = tmp_path / "s.duckdb"
    sweep = ("convergence", "--family", "dnn", "--capacities", "4", "--depths", "1", "--epochs", "1", "--repeats", "1")
    cuts = ("--sparsities", "0.5", "--prune-by", "units", "--finetune", "2", "--finetune-sparsities", "0.7,0.3")
    for expected in ("1 model trained", "nothing to do", "1 of them are stored, which keep the rows of pruning"):
        words = ("plan", *sweep) if "which" in expected else (*sweep, "--workers", "1")
        done = call(*words, *cuts, "--finetune-by", "random,units", "--store", str(store), folder=tmp_path)
        assert expected in done.stdout, done.stderr
    assert Store(store).query("SELECT method, finetune_epochs, sparsity, nonzero FROM pruning ORDER BY ALL").rows() == [
        ("magnitude", 0, 0.0, 296),
        ("magnitude", 0, 0.5, 148),
        ("random", 2, 0.3, 207),
        ("random", 2, 0.7, 89),
        ("units", 0, 0.0, 296),
        ("units", 0, 0.5, 148),
        ("units", 2, 0.3, 222),
        ("units", 2, 0.7, 74),
    ]


def test_plan_counts_the_papers_design(tmp_path: Path) -> None:
    done = call("plan", "shapes", "--capacities", "1,2", "--repeats", "1", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "80 cells, " in done.stdout
    assert not list(tmp_path.iterdir())


def test_without_a_command_the_help_is_shown(tmp_path: Path) -> None:
    done = call(folder=tmp_path)
    assert done.returncode == 2
    assert "convergence" in done.stderr


def test_every_command_has_help_with_an_example() -> None:
    assert isinstance(generate, click.Group)
    for name, command in generate.commands.items():
        assert command.help, name
        assert f"  generate {name}" in command.help


def test_help_starts_at_once(tmp_path: Path) -> None:
    assert call("all", "--help", folder=tmp_path).returncode == 0
    assert children_seconds(lambda: call("all", "--help", folder=tmp_path)) < 1.0


def test_images_too_small_for_a_convolution_are_refused(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for part in ("train", "test"):
        for label in ("a", "b"):
            folder = tmp_path / "tiny" / part / label
            folder.mkdir(parents=True)
            for number in range(6):
                pixels = generator.integers(0, 256, (2, 5), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    refused = call("convergence", "--dataset", "tiny", "--family", "cnn", folder=tmp_path)
    assert refused.returncode == 1
    assert "at least 3 x 3 pixels" in refused.stderr
    planned = call("plan", "convergence", "--dataset", "tiny", "--family", "dnn", "--engine", "torch", folder=tmp_path)
    assert planned.returncode == 0, planned.stderr
