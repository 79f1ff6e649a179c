"""The command `analyze`: statistics of a results store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn, TypedDict

import click

from analyze.arguments import RULES, Count
from analyze.terminal.output import Destination, emit
from store.console import run
from store.options import (
    BYTES,
    COUNT,
    WholeAmount,
    datasets_option,
    families_option,
    format_option,
    out_option,
    protocol_option,
    store_option,
)

if TYPE_CHECKING:
    from analyze.questions.costs import By

Decorator = Callable[[Callable[..., None]], Callable[..., None]]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="minarch", prog_name="analyze")
def analyze() -> None:
    """Statistics of a results store: where networks become stable, how far they can be cut.

    \b
    Example:
      analyze regimes --dataset digits
    """


@dataclass(frozen=True)
class Request:
    """What every analysis is asked: of which store, datasets, families and protocol, with which seed, printed where."""

    what: tuple[Path, tuple[str, ...], tuple[str, ...], str | None]
    seed: int
    destination: Destination


class Limited(TypedDict):
    """The limits of a recommendation, as its options give them."""

    max_drop: float
    max_parameters: int | None
    max_bytes: int | None
    min_accuracy: float | None
    max_macs: int | None
    max_ram: int | None
    by: By


def number_option(name: str, meaning: str, default: float | None = None, unit: WholeAmount | None = None) -> Decorator:
    """Return the option of a number, held to the rule of the argument with its name; `unit` has those it may be in."""
    rule = RULES[name]
    kind = unit or (
        click.IntRange(min=rule.least)
        if isinstance(rule, Count)
        else click.FloatRange(0, 1, min_open=True, max_open=True)
    )
    return click.option(
        f"--{name.replace('_', '-')}",
        type=kind,
        default=default,
        show_default=default is not None,
        help=meaning,
        callback=_held,
    )


def _held(context: click.Context, option: click.Parameter, value: object) -> object:
    """Return the value of an option, which click's range lets through where it is no number at all."""
    fault = None if value is None else RULES[str(option.name)].fault(value)
    if fault:
        raise click.BadParameter(fault, context, option)
    return value


