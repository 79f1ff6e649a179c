"""docs/deploy.md: its Python runs, and what it says of C is what is measured."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from generate.deploy.c.sparse import CODE_BYTES, forms_of
from tests.deploy.conftest import Train
from tests.deploy.test_c import STRICT, needs_compiler

PAGE = (Path(__file__).parent.parent.parent / "docs" / "deploy.md").read_text(encoding="utf-8")


@needs_compiler
def test_its_python_runs(trained: Train, tmp_path: Path) -> None:
    example = trained("cnn", 6)
    names = {name: getattr(example, name) for name in ("protocol", "parameters", "quantizers", "image", "images")}
    known: dict[str, object] = {**names, "folder": tmp_path}
    blocks = re.findall(r"^```py\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(block, known)
    assert known["found"].answers.tolist() == known["levels"].argmax(1).tolist()  # type: ignore[attr-defined]


def test_its_compiler_flags_are_those_that_are_tried() -> None:
    flags = re.findall(r"`(-std=c99 -W[^`]*)`", PAGE)[0].split()
    assert set(flags) <= set(STRICT)


@pytest.mark.parametrize(("form", "parts"), [("bitmask", (4, 1 / 8, 0)), ("deltas", (5, 0, 2))])
def test_its_bytes_are_those_of_the_forms(form: str, parts: tuple[float, float, float]) -> None:
    weights = np.zeros((12, 100), np.float32)
    weights.flat[::7] = 1
    forms = forms_of(weights, 0)
    per_weight, per_place, per_row = parts
    expected = per_weight * 172 + per_place * 1200 + per_row * 12
    assert forms[form].size == expected  # type: ignore[index]
    assert f"{CODE_BYTES['bitmask']} and {CODE_BYTES['deltas']} bytes at most" in PAGE
