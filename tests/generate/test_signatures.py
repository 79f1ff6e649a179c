"""Functions whose arguments a reader can hold in mind."""

from __future__ import annotations

import ast
from pathlib import Path

GENERATE = Path(__file__).parents[2] / "generate"
MOST_POSITIONAL = 6
COMPILED = {"kernel", "part", "inline", "njit", "intrinsic"}
"""Decorators of compiled code, which has neither keywords nor objects."""


def decorator_name(decorator: ast.expr) -> str:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return called.id if isinstance(called, ast.Name) else ""


def test_beyond_compiled_kernels_no_function_takes_more_than_six_positional_arguments() -> None:
    too_many, compiled = [], 0
    for path in sorted(GENERATE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef):
                continue
            positional = [a.arg for a in (*node.args.posonlyargs, *node.args.args) if a.arg not in ("self", "cls")]
            if COMPILED & {decorator_name(decorator) for decorator in node.decorator_list}:
                compiled += 1
            elif len(positional) > MOST_POSITIONAL:
                too_many.append(f"{path.relative_to(GENERATE)}: {node.name} takes {', '.join(positional)}")
    assert too_many == []
    assert compiled > 50
