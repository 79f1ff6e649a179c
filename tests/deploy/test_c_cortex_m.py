"""Networks as C on an emulated Cortex-M: the same answers and logits as on this machine, and what they take."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from generate.deploy.c import Footprint, compile_and_run, emulate, footprint, write_c
from generate.deploy.c.cortex_m import COMPILER, EMULATOR, Core
from generate.deploy.integer import run
from tests.deploy.conftest import Train
from tests.deploy.test_c import floats, integers, pruned

MISSING = [tool for tool in (COMPILER, EMULATOR) if shutil.which(tool) is None]
needs_tools = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")


@needs_tools
@pytest.mark.parametrize(
    ("family", "sizes", "share"), [("dnn", (50, 50), 0.0), ("dnn", (50, 50), 0.9), ("cnn", (6,), 0.0)]
)
def test_integers_are_the_references_on_a_cortex_m3(
    family: str, sizes: tuple[int, ...], share: float, trained: Train, tmp_path: Path
) -> None:
    example = pruned(trained(family, *sizes), share)
    network = integers(example)
    write_c(network, tmp_path)
    found = emulate(tmp_path, example.images)
    assert found.reason == ""
    assert found.answers is not None
    expected = run(network, example.images)
    np.testing.assert_array_equal(found.logits, expected)
    np.testing.assert_array_equal(found.answers, expected.argmax(1))


@needs_tools
@pytest.mark.parametrize(("core", "precision"), [("cortex-m3", "fp32"), ("cortex-m4f", "fp32"), ("cortex-m4f", "int8")])
def test_floats_are_those_of_this_machine_bit_for_bit(
    core: Core, precision: str, trained: Train, tmp_path: Path
) -> None:
    example = trained("vit", 8, precision=precision, epochs=5)
    write_c(floats(example), tmp_path)
    here, there = compile_and_run(tmp_path, example.images[:60]), emulate(tmp_path, example.images[:60], core)
    assert here.reason == there.reason == ""
    np.testing.assert_array_equal(there.logits, here.logits)
    np.testing.assert_array_equal(there.answers, here.answers)


@needs_tools
def test_what_a_network_takes(trained: Train, tmp_path: Path) -> None:
    """Flash holds the weights, RAM the levels of the image beside those of the layer that is largest with it."""
    example = trained("dnn", 50, 50)
    write_c(integers(example), tmp_path)
    dense = footprint(tmp_path)
    assert isinstance(dense, Footprint)
    constants = 64 * 50 + 50 * 50 + 50 * 10 + 4 * 110 + 256
    assert constants + 300 < dense.flash < constants + 1000
    assert 64 + 50 <= dense.ram < 64 + 50 + 4
    assert 0 < dense.stack < 200
    write_c(integers(pruned(example, 0.9)), tmp_path)
    sparse = footprint(tmp_path)
    assert isinstance(sparse, Footprint)
    assert sparse.flash < constants + 1000 - 0.75 * (64 * 50 + 50 * 50 + 50 * 10)


def test_missing_tools_are_named(trained: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = trained("cnn", 6)
    write_c(integers(example), tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert footprint(tmp_path) == "arm-none-eabi-gcc is not on the path"
    found = emulate(tmp_path, example.images)
    assert (found.answers, found.reason) == (None, "arm-none-eabi-gcc is not on the path")
