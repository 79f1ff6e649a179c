"""Texts with commands in them: a call of `generate` stays data until a store says how its runs were made."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from store.advice import Phase


@dataclass(frozen=True)
class Command:
    """A call of `generate` that adds to a store; what is left out is what the text is about, or as the store has it."""

    phase: Phase
    datasets: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    capacities: tuple[int, ...] = ()
    depths: tuple[int, ...] = ()
    repeats: int | None = None
    epochs: int | None = None

    def __str__(self) -> str:
        return shlex.join(["generate", self.phase, *self._words()])

    def _words(self) -> Iterator[str]:
        for name, values in (("--dataset", self.datasets), ("--family", self.families)):
            for value in values:
                yield from (name, value)
        for name, sizes in (("--depths", self.depths), ("--capacities", self.capacities)):
            if sizes:
                yield from (name, ",".join(map(str, sizes)))
        for name, number in (("--repeats", self.repeats), ("--epochs", self.epochs)):
            if number is not None:
                yield from (name, str(number))


class Text(str):
    """A string that knows which of its parts are commands; as a string it has them as short as they are.

    An f-string or a sum would forget them, so both fail: `phrase` and `joined` make longer texts.
    """

    parts: tuple[str | Command, ...]

    def __new__(cls, parts: Iterable[str | Command]) -> Self:
        """Return the text of these parts in order."""
        whole = tuple(parts)
        text = super().__new__(cls, "".join(map(str, whole)))
        text.parts = whole
        return text

    def in_full(self, line: Callable[[Command], str]) -> str:
        """Return the string with every command as the line that `line` makes of it."""
        return "".join(part if isinstance(part, str) else line(part) for part in self.parts)

    def __format__(self, specification: str) -> str:
        raise TypeError("a text with commands in it becomes part of another by `phrase` or `joined` only")

    def __add__(self, other: str) -> str:
        raise TypeError("a text with commands in it becomes part of another by `phrase` or `joined` only")


def phrase(*parts: str | Command) -> str:
    """Return the parts as one text, which knows its commands."""
    flat: list[str | Command] = []
    for part in parts:
        flat += part.parts if isinstance(part, Text) else [part]
    return Text(flat) if any(isinstance(part, Command) for part in flat) else "".join(map(str, flat))


def joined(parts: Iterable[str | None], separator: str = "; ") -> str:
    """Return the parts with a separator between them, those left out that are empty; an empty string if all are."""
    there = [part for part in parts if part]
    between = [word for part in there for word in (separator, part)]
    return phrase(*between[1:])


def quoted(command: Command) -> str:
    """Return a command as it stands within a sentence."""
    return phrase("`", command, "`")
