"""What is recorded of a call: enough to give it again from anywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from generate.datasets import Dataset
from generate.plan import Request
from generate.provenance import new_invocation, request_spec


def test_a_request_is_recorded_with_absolute_folders(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    request = Request(phase="convergence", datasets=("mine",), families=("dnn",), capacities=(1, 2), data_dir=Path("d"))
    recorded = new_invocation(request_spec(request, [("mine", digits), ("digits", digits)])).request
    assert recorded is not None
    spec = json.loads(recorded)
    assert [entry["source"] for entry in spec["datasets"]] == [str(tmp_path / "mine"), "digits"]
    assert {entry["fingerprint"] for entry in spec["datasets"]} == {digits.fingerprint}
    assert spec["settings"] == []
    assert (spec["phase"], spec["families"], spec["capacities"]) == ("convergence", ["dnn"], [1, 2])
    assert (spec["data_dir"], spec["sparsities"], spec["epochs"]) == (str(tmp_path / "d"), None, None)


def test_how_networks_are_pruned_is_recorded_where_it_was_asked_for(digits: Dataset) -> None:
    asked = Request(phase="all", prune_by=("magnitude", "units"), finetune=5, finetune_sparsities=(0.8,))
    names = ("prune_by", "finetune", "finetune_sparsities", "finetune_by")
    spec, plain = (request_spec(request, [("digits", digits)]) for request in (asked, Request(phase="all")))
    assert [spec[name] for name in names] == [("magnitude", "units"), 5, (0.8,), None]
    assert [plain[name] for name in names] == [None] * 4


def test_settings_are_recorded_with_their_families(digits: Dataset) -> None:
    request = Request(phase="convergence", settings=("stride=2", "vit.blocks=3", "learning_rate=0.01"))
    spec = request_spec(request, [("digits", digits)])
    assert spec["settings"] == [
        "cnn.stride=2",
        "vit.blocks=3",
        "dnn.learning_rate=0.01",
        "cnn.learning_rate=0.01",
        "vit.learning_rate=0.01",
    ]


def test_precisions_are_recorded_where_they_are_not_the_usual(digits: Dataset) -> None:
    usual, few = (
        request_spec(request, [("digits", digits)])["precisions"]
        for request in (Request(phase="all"), Request(phase="all", precisions=("int8", "w4a8")))
    )
    assert (usual, few) == (None, ("int8", "w4a8"))


def test_a_folder_that_leads_back_to_itself_is_recorded_as_it_is(digits: Dataset, tmp_path: Path) -> None:
    round_ = tmp_path / "round"
    round_.symlink_to(round_)
    spec = request_spec(Request(phase="convergence", data_dir=round_), [("digits", digits)])
    assert spec["data_dir"] == str(round_)
