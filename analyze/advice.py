"""Commands in results, in full: analyses name a phase and what it is about, and the store knows the rest."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from analyze.results import Results

if TYPE_CHECKING:
    from store.advice import Advice

HINT = "generate "
"""What every text with a command in it contains."""

P = ParamSpec("P")
Found = TypeVar("Found")


def advised(analysis: Callable[P, Found]) -> Callable[P, Found]:
    """Return an analysis whose results hold the commands that they advise in full, as `store.advice` writes them.

    The analysis takes the store as `store`, returns `Results` or a dataclass of such, and writes commands in the short
    form, such as `generate shapes --repeats 10`. Dataset, family and protocol are its row's where it does not say.
    """
    signature = inspect.signature(analysis)

    @functools.wraps(analysis)
    def complete(*args: P.args, **kwargs: P.kwargs) -> Found:
        found = analysis(*args, **kwargs)
        asked = signature.bind(*args, **kwargs).arguments

        @functools.cache
        def advice() -> Advice:
            from store.advice import load_advice

            return load_advice(asked["store"])

        datasets = asked.get("dataset") or ()
        return cast(Found, _completed(found, advice, [datasets] if isinstance(datasets, str) else list(datasets)))

    return complete


def _completed(found: object, advice: Callable[[], Advice], datasets: Sequence[str]) -> object:
    if isinstance(found, Results):
        return replace(
            found,
            rows=tuple(_row(row, advice) for row in found.rows),
            notes=tuple(advice().complete(note, dataset=datasets) if HINT in note else note for note in found.notes),
        )
    if is_dataclass(found) and not isinstance(found, type):
        parts = {field.name: getattr(found, field.name) for field in fields(found)}
        return replace(found, **{name: _completed(part, advice, datasets) for name, part in parts.items()})
    return found


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
