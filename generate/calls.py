"""The commands of `generate` as functions: the same meaning, the same checks, the same progress on standard error."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from generate.cli import generate
from generate.requests import PHASES
from store.errors import MinarchError


class ArgumentError(MinarchError, ValueError):
    """An argument that the command would refuse, in its words."""


def sweep(phase: str = "all", **options: object) -> Path:
    """Train what a phase consists of and the store lacks, as `generate PHASE` does, and return the store's path.

    Args:
        phase: `all`, `shapes`, `convergence` or `quantization`.
        options: those of the command, with underscores: `dataset="mnist"`, `family=["dnn", "cnn"]`,
            `capacities=[1, 2, 5]`, `repeats=10` or `"auto"`, `data_dir`, `store`, `workers` and so on; `generate PHASE
            --help` lists them.

    Raises:
        ArgumentError: an option is unknown or has a value that is not allowed; a `ValueError` too.
        MinarchError: data is missing, the store cannot be written, or units failed for good.
        KeyboardInterrupt: what was trained is in the store.

    In a script, call it below `if __name__ == "__main__":`, since its workers import the script.
    """
    if phase not in PHASES:
        raise ArgumentError(f"{phase!r} is no phase; there is {', '.join(PHASES)}")
    return _path(_called(phase, options)["store_path"])


def search(**options: object) -> Path:
    """Find the smallest network that learns a dataset reliably, as `generate search` does; return the store's path.

    `analyze.recommend` of that path gives the answer as an object.

    Args:
        options: those of the command, with underscores: `dataset="mnist"`, `family="cnn"`, `budget="2h"`,
            `max_drop="1%"` or `0.01`, `max_bytes="20kB"`, `store` and so on; `generate search --help` lists them.

    Raises:
        ArgumentError: an option is unknown or has a value that is not allowed; a `ValueError` too.
        MinarchError: data is missing, or the store cannot be written.
        KeyboardInterrupt: what was trained is in the store, and the same call goes on.

    In a script, call it below `if __name__ == "__main__":`, since its workers import the script.
    """
    return _path(_called("search", options)["store_path"])


def model(**options: object) -> Path:
    """Write a stored network as files, as `generate model` does, and return the folder.

    Args:
        options: those of the command, with underscores: `recommended=True` or `run="..."`, `dataset`, `out`, `store`
            and so on; `generate model --help` lists them.

    Raises:
        ArgumentError: an option is unknown or has a value that is not allowed; a `ValueError` too.
        MinarchError: there is no such run, its data is gone, or the folder cannot be written.
    """
    return _path(_called("model", options)["out"])


def _called(name: str, options: dict[str, object]) -> dict[str, object]:
    """Run a command with options and return the values that it took, by parameter."""
    command = generate.commands[name]
    words = list(_words(command, options))
    try:
        context = command.make_context(name, words, parent=click.Context(generate, info_name="generate"))
        taken = dict(context.params)
        with context:
            command.invoke(context)
    except click.exceptions.Exit as end:
        if end.exit_code:
            raise KeyboardInterrupt from None
    except click.UsageError as error:
        raise ArgumentError(error.format_message()) from None
    return taken


def _words(command: click.Command, options: dict[str, object]) -> Iterator[str]:
    """Yield the command line that options stand for; None stands for the default."""
    known = {_plain(option): option for option in command.params if isinstance(option, click.Option)}
    for name, value in options.items():
        if name not in known:
            raise ArgumentError(f"{command.name} has no option {name}; there is {', '.join(sorted(known))}")
        option = known[name]
        if value is None or (option.is_flag and value is False):
            continue
        if option.is_flag:
            if value is not True:
                raise ArgumentError(f"{name} is True or False, not {value!r}")
            yield option.opts[0]
            continue
        values = (
            list(value) if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str) else [value]
        )
        texts = [os.fspath(one) if isinstance(one, os.PathLike) else str(one) for one in values]
        for text in texts if option.multiple else [",".join(texts)]:
            yield f"{option.opts[0]}={text}"


def _plain(option: click.Option) -> str:
    return option.opts[0].removeprefix("--").replace("-", "_")


def _path(value: object) -> Path:
    assert isinstance(value, Path)
    return value
