"""Typed rows that become a frame: what every analysis returns."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Generic, TypeVar, get_args, get_type_hints, overload

if TYPE_CHECKING:
    import polars
    from _typeshed import DataclassInstance

Row = TypeVar("Row", bound="DataclassInstance")


@dataclass(frozen=True)
class Results(Sequence[Row], Generic[Row]):
    """The rows of an analysis, in order, and remarks on how they were chosen."""

    row_type: type[Row]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Row, ...]: ...
    def __getitem__(self, index: int | slice) -> Row | tuple[Row, ...]:
        return self.rows[index]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        notes = f", {len(self.notes)} in .notes" if self.notes else ""
        return f"<{len(self.rows)} rows of {self.row_type.__name__}: .frame() has them all{notes}>"

    def _repr_html_(self) -> str:
        """Return the rows as a table and the remarks below it, for notebooks."""
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return f"{self.frame()._repr_html_()}{notes}"

    def records(self) -> list[dict[str, object]]:
        """Return the rows as dictionaries, ready for JSON."""
        names = [field.name for field in fields(self.row_type)]
        return [{name: getattr(row, name) for name in names} for row in self.rows]

    def frame(self) -> polars.DataFrame:
        """Return a frame with one row per result and a column per field; its types do not depend on the rows."""
        import polars

        columns: dict[type, type[polars.DataType]] = {
            str: polars.String,
            int: polars.Int64,
            float: polars.Float64,
            bool: polars.Boolean,
        }
        hints = get_type_hints(self.row_type)
        schema = {field.name: columns[_plain_type(hints[field.name])] for field in fields(self.row_type)}
        return polars.DataFrame(self.records(), schema=schema)


def _plain_type(annotation: object) -> type:
    """Return the type of a value that is not None: `int` of `int | None`, `str` of a literal."""
    choices = [choice for choice in get_args(annotation) if choice is not type(None)] or [annotation]
    first = choices[0]
    if get_args(first):
        return _plain_type(first)
    return first if isinstance(first, type) else type(first)
