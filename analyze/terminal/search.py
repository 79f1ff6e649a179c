"""Tables on what a search waits for."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from analyze.terminal.layout import new_table, stacked

if TYPE_CHECKING:
    from rich.console import RenderableType

    from analyze.questions.next import Asked
    from analyze.results import Results


def asked_table(results: Results[Asked]) -> RenderableType:
    """Return the networks that the next look waits for, a table per question."""
    parts: list[RenderableType] = []
    for question, rows in groupby(results, key=lambda row: row.question):
        table = new_table(question, ["family", "depth", "size", "networks", "precision"], ["replicates", "held"])
        for row in rows:
            words = (row.family, row.depth, row.capacity, row.networks, row.precision, row.replicates, row.held)
            table.add_row(*map(str, words))
        parts += [table, ""]
    return stacked(parts)
