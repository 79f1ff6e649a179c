"""Commands in results as complete lines: questions name a phase and what it is about, and the store knows the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from analyze.results import Results
from analyze.texts import Command, Text

if TYPE_CHECKING:
    from store.advice import Advice

Found = TypeVar("Found", bound=object)


def completed(found: Found, advice: Callable[[], Advice], datasets: Sequence[str]) -> Found:
    """Return results, or a dataclass of such, with plain strings for texts: each command as `store.advice` has it.

    Dataset, family and protocol are the row's where a command does not say, `datasets` those of remarks; `advice` is
    asked for where there is a command.
    """
    changed: object = found
    if is_dataclass(found) and not isinstance(found, type):
        parts = {field.name: getattr(found, field.name) for field in fields(found) if field.init}
        changed = replace(found, **{name: completed(part, advice, datasets) for name, part in parts.items()})
    if isinstance(changed, Results):
        notes = (
            note.in_full(lambda command: _line(advice(), command, datasets)) if isinstance(note, Text) else note
            for note in changed.notes
        )
        changed = replace(changed, rows=tuple(_row(row, advice) for row in changed.rows), notes=tuple(notes))
    return cast(Found, changed)


def _row(row: Any, advice: Callable[[], Advice]) -> Any:
    texts = {field.name: value for field in fields(row) if isinstance(value := getattr(row, field.name), Text)}
    if not texts:
        return row
    datasets, families = (_named(row, name) for name in ("dataset", "family"))
    protocol = getattr(row, "protocol_id", None)

    def line(command: Command) -> str:
        return _line(advice(), command, datasets, families, protocol)

    return replace(row, **{name: text.in_full(line) for name, text in texts.items()})


def _named(row: Any, name: str) -> tuple[str, ...]:
    value = getattr(row, name, None)
    return () if value is None else (value,)


def _line(
    advice: Advice,
    command: Command,
    datasets: Sequence[str],
    families: Sequence[str] = (),
    protocol: str | None = None,
) -> str:
    """Return the line of a command in a text about these datasets and families."""
    return advice.command(
        command.phase,
        command.datasets or datasets,
        command.families or (() if command.phase == "shapes" else families),
        protocol=protocol,
        capacities=command.capacities or None,
        depths=command.depths or None,
        repeats=command.repeats,
        epochs=command.epochs,
    )
