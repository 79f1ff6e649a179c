"""Pictures of a results store: one self-contained HTML page, and single figures.

Names load on first use, as those of `analyze` do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reports.files import write_figure, write_report

__all__ = ["write_figure", "write_report"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'reports' has no attribute {name!r}; it has {', '.join(__all__)}")
    from reports import files

    return getattr(files, name)


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
