"""`python -m benchmarks.run`: the engine against its peers and the roofline, in one table."""

from __future__ import annotations

import gc
import json
from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks.machine import cores, describe, use_one_core
from store import console
from store.errors import MinarchError

# Known without importing torch, which must find its environment set.
GRID_NAMES = ("narrow", "wide", "cnn-mnist", "cnn-cifar10", "vit-mnist", "vit-cifar10")
ROUNDS, QUICK_ROUNDS = 5, 2


@click.command()
@click.option("--quick", is_flag=True, help="A first look: fewer rounds, peers timed on three architectures.")
@click.option("--only", "only", multiple=True, type=click.Choice(GRID_NAMES), help="This grid alone (repeatable).")
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("bench.json"),
    show_default=True,
    help="Where to write every measurement.",
)
def benchmark(quick: bool, only: tuple[str, ...], json_file: Path) -> None:
    """Time the engine, its peers and the roofline on one thread, and print one table per grid."""
    click.echo(run(only or GRID_NAMES, quick=quick, json_file=json_file))


def run(names: Sequence[str], *, quick: bool, json_file: Path) -> str:
    """Measure these grids, write the JSON, and return the tables. Reports each grid on standard error."""
    # Written at once, so that a wrong place is known before minutes of measuring.
    _write(json_file, {})
    allowed = cores()
    use_one_core(allowed)
    import torch

    from benchmarks.grids import GRIDS, load_images, reduced
    from benchmarks.measure import compare, contestants_of
    from benchmarks.scaling import SCALED_GRIDS, Growth, growth
    from benchmarks.table import GridResult, as_json, render

    torch.set_num_threads(1)
    rounds = QUICK_ROUNDS if quick else ROUNDS
    results: list[GridResult] = []
    growths: list[Growth] = []
    machine = describe()
    for name in names:
        click.echo(f"{name} ...", err=True)
        grid = reduced(GRIDS[name]) if quick else GRIDS[name]
        images = load_images(grid.dataset)
        result = GridResult(grid, images.source, compare(contestants_of(grid, images), rounds=rounds))
        results.append(result)
        if name in SCALED_GRIDS and result.engine is not None:
            growths += growth(grid, images, rounds=rounds, cores=allowed)
        _write(json_file, as_json(results, growths, machine))
        gc.collect()
    return render(results, growths, machine)


def _write(path: Path, content: object) -> None:
    try:
        path.write_text(json.dumps(content, indent=1) + "\n")
    except OSError as error:
        raise MinarchError(f"cannot write {path}: {error.strerror}") from error


if __name__ == "__main__":
    console.run(benchmark, "benchmarks.run")
