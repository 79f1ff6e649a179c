"""The pages of `docs/`: their command lines parse, their links lead somewhere, their picture is small."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

import analyze.cli
import generate.cli
import reports.cli
import store.cli

ROOT = Path(__file__).parent.parent.parent
PAGES = ("tutorial.md", "cli.md", "index.md")
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
    blocks = re.findall(
        r"^```\n(.*?)^```", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return [line for block in blocks for line in block.splitlines() if line.split(" ")[0] in PROGRAMS]


def parse(line: str) -> None:
    """Parse a command line without running it, as click does.

    Raises:
        click.UsageError: it has an unknown command or option, or a wrong value.
    """
    program, *arguments = shlex.split(line, comments=True)
    command: click.Command = PROGRAMS[program]
    context = click.Context(command, info_name=program)
    while isinstance(command, click.Group):
        name, found, arguments = command.resolve_command(context, arguments)
        assert name is not None
        assert found is not None
        command = found
        context = click.Context(command, info_name=name, parent=context)
    command.parse_args(context, arguments)


@pytest.mark.parametrize("line", [line for page in PAGES for line in lines(page)])
def test_command_lines_parse(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    parse(line)


def test_the_tutorial_has_every_program_that_it_needs() -> None:
    assert {line.split()[0] for line in lines("tutorial.md")} == {"generate", "analyze", "reports"}
    assert len(lines("tutorial.md")) >= 7


def test_a_wrong_line_does_not_parse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(click.UsageError):
        parse("analyze regimes --colour red")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(((?!http)[^)#]+)", text):
        assert (ROOT / "docs" / target).exists(), target


def test_the_picture_is_small() -> None:
    assert (ROOT / "docs" / "report.png").stat().st_size < 300_000
