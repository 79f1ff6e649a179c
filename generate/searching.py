"""What the command `generate search` does, once its arguments are known to make sense."""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from rich.console import Console

from generate.commands import CLOSE_SECONDS, VALIDATION_FRACTION, estimated, load, sweep_duration
from generate.datasets import Dataset, default_epochs
from generate.display import counted, duration, shown
from generate.executors import LocalWorkers
from generate.leases import Leases
from generate.plan import Request
from generate.protocol import Training
from generate.provenance import available_cores, new_invocation, request_spec
from generate.search import Clock, Search, SearchRequest, Step
from generate.sweep import run_sweep
from store import signals
from store.errors import MinarchError
from store.records import Invocation
from store.results import Store

SHORT_EPOCH = 100
"""Steps of an epoch below which more epochs are proposed."""
ENOUGH_STEPS = 1300
"""Steps of a whole training that are proposed then: as many as the bundled digits get."""


def search(request: Request, wanted: SearchRequest, store_path: Path, *, workers: int | None) -> None:
    """Search the smallest network for each dataset of the request, and print what was found.

    Raises:
        MinarchError: data is missing, the store cannot be written, or units failed for good.
        click.exceptions.Exit: with code 130 after Ctrl-C or a termination signal.
    """
    store = Store(store_path)
    store.prepare()
    leases = Leases(store.spool / "leases")
    datasets = load(request, store)
    for source, dataset in datasets:
        _propose_epochs(request, source, dataset)
    pool = LocalWorkers(workers or available_cores())
    driver = _Driver(request, wanted, store, pool, leases, Console(stderr=True))
    with signals.answering("note") as stopping:
        try:
            driver.invocation = new_invocation(request_spec(request, datasets) | _spec(wanted))
            for source, dataset in datasets:
                driver.search(source, dataset, stopping)
        except KeyboardInterrupt:
            pool.stop()
            with contextlib.suppress(MinarchError):
                store.ingest(CLOSE_SECONDS)
            if signals.speak():
                click.echo(
                    f"generate: interrupted; {counted(driver.trained, 'model')} trained and safe in {store_path};"
                    " the same command goes on from there",
                    err=True,
                )
            raise click.exceptions.Exit(signals.INTERRUPTED) from None
        finally:
            pool.stop()
            leases.close()
    for _, dataset in datasets:
        _print_answer(request, wanted, store_path, dataset.name)


def _spec(wanted: SearchRequest) -> dict[str, object]:
    """Return what was asked of a search and is not its default, for `store.advice`."""
    own = {name: value for name, value in asdict(wanted).items() if value != getattr(SearchRequest(), name)}
    return {"phase": "search", "search": {name: value for name, value in own.items() if name != "budget"}}


@dataclass
class _Driver:
    """What all datasets of a search share."""

    request: Request
    wanted: SearchRequest
    store: Store
    pool: LocalWorkers
    leases: Leases
    console: Console
    invocation: Invocation | None = None
    trained: int = 0

    def __post_init__(self) -> None:
        self.clock = Clock(self.wanted.budget)

    def search(self, source: str, dataset: Dataset, stopping: Callable[[], bool]) -> None:
        """Look and train in turn until nothing is left to ask, or the time is used up."""
        one = Search(self.request, self.wanted, source, dataset, self.store)
        step: Step | None = one.begin()
        self._say(
            f"{dataset.name}: design {one.design_id}, looks at {', '.join(map(str, self.wanted.looks))} replicates"
        )
        while step is not None:
            if not self._train(one, step, stopping):
                return
            if step.precision == "int8":
                return
            if stopping():
                raise KeyboardInterrupt
            step, remarks = one.look()
            if stopping():
                raise KeyboardInterrupt
            for remark in remarks:
                self._say(f"  {remark}")

    def _train(self, one: Search, step: Step, stopping: Callable[[], bool]) -> bool:
        """Train what a step asks for; return whether the budget allowed it."""
        plan = one.plan(step)
        if not plan.units:
            return True
        datasets = [(one.source, one.dataset)]
        seconds = sweep_duration(
            plan, estimated(self.request, plan, datasets, remembered=True, workers=self.pool), self.pool.slots
        )
        spent = duration(self.clock.elapsed)
        of = f" of {duration(self.clock.budget)}" if self.clock.budget is not None else ""
        what = f"{step.question} {counted(plan.missing, 'model')}, about {duration(seconds)}"
        if not self.clock.allows(seconds):
            self._say(f"{one.dataset.name}: the budget is used up ({spent}{of}); open: {what}")
            return False
        self._say(f"{one.dataset.name}: {what} ({spent}{of} so far)")
        assert self.invocation is not None
        with shown(self.console) as display:
            final = run_sweep(
                plan.units,
                self.store,
                self.pool,
                self.invocation,
                leases=self.leases,
                show=display,
                stopping=stopping,
            )
        self.store.close_out()
        self.trained += final.models_done
        if final.failures:
            unit, error = final.failures[0]
            raise MinarchError(f"gave up on {unit.name} after 3 attempts: {error}; the same command tries again")
        return True

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True, markup=False)


def _propose_epochs(request: Request, source: str, dataset: Dataset) -> None:
    """Say where an epoch is too short for the usual number of them, and how many would do."""
    images = len(dataset.train.images) * (1 - VALIDATION_FRACTION)
    steps = math.ceil(images / Training().batch_size)
    if request.epochs is None and steps < SHORT_EPOCH and steps * default_epochs(source) < ENOUGH_STEPS:
        proposed = 10 * math.ceil(ENOUGH_STEPS / steps / 10)
        click.echo(
            f"generate: an epoch of {dataset.name} has {counted(steps, 'step')}, and {default_epochs(source)} epochs"
            f" are few; --epochs {proposed} trains as long as on the bundled digits",
            err=True,
        )


def _print_answer(request: Request, wanted: SearchRequest, store_path: Path, dataset: str) -> None:
    """Print what `analyze recommend` says; a program of its own, for `generate` imports no analysis."""
    arguments: list[str] = ["--store", str(store_path), "--dataset", dataset, "--max-drop", str(wanted.max_drop)]
    arguments += [word for family in request.families for word in ("--family", family)]
    limits = (("--min-accuracy", wanted.min_accuracy), ("--max-bytes", wanted.max_bytes))
    arguments += [word for name, value in limits if value is not None for word in (name, str(value))]
    _run(["recommend", *arguments])


def _run(arguments: Sequence[str]) -> None:
    sys.stdout.flush()
    done = subprocess.run([sys.executable, "-m", "analyze", *arguments], check=False)
    if done.returncode == signals.INTERRUPTED:
        raise click.exceptions.Exit(signals.INTERRUPTED)
    if done.returncode:
        raise click.exceptions.Exit(1)
