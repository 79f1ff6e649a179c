"""What the user sees of a plan and of a sweep while it runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from generate.plan import Plan

if TYPE_CHECKING:
    from generate.driver import Progress

LINE_SECONDS = 60.0
"""Time between two lines of progress where standard error is no terminal."""


class Display(Protocol):
    """Something that shows progress when called."""

    def __call__(self, progress: Progress) -> None:
        """Show where the sweep stands."""


def duration(seconds: float) -> str:
    """Return seconds as a person would say them: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def counted(number: int, noun: str) -> str:
    """Return a number and what is counted, such as `1 model` or `2,140 models`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def plan_table(plan: Plan, seconds: dict[str, float]) -> Table:
    """Return a table of what is left to run, a row per dataset and family; `seconds` by `dataset family`, one core."""
    table = Table(title=None)
    for heading in ("dataset", "family", "models", "units", "one core"):
        table.add_column(heading, justify="left" if heading in ("dataset", "family") else "right")
    groups: dict[tuple[str, str], tuple[int, int]] = {}
    for unit in plan.units:
        key = (unit.dataset.source, unit.family)
        models, units = groups.get(key, (0, 0))
        groups[key] = (models + len(unit.cells), units + 1)
    for (dataset, family), (models, units) in groups.items():
        table.add_row(dataset, family, f"{models:,}", f"{units:,}", duration(seconds[f"{dataset} {family}"]))
    return table


@contextmanager
def shown(console: Console) -> Iterator[Display]:
    """Yield a display: a live bar on a terminal, elsewhere a plain line a minute."""
    if console.is_terminal:
        with _bar(console) as display:
            yield display
    else:
        yield _Lines(console)


@contextmanager
def _bar(console: Console) -> Iterator[Display]:
    columns = (
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("models"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        TextColumn("[dim]{task.fields[cells]}"),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None, left="", cells="")

        def display(progress: Progress) -> None:
            cells = "; ".join(unit.name for unit in progress.running) or _held(progress)
            bar.update(task, total=progress.models, completed=progress.models_done, left=_left(progress), cells=cells)

        yield display


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        """Print a line if the last one is long ago."""
        now = time.monotonic()
        if now - self._last >= LINE_SECONDS:
            self._last = now
            current = progress.running[0].name if progress.running else _held(progress)
            self._console.print(
                f"{progress.models_done:,} of {counted(progress.models, 'model')}, {_left(progress)}; now {current}",
                soft_wrap=True,
                highlight=False,
            )


def _held(progress: Progress) -> str:
    return f"waiting for {counted(progress.held, 'unit')} of another generate" if progress.held else ""


def _left(progress: Progress) -> str:
    if progress.remaining is None:
        return "estimating"
    rate = progress.models_done / max(progress.elapsed, 1e-9)
    return f"{rate:.2g} models/s, {duration(progress.remaining)} left"
