"""What `generate model` does, once its arguments are known to make sense."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.table import Table

from generate.datasets import DATASETS, load_dataset, resolve_names
from generate.deploy.card import Model, write_card
from generate.deploy.checks import Checked
from generate.deploy.choice import Asked, Choice, Evidence, chosen, evidence_on
from generate.deploy.files import written
from generate.deploy.folder import check_folder, new_folder
from generate.deploy.latency import Latency
from generate.deploy.retrain import train_again
from generate.deploy.stored import Cut, StoredRun, measured_cut, stored_run
from generate.engine.pruning import weights_left
from store.advice import DEFAULT_STORE, Advice, Source, load_advice
from store.errors import MinarchError
from store.precisions import Precision
from store.records import PruningMethod
from store.results import Store

WIDTH = 80


@dataclass(frozen=True, kw_only=True)
class ModelRequest:
    """What a user asks for: a run by its id, or what is recommended; how it is cut; and where all of it goes.

    `dataset` is a name or a folder; None: the run's, or the only one of the store. `limits` are those of
    `analyze recommend`, by the names of its options.
    """

    store: Path
    out: Path
    run_id: str | None = None
    dataset: str | None = None
    family: str | None = None
    limits: Mapping[str, float | str] = field(default_factory=dict)
    guess: bool = False
    precision: Precision = "fp32"
    sparsity: float = 0.0
    method: PruningMethod = "magnitude"
    finetune_epochs: int = 0
    data_dir: Path | None = None
    force: bool = False
    measure: bool = False


def make_model(request: ModelRequest) -> None:
    """Train the run again, write its files, run each of them over the test set, and print what they answer.

    Raises:
        MinarchError: there is no such run, its data are gone or changed, it cannot be repeated, a file does not compute
            the network, or the folder cannot be written.
    """
    store = Store(request.store)
    store.check()
    advice = load_advice(request.store)
    choice, place = _choice(store, advice, request)
    run = choice.run
    cut = measured_cut(
        store, run, sparsity=request.sparsity, method=request.method, finetune_epochs=request.finetune_epochs
    )
    identity = " ".join([run.run_id, *_cut_words(cut)])
    keep = [request.store, *([request.data_dir] if request.data_dir else [])]
    check_folder(request.out, identity, force=request.force, keep=keep)
    dataset = load_dataset(place.source, Path(place.data_dir) if place.data_dir else None)
    _say(f"{run.dataset}: {run.title}, {run.precision} ({choice.standing}); trains run {run.run_id} again")
    network, repeated = train_again(run, dataset, cut)
    _say(f"{run.dataset}: {repeated.words()}")
    with new_folder(request.out) as folder:
        files = written(network, run, cut, dataset, place.source, folder, measure=request.measure)
        model = Model(
            choice=choice,
            network=network,
            cut=cut,
            nonzero=weights_left(network.tensors),
            repeated=repeated,
            checked=files.checked,
            latencies=files.latencies,
            labels=files.labels,
            truth=dataset.test.labels,
            bytes=files.bytes,
            command=_command(request, run, cut, place),
            identity=identity,
            remarks=files.remarks,
        )
        write_card(model, folder, (*files.names, "card.md", "card.json"))
    _print(model, request.out)


def _choice(store: Store, advice: Advice, request: ModelRequest) -> tuple[Choice, Source]:
    """Return the run that is asked for, and where its data lie.

    Raises:
        MinarchError: there is none.
    """
    if request.run_id is not None:
        run = stored_run(store, request.run_id)
        place = _placed(request, advice.source(request.dataset or run.dataset))
        return Choice(run=run, standing="named", evidence=_evidence(store, run)), place
    name, place = _dataset(store, advice, request)
    asked = Asked(dataset=name, family=request.family, limits=request.limits, guess=request.guess)
    return chosen(store, asked, request.precision), _placed(request, place)


def _evidence(store: Store, run: StoredRun) -> Evidence:
    """Return what the store says of a run's dataset and family; nothing where it has too little to say it."""
    try:
        return evidence_on(store, Asked(dataset=run.dataset, family=run.architecture.family))
    except MinarchError:
        return Evidence()


