"""The command `generate`: train sweeps of small networks into a results store."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import click

from generate.budget import LEAST_SIZES
from generate.cli_model import model
from generate.cli_shards import array, work
from generate.options import auto_options, precision_option, search_options, sweep_options, without, worker_options
from generate.protocol import PRECISIONS
from generate.requests import CUT_OPTIONS, PHASES, auto_of, looks_of, option_of, request_of
from store.console import run

DECIDED_BY_SEARCH = ("repeats", "sparsities", *CUT_OPTIONS, "integer_checks")
"""What goes with sweeps only."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="minarch", prog_name="generate")
def generate() -> None:
    """Train thousands of small networks and store what came of each.

    A sweep that was interrupted goes on where it stopped when the same command is given again.

    \b
    Examples:
      generate plan all --dataset mnist
      generate all --dataset mnist --data-dir data
    """


@generate.command("all")
@sweep_options
@precision_option
@auto_options
@worker_options
def all_(**options: Any) -> None:
    """Every phase and family: all topologies of the DNN, the CNN, the ViT; phase 2 pruned, and once more in few bits.

    \b
    Examples:
      generate all --dataset mnist --repeats 30 --data-dir data
      generate all --precision int8,int4,int2
    """
    _sweep("all", options)


@generate.command()
@sweep_options
@auto_options
@worker_options
def shapes(**options: Any) -> None:
    """Phase 1: DNNs whose layers widen, narrow or stay at every step.

    \b
    Example:
      generate shapes --depths 2,3 --repeats 10
      generate shapes --dataset mnist --repeats auto
    """
    _sweep("shapes", options)


@generate.command()
@sweep_options
@auto_options
@worker_options
def convergence(**options: Any) -> None:
    """Phase 2: DNNs of equal widths, the CNN and the ViT, each pruned after its training.

    \b
    Example:
      generate convergence --dataset mnist --capacities 2,5,10,50 --repeats 5
      generate convergence --finetune 5 --finetune-by magnitude,random
      generate convergence --dataset mnist --repeats auto --budget 2h
    """
    _sweep("convergence", options)


@generate.command()
@without(*CUT_OPTIONS)
@sweep_options
@precision_option
@auto_options
@worker_options
def quantization(**options: Any) -> None:
    """Quantization-aware training in few bits of the networks of phase 2, paired with their fp32 runs by replicate.

    \b
    Examples:
      generate quantization --dataset mnist --family cnn
      generate quantization --dataset mnist --precision int4,w4a8,w2a8
    """
    _sweep("quantization", options)


@generate.command()
@click.argument("phase", type=click.Choice(PHASES), default="all")
@sweep_options
@precision_option
@auto_options
def plan(phase: str, **options: Any) -> None:
    """Show what a phase would run: cells, models, units of work, estimated time.

    \b
    Example:
      generate plan convergence --dataset paper --repeats 10
    """
    if phase in ("shapes", "convergence") and options["precisions"] != PRECISIONS:
        raise click.UsageError("--precision goes with the phases all and quantization", click.get_current_context())
    store_path: Path = options.pop("store_path")
    wanted = auto_of(options)
    request = request_of(phase, options)
    if wanted:
        from generate.searching import show_design

        show_design(request, wanted, store_path)
        return
    from generate.commands import show_plan

    show_plan(request, store_path)


@generate.command()
@search_options
@without(*DECIDED_BY_SEARCH)
@sweep_options
@click.option("--workers", type=click.IntRange(1, 1024), help="Processes on this machine. Default: one per core.")
def search(**options: Any) -> None:
    """Find the smallest network that learns a dataset reliably: train, look, and train where a question is open.

    It begins with few sizes and replicates, adds replicates where they can decide and sizes where the answer lies, and
    keeps the chance of any wrong statement at 5% whenever it stops. It ends as `analyze recommend` would, when all is
    answered or the budget is used up. The same command goes on where it was interrupted.

    \b
    Examples:
      generate search --dataset digits --family cnn
      generate search --dataset mnist --budget 2h --max-drop 1% --max-bytes 20kB
      generate search --dataset mnist --max-ram 16KiB --max-macs 1M --by macs
    """
    context = click.get_current_context()
    looks = looks_of(options.pop("looks"))
    if options["capacities"] and len(options["capacities"]) < LEAST_SIZES:
        raise click.BadParameter(
            f"a search takes {LEAST_SIZES} sizes or more to begin with", context, param_hint="--capacities"
        )
    store_path: Path = options.pop("store_path")
    names = ("budget", "max_drop", "min_accuracy", "resolution", "by")
    own = {name: options.pop(name) for name in (*names, "max_bytes", "max_parameters", "max_macs", "max_ram")}
    workers = options.pop("workers")
    for name in DECIDED_BY_SEARCH:
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            option = {"integer_checks": "--integer-check"}.get(name, option_of(name))
            raise click.UsageError(f"{option} goes with sweeps; a search decides it by itself", context)
    request = request_of("convergence", options)
    from generate.searching import search as find
    from generate.sequential import SearchRequest

    find(request, SearchRequest(looks=looks, **own), store_path, workers=workers)


def _sweep(phase: str, options: dict[str, Any]) -> None:
    executor, scheduler, workers = (options.pop(key) for key in ("executor", "scheduler", "workers"))
    if executor == "dask" and not scheduler:
        raise click.UsageError("--executor dask needs --scheduler ADDRESS", click.get_current_context())
    if executor == "local" and scheduler:
        raise click.UsageError("--scheduler goes with --executor dask", click.get_current_context())
    store_path: Path = options.pop("store_path")
    wanted = auto_of(options)
    request = request_of(phase, options)
    if wanted:
        from generate.searching import search

        search(request, wanted, store_path, workers=workers, scheduler=scheduler)
        return
    from generate.commands import sweep

    sweep(request, store_path, workers=workers, scheduler=scheduler)


generate.add_command(model)
generate.add_command(work)
generate.add_command(array)


def main() -> NoReturn:
    """Run the command line and exit."""
    run(generate, "generate", interrupt="leave")
