"""A batch file for Slurm: `generate work` as an array of shards."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

import click

TIMES = r"(\d+-)?\d{1,3}(:\d{2}){0,2}"
"""Time limits as `sbatch --time` takes them: minutes, minutes:seconds, hours:minutes:seconds, each after days-."""


def batch_file(arguments: Sequence[str], *, tasks: int, limit: str | None, cpus: int, partition: str | None) -> str:
    """Return the file's text for `generate work` with these arguments.

    A minute before a task's time is up Slurm sends it SIGTERM, at which it gives its claims back.

    Raises:
        click.UsageError: the time or the partition is nothing that Slurm takes.
    """
    if limit is not None and not re.fullmatch(TIMES, limit):
        raise click.UsageError(f"--time: {limit!r} is no time limit such as 90, 04:00:00 or 1-12:00:00")
    if partition is not None and not re.fullmatch(r"[\w.,-]+", partition):
        raise click.UsageError(f"--partition: {partition!r} is no name of a partition")
    settings = [
        "--job-name=minarch",
        f"--array=1-{tasks}",
        "--ntasks=1",
        f"--cpus-per-task={cpus}",
        "--signal=B:TERM@60",
        "--requeue",
        *([f"--time={limit}"] if limit else []),
        *([f"--partition={partition}"] if partition else []),
    ]
    command = f"generate work {shlex.join(arguments)} --workers {cpus}"
    return "\n".join(
        [
            "#!/bin/bash",
            *(f"#SBATCH {setting}" for setting in settings),
            "# In place of the shell, so that Slurm's signals reach it.",
            f'exec {command} --shard "$SLURM_ARRAY_TASK_ID/{tasks}"',
            "",
        ]
    )
