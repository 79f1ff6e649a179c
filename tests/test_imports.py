"""Data flows one way, and so do imports: generate -> store <- analyze <- reports."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from tests.reports.planted import plant

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "store": {"store"},
    "generate": {"generate", "store"},
    "analyze": {"analyze", "store"},
    "reports": {"reports", "analyze", "store"},
}
MODULES = {"scikit-learn": "sklearn", "pillow": "PIL", "vl-convert-python": "vl_convert"}
"""Distributions whose module has another name."""
NOT_IMPORTED = {"dask_jobqueue"}
"""Dependencies of product code that it does not import: the user's own module starts the cluster with it."""
HEAVY = {"torch", "torchvision", "numba", "llvmlite", "sklearn", "PIL"}


@cache
def imported_packages(path: Path) -> frozenset[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return frozenset(found)


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_point_one_way(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        crossing = imported_packages(path) & set(ALLOWED) - ALLOWED[package]
        assert not crossing, f"{path.relative_to(ROOT)} imports {crossing}"


def literals(path: Path) -> list[str]:
    """Return the text constants of a module, those inside f-strings too, without its docstrings."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    documentation = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    return [
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation
    ]


ADVICE = re.compile(r"--[a-z]|\bgenerate\b|\bruns? (with|more|larger|`)|: run\b")


@pytest.mark.parametrize("advice", ["5 of 9: run with --repeats 9", "run larger sizes", "`generate shapes`", "a: run "])
def test_advice_is_seen(advice: str, tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(f'"""Docstring."""\nn = 9\nreason = f"{advice}{{n}}"\n')
    assert [bool(ADVICE.search(text)) for text in literals(module)] == [True]


def test_estimators_leave_advice_to_the_wording() -> None:
    paths = sorted((ROOT / "analyze" / "stats").rglob("*.py"))
    assert paths
    found = [(path.name, text) for path in paths for text in literals(path) if ADVICE.search(text)]
    assert found == []
    assert not [path.name for path in paths if re.search(r"`generate |--[a-z]", path.read_text())]


TEXTS = {"reason", "reasons", "detail", "explanation", "command", "to_test", "remark", "note", "text", "title", "unit"}
READING = {"startswith", "endswith", "find", "search", "match", "fullmatch", "findall"}


def decisions_on_texts(path: Path) -> list[int]:
    """Return the lines of a module that look for something in a text: `"x" in row.reason`, `unit.startswith("x")`."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in READING:
            found.append(node.lineno)
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
            names = {part.attr for part in ast.walk(node.comparators[0]) if isinstance(part, ast.Attribute)}
            names |= {part.id for part in ast.walk(node.comparators[0]) if isinstance(part, ast.Name)}
            if isinstance(node.left, ast.Constant) and names & TEXTS:
                found.append(node.lineno)
    return found


@pytest.mark.parametrize(
    "line", ['if "at chance" in row.reason: ...', 'if "x" not in (detail or ""): ...', 'if unit.startswith("x"): ...']
)
def test_a_decision_on_a_text_is_seen(line: str, tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(line)
    assert decisions_on_texts(module) == [1]


@pytest.mark.parametrize("package", ["analyze", "reports"])
def test_no_decision_hangs_on_the_words_of_a_text(package: str) -> None:
    for path in sorted((ROOT / package).rglob("*.py")):
        assert decisions_on_texts(path) == [], path.relative_to(ROOT)


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


def without_training(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program where nothing of the extra `train` can be imported, as if it were not installed."""
    code = f"""
import sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {sorted(HEAVY)!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, NotInstalled())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in {sorted(HEAVY)!r} else found(name, package)
from {program}.cli import main
main()
"""
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT)


def test_results_are_read_analysed_and_drawn_without_the_training_extra(tmp_path: Path) -> None:
    path = tmp_path / "planted.duckdb"
    plant(path)
    page = tmp_path / "report.html"
    for program, *arguments in (
        ("store", "info"),
        ("analyze", "regimes"),
        ("reports", "render", "--no-claims", "--out", str(page)),
    ):
        done = without_training(program, *arguments, "--store", str(path))
        assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
    text = page.read_text()
    assert text.index('id="panel-digits-dnn"') < text.index("</html>")


def test_training_says_what_is_not_installed(tmp_path: Path) -> None:
    done = without_training("generate", "convergence", "--store", str(tmp_path / "new.duckdb"))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "generate: training needs torch, torchvision, numba, scikit-learn, pillow: pip install 'minarch[train]'"
    ]


def declared(*extras: str) -> set[str]:
    """Return the modules that pyproject.toml declares, or those of some of its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["optional-dependencies"][extra] for extra in extras] or [project["dependencies"]]
    names = {re.split(r"[<>=!~;\[ ]", line)[0] for requirements in lists for line in requirements}
    return {MODULES.get(name, name.replace("-", "_")) for name in names}


def imported(*folders: str) -> set[str]:
    """Return the modules of others that the code of some folders imports."""
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return set[str]().union(*map(imported_packages, files)) - sys.stdlib_module_names - {"_typeshed", *ALLOWED}


def test_every_import_is_declared() -> None:
    for package in ("store", "analyze", "reports"):
        assert imported(package) <= declared(), package
    assert imported("generate") <= declared() | declared("train", "cluster", "deploy")


def test_every_declared_dependency_is_imported() -> None:
    assert declared() <= imported(*ALLOWED)
    assert declared("train", "cluster", "deploy") - NOT_IMPORTED <= imported("generate")
    assert declared("bench") <= imported("benchmarks")
    assert not NOT_IMPORTED & imported(*ALLOWED)


def test_statistics_are_those_of_the_chosen_libraries() -> None:
    assert {"ruptures", "scipy", "statsmodels"} <= imported("analyze/stats")
