"""The results store: one DuckDB file of tidy tables.

`Store` and `MinarchError` load on first use, since the first imports duckdb and polars. Public too: the rows of
`store.records` and `store.console.run`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from store.errors import MinarchError
    from store.results import Store

_HOMES = {"MinarchError": "store.errors", "Store": "store.results"}

__all__ = ["MinarchError", "Store"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'store' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
