"""The README and the pages of `docs/`: their commands and Python run, their links lead somewhere.

Everything runs as it stands, in a folder with a planted store, but `generate`: training MNIST takes hours, so its
lines are parsed as they stand and run on digits, two widths of one layer, one replicate, two epochs. The SQL of
`store.md` runs in the store's tests.
"""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import analyze.cli
import generate.cli
import reports.cli
import store.cli
from store.results import Store
from tests.reports.planted import plant

ROOT = Path(__file__).parent.parent.parent
PAGES = ("README.md", "docs/tutorial.md", "docs/cli.md", "docs/store.md", "docs/index.md")
REDUCED = "--epochs 2 --repeats 1 --capacities 1,2 --depths 1 --family dnn"
SEARCHED = "--epochs 2 --capacities 2,4,6,8,10 --depths 1 --family dnn --looks 2,3 --max-drop 50%"
TRAINED = {"all": ("fp32", "int8"), "shapes": ("fp32",), "convergence": ("fp32",), "quantization": ("int8",)}
"""The precisions that every phase trains in."""
PROGRAMS = {
    program: next(value for value in vars(module).values() if isinstance(value, click.Group))
    for program, module in {
        "generate": generate.cli,
        "analyze": analyze.cli,
        "reports": reports.cli,
        "store": store.cli,
    }.items()
}


def lines(page: str) -> list[str]:
    """Return the command lines of a page's code blocks."""
    blocks = re.findall(r"^```\n(.*?)^```", _text(page), re.MULTILINE | re.DOTALL)
    found = [line for block in blocks for line in block.splitlines() if line.split(" ")[0] in PROGRAMS]
    return [shlex.join(shlex.split(line, comments=True)) for line in found]


def mentioned(page: str) -> list[str]:
    """Return the command lines with options that a page mentions in its text."""
    return re.findall(rf"`((?:{'|'.join(PROGRAMS)}) [a-z-]+ [^`|]*--[^`|<]*)`", _text(page).replace("\n", " "))


def _text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder such as a reader of the pages has: a store with the datasets that they name, and one for the data."""
    place = tmp_path_factory.mktemp("reader")
    (place / "data").mkdir()
    plant(
        place / "results.duckdb",
        datasets=("digits", "mnist", "fashion_mnist"),
        replicates=5,
        epochs=3,
        pruning=True,
        quantization=True,
    )
    return place


def parse(line: str) -> None:
    """Parse a command line without running it, as click does.

    Raises:
        click.UsageError: it has an unknown command or option, or a wrong value.
    """
    program, *arguments = shlex.split(line)
    command: click.Command = PROGRAMS[program]
    context = click.Context(command, info_name=program)
    while isinstance(command, click.Group):
        name, found, arguments = command.resolve_command(context, arguments)
        assert name is not None
        assert found is not None
        command = found
        context = click.Context(command, info_name=name, parent=context)
    command.parse_args(context, arguments)


PARSED = (*PAGES, "docs/deploy.md")


@pytest.mark.parametrize("line", dict.fromkeys(line for page in PARSED for line in [*lines(page), *mentioned(page)]))
def test_command_lines_parse(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    parse(line)


@pytest.mark.parametrize(
    "line", dict.fromkeys(line for page in PAGES for line in lines(page) if not line.startswith("generate"))
)
def test_command_lines_run(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    program, *arguments = shlex.split(line)
    result = CliRunner().invoke(PROGRAMS[program], arguments)
    assert result.exit_code == 0, result.output
    if "--out" in arguments:
        assert (folder / arguments[arguments.index("--out") + 1]).stat().st_size > 0
    else:
        words = re.findall(r"\w+", result.stdout)
        assert any(word.isdecimal() for word in words), result.stdout
        assert "no results" not in result.stdout
        for option, value in pairwise(arguments):
            if option in ("--dataset", "--family"):
                assert value in words, f"{value} is not in what {line} prints"


TRAININGS = list(
    dict.fromkeys(
        line
        for page in PAGES
        for line in lines(page)
        # A model is of runs that were really trained: tests/deploy makes some.
        if line.startswith("generate") and not line.startswith("generate model")
    )
)
SEARCHES = [line for line in TRAININGS if line.startswith("generate search")]


@pytest.mark.parametrize(
    "line", [pytest.param(line, marks=pytest.mark.slow if line in SEARCHES[1:] else ()) for line in TRAININGS]
)
def test_training_runs_reduced(line: str, folder: Path, tmp_path: Path) -> None:
    options = SEARCHED if line.startswith("generate search") else REDUCED
    reduced = re.sub(r"--dataset \S+", "--dataset digits", f"{line} {options} --store {tmp_path / 'reduced.duckdb'}")
    _, *arguments = shlex.split(reduced)
    if "plan" not in arguments:
        arguments += ["--workers", "1"]
    done = subprocess.run(
        [str(Path(sys.executable).parent / "generate"), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if "search" in arguments:
        sizes = Store(tmp_path / "reduced.duckdb").query("SELECT DISTINCT capacity FROM runs ORDER BY ALL")["capacity"]
        assert {2, 4, 6, 8, 10} <= set(sizes)
        assert "digits" in done.stdout
        return
    phase = next(word for word in arguments if word in TRAINED)
    if "plan" in arguments:
        assert done.stdout.startswith("2 cells, 2 distinct models with replicates; 0 of them are stored\n")
        return
    trained = (
        Store(tmp_path / "reduced.duckdb").query("SELECT precision, capacity, epochs FROM runs ORDER BY ALL").rows()
    )
    assert trained == [(precision, capacity, 2) for precision in TRAINED[phase] for capacity in (1, 2)]


@pytest.mark.parametrize("page", PAGES)
def test_python_examples_run(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", _text(page), re.MULTILINE | re.DOTALL)):
        example = folder / f"{Path(page).stem}_{number}.py"
        example.write_text(block, encoding="utf-8")
        runpy.run_path(str(example))


def test_the_tutorial_has_every_program_that_it_needs() -> None:
    assert {line.split()[0] for line in lines("docs/tutorial.md")} == {"generate", "analyze", "reports"}
    assert len(lines("docs/tutorial.md")) >= 7


def test_a_wrong_line_does_not_parse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(click.UsageError):
        parse("analyze regimes --colour red")


@pytest.mark.parametrize("page", PARSED)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(((?!http)[^)#]+)", _text(page)):
        assert ((ROOT / page).parent / target).exists(), target


def test_the_picture_is_small() -> None:
    assert (ROOT / "docs" / "report.png").stat().st_size < 300_000
