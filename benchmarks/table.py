"""The result as Markdown tables and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from benchmarks.grids import Grid
from benchmarks.measure import ENGINE, Row
from benchmarks.roofline import products
from benchmarks.scaling import Growth


@dataclass(frozen=True)
class GridResult:
    """What was measured on one grid, and on which images."""

    grid: Grid
    images: str
    rows: Sequence[Row]

    @property
    def engine(self) -> Row | None:
        """The engine's row; None where it could not be run."""
        return next((row for row in self.rows if row.name == ENGINE and row.times), None)


def render(results: Sequence[GridResult], growths: Sequence[Growth], machine: Mapping[str, str | int]) -> str:
    """Return everything as Markdown."""
    parts = [", ".join(f"{key} {value}" for key, value in machine.items()), *(map(render_grid, results))]
    if growths:
        parts.append(render_growth(growths))
    return "\n\n".join(parts)


def render_grid(result: GridResult) -> str:
    """Return one grid's table: median over rounds, and each row against the engine of the same rounds."""
    lines = [
        f"### {result.grid.title}",
        "",
        f"One thread, {result.images}. GEMM rates over the products m, k, n = "
        f"{', '.join(f'{m}x{k}x{n}' for m, k, n in products(result.grid))}.",
        "",
        "| | ms per model-step | model-steps per second | against the engine | measured on | rounds | set-up s |",
        "|---|---:|---:|---|---|---:|---:|",
    ]
    return "\n".join(lines + [_line(row, result.engine) for row in result.rows])


def _line(row: Row, engine: Row | None) -> str:
    if not row.times:
        return f"| {row.name} | | | skipped: {row.skipped} | | | |"
    figures = f"{row.median:.4g} | {1e3 / row.median:,.0f} | {_against(row, engine)}"
    return f"| {row.name} | {figures} | {row.detail} | {len(row.times)} | {row.setup_seconds:.1f} |"


def _against(row: Row, engine: Row | None) -> str:
    if engine is None or row is engine:
        return ""
    ratio = row.ratio(engine)
    return f"engine takes {1 / ratio:.2f}x as long" if row.kind == "roofline" else f"engine is {ratio:.2f}x as fast"


def render_growth(growths: Sequence[Growth]) -> str:
    """Return the table of how the engine's cost grows."""
    lines = [
        "### How cost grows",
        "",
        "| grid | | | ms per model-step | speed against the first |",
        "|---|---|---:|---:|---:|",
    ]
    lines += [f"| {g.grid} | {g.what} | {g.value} | {g.milliseconds:.4g} | {g.speed:.2f}x |" for g in growths]
    return "\n".join(lines)


def as_json(
    results: Sequence[GridResult], growths: Sequence[Growth], machine: Mapping[str, str | int]
) -> dict[str, object]:
    """Return everything that was measured, every round of it, ready for JSON."""
    return {
        "machine": dict(machine),
        "grids": [
            {
                "grid": result.grid.name,
                "title": result.grid.title,
                "images": result.images,
                "models": len(result.grid.architectures),
                "rows": [_row_json(row, result.engine) for row in result.rows],
            }
            for result in results
        ],
        "growth": [asdict(growth) for growth in growths],
    }


def _row_json(row: Row, engine: Row | None) -> dict[str, object]:
    if not row.times:
        return asdict(row)
    return {
        **asdict(row),
        "median_milliseconds": row.median,
        "model_steps_per_second": 1e3 / row.median,
        "times_the_engine": None if engine is None else row.ratio(engine),
    }
