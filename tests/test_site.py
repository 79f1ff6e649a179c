"""The site of `make docs`: it builds strictly, names everything public, and fetches nothing when it is read."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import analyze
import reports

ROOT = Path(__file__).parent.parent
FETCHING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src"}
"""Attributes whose address a browser fetches by itself; of `link`, those of the kinds below."""
FETCHED_LINKS = {"stylesheet", "icon", "preload", "preconnect", "modulepreload", "dns-prefetch", "manifest"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not importlib.util.find_spec("mkdocs") or not importlib.util.find_spec("mkdocstrings"):
        pytest.skip("mkdocs and mkdocstrings are not installed: pip install '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


class Addresses(HTMLParser):
    """What a browser fetches to show a page, and the places in it that links can lead to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values["id"]} if "id" in values else set()
        if tag == "link" and FETCHED_LINKS & set(values.get("rel", "").split()):
            self.fetched.append(values["href"])
        elif tag in FETCHING and FETCHING[tag] in values:
            self.fetched.append(values[FETCHING[tag]])


def test_every_page_is_there_and_starts_with_the_readme(site: Path) -> None:
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} | {"contributing", "changelog"}
    assert {path.stem for path in site.glob("*.html")} == pages | {"404"}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    question = re.findall(r"^\*\*(.*)\*\*$", readme, re.MULTILINE)[0]
    assert f"<strong>{question}</strong>" in (site / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("module", [analyze, reports])
def test_every_public_name_is_in_the_reference(module: object, site: Path) -> None:
    name, public = module.__name__, module.__all__  # type: ignore[attr-defined]
    anchors = Addresses(site / "reference" / f"{name}.html").anchors
    assert {f"{name}.{one}" for one in public} <= anchors


@pytest.mark.parametrize(
    ("page", "names"),
    [
        (
            "store",
            {"store.results.Store", "store.results.Store.query", "store.records.Run", "store.errors.MinarchError"},
        ),
        ("generate", {"generate.datasets.load_dataset", "generate.protocol.Training"}),
    ],
)
def test_what_other_programs_are_built_on_is_in_the_reference(page: str, names: set[str], site: Path) -> None:
    assert names <= Addresses(site / "reference" / f"{page}.html").anchors


def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    for page in pages:
        fetched = Addresses(page).fetched
        assert fetched, page
        for address in fetched:
            assert not re.match(r"(\w+:)?//", address), f"{page.name}: {address}"
            if page.stem != "404":  # Its addresses are those of a server's root.
                assert (page.parent / address.split("?")[0]).exists(), f"{page.name}: {address}"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet.name
