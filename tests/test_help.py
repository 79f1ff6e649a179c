"""What `--help` says of every command of the four programs: clean text, examples that parse, one wording per option."""

from __future__ import annotations

import re
import shlex
import unicodedata

import click
import pytest
from click.testing import CliRunner

import analyze.cli
import generate.cli
import reports.cli
import store.cli
from store import console

PROGRAMS: dict[str, click.Group] = {
    "generate": generate.cli.generate,
    "analyze": analyze.cli.analyze,
    "reports": reports.cli.cli,
    "store": store.cli.group,
}
COMMANDS = [(program, name) for program, group in PROGRAMS.items() for name in group.commands]


def help_of(program: str, *command: str) -> str:
    result = CliRunner().invoke(PROGRAMS[program], [*command, "--help"], prog_name=program)
    assert result.exit_code == 0
    return result.output


def examples(text: str) -> list[str]:
    """Return the command lines under `Example:` or `Examples:`."""
    found = re.search(r"^  Examples?:\n((?:    \S.*\n)+)", text, re.MULTILINE)
    return [line.strip() for line in found[1].splitlines()] if found else []


def entry(text: str, option: str) -> str | None:
    """Return what stands beside an option, on one line, whatever the width of the column."""
    found = re.search(rf"^  {option} (.*\n(?:          .*\n)*)", text, re.MULTILINE)
    return " ".join(found[1].split()) if found else None


def parse(line: str) -> None:
    """Parse a command line as click does, without running it."""
    program, *arguments = shlex.split(line)
    context = click.Context(PROGRAMS[program], info_name=program)
    name, command, arguments = PROGRAMS[program].resolve_command(context, arguments)
    assert command is not None
    command.make_context(name, arguments, parent=context)


@pytest.mark.parametrize(("program", "command"), [*COMMANDS, *((program, "") for program in PROGRAMS)])
def test_help_is_clean_and_its_examples_parse(program: str, command: str) -> None:
    text = help_of(program, *command.split())
    strays = {character for character in text if character == "\\" or unicodedata.category(character) == "Cc"}
    assert strays <= {"\n"}
    assert max(map(len, text.splitlines())) <= 80
    shown = examples(text)
    assert shown
    for line in shown:
        assert line == f"{program} {command}".strip() or line.startswith(f"{program} {command}".rstrip() + " ")
        parse(line)


def test_store_has_the_same_words_in_every_command() -> None:
    entries = {(program, name): entry(help_of(program, name), "--store") for program, name in COMMANDS}
    without = [command for command, found in entries.items() if found is None]
    assert without == [("generate", "work"), ("generate", "array")]  # Shards know no store.
    assert set(entries.values()) - {None} == {
        "FILE The results store. [env var: MINARCH_STORE; default: results.duckdb]"
    }


OF_A_DESIGN = ("--dataset", "--family", "--protocol")
"""What `analyze next` is not asked: its design says it."""


@pytest.mark.parametrize(
    ("option", "commands"),
    [
        ("--dataset", {"analyze", "reports render", "reports open"}),
        ("--family", {"analyze", "reports render", "reports open"}),
        ("--protocol", {"analyze", "reports"}),
        ("--format", {"analyze", "store sql"}),
        ("--out", {"analyze", "store sql"}),
    ],
)
def test_an_option_that_several_commands_have_has_the_same_words(option: str, commands: set[str]) -> None:
    entries = {
        entry(help_of(program, name), option)
        for program, name in COMMANDS
        if commands & {program, f"{program} {name}"} and not (name == "next" and option in OF_A_DESIGN)
    }
    assert len(entries) == 1, entries
    assert None not in entries


@pytest.mark.parametrize(
    ("command", "refused"),
    [
        ("search", ("--repeats", "--sparsities", "--integer-check", "--prune-by", "--finetune", "--finetune-by")),
        ("quantization", ("--prune-by", "--finetune", "--finetune-sparsities", "--finetune-by")),
        ("convergence", ()),
    ],
)
def test_help_lists_no_option_that_the_command_refuses(command: str, refused: tuple[str, ...]) -> None:
    listed = set(re.findall(r"^  (--[a-z-]+)", help_of("generate", command), re.MULTILINE))
    context = click.Context(PROGRAMS["generate"].commands[command])
    message = console._usage_message(click.NoSuchOption("--bogus", ctx=context))
    assert set(re.findall(r"(--[a-z-]+)(?:,|$)", message)) == listed | {"--help"}
    assert not listed & set(refused)
    assert {"--repeats", "--sparsities", "--prune-by", "--finetune", "--finetune-by"} <= listed | set(refused)
