"""Reading what `analyze` prints: the rows of its tables, and the fields that `docs/method.md` gives a command."""

from __future__ import annotations

import re
from pathlib import Path

METHOD = Path(__file__).parents[2] / "docs" / "method.md"


def documented(command: str, *, function: bool = False) -> set[str]:
    """Return the fields in the table under the heading "Fields of `analyze COMMAND`", or of `analyze.FUNCTION`."""
    page = METHOD.read_text(encoding="utf-8")
    section = page.split(f"\n## Fields of `analyze{'.' if function else ' '}{command}`\n")[1].split("\n## ")[0]
    names = [re.findall(r"`(\w+)`", line.split("|")[1]) for line in section.splitlines() if line.startswith("|")]
    return {name for row in names for name in row}


def body(text: str) -> list[list[str]]:
    """Return the words of every line below a table's rule, up to the next empty line; all tables of a text in order.

    Long cells that went on in the next line are lines of their own.
    """
    lines: list[list[str]] = []
    inside = False
    for line in text.splitlines():
        if line.startswith("──"):
            inside = True
        elif not line.strip():
            inside = False
        elif inside:
            lines.append(line.split())
    return lines