def _dataset(store: Store, advice: Advice, request: ModelRequest) -> tuple[str, Source]:
    """Return the name that the store has for the dataset asked for, and where that lies.

    Raises:
        MinarchError: the store has no runs on it, or on several and none was named.
    """
    known = ", ".join(advice.datasets) or "no runs at all"
    if request.dataset is None:
        if len(advice.datasets) != 1:
            raise MinarchError(f"--dataset says on which dataset: {request.store} has {known}")
        return advice.datasets[0], advice.source(advice.datasets[0])
    if request.dataset in advice.datasets:
        return request.dataset, advice.source(request.dataset)
    (source, *more) = resolve_names([request.dataset])
    if more:
        raise MinarchError(f"--dataset {request.dataset} stands for several: name one")
    if source not in DATASETS:
        fingerprint = load_dataset(source, request.data_dir).fingerprint
        sql = "SELECT DISTINCT dataset FROM runs WHERE dataset_fingerprint = ?"
        for name in store.query(sql, [fingerprint])["dataset"]:
            return name, Source(source)
    raise MinarchError(f"{request.store} has no runs on {request.dataset}; it has {known}")


def _placed(request: ModelRequest, source: Source) -> Source:
    """Return where data lie: where the request says, else where the store took them from."""
    data_dir = str(request.data_dir) if request.data_dir else source.data_dir
    return Source(source.source, data_dir if source.source in DATASETS else None)


def _cut_words(cut: Cut | None) -> list[str]:
    """Return the options of a way of pruning."""
    if cut is None:
        return []
    tuned = ["--finetune", str(cut.finetune_epochs)] if cut.finetune_epochs else []
    return ["--sparsity", f"{cut.sparsity:g}", "--method", cut.method, *tuned]


def _command(request: ModelRequest, run: StoredRun, cut: Cut | None, place: Source) -> str:
    """Return the line that makes this model again, whatever is recommended by then."""
    words = ["generate", "model", "--run", run.run_id, *_cut_words(cut)]
    if request.dataset is not None and place.source not in DATASETS:
        words += ["--dataset", place.source]
    if place.data_dir is not None:
        words += ["--data-dir", place.data_dir]
    if str(request.store) != os.environ.get("MINARCH_STORE", DEFAULT_STORE):
        words += ["--store", str(request.store)]
    return shlex.join([*words, "--out", str(request.out)])


def _print(model: Model, out: Path) -> None:
    console = Console(highlight=False)
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    images = model.checked[0].images
    click.echo(f"{model.choice.run.dataset}, {model.title}: {images:,} test images")
    console.print(_checked_table(model.checked, model.bytes))
    click.echo("differ: answers other than the reference's, which the card names; apart: largest")
    click.echo("difference of a logit, of files in 8 bits in levels")
    if model.latencies:
        console.print(_latency_table(model.latencies))
    click.echo(model.repeated.words())
    for remark in model.remarks:
        click.echo(remark)
    click.echo(f"written to {out}; its card is {out / 'card.md'}")


def _checked_table(checked: Sequence[Checked], sizes: Mapping[str, int]) -> Table:
    table = _table(["file", "run by"], ["bytes", "right", "accuracy", "store", "differ", "apart"])
    for row in checked:
        table.add_row(
            row.file,
            row.run_by,
            f"{sizes[row.file]:,}" if row.file in sizes else "",
            f"{row.correct:,}",
            f"{100 * row.accuracy:.2f}%",
            "" if row.stored is None else f"{100 * row.stored:.2f}%",
            f"{row.differing:,}",
            f"{row.apart:.0f}" if row.in_levels else f"{row.apart:.0e}",
        )
    return table


def _latency_table(latencies: Sequence[Latency]) -> Table:
    table = _table(["one image, one thread", "run by"], ["median", "p99", "runs"])
    for row in latencies:
        table.add_row(row.file, row.run_by, f"{row.median:.1f} µs", f"{row.p99:.1f} µs", f"{row.runs:,}")
    return table


def _table(left: list[str], right: list[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)
    for name in left:
        table.add_column(name)
    for name in right:
        table.add_column(name, justify="right")
    return table


def _say(text: str) -> None:
    click.echo(f"generate: {text}", err=True)
