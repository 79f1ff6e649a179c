"""The commands `generate work` and `generate array`: a sweep in shards that share a folder."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from generate.batch_file import batch_file
from generate.options import AUTO, ShardNumber, precision_option, sweep_options, without
from generate.protocol import PRECISIONS
from generate.requests import PHASES, request_of
from store.options import PlainPath

if TYPE_CHECKING:
    from generate.plan import Request


@click.command()
@click.argument("phase", type=click.Choice(PHASES), default="all")
@click.option(
    "--spool",
    "folder",
    type=PlainPath(file_okay=False),
    required=True,
    metavar="FOLDER",
    help="Folder that all shards share: claims, and finished units until they are ingested.",
)
@click.option(
    "--shard",
    type=ShardNumber(),
    default="1/1",
    show_default=True,
    help="Which shard of how many this is, such as 7/100: where it begins; all help each other to the end.",
)
@click.option("--workers", type=click.IntRange(1, 1024), default=1, show_default=True, help="Processes of this shard.")
@without("store_path")
@sweep_options
@precision_option
def work(phase: str, folder: Path, shard: tuple[int, int], workers: int, **options: Any) -> None:
    """Train a part of a sweep that many processes share without a driver, on one machine or many.

    Each makes the same plan, claims units of work by files in FOLDER, and leaves one file per finished unit there.
    Killed ones are replaced by starting them again; `store ingest --spool FOLDER` takes the units into a store, while
    they work too.

    \b
    Examples:
      generate work all --dataset mnist --spool shared/mnist --shard 7/100
      generate work convergence --spool shared/digits --workers 4
    """
    request = _request(phase, options)
    from generate.commands import work as train
    from generate.shards import Shard

    train(request, folder, Shard(*shard), workers=workers)


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--tasks", type=click.IntRange(1, 100_000), required=True, help="Tasks of the array, a shard each.")
@click.option("--time", "limit", metavar="TIME", help="Time limit of a task as Slurm takes it, such as 04:00:00.")
@click.option("--cpus", type=click.IntRange(1, 1024), default=1, show_default=True, help="Cores and workers of a task.")
@click.option("--partition", metavar="NAME", help="Partition to run in. Default: the cluster's.")
@click.option("--out", type=PlainPath(), help="Write to this file, not to the screen.")
@click.argument("arguments", nargs=-1, required=True, type=click.UNPROCESSED, metavar="PHASE --spool FOLDER ...")
def array(
    tasks: int, limit: str | None, cpus: int, partition: str | None, out: Path | None, arguments: tuple[str, ...]
) -> None:
    """Write a batch file for Slurm that runs `generate work` with these arguments as an array of shards.

    \b
    Example:
      generate array --tasks 100 convergence --dataset mnist --spool shared/mnist
    """
    for name in ("--shard", "--workers"):
        if any(word == name or word.startswith(f"{name}=") for word in arguments):
            raise click.UsageError(f"{name} is decided by the array", click.get_current_context())
    parent = click.get_current_context().parent
    with work.make_context("array", list(arguments), parent=parent) as context:
        options = {name: value for name, value in context.params.items() if name not in ("folder", "shard", "workers")}
        _request(options.pop("phase"), options)
        text = batch_file(arguments, tasks=tasks, limit=limit, cpus=cpus, partition=partition)
    if out is None:
        click.echo(text, nl=False)
        return
    from store import files

    files.write(out, text.encode())
    click.echo(f"{out}: submit it with `sbatch {shlex.quote(str(out))}`")


def _request(phase: str, options: dict[str, Any]) -> Request:
    """Return what shards are to train.

    Raises:
        click.UsageError: the options ask for what shards cannot do.
    """
    context = click.get_current_context()
    if context.get_parameter_source("store_path") is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("--store goes with `store ingest --spool FOLDER`; shards write to --spool", context)
    options.pop("store_path")
    if options["repeats"] == AUTO:
        raise click.UsageError("--repeats auto needs one driver that looks at its data; shards take a number", context)
    if phase in ("shapes", "convergence") and options["precisions"] != PRECISIONS:
        raise click.UsageError("--precision goes with the phases all and quantization", context)
    return request_of(phase, options)
