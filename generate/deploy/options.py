"""Options of `generate model`."""

from __future__ import annotations

from typing import get_args

import click

from generate.cuts import METHODS
from generate.families import FAMILIES
from generate.options import Command, Share
from store.designs import By
from store.options import BYTES, COUNT, AtLeastOne, PlainPath, store_option

LIMITS = ("max-drop", "min-accuracy", "max-bytes", "max-parameters", "max-macs", "max-ram", "by")
"""Options of `analyze recommend` that say what is good enough."""


def model_options(command: Command) -> Command:
    """Add the options that say which network is written, how it is cut, and where."""
    for option in reversed(
        (
            click.option("--recommended", is_flag=True, help="The network that `analyze recommend` names."),
            click.option("--run", "run_id", metavar="ID", help="This run, by its id in the store."),
            click.option(
                "--dataset",
                metavar="NAME|FOLDER",
                help="With --recommended: on which dataset. With --run: where its data are. Default: as stored.",
            ),
            click.option("--family", type=click.Choice(tuple(FAMILIES)), help="With --recommended: of this family."),
            click.option(
                "--max-drop", type=Share(), help="With --recommended: accuracy that may be lost. Default: 1%."
            ),
            click.option(
                "--min-accuracy", type=Share(), help="With --recommended: test accuracy that must be exceeded."
            ),
            click.option(
                "--max-bytes", type=AtLeastOne(BYTES), help="With --recommended: most stored bytes of a safe form."
            ),
            click.option("--max-parameters", type=AtLeastOne(COUNT), help="With --recommended: most parameters."),
            click.option(
                "--max-macs",
                type=AtLeastOne(COUNT),
                help="With --recommended: most multiply-accumulates of an inference, such as 1M.",
            ),
            click.option(
                "--max-ram",
                type=AtLeastOne(BYTES),
                help="With --recommended: most bytes of activations at once, such as 16KiB.",
            ),
            click.option(
                "--by",
                type=click.Choice(get_args(By)),
                help="With --recommended: what the network is to be small in. Default: parameters.",
            ),
            click.option(
                "--guess",
                is_flag=True,
                help="With --recommended: where nothing is, the best guess, which is not proven.",
            ),
            click.option(
                "--precision",
                type=click.Choice(("fp32", "int8")),
                help="With --recommended: fp32, or int8 as trained under quantization. Default: fp32.",
            ),
            click.option(
                "--sparsity",
                type=click.FloatRange(0, 1, max_open=True),
                default=0.0,
                help="Share to prune, one that the store has measured of the run. Default: none.",
            ),
            click.option(
                "--method", type=click.Choice(METHODS), help="With --sparsity: how to prune. Default: magnitude."
            ),
            click.option(
                "--finetune",
                "finetune_epochs",
                type=click.IntRange(1, 10_000),
                metavar="EPOCHS",
                help="With --sparsity: and to train on for so many epochs, as measured.",
            ),
            click.option(
                "--data-dir",
                type=PlainPath(file_okay=False),
                envvar="MINARCH_DATA",
                show_envvar=True,
                help="Folder with the datasets' files. Default: as in the store.",
            ),
            store_option,
            click.option(
                "--out", type=PlainPath(file_okay=False), required=True, help="Folder to write, which is to be new."
            ),
            click.option("--force", is_flag=True, help="Replace the folder with all that it holds."),
            click.option("--measure", is_flag=True, help="Also time one image on this machine, on one thread."),
        )
    ):
        command = option(command)
    return command
