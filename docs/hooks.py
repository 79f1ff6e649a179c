"""What `mkdocs.yml` adds to the pages: the README as the start page, CONTRIBUTING as one more; links are kept."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Files of the repository's root, and the pages that they become; `docs/index.md` is for readers of the folder."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Return the pages, with those that stand in the repository's root."""
    root = Path(config.config_file_path).parent
    for source, page in PAGES.items():
        present = files.get_file_from_path(page)
        if present:
            files.remove(present)
        files.append(File.generated(config, page, content=(root / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Return a page's text, its links relative to `docs/` instead of the root or the folder that it stands in."""
    markdown = re.sub(r"(?<=\]\()docs/", "", markdown)
    markdown = re.sub(r"\[([^\]]+)\]\(CITATION\.cff\)", r"`\1`", markdown)  # No page: its name is enough.
    for source, target in PAGES.items():
        markdown = re.sub(rf"(?<=\]\()(?:\.\./)?{re.escape(source)}", target, markdown)
    return markdown
