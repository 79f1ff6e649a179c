"""Options that the commands of `generate` share, and the values that they accept."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar, get_args

import click

from generate.cuts import METHODS
from generate.families import FAMILIES
from generate.protocol import PRECISIONS
from store.designs import By
from store.options import BYTES, COUNT, AtLeastOne, PlainPath, store_option
from store.precisions import QUANTIZED

Command = TypeVar("Command", bound=Callable[..., Any])

LARGEST_CAPACITY = 10_000
LARGEST_DEPTH = 6
AUTO: Literal["auto"] = "auto"


class IntegerList(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases only
    """Whole numbers between two bounds, separated by commas; repeats are dropped, the order is kept."""

    name = "N,N,..."

    def __init__(self, lowest: int, highest: int) -> None:
        self.lowest, self.highest = lowest, highest

    def convert(
        self, value: str | tuple[int, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Return the numbers, or fail with what is allowed."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(dict.fromkeys(int(part) for part in value.split(",")))
        except ValueError:
            numbers = ()
        if not numbers or not all(self.lowest <= number <= self.highest for number in numbers):
            bounds = f"whole numbers from {self.lowest} to {self.highest}, separated by commas"
            self.fail(f"{value!r} is not a list of {bounds}", param, ctx)
        return numbers


class FractionList(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases only
    """Numbers from 0 to 1, separated by commas; they are sorted, and 0 (the unpruned network) is always among them.

    With `between`, numbers above 0 and below 1, and no others.
    """

    name = "S,S,..."

    def __init__(self, *, between: bool = False) -> None:
        self.between = between

    def convert(
        self, value: str | tuple[float, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Return the numbers, or fail with what is allowed."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = {float(part) for part in value.split(",")}
        except ValueError:
            numbers = {-1.0}
        if not all(0 < number < 1 if self.between else 0 <= number <= 1 for number in numbers):
            bounds = "above 0 and below 1" if self.between else "from 0 to 1"
            self.fail(f"{value!r} is not a list of numbers {bounds}, separated by commas", param, ctx)
        return tuple(sorted(numbers if self.between else numbers | {0.0}))


class WordList(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases only
    """Some of a few words, separated by commas; repeats are dropped, the order is that of the known ones."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, tuple(known)

    def convert(
        self, value: str | tuple[str, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Return the words, or fail with the known ones."""
        if isinstance(value, tuple):
            return value
        words = value.split(",")
        if not set(words) <= set(self.known):
            self.fail(f"{value!r} is not a list of {', '.join(self.known)}, separated by commas", param, ctx)
        return tuple(word for word in self.known if word in words)


class Share(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases only
    """A share between 0 and 1, as a fraction or in percent."""

    name = "X|X%"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the fraction, or fail with what is allowed."""
        if isinstance(value, float):
            return value
        try:
            number = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
        except ValueError:
            number = -1.0
        if not 0 < number < 1:
            self.fail(f"{value!r} is not a share between 0 and 1, such as 0.01 or 1%", param, ctx)
        return number


class Amount(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases only
    """A positive number with a unit, as a number of the smallest."""

    def __init__(self, name: str, units: Mapping[str, float], example: str) -> None:
        self.name, self.units, self.example = name, units, example

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number, or fail with what is allowed."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-z]*)", value.strip())
        number = float(found[1]) * self.units[found[2]] if found and found[2] in self.units else 0.0
        if not 0 < number < 1e12:
            known = ", ".join(unit for unit in self.units if unit)
            self.fail(f"{value!r} is not a {self.name}, such as {self.example}; units are {known}", param, ctx)
        return number


class Repeats(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases only
    """A number of replicates, or `auto`."""

    name = "N|auto"
    most = 1000

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | Literal["auto"]:
        """Return the number, or the word, or fail with what is allowed."""
        if value == AUTO:
            return AUTO
        try:
            number = int(value)
        except ValueError:
            number = 0
        if not 1 <= number <= self.most:
            self.fail(f"{value!r} is not a whole number from 1 to {self.most}, nor {AUTO}", param, ctx)
        return number


class ShardNumber(click.ParamType[tuple[int, int]]):
    """Which shard of how many, such as 7/100."""

    name = "K/N"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Return number and count."""
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", str(value), re.ASCII)
        number, of = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= number <= of:
            self.fail(f"{value!r} is no shard K/N with K from 1 to N, such as 7/100", param, ctx)
        return number, of


DURATION = Amount("time", {"": 1.0, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}, "90s or 2h")


def search_options(command: Command) -> Command:
    """Add the options that say what a search is to find."""
    for option in reversed(
        (
            click.option(
                "--budget", type=DURATION, help="Time it may take, such as 90s, 30min or 2h. Default: what it needs."
            ),
            click.option(
                "--max-drop",
                type=Share(),
                default=0.01,
                show_default="1%",
                help="Accuracy that may be lost against the best network.",
            ),
            click.option("--min-accuracy", type=Share(), help="Test accuracy that must be exceeded."),
            click.option("--max-bytes", type=AtLeastOne(BYTES), help="Most stored bytes of a safe form, such as 20kB."),
            click.option(
                "--max-parameters",
                type=AtLeastOne(COUNT),
                help="Most parameters, such as 50k; no larger one is trained.",
            ),
            click.option(
                "--max-macs",
                type=AtLeastOne(COUNT),
                help="Most multiply-accumulates of an inference, such as 1M; no larger one is trained.",
            ),
            click.option(
                "--max-ram",
                type=AtLeastOne(BYTES),
                help="Most bytes of activations at once, such as 16KiB; what takes more in 8 bits is not trained.",
            ),
            click.option(
                "--by",
                type=click.Choice(get_args(By)),
                default="parameters",
                show_default=True,
                help="What the network is to be small in.",
            ),
            click.option(
                "--resolution",
                type=Share(),
                default=0.1,
                show_default="10%",
                help="Ratio of parameters, minus one, to which the smallest is to be known.",
            ),
            click.option(
                "--looks",
                type=IntegerList(1, 1000),
                default=(5, 10, 15, 20, 30),
                show_default="5,10,15,20,30",
                help="Replicates after which it looks at its data; the last is the most it trains.",
            ),
        )
    ):
        command = option(command)
    return command


def auto_options(command: Command) -> Command:
    """Add the options that go with `--repeats auto`; None where they are not given."""
    for option in reversed(
        (
            click.option(
                "--for",
                "goal",
                type=click.Choice(("answer", "claims")),
                help="With --repeats auto: whose open questions get replicates, the phase's own (default: answer) or"
                " the paper's claims.",
            ),
            click.option("--max-drop", type=Share(), help="With --repeats auto: the margin. Default: 1%."),
            click.option("--budget", type=DURATION, help="With --repeats auto: time it may take, such as 2h."),
            click.option(
                "--looks",
                type=IntegerList(1, 1000),
                help="With --repeats auto: replicates after which it looks at its data. Default: 5,10,15,20,30.",
            ),
        )
    ):
        command = option(command)
    return command


def sweep_options(command: Command) -> Command:
    """Add the options that say what a sweep consists of."""
    for option in reversed(
        (
            click.option(
                "--dataset",
                "datasets",
                metavar="NAME|GROUP|FOLDER",
                multiple=True,
                default=("digits",),
                show_default="digits",
                help="Dataset, group (`paper`) or folder of your own images; repeatable.",
            ),
            click.option(
                "--family",
                "families",
                type=click.Choice(tuple(FAMILIES)),
                multiple=True,
                help="Only this family; repeatable. Default: every family of the phase.",
            ),
            click.option(
                "--capacities",
                type=IntegerList(1, LARGEST_CAPACITY),
                help="First hidden widths, channels or embedding widths, such as 1,2,5. Default: the protocol's grid.",
            ),
            click.option(
                "--depths", type=IntegerList(1, LARGEST_DEPTH), help="Hidden layers of the DNNs. Default: 1,2,3,4."
            ),
            click.option(
                "--epochs",
                type=click.IntRange(1, 10_000),
                help="Default: 20, and 100 on digits, whose epochs are short.",
            ),
            click.option(
                "--repeats",
                type=Repeats(),
                help="Replicates of every model; auto: as many as the open questions of the phase need. Default: the"
                " paper's, DNN 30, CNN and ViT 10.",
            ),
            click.option(
                "--patience",
                type=click.IntRange(1, 10_000),
                help="Stop a model after so many epochs without a better validation accuracy. Default: never.",
            ),
            click.option(
                "--sparsities",
                type=FractionList(),
                help="Shares to prune from each network of phase 2 trained now; stored ones keep theirs."
                " Default: 0,0.05,...,1.",
            ),
            click.option(
                "--prune-by",
                type=WordList("METHOD,...", METHODS),
                help="How fp32 networks are pruned at these shares: magnitude (always), random (any weights), layerwise"
                " (magnitude within each layer), units (whole hidden units or channels). Default: magnitude.",
            ),
            click.option(
                "--finetune",
                type=click.IntRange(1, 10_000),
                metavar="EPOCHS",
                help="Also train each fp32 network of phase 2 on for so many epochs once it is pruned. Default: no.",
            ),
            click.option(
                "--finetune-sparsities",
                type=FractionList(between=True),
                help="With --finetune: shares to prune before. Default: 0.5,0.7,0.9.",
            ),
            click.option(
                "--finetune-by",
                type=WordList("METHOD,...", METHODS),
                help="With --finetune: how to prune before; each method and share costs EPOCHS of training. Default:"
                " magnitude.",
            ),
            click.option(
                "--integer-check",
                "integer_checks",
                type=click.IntRange(0, 1000),
                default=1,
                show_default=True,
                help="Replicates of each 8-bit network that are converted to integers and tested as such.",
            ),
            click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Base seed."),
            click.option(
                "--engine",
                type=click.Choice(("auto", "kernel", "torch")),
                default="auto",
                show_default=True,
                help="Compiled kernels or plain PyTorch; auto takes the kernels where they run.",
            ),
            click.option(
                "--compute",
                type=click.Choice(("float32", "bf16")),
                default="float32",
                show_default=True,
                help="Number format of the products; bf16 takes plain PyTorch and makes runs of their own.",
            ),
            click.option(
                "--set",
                "settings",
                metavar="NAME=VALUE",
                multiple=True,
                help="Set a field of the protocol, such as kernel_size=5 or vit.blocks=3; may be repeated. An unknown"
                " NAME lists what can be set.",
            ),
            click.option(
                "--device",
                type=click.Choice(("cpu", "cuda")),
                default="cpu",
                show_default=True,
                help="Where PyTorch trains; cuda has not been tested.",
            ),
            click.option(
                "--data-dir",
                type=PlainPath(file_okay=False),
                envvar="MINARCH_DATA",
                show_envvar=True,
                help="Folder with the datasets' files.",
            ),
            store_option,
        )
    ):
        command = option(command)
    return command


def without(*names: str) -> Callable[[Command], Command]:
    """Leave options out of a command's help; the command refuses them in words of its own."""

    def hidden(command: Command) -> Command:
        for option in getattr(command, "__click_params__", []):
            option.hidden = option.hidden or option.name in names
        return command

    return hidden


def precision_option(command: Command) -> Command:
    """Add the option that says in which bits quantization-aware training is done."""
    return click.option(
        "--precision",
        "precisions",
        type=WordList("P,P,...", QUANTIZED),
        default=PRECISIONS,
        show_default="int8",
        help=f"Bits of quantization-aware training, of {', '.join(QUANTIZED)}: int4 has 4 bits for weights and"
        " activations, w4a8 4 for weights and 8 for activations.",
    )(command)


def worker_options(command: Command) -> Command:
    """Add the options that say where a sweep runs."""
    for option in reversed(
        (
            click.option(
                "--workers", type=click.IntRange(1, 1024), help="Processes on this machine. Default: one per core."
            ),
            click.option(
                "--executor",
                type=click.Choice(("local", "dask")),
                default="local",
                show_default=True,
                help="Run on this machine or on a Dask cluster.",
            ),
            click.option("--scheduler", metavar="ADDRESS", help="Address of the Dask scheduler, for --executor dask."),
        )
    ):
        command = option(command)
    return command
