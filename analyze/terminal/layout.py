"""What tables have in common: columns, remarks, and how numbers are written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import RenderableType
    from rich.table import Table

YES_NO = {True: "yes", False: "no", None: ""}
STATUS_STYLES = {"detected": "green", "gradual": "yellow", "not_reached": "yellow", "insufficient": "red"}
STATUS_STYLES |= {"equivalent": "green", "inconclusive": "yellow", "different": "red"}
STATUS_STYLES |= {"supported": "green", "contradicted": "red", "not_testable": "dim"}


def stacked(parts: Sequence[RenderableType]) -> RenderableType:
    """Return the parts one below the other."""
    from rich.console import Group

    return Group(*(parts or ["no results"]))


def styled(status: str) -> str:
    """Return a status in its colour."""
    style = STATUS_STYLES.get(status)
    return f"[{style}]{status}[/]" if style else status


def new_table(title: str | None, texts: Sequence[str], numbers: Sequence[str], *, tight: bool = False) -> Table:
    """Return an empty table with columns of texts, then of numbers; `tight`: a single space between them."""
    from rich import box
    from rich.table import Table

    # The box itself puts a space between columns; more than nine of them have no room for a second one.
    gap = 1 if len(texts) + len(numbers) <= 9 and not tight else 0
    table = Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, gap, 0, 0),
    )
    for name in texts:
        table.add_column(name, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def remarks(reasons: Sequence[tuple[str, str]]) -> list[str]:
    """Return a line per reason that differs, with everything it holds for."""
    grouped: dict[str, list[str]] = {}
    for where, reason in reasons:
        grouped.setdefault(reason, []).append(where)
    return [f"{'; '.join(where)}: [dim]{reason}[/]" for reason, where in grouped.items()] + ([""] if reasons else [])


def unseen(bounds: Iterable[float | None]) -> list[str]:
    """Return a line that says how many rare failures the replicates leave open; none where there is no bound."""
    known = sorted({f"{100 * bound:.2g}" for bound in bounds if bound is not None}, key=float)
    if not known:
        return []
    shares = known[0] if len(known) == 1 else f"{known[0]} to {known[-1]}"
    return [f"[dim]Rare failures that these replicates do not show: up to {shares}% of trainings (95%).[/]", ""]


def shortened(form: str) -> str:
    """Return the name of a form in fewer letters, `int8 50% +5ep`: pruned by magnitude where it says no other way."""
    words = form.replace(" magnitude", "").replace(" epochs", "ep")
    return re.sub("^post-training (.*)", r"\1 after", words)


def number(value: int | None) -> str:
    """Return a count with commas."""
    return "" if value is None else f"{value:,}"


def brief(value: int | None) -> str:
    """Return a count in five letters, with k, M or G for thousands, millions and more: `950`, `37.6k`, `1.2M`."""
    if value is None:
        return ""
    number = float(value)
    for unit in ("", "k", "M", "G"):
        if number < 999.5 or unit == "G":
            return f"{value}" if not unit else f"{number:.3g}{unit}"
        number /= 1000
    return ""


def interval(low: int | None, high: int | None) -> str:
    """Return a range of sizes."""
    return "" if low is None or high is None else f"{low}-{high}"


def p_value(value: float | None) -> str:
    """Return a p value with three decimals."""
    return "" if value is None else ("<0.001" if value < 0.001 else f"{value:.3f}")


def percent(value: float | None, low: float | None, high: float | None, digits: int = 0) -> str:
    """Return a fraction in percent with its interval, if that is more than a point: `60 [55, 60]`."""
    if value is None or low is None or high is None:
        return ""
    ends = "" if low == high else f" [{100 * low:.{digits}f}, {100 * high:.{digits}f}]"
    return f"{100 * value:.{digits}f}{ends}"


def points(value: float | None) -> str:
    """Return a fraction in points."""
    return "" if value is None else f"{100 * value:.2f}"


def points_bracketed(value: float | None, low: float | None, high: float | None) -> str:
    """Return a fraction in points with its interval, to three digits: `1.20 [0.90, 1.50]`, `32.8 [32.3, 33.4]`."""
    if value is None or low is None or high is None:
        return ""
    digits = 1 if 100 * value >= 10 else 2
    return f"{100 * value:.{digits}f} [{100 * low:.{digits}f}, {100 * high:.{digits}f}]"


def points_interval(low: float | None, high: float | None) -> str:
    """Return an interval of fractions in points."""
    return "" if low is None or high is None else f"{100 * low:.2f} to {100 * high:.2f}"