def common_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that every analysis takes; the command gets them as a `Request`, its own as they are."""

    @wraps(command)
    def bundled(
        datasets: tuple[str, ...],
        families: tuple[str, ...],
        protocol: str | None,
        store_path: Path,
        format_: str | None,
        out: Path | None,
        seed: int,
        **own: object,
    ) -> None:
        command(Request((store_path, datasets, families, protocol), seed, Destination(format_, out)), **own)

    decorated: Callable[..., None] = bundled
    for option in (
        number_option("seed", "Of the resampling.", default=0),
        out_option,
        format_option,
        store_option,
        protocol_option,
        families_option,
        datasets_option,
    ):
        decorated = option(decorated)
    return decorated


@analyze.command()
@click.option("--epochs", is_flag=True, help="Instead: does test loss rise again along training, size by size?")
@common_options
def regimes(asked: Request, epochs: bool) -> None:
    """Find the sizes from which networks are stable, and from which they overfit.

    For each dataset, family and depth: the boundary between unstable and learning (stability), and between learning
    and overfitting, each with a 95% interval in sizes. Needs 5 sizes and 5 replicates. Size is the width of the first
    hidden layer, the channels or the embedding width.

    \b
    Examples:
      analyze regimes --dataset mnist --family dnn
      analyze regimes --format json --out regimes.json
      analyze regimes --epochs
    """
    if epochs:
        from analyze.questions.epochs import epoch_overfitting
        from analyze.terminal import epochs_table

        emit(epoch_overfitting(*asked.what), asked.destination, epochs_table)
        return
    from analyze.questions.regimes import regimes as find
    from analyze.terminal import regimes_table

    emit(find(*asked.what, seed=asked.seed), asked.destination, regimes_table)


@analyze.command()
@click.option("--crossings", is_flag=True, help="Instead: at which sparsity do depths of equal width cross?")
@number_option("margin", "Non-inferiority margin: the loss of accuracy to rule out, a fraction.", default=0.01)
@common_options
def pruning(asked: Request, crossings: bool, margin: float) -> None:
    """Find how far networks can be pruned, and the phases of their decline.

    For each architecture of equal widths: the largest sparsity that is non-inferior to the unpruned model within the
    margin (the safe sparsity); the end of the plateau and the start of the floor; the sparsities at which 2% of the
    accuracy above chance are lost, and left. Needs 5 replicates.

    \b
    Examples:
      analyze pruning --dataset mnist --margin 0.02
      analyze pruning --crossings --format csv
    """
    from analyze.questions.pruning import depth_crossings
    from analyze.questions.pruning import pruning as find
    from analyze.terminal import crossings_table, pruning_table

    if crossings:
        crossed = depth_crossings(*asked.what, seed=asked.seed)
        emit(crossed, asked.destination, crossings_table)
        return
    found = find(*asked.what, margin=margin, seed=asked.seed)
    emit(found, asked.destination, pruning_table)


@analyze.command()
@click.option("--trend", "shown", flag_value="trend", help="Instead: how does the gap change with size?")
@click.option("--integer", "shown", flag_value="integer", help="Instead: do converted integer models agree?")
@common_options
def quantization(asked: Request, shown: str | None) -> None:
    """Find what 8-bit quantization costs.

    For each architecture of equal widths: accuracy in fp32 minus that after quantization-aware training, paired by
    replicate, over the models alive in both; and the share of models that die under int8. Needs 5 replicates.

    \b
    Examples:
      analyze quantization --dataset mnist
      analyze quantization --trend --format json
      analyze quantization --integer
    """
    from analyze import terminal
    from analyze.questions import quantization as gaps_of

    destination = asked.destination
    if shown == "trend":
        trends = gaps_of.quantization_trends(*asked.what, seed=asked.seed)
        emit(trends, destination, terminal.trends_table)
    elif shown == "integer":
        agreement = gaps_of.integer_agreement(*asked.what)
        emit(agreement, destination, terminal.agreement_table)
    else:
        gaps = gaps_of.quantization(*asked.what, seed=asked.seed)
        emit(gaps, destination, terminal.gaps_table)


@analyze.command()
@click.option("--steps", is_flag=True, help="Instead: what every step down the bits costs.")
@number_option("max_drop", "Non-inferiority margin: the loss of accuracy to rule out, a fraction.", default=0.01)
@common_options
def bits(asked: Request, steps: bool, max_drop: float) -> None:
    """Find the fewest bits that are safe, and from which on accuracy is lost.

    For each architecture of equal widths, down the bits (int8, w4a8, int4, w2a8, int2 under quantization-aware
    training; 8, 6, 4 bits of weights after training): the last step that is non-inferior to fp32 within --max-drop,
    each tested only where those before passed, and the first one whose interval is above zero. Paired by replicate;
    needs 5.

    \b
    Examples:
      analyze bits --dataset mnist --max-drop 0.02
      analyze bits --steps --format csv
    """
    from analyze.questions import bits as asking
    from analyze.terminal import bit_steps_table, bits_table

    if steps:
        emit(asking.bit_steps(*asked.what, max_drop=max_drop, seed=asked.seed), asked.destination, bit_steps_table)
        return
    emit(asking.bits(*asked.what, max_drop=max_drop, seed=asked.seed), asked.destination, bits_table)


@analyze.command()
@click.option("--networks", is_flag=True, help="Instead: every network by itself, not their mean.")
@number_option("margin", "Equivalence margin: the difference in accuracy to rule out, a fraction.", default=0.01)
@common_options
def finetuning(asked: Request, networks: bool, margin: float) -> None:
    """Find what fine-tuning after pruning wins, and pruning by magnitude.

    At each sparsity: pruned networks that were trained on against the same ones that were not, and pruning by
    magnitude against random and layer-wise pruning of as many weights, treated alike. Paired by replicate; mean over
    the stable networks of a dataset and family, family-wise error rate 5%. Needs 5 replicates.

    \b
    Examples:
      analyze finetuning --dataset mnist
      analyze finetuning --networks --format csv
    """
    from analyze.questions import finetuning as asking
    from analyze.terminal import finetuning_table

    find = asking.finetuned_networks if networks else asking.finetuning
    emit(find(*asked.what, margin=margin, seed=asked.seed), asked.destination, finetuning_table)


@analyze.command(name="prune-or-small")
@click.option(
    "--by",
    type=click.Choice(["bytes", "nonzero"]),
    default="bytes",
    show_default=True,
    help="What is equal: stored bytes, masks included, or parameters left.",
)
@number_option("margin", "Equivalence margin: the difference in accuracy to rule out, a fraction.", default=0.01)
@common_options
def prune_or_small(asked: Request, by: Literal["bytes", "nonzero"], margin: float) -> None:
    """Compare pruned larger networks with smaller ones trained whole.

    For each stable network in fp32 or int8, and each larger one of its depth in each pruned form (by any method,
    fine-tuned, quantized): the form that takes as much, or a quarter less at most. Paired by replicate: which is
    better, or are they equivalent? Family-wise error rate 5% per dataset and family. Needs 5 replicates.

    \b
    Examples:
      analyze prune-or-small --dataset mnist
      analyze prune-or-small --by nonzero --margin 0.005 --format csv
    """
    from analyze.questions.matched import prune_or_small as find
    from analyze.terminal import matched_table

    emit(find(*asked.what, by=by, margin=margin, seed=asked.seed), asked.destination, matched_table)


@analyze.command()
@click.option(
    "--by",
    type=click.Choice(RULES["by"].known),  # type: ignore[union-attr]
    default="bytes",
    show_default=True,
    help="Against what: stored bytes, parameters left, multiply-accumulates or bytes of activations of an inference.",
)
@click.option("--all", "every", is_flag=True, help="Every form, not the best at each size alone.")
@common_options
def frontier(asked: Request, by: By, every: bool) -> None:
    """Draw up the frontier of accuracy against what networks take.

    Over every measured form of every network (whole, quantized, pruned, fine-tuned, and these at once): the most
    accurate at each number of bytes, or of what --by says, with intervals that hold together, and how many forms that
    take no more are not shown to be worse. With --all also those that are shown to be beaten, and by what. Needs 5
    replicates.

    \b
    Examples:
      analyze frontier --dataset mnist --family dnn
      analyze frontier --by ram
      analyze frontier --all --out frontier.csv
    """
    from dataclasses import replace

    from analyze.questions.frontier import frontier as find
    from analyze.terminal import frontier_table

    found = find(*asked.what, by=by)
    best = found if every else replace(found, rows=tuple(row for row in found if row.best))
    emit(best, asked.destination, frontier_table)


@analyze.command()
@number_option(
    "max_drop", "Non-inferiority margin, a fraction of accuracy: against the best, of pruning, of 8 bits.", default=0.01
)
@number_option("max_parameters", "Most parameters, such as 50k.", unit=COUNT)
@number_option("max_bytes", "Most stored bytes, of a form shown to be safe: 20kB, 64KiB.", unit=BYTES)
@number_option("max_macs", "Most multiply-accumulates of an inference, such as 1M.", unit=COUNT)
@number_option("max_ram", "Most bytes of activations at once, of a form shown to be safe: 16KiB.", unit=BYTES)
@number_option("min_accuracy", "Test accuracy, a fraction, that must be exceeded.")
@click.option(
    "--by",
    type=click.Choice(RULES["by"].known),  # type: ignore[union-attr]
    default="parameters",
    show_default=True,
    help="What is to be small: of all parameters, of the rest that of a form shown to be safe.",
)
@click.option("--explain", is_flag=True, help="The reasoning too, and the evidence as a table.")
@click.option("--evidence", is_flag=True, help="Instead: every architecture with its verdict.")
@click.option("--statement", is_flag=True, help="Instead: a statement to cite, as Markdown, or with --format json.")
@common_options
def recommend(
    asked: Request,
    max_drop: float,
    max_parameters: int | None,
    max_bytes: int | None,
    max_macs: int | None,
    max_ram: int | None,
    min_accuracy: float | None,
    by: By,
    explain: bool,
    evidence: bool,
    statement: bool,
) -> None:
    """Recommend the smallest architecture that is stable and good enough.

    For each dataset and family, and over all families: the architecture with the fewest parameters that is
    non-inferior to the best stable one within --max-drop, its expected accuracy, how far it can be pruned, whether
    8 bits are safe, and its bytes. Under a budget the best is the best that fits. If nothing qualifies: why, and which
    sweep would decide it. --statement: all of it to cite, with the data, what varied, the share of trainings that
    reach an accuracy, what stays open, and versions.

    \b
    Examples:
      analyze recommend --dataset mnist --explain
      analyze recommend --dataset mnist --max-bytes 20kB --max-ram 16KiB --by macs
      analyze recommend --dataset mnist --statement --out mnist.md
    """
    limits = Limited(
        max_drop=max_drop,
        max_parameters=max_parameters,
        max_bytes=max_bytes,
        min_accuracy=min_accuracy,
        max_macs=max_macs,
        max_ram=max_ram,
        by=by,
    )
    if statement:
        from analyze.questions.statement import statement as state
        from analyze.terminal.output import emit_statements

        emit_statements(state(*asked.what, **limits, seed=asked.seed), asked.destination)
        return
    from analyze import terminal
    from analyze.questions.recommend import recommend as answer

    found = answer(*asked.what, **limits, seed=asked.seed)
    if evidence:
        emit(found.evidence, asked.destination, terminal.evidence_table)
        return
    table = (lambda _: terminal.reasoning(found)) if explain else terminal.recommendations_table
    emit(found, asked.destination, table)


@analyze.command()
@click.option("--threshold", "shown", flag_value="threshold", help="Instead: from which size on are they equivalent?")
@click.option("--components", "shown", flag_value="components", help="Instead: how much variance has which cause?")
@number_option("margin", "Equivalence margin: the difference in accuracy to rule out, a fraction.", default=0.01)
@common_options
def shapes(asked: Request, shown: str | None, margin: float) -> None:
    """Find whether the topologies of a DNN matter.

    For each size of each depth from 2 on: are all topologies equivalent within the margin, or do some differ by more?
    With the power to tell, and p values adjusted over the sizes (Holm). Needs 5 replicates of `generate shapes`.

    \b
    Examples:
      analyze shapes --dataset mnist --margin 0.02
      analyze shapes --threshold
      analyze shapes --components --format json
    """
    from analyze import terminal
    from analyze.questions import shapes as topologies

    destination = asked.destination
    if shown == "threshold":
        thresholds = topologies.shape_thresholds(*asked.what, margin=margin, seed=asked.seed)
        emit(thresholds, destination, terminal.thresholds_table)
    elif shown == "components":
        found = topologies.shape_components(*asked.what, seed=asked.seed)
        emit(found, destination, terminal.components_table)
    else:
        compared = topologies.shapes(*asked.what, margin=margin, seed=asked.seed)
        emit(compared, destination, terminal.shapes_table)


@analyze.command(name="table-one")
@common_options
def table_one(asked: Request) -> None:
    """Put the paper's Table I together, beside the paper's own figures.

    For each dataset and family: the fewest parameters from which networks are stable, the safe sparsity of the best
    stable network, and what 8 bits cost the smallest one; each with an interval, and whether the paper's figure lies
    inside. docs/method.md says how depths become one figure.

    \b
    Examples:
      analyze table-one
      analyze table-one --dataset mnist --format json
    """
    from analyze.paper.table_one import table_one as find
    from analyze.terminal import table_one_table

    emit(find(*asked.what, seed=asked.seed), asked.destination, table_one_table)


@analyze.command()
@common_options
def claims(asked: Request) -> None:
    """Test the claims of the paper on the store.

    One row per claim and scope: supported, contradicted, inconclusive, or not testable and what to run. The family-wise
    error rate over the table is at most 5% (Holm). docs/method.md states the rules.

    \b
    Examples:
      analyze claims
      analyze claims --dataset digits --format json
    """
    from analyze.paper.claims import claims as find
    from analyze.terminal import claims_table

    emit(find(*asked.what, seed=asked.seed), asked.destination, claims_table)


@analyze.command()
@number_option(
    "margin",
    "Equivalence and non-inferiority margin, and half-width wanted of a gap's interval; a fraction.",
    default=0.01,
)
@common_options
def power(asked: Request, margin: float) -> None:
    """Find how many replicates each question takes.

    From the variances seen, size by size: replicates to show that topologies are equivalent, that pruning loses less
    than the margin, to know the 8-bit gap to within the margin, and to place the stability boundary to within one
    size; beside the replicates that the store holds.

    \b
    Examples:
      analyze power --dataset mnist
      analyze power --dataset mnist --margin 0.005 --format json
    """
    from analyze.questions.power import power as find
    from analyze.terminal import power_table

    emit(find(*asked.what, margin=margin, seed=asked.seed), asked.destination, power_table)


@analyze.command(name="next")
@click.option("--design", "design_id", required=True, metavar="ID", help="Of the store's table `designs`.")
@number_option("seed", "Of the resampling.", default=0)
@out_option
@format_option
@store_option
def next_(design_id: str, seed: int, out: Path | None, format_: str | None, store_path: Path) -> None:
    """Find what a search needs next: the networks, and how many replicates of each, that its questions wait for.

    What `generate search` asks between two looks at its data. Remarks say what is answered so far, and what is open.

    \b
    Example:
      analyze next --design 0123456789abcdef
    """
    from analyze.questions.next import asked, next_look
    from analyze.terminal import asked_table

    found = asked(next_look(store_path, design_id, seed=seed), design_id)
    emit(found, Destination(format_, out), asked_table)


def main() -> NoReturn:
    """Run the command `analyze` and exit."""
    run(analyze, "analyze")
