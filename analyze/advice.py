"""Commands in results, in full: analyses name a phase and what it is about, and the store knows the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from analyze.results import Results

if TYPE_CHECKING:
    from store.advice import Advice

HINT = "generate "
"""What every text with a command in it contains."""

Found = TypeVar("Found", bound=object)


def completed(found: Found, advice: Callable[[], Advice], datasets: Sequence[str]) -> Found:
    """Return results, or a dataclass of such, with the commands that they advise in full, as `store.advice` has them.

    Analyses write commands in the short form, such as `generate shapes --repeats 10`. Dataset, family and protocol are
    the row's where it does not say, `datasets` those of remarks; `advice` is asked for where there is a command.
    """
    changed: object = found
    if is_dataclass(found) and not isinstance(found, type):
        parts = {field.name: getattr(found, field.name) for field in fields(found) if field.init}
        changed = replace(found, **{name: completed(part, advice, datasets) for name, part in parts.items()})
    if isinstance(changed, Results):
        changed = replace(
            changed,
            rows=tuple(_row(row, advice) for row in changed.rows),
            notes=tuple(advice().complete(note, dataset=datasets) if HINT in note else note for note in changed.notes),
        )
    return cast(Found, changed)


def _row(row: Any, advice: Callable[[], Advice]) -> Any:
    texts = {
        field.name: value
        for field in fields(row)
        if isinstance(value := getattr(row, field.name), str) and HINT in value
    }
    if not texts:
        return row
    about = {name: getattr(row, name, None) for name in ("dataset", "family")}
    protocol = getattr(row, "protocol_id", None)
    return replace(row, **{n: advice().complete(text, **about, protocol=protocol) for n, text in texts.items()})
