"""The commands as functions: the same store, the same refusals."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import generate
from generate import model, search, sweep
from generate.calls import ArgumentError
from store.errors import MinarchError
from store.results import Store

SMALL: dict[str, Any] = {"family": "dnn", "depths": [1], "capacities": [1, 2], "epochs": 1, "repeats": 1, "workers": 1}


def test_the_public_names_are_listed_and_loaded_late() -> None:
    assert {"model", "search", "sweep"} <= set(dir(generate))
    code = "import sys, generate; assert not {'torch', 'click'} & set(sys.modules); print(sorted(generate.__all__))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['model', 'search', 'sweep']"


def test_modules_of_like_names_do_not_hide_them() -> None:
    import generate.driver
    import generate.sequential

    assert callable(generate.sweep)
    assert callable(generate.search)


def test_a_sweep_does_what_the_command_does(tmp_path: Path) -> None:
    store = sweep("convergence", store=tmp_path / "s.duckdb", **SMALL)
    assert store == tmp_path / "s.duckdb"
    assert Store(store).query("SELECT capacity FROM runs ORDER BY 1")["capacity"].to_list() == [1, 2]
    assert sweep("convergence", store=str(store), **SMALL) == store
    assert Store(store).query("SELECT count(*) FROM runs").item() == 2


@pytest.mark.parametrize(
    ("call", "options", "said"),
    [
        (search, {"max_drop": 3}, "3"),
        (search, {"repeats": 3}, "--repeats goes with sweeps"),
        (search, {"datasets": "mnist"}, "search has no option datasets; there is "),
        (sweep, {"dataset": "imagenet"}, "there is no dataset 'imagenet'"),
        (sweep, {"capacities": [0]}, "0"),
        (sweep, {"family": ["dnn", "rnn"]}, "'rnn' is not one of 'dnn', 'cnn', 'vit'"),
        (model, {"recommended": "yes"}, "recommended is True or False, not 'yes'"),
    ],
)
def test_what_the_command_refuses_is_refused(call: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        call(**options)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_a_phase_that_is_none() -> None:
    with pytest.raises(ArgumentError, match="'search' is no phase; there is all, shapes, convergence, quantization"):
        sweep("search")


def test_a_fault_is_the_store_s_own_error(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database")
    with pytest.raises(MinarchError, match="text"):
        sweep("convergence", store=tmp_path / "text", **SMALL)
