"""What `generate search` and `--repeats auto` do, once their arguments are known to make sense."""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
from rich.console import Console

from generate.calibration import Kind
from generate.commands import CLOSE_SECONDS, VALIDATION_FRACTION, estimated, load, sweep_duration
from generate.datasets import Dataset, default_epochs
from generate.display import counted, duration, shown
from generate.driver import run_sweep
from generate.executors import DaskWorkers, LocalWorkers, Workers
from generate.leases import Leases
from generate.plan import Phase, Request, make_plan
from generate.protocol import Training
from generate.provenance import available_cores, new_invocation, request_spec
from generate.sequential import Clock, Search, SearchRequest, Step
from store import signals
from store.errors import MinarchError
from store.records import Invocation
from store.results import Store

SHORT_EPOCH = 100
"""Steps of an epoch below which more epochs are proposed."""
ENOUGH_STEPS = 1300
"""Steps of a whole training that are proposed then: as many as the bundled digits get."""


ANSWERS: dict[Phase, str] = {
    "all": "recommend",
    "shapes": "shapes",
    "convergence": "recommend",
    "quantization": "quantization",
}
"""The analysis that has the answer of a phase."""


def search(
    request: Request, wanted: SearchRequest, store_path: Path, *, workers: int | None, scheduler: str | None = None
) -> None:
    """Look at each dataset of the request and train in turn until nothing is open, and print what was found.

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
    pool: Workers = DaskWorkers(scheduler) if scheduler else LocalWorkers(workers or available_cores())
    driver = _Driver(request, wanted, store, pool, leases, Console(stderr=True))
    with signals.answering("note") as stopping:
        try:
            driver.invocation = new_invocation(request_spec(request, datasets) | spec_of(wanted))
            driver.search(datasets, stopping)
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


def spec_of(wanted: SearchRequest) -> dict[str, object]:
    """Return what was asked of a search, or of `--repeats auto`, and is not its default, for `store.advice`."""
    own = {name: value for name, value in asdict(wanted).items() if value != getattr(SearchRequest(), name)}
    own = {name: value for name, value in own.items() if name not in ("budget", "resolution" if wanted.on_grid else "")}
    return {"auto": own} if wanted.on_grid else {"phase": "search", "search": own}


@dataclass
class _Driver:
    """What all datasets of a search share."""

    request: Request
    wanted: SearchRequest
    store: Store
    pool: Workers
    leases: Leases
    console: Console
    invocation: Invocation | None = None
    trained: int = 0

    def __post_init__(self) -> None:
        self.clock = Clock(self.wanted.budget)
        self.calibrated: dict[str, dict[Kind, float]] = {}

    def search(self, datasets: Sequence[tuple[str, Dataset]], stopping: Callable[[], bool]) -> None:
        """Search every dataset; where claims compare datasets, each again until no other has opened a question."""
        again = True
        while again:
            looked = [self._search(source, dataset, stopping) for source, dataset in datasets]
            again = self.wanted.goal == "claims" and len(datasets) > 1 and None not in looked and any(looked)

    def _search(self, source: str, dataset: Dataset, stopping: Callable[[], bool]) -> bool | None:
        """Look and train in turn until nothing is left to ask; return whether a look asked, None if time is used up."""
        one = Search(self.request, self.wanted, source, dataset, self.store)
        step: Step | None = one.begin()
        asked = False
        said: tuple[str, ...] = ()
        looks = ", ".join(map(str, self.wanted.looks))
        self._say(f"{dataset.name}: design {one.design_id}, looks at {looks} replicates")
        while step is not None:
            if not self._train(one, step, stopping):
                return None
            if step.last:
                break
            if stopping():
                raise KeyboardInterrupt
            step, remarks = one.look()
            asked = asked or step is not None
            if stopping():
                raise KeyboardInterrupt
            for remark in remarks:
                if remark not in said:
                    self._say(f"  {remark}")
            said = remarks
        return asked

    def _train(self, one: Search, step: Step, stopping: Callable[[], bool]) -> bool:
        """Train what a step asks for; return whether the budget allowed it."""
        plan = one.plan(step)
        if not plan.units:
            return True
        datasets = [(one.source, one.dataset)]
        known = self.calibrated.setdefault(one.dataset.fingerprint, {})
        loaded = set(known)
        seconds = estimated(self.request, plan, datasets, remembered=True, workers=self.pool, known=known)
        takes = sweep_duration(plan, seconds, self.pool.slots, loaded=loaded)
        spent = duration(self.clock.elapsed)
        of = f" of {duration(self.clock.budget)}" if self.clock.budget is not None else ""
        what = f"{step.look.question} {counted(plan.missing, 'model')}, about {duration(takes)}"
        if not self.clock.allows(takes):
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
    """Print what the analysis says that was asked; a program of its own, for `generate` imports no analysis."""
    command = "claims" if wanted.goal == "claims" else ANSWERS[request.phase]
    arguments: list[str] = [command, "--store", str(store_path), "--dataset", dataset]
    arguments += [word for family in request.families for word in ("--family", family)]
    if command == "recommend":
        names = ("max_drop", "min_accuracy", "max_bytes", "max_parameters", "max_macs", "max_ram", "by")
        given = ((name, value) for name in names if (value := getattr(wanted, name)) is not None)
        arguments += [word for name, value in given for word in (f"--{name.replace('_', '-')}", str(value))]
    elif command == "shapes":
        arguments += ["--margin", str(wanted.max_drop)]
    _run(arguments)


def _run(arguments: Sequence[str]) -> None:
    sys.stdout.flush()
    done = subprocess.run([sys.executable, "-m", "analyze", *arguments], check=False)
    if done.returncode == signals.INTERRUPTED:
        raise click.exceptions.Exit(signals.INTERRUPTED)
    if done.returncode:
        raise click.exceptions.Exit(1)


def show_design(request: Request, wanted: SearchRequest, store_path: Path) -> None:
    """Print what the first look of a design trains, and the most that all its looks may."""
    store = Store(store_path)
    datasets = load(request, store)
    stored = store.run_ids()
    for what, repeats in (("first look", wanted.looks[0]), ("all looks, at most", wanted.looks[-1])):
        plan = make_plan(replace(request, repeats=repeats), datasets, stored)
        seconds = sweep_duration(plan, estimated(request, plan, datasets, remembered=True), available_cores())
        click.echo(
            f"{what}: {counted(plan.models, 'distinct model')} with replicates, {plan.stored:,} of them stored;"
            f" the others take about {duration(seconds)} on the {counted(available_cores(), 'core')} here"
        )
    click.echo(f"looks at {', '.join(map(str, wanted.looks))} replicates; only open questions get more of them")
