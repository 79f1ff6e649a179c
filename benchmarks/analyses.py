"""`python -m benchmarks.analyses`: the CPU time of three commands that read a store of tens of thousands of runs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks.machine import SINGLE_THREAD, describe
from store import console
from store.errors import MinarchError
from store.results import Store
from tests.cpu import children_seconds
from tests.reports.planted import plant

DATASETS = ("digits", "mnist", "fashion_mnist")
FAMILIES = ("dnn", "cnn", "vit")
COMMANDS: dict[str, tuple[str, ...]] = {
    "reports render": ("-c", "from reports.cli import main; main()", "render", "--out", os.devnull),
    "analyze claims": ("-c", "from analyze.cli import main; main()", "claims"),
    "analyze recommend": ("-c", "from analyze.cli import main; main()", "recommend"),
}
# What no analysis with a located change point and a fitted line takes less than.
LIBRARIES = ("-c", "import duckdb, polars, pyarrow, ruptures, statsmodels.regression.linear_model")


@click.command()
@click.option("--replicates", type=click.IntRange(min=5), default=30, show_default=True, help="Per architecture.")
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True, help="Of which the least counts.")
@click.option(
    "--store",
    "store_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A store that is there, instead of a planted one.",
)
def benchmark(replicates: int, repeats: int, store_path: Path | None) -> None:
    """Time the report, the claims and the recommendation, user and system, one process and one thread."""
    with tempfile.TemporaryDirectory() as folder:
        click.echo(run(store_path or planted(Path(folder) / "planted.duckdb", replicates), repeats=repeats))


def planted(path: Path, replicates: int) -> Path:
    """Return the path of a store of three datasets and families: every topology, 20 epochs, pruned and quantized."""
    click.echo("planting ...", err=True)
    plant(
        path,
        datasets=DATASETS,
        families=FAMILIES,
        replicates=replicates,
        every_topology=True,
        epochs=20,
        pruning=True,
        quantization=True,
    )
    return path


def run(store: Path, *, repeats: int) -> str:
    """Return a Markdown table of the least CPU time of each command on the store, and how busy the machine was.

    The commands take turns, so that what else runs meanwhile falls on all alike.

    Raises:
        MinarchError: there is no such store, or a command fails on it.
    """
    runs = Store(store).query("SELECT count(*) FROM runs").item()
    calls = {name: (*arguments, "--store", str(store)) for name, arguments in COMMANDS.items()}
    calls["import of the libraries alone"] = LIBRARIES
    seconds = {name: float("inf") for name in calls}
    for _ in range(repeats):
        for name, arguments in calls.items():
            seconds[name] = min(seconds[name], children_seconds(lambda: _call(arguments), repeats=1))  # noqa: B023
    load = ", ".join(f"{minutes:.1f}" for minutes in os.getloadavg())
    lines = [
        ", ".join(f"{key} {value}" for key, value in describe().items()),
        f"{runs:,} runs; least of {repeats}; load average at the end (1, 5, 15 minutes): {load}",
        "",
        "| command | CPU seconds |",
        "|---|---:|",
        *(f"| {name} | {least:.2f} |" for name, least in seconds.items()),
    ]
    return "\n".join(lines)


def _call(arguments: Sequence[str]) -> None:
    environment = {**os.environ, **SINGLE_THREAD}
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MinarchError(done.stderr.strip())


if __name__ == "__main__":
    console.run(benchmark, "benchmarks.analyses")
