"""`reports`: pictures of a results store."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import click

from store import console
from store.families import FAMILIES
from store.options import PlainPath, datasets_option, families_option, protocol_option, store_option

FORMATS = ("svg", "png", "pdf", "html", "json")

claims_option = click.option(
    "--claims/--no-claims",
    "with_claims",
    default=True,
    show_default=True,
    help="Test the paper's claims, which takes longer than all else.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="minarch", prog_name="reports")
def cli() -> None:
    """Draw a results store: one self-contained page, or single figures.

    \b
    Example:
      reports render --out report.html
    """


@cli.command()
@click.option(
    "--out",
    type=PlainPath(dir_okay=False),
    default="report.html",
    show_default=True,
    help="The file to write.",
)
@store_option
@datasets_option
@families_option
@protocol_option
@claims_option
def render(
    out: Path,
    store_path: Path,
    datasets: tuple[str, ...],
    families: tuple[str, ...],
    protocol: str | None,
    with_claims: bool,
) -> None:
    """Write the report: one HTML file that needs no network.

    \b
    Examples:
      reports render
      reports render --dataset mnist --dataset cifar10 --family dnn --out dnn.html
    """
    from reports.files import write_report

    click.echo(write_report(out, store_path, datasets, families, protocol, with_claims=with_claims))


@cli.command()
@click.argument("name", metavar="NAME")
@click.option("--format", "kind", type=click.Choice(FORMATS), default="svg", show_default=True, help="What to write.")
@click.option("--out", type=PlainPath(dir_okay=False), help="The file to write; default: NAME.FORMAT here.")
@store_option
@click.option("--dataset", metavar="NAME", help="Needed where the store has several.")
@click.option("--family", type=click.Choice(tuple(FAMILIES)), help="Needed where the dataset has several.")
@click.option("--view", metavar="VIEW", help="Which view of a figure that has several, such as parameters.")
@click.option("--capacity", type=int, metavar="N", help="Width, channels or embedding width to show or to mark.")
@click.option("--replicates", is_flag=True, help="Draw the single runs too, where the figure can.")
@protocol_option
def figure(
    name: str,
    kind: str,
    out: Path | None,
    store_path: Path,
    dataset: str | None,
    family: str | None,
    view: str | None,
    capacity: int | None,
    replicates: bool,
    protocol: str | None,
) -> None:
    """Write one figure, for a paper or a slide.

    It shows one dataset and family.

    NAME: convergence, pruning, quantization, shapes, epochs or reach.

    \b
    Examples:
      reports figure pruning --dataset mnist --family cnn --format pdf
      reports figure convergence --view parameters --out size.svg
    """
    from reports.files import write_figure

    written = write_figure(
        name, kind, out, store_path, dataset, family, view, capacity, replicates=replicates, protocol=protocol
    )
    click.echo(written)


@cli.command("open")
@click.option(
    "--out",
    type=PlainPath(dir_okay=False),
    default="report.html",
    show_default=True,
    help="The file to write and show.",
)
@store_option
@datasets_option
@families_option
@protocol_option
@claims_option
def open_report(
    out: Path,
    store_path: Path,
    datasets: tuple[str, ...],
    families: tuple[str, ...],
    protocol: str | None,
    with_claims: bool,
) -> None:
    """Write the report and show it in the browser.

    \b
    Example:
      reports open --store results.duckdb
    """
    from reports.files import show, write_report

    click.echo(write_report(out, store_path, datasets, families, protocol, with_claims=with_claims))
    show(out)


def main() -> NoReturn:
    """Run the command line."""
    console.run(cli, "reports")
