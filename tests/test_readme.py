"""The README names every command, dataset, family and choice, and none that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

import analyze.cli
import generate.cli
import reports.cli
import store.cli
from generate.datasets import DATASET_GROUPS, DATASETS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def commands() -> dict[str, set[str]]:
    """Return the subcommands of each program: the group that its `main` runs."""
    found = {}
    for program, module in {
        "generate": generate.cli,
        "analyze": analyze.cli,
        "reports": reports.cli,
        "store": store.cli,
    }.items():
        (group,) = [value for value in vars(module).values() if isinstance(value, click.Group)]
        found[program] = set(group.commands)
    return found


@pytest.mark.parametrize("program", ["generate", "analyze", "reports", "store"])
def test_every_command_stands_in_the_readme(program: str) -> None:
    for name in commands()[program]:
        assert f"`{program} {name}`" in README, f"{program} {name}"


def test_the_readme_names_no_command_that_does_not_exist() -> None:
    known = commands()
    for program, name in re.findall(r"(?:^|`)(generate|analyze|reports|store) ([a-z][a-z-]*)", README, re.MULTILINE):
        assert name in known[program], f"{program} {name}"


def test_every_dataset_stands_in_the_readme() -> None:
    for name in [*DATASETS, *DATASET_GROUPS]:
        assert f"`{name}`" in README, name


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(((?!http)[^)#]+)", README):
        assert (ROOT / target).exists(), target


def test_the_changelog_names_every_command() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    for program, names in commands().items():
        for name in names:
            assert re.search(rf"`{program} [^`]*\b{name}\b", changelog), f"{program} {name}"
