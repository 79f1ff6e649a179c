"""Numbers and recorded facts in words."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

GIGABYTE = 1e9


def counted(number: int, noun: str, *, one: str = "", many: str = "") -> str:
    """Return a number and what is counted, with the verb that goes with it: `1 call`, `2,140 calls`, `1 unit waits`."""
    verb = one if number == 1 else many
    return f"{number:,} {noun}{'' if number == 1 else 's'}{f' {verb}' if verb else ''}"


def host_in_words(text: str) -> str:
    """Return the facts on a computer, JSON, in words: a number before its unit, other facts by name."""
    facts = json.loads(text)
    if not isinstance(facts, dict):
        return str(facts)
    words: Mapping[str, Callable[[Any], str]] = {
        "cores": lambda value: counted(value, "core"),
        "memory_bytes": lambda value: f"{value / GIGABYTE:.1f} GB of memory",
        "processor": str,
        "system": str,
        "python": lambda value: f"Python {value}",
    }
    known = [words[key](facts[key]) for key in words if facts.get(key)]
    return ", ".join([*known, *(f"{key} {value}" for key, value in facts.items() if key not in words and value)])
