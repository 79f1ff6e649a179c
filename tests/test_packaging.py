"""What comes with the code: types for whoever imports it, how to cite it, hooks before a commit, versions."""

from __future__ import annotations

import re
import shlex
import tomllib
from datetime import date
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
"""Of Keep a Changelog 1.1.0."""


@pytest.mark.parametrize("package", ["analyze", "generate", "reports", "store"])
def test_packages_are_typed_and_ship_the_marker(package: str) -> None:
    assert (ROOT / package / "py.typed").read_text() == ""
    assert "py.typed" in PROJECT["tool"]["setuptools"]["package-data"][package]


def test_the_citation_agrees_with_the_project() -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML comes with the extra docs")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert {"title", "message", "abstract"} <= citation.keys()
    assert citation["authors"] == [{"name": "The minarch developers"}]
    assert (citation["version"], citation["license"]) == (PROJECT["project"]["version"], PROJECT["project"]["license"])
    (paper,) = citation["references"]
    readme = (ROOT / "README.md").read_text().replace("\n", " ")
    study, authors = re.findall(r"the study \*(.*?)\* \((.*?)\)", readme)[0]
    assert paper["title"].startswith(study)
    assert ", ".join(author["family-names"] for author in paper["authors"]) == authors


def test_the_changelog_has_the_version_that_is_cited() -> None:
    versions = dict(re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\S+)$", CHANGELOG, re.MULTILINE))
    assert PROJECT["project"]["version"] in versions
    released = [date.fromisoformat(day) for day in versions.values()]
    assert released == sorted(released, reverse=True)
    assert f"date-released: {versions[PROJECT['project']['version']]}" in (ROOT / "CITATION.cff").read_text()


def test_the_changelog_is_in_the_form_of_keep_a_changelog() -> None:
    headings = re.findall(r"^## (.*)$", CHANGELOG, re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    for section in CHANGELOG.split("\n## ")[1:]:
        title, *kinds = re.split(r"^### ", section, flags=re.MULTILINE)
        assert not re.search("^- ", title, re.MULTILINE), f"entries without a kind in {title}"
        for kind in kinds:
            name, _, entries = kind.partition("\n")
            assert name in KINDS
            assert re.findall(r"^(\S)", entries, re.MULTILINE) == ["-"] * entries.count("\n- ")


def test_hooks_run_what_lint_runs_and_fetch_nothing() -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML comes with the extra docs")
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert local["repo"] == "local"
    assert {hook["language"] for hook in local["hooks"]} == {"system"}
    hooked = {" ".join(shlex.split(hook["entry"])[:2]).replace(".venv/bin/", "") for hook in local["hooks"]}
    recipe = re.findall(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)[0]
    linted = {line.split("$(BIN)/")[1].replace(" --check", "").removesuffix(" .") for line in recipe.splitlines()}
    assert hooked == linted


def test_what_contributing_names_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    code = set(re.findall(r"`([\w./-]+\.(?:py|md|sql)|(?:[a-z]+/)+)`", text))
    links = set(re.findall(r"\]\(((?!http)[^)#]+)", text))
    paths = {path for path in code | links if "NAME" not in path}
    assert {"analyze/stats/", "reports/figures.py", "docs/method.md", "CHANGELOG.md"} <= paths
    assert [
        path for path in sorted(paths) if not any((ROOT / base / path).exists() for base in ("", "reports/charts"))
    ] == []
    targets = set(re.findall(r"^\.?make (\w+)|`make (\w+)`", text, re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text()
    for target in {name for pair in targets for name in pair if name}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
