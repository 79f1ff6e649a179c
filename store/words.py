"""Numbers in words, for messages."""

from __future__ import annotations


def counted(number: int, noun: str, *, one: str = "", many: str = "") -> str:
    """Return a number and what is counted, with the verb that goes with it: `1 call`, `2,140 calls`, `1 unit waits`."""
    verb = one if number == 1 else many
    return f"{number:,} {noun}{'' if number == 1 else 's'}{f' {verb}' if verb else ''}"
