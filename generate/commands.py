"""What the commands of `generate` do, once their arguments are known to make sense."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import click
from rich.console import Console

from generate.architectures import Architecture
from generate.calibration import Kind, calibrate
from generate.cost import sweep_seconds
from generate.cuts import Cuts
from generate.datasets import DATASETS, Dataset, load_dataset, remarks
from generate.display import counted, duration, plan_table, shown
from generate.driver import Progress, run_sweep
from generate.executors import DaskWorkers, LocalWorkers, Workers
from generate.families import family_named
from generate.leases import Leases
from generate.plan import Plan, Request, cells_for, make_plan, protocol_of
from generate.protocol import SPARSITIES, Training
from generate.provenance import available_cores, new_invocation, request_spec
from generate.shards import Shard, UnitFolder, run_shard
from store import signals
from store.errors import MinarchError
from store.records import Invocation
from store.results import Store

VALIDATION_FRACTION = Training().validation_fraction
CLOSE_SECONDS = 5.0
"""How long an interrupted sweep waits for another program to let go of the store."""


def sweep(request: Request, store_path: Path, *, workers: int | None, scheduler: str | None) -> None:
    """Run what the request asks for and the store lacks.

    Raises:
        MinarchError: data is missing, the store cannot be written, or units failed for good.
        click.exceptions.Exit: with code 130 after Ctrl-C or a termination signal.
    """
    store = Store(store_path)
    store.prepare()
    # Before the plan: what another driver trains from now on is no surprise.
    leases = Leases(store.spool / "leases")
    datasets = load(request, store)
    plan = make_plan(request, datasets, store.run_ids())
    if not plan.units:
        models = counted(plan.models, "model")
        click.echo(f"nothing to do: {store_path} holds all of {models} asked for{kept_rows(request, plan)}")
        return
    free = shutil.disk_usage(Path(os.path.realpath(store_path)).parent).free
    if free < plan.disk_bytes:
        raise MinarchError(f"{plan.disk_bytes / 1e6:.0f} MB are needed for {store_path}, {free / 1e6:.0f} MB are free")
    console = Console(stderr=True)
    local = workers or available_cores()
    invocation = new_invocation(request_spec(request, datasets))
    pool: Workers = DaskWorkers(scheduler) if scheduler else LocalWorkers(min(local, len(plan.units)))
    try:
        seconds = estimated(request, plan, datasets, workers=None if scheduler else pool)
    except BaseException:
        pool.stop()
        raise
    _announce(console, plan, seconds, None if scheduler else local)
    progress: Progress | None = None

    def keep(current: Progress) -> None:
        nonlocal progress
        progress = current
        display(current)

    with signals.answering("note") as stopping:
        try:
            with shown(console) as display:
                final = run_sweep(plan.units, store, pool, invocation, leases=leases, show=keep, stopping=stopping)
        except KeyboardInterrupt:
            pool.stop()
            with contextlib.suppress(MinarchError):
                store.ingest(CLOSE_SECONDS)  # Else units stay in the spool, where they are safe too.
            done = progress.models_done if progress else 0
            if signals.speak():
                click.echo(
                    f"generate: interrupted; {done:,} of {counted(plan.missing, 'model')} trained and safe in"
                    f" {store_path}; the same command goes on from there",
                    err=True,
                )
            raise click.exceptions.Exit(signals.INTERRUPTED) from None
        finally:
            pool.stop()
            leases.close()
    store.close_out()
    _warn_of_validation(store, invocation)
    elsewhere = f", {final.elsewhere:,} meanwhile by another generate" if final.elsewhere else ""
    click.echo(
        f"{counted(final.models_done, 'model')} trained in {duration(final.elapsed)}{elsewhere}; {store_path} holds"
        f" {plan.stored + final.models_done + final.elsewhere:,} of the {plan.models:,} asked for"
    )
    _give_up(final)


def work(request: Request, folder: Path, shard: Shard, *, workers: int | None) -> None:
    """Train what a request asks for together with other shards, into files of a folder that all of them share.

    Raises:
        MinarchError: data is missing, the folder cannot be written, or units failed for good.
        click.exceptions.Exit: with code 130 after Ctrl-C or a termination signal.
    """
    units = UnitFolder(folder)
    datasets = load(request)
    plan = make_plan(request, datasets, frozenset())
    invocation = new_invocation(request_spec(request, datasets))
    pool = LocalWorkers(workers or 1)
    console = Console(stderr=True)
    console.print(
        f"shard {shard.number} of {shard.of}: {counted(plan.models, 'model')} in {counted(len(plan.units), 'unit')},"
        f" shared by all of them through {folder}",
        soft_wrap=True,
        highlight=False,
    )
    done = 0
    with signals.answering("note") as stopping:
        try:
            with shown(console) as display:

                def keep(current: Progress) -> None:
                    nonlocal done
                    done = current.models_done
                    display(current)

                final = run_shard(plan.units, units, pool, invocation, shard, show=keep, stopping=stopping)
        except KeyboardInterrupt:
            if signals.speak():
                click.echo(
                    f"generate: interrupted; {counted(done, 'model')} trained and safe in {folder}; its other units are"
                    " free for other shards",
                    err=True,
                )
            raise click.exceptions.Exit(signals.INTERRUPTED) from None
        finally:
            pool.stop()
            units.close()
    click.echo(
        f"{counted(final.models_done, 'model')} trained in {duration(final.elapsed)}, {final.elsewhere:,} by other"
        f" shards; `store ingest --spool {shlex.quote(str(folder))}` takes them into a store"
    )
    _give_up(final)


def _give_up(final: Progress) -> None:
    """Say which units failed for good, if any.

    Raises:
        MinarchError: some did.
    """
    if final.failures:
        unit, error = final.failures[0]
        others = len(final.failures) - 1
        more = f" and {counted(others, 'more unit')}" if others else ""
        raise MinarchError(f"gave up on {unit.name}{more} after 3 attempts: {error}; the same command tries again")


def _warn_of_validation(store: Store, invocation: Invocation) -> None:
    """Say how many models never got a validation image right: the first epoch was taken, whatever it was worth."""
    sql = "SELECT count(*) AS n FROM runs WHERE invocation_id = ? AND validation_accuracy = 0"
    found = int(store.query(sql, [invocation.invocation_id])["n"].item())
    if found:
        click.echo(
            f"generate: {counted(found, 'model')} never got a validation image right, so their best epoch means"
            " nothing; more images or epochs would tell them apart",
            err=True,
        )


def show_plan(request: Request, store_path: Path) -> None:
    """Print what the request consists of, what is stored already, and how long the rest would take."""
    store = Store(store_path)
    stored = store.run_ids()
    datasets = load(request, store)
    plan = make_plan(request, datasets, stored)
    click.echo(
        f"{counted(plan.cells, 'cell')}, {counted(plan.models, 'distinct model')} with replicates;"
        f" {plan.stored:,} of them are stored{kept_rows(request, plan)}"
    )
    if plan.units:
        seconds = estimated(request, plan, datasets, remembered=True)
        Console().print(plan_table(plan, seconds))
        cores = available_cores()
        click.echo(f"about {duration(sweep_duration(plan, seconds, cores))} on the {counted(cores, 'core')} here")


def kept_rows(request: Request, plan: Plan) -> str:
    """Return what is to be said of stored runs where other ways of pruning are asked for: their weights are gone."""
    other = replace(request.cuts, sparsities=SPARSITIES) != Cuts()
    return ", which keep the rows of pruning that they have" if other and plan.stored else ""


def load(request: Request, store: Store | None = None) -> list[tuple[str, Dataset]]:
    """Return the datasets asked for, under the names that a store knows them by, and say what is odd about them."""
    if request.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise MinarchError("--device cuda: PyTorch finds no CUDA device here; use --device cpu")
    datasets = [(name, load_dataset(name, request.data_dir)) for name in request.datasets]
    datasets, renamed = as_stored(datasets, store)
    notes = [*renamed, *(note for _, dataset in datasets for note in remarks(dataset, VALIDATION_FRACTION))]
    for note in notes:
        click.echo(f"generate: {note}", err=True)
    for (source, dataset), family in product(datasets, request.families):
        protocol = protocol_of(request, family, source)
        for cell in cells_for(request, family, source):
            obstacle = family_named(family).obstacle(cell.architecture.hidden_sizes, dataset.image, protocol)
            if obstacle:
                raise MinarchError(f"{dataset.name}: {obstacle}; leave out --family {family}")
    return datasets


def as_stored(
    datasets: Sequence[tuple[str, Dataset]], store: Store | None
) -> tuple[list[tuple[str, Dataset]], list[str]]:
    """Return the datasets under the names that the store has for the same images and labels, and what was renamed.

    Raises:
        MinarchError: two of them are the same, or one is what the store knows as another dataset with a name.
    """
    where = None if store is None else store.path
    known: dict[str, str] = {}
    if store is not None and store.path.exists():
        known = dict(store.query("SELECT dataset_fingerprint, dataset FROM datasets").iter_rows())
    found: dict[str, str] = {}
    result, notes = [], []
    for source, dataset in datasets:
        if dataset.fingerprint in found:
            raise MinarchError(f"{found[dataset.fingerprint]} and {source} are the same images and labels: name one")
        found[dataset.fingerprint] = source
        name = known.get(dataset.fingerprint, dataset.name)
        if name != dataset.name:
            if dataset.seeding == "dataset name" and dataset.seed_key != name and name in DATASETS:
                raise MinarchError(f"{where} knows the images of {source} as {name}: use --dataset {name}")
            notes.append(f"{where} knows the images of {source} as {name}: the runs are stored under that name")
        result.append((source, replace(dataset, name=name)))
    return result, notes


def estimated(
    request: Request,
    plan: Plan,
    datasets: list[tuple[str, Dataset]],
    *,
    remembered: bool = False,
    workers: Workers | None = None,
    known: dict[Kind, float] | None = None,
) -> dict[str, float]:
    """Return the seconds that a plan takes one core of this machine, by `dataset family`; as `calibrate` measures.

    Calibrations in `known`, which are those of one dataset, are taken from there, and new ones put there.
    """
    seconds: dict[str, float] = {}
    for source, dataset in datasets:
        units = [unit for unit in plan.units if unit.dataset.source == source]
        architectures: dict[Kind, set[Architecture]] = {}
        for unit in units:
            architectures.setdefault((unit.protocol, unit.precision), set()).update(
                cell.architecture for cell in unit.cells
            )
        factors = {} if known is None else known
        factors |= calibrate(
            {kind: sizes for kind, sizes in architectures.items() if kind not in factors},
            dataset.image,
            engine=request.engine,
            device=request.device,
            remembered=remembered,
            workers=workers,
        )
        for unit in units:
            key = f"{source} {unit.family}"
            seconds[key] = seconds.get(key, 0.0) + unit.seconds * factors[unit.protocol, unit.precision]
    return seconds


def sweep_duration(
    plan: Plan, seconds: Mapping[str, float], workers: int, *, loaded: Collection[Kind] = frozenset()
) -> float:
    """Return the seconds that a plan takes so many workers, all that comes beside training counted.

    `loaded` are what workers that run already have trained before.
    """
    kinds = {(unit.protocol, unit.precision) for unit in plan.units}.difference(loaded)
    computing, units = sum(seconds.values()), len(plan.units)
    return sweep_seconds(computing, units=units, kinds=len(kinds), workers=workers, started=bool(loaded))


def _announce(console: Console, plan: Plan, seconds: dict[str, float], workers: int | None) -> None:
    console.print(plan_table(plan, seconds))
    where = counted(workers, "worker") if workers else "the cluster"
    disk = f" and {plan.disk_bytes / 1e6:.0f} MB of disk" if plan.disk_bytes > 1e6 else ""
    time = f", about {duration(sweep_duration(plan, seconds, workers))}" if workers else ""
    stored = f"; {plan.stored:,} are stored already" if plan.stored else ""
    console.print(
        f"{counted(plan.missing, 'model')} in {counted(len(plan.units), 'unit')} on {where}{time}{disk}{stored}",
        highlight=False,
    )
