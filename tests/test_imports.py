"""Data flows one way, and so do imports: generate -> store <- analyze <- reports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "store": {"store"},
    "generate": {"generate", "store"},
    "analyze": {"analyze", "store"},
    "reports": {"reports", "analyze", "store"},
}
HEAVY = {"torch", "torchvision", "numba"}


def imported_packages(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_point_one_way(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        crossing = imported_packages(path) & set(ALLOWED) - ALLOWED[package]
        assert not crossing, f"{path.relative_to(ROOT)} imports {crossing}"


@pytest.mark.parametrize("package", ["analyze", "reports", "store"])
def test_only_generate_needs_torch(package: str) -> None:
    for path in sorted((ROOT / package).rglob("*.py")):
        assert not imported_packages(path) & HEAVY, path.relative_to(ROOT)


@pytest.mark.parametrize("program", ["generate", "analyze", "store", "reports"])
def test_help_loads_nothing_heavy(program: str) -> None:
    slow = {"torch", "polars", "duckdb", "scipy", "statsmodels", "altair", "numba", "ruptures"}
    code = f"import sys, {program}.cli; print(*sorted({slow!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []
