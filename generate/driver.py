"""The driver: hands units to workers, stores what they return, survives what goes wrong with one of them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace

from generate.executors import Workers
from generate.leases import Leases
from generate.plan import Unit
from generate.protocol import canonical_json, protocol_id, protocol_spec
from generate.serving import run_unit
from store.errors import MinarchError
from store.records import Invocation, Protocol, Records
from store.results import Store

ATTEMPTS = 3
WAIT_SECONDS = 0.5
"""How long the driver waits for a unit before it shows its progress again."""
LOOK_SECONDS = 2.0
"""How often it looks whether units that another driver trains are stored, or free again."""
MERGING_SHARE = 0.1
"""Share of its time that the driver merges stored units into the database, for workers may wait meanwhile."""


@dataclass
class Progress:
    """Where a sweep stands; models and nominal seconds of work are counted when their unit is stored.

    Models that another driver trained meanwhile count under `elsewhere` alone; `held` are units that one trains now.
    """

    models: int
    seconds: float
    began: float = field(default_factory=time.monotonic)
    models_done: int = 0
    seconds_done: float = 0.0
    elsewhere: int = 0
    running: list[Unit] = field(default_factory=list)
    held: int = 0
    failures: list[tuple[Unit, str]] = field(default_factory=list)

    @property
    def elapsed(self) -> float:
        """Seconds since the sweep began."""
        return time.monotonic() - self.began

    @property
    def remaining(self) -> float | None:
        """Seconds until the end at the speed so far, or None before the first unit is done."""
        if not self.seconds_done:
            return None
        return self.elapsed * (self.seconds - self.seconds_done) / self.seconds_done


def run_sweep(
    units: Sequence[Unit],
    store: Store,
    workers: Workers,
    invocation: Invocation,
    *,
    leases: Leases | None = None,
    show: Callable[[Progress], None] | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> Progress:
    """Run all units, store each as it ends, and return the final progress.

    A unit whose worker dies or that fails is tried again, `ATTEMPTS` times in all, then listed under `failures` while
    the sweep goes on. Units that are done when this raises stay stored. With `leases`, units that another driver trains
    are left to it, and looked at again once there is nothing else to do.

    Raises:
        MinarchError: the store cannot be written.
        KeyboardInterrupt: `stopping`, which is asked between two steps, said so.
    """
    return _Driver(units, store, workers, invocation, leases).run(show or (lambda _: None), stopping)


@dataclass
class _Job:
    """A unit to run, and how often that was tried."""

    unit: Unit
    attempts: int = 0


class _Driver:
    def __init__(
        self, units: Sequence[Unit], store: Store, workers: Workers, invocation: Invocation, leases: Leases | None
    ) -> None:
        self.store, self.workers, self.invocation, self.leases = store, workers, invocation, leases
        self.progress = Progress(sum(len(unit.cells) for unit in units), sum(unit.seconds for unit in units))
        self.waiting = deque(_Job(unit) for unit in units)
        self.running: dict[Future[Records], _Job] = {}
        self.held: list[_Job] = []
        self.looked = time.monotonic()
        self.merge_at = 0.0

    def run(self, show: Callable[[Progress], None], stopping: Callable[[], bool]) -> Progress:
        while self.waiting or self.running or self.held:
            if stopping():
                raise KeyboardInterrupt
            if self.leases is not None:
                self.leases.beat()
            self._start()
            self.progress.running = [job.unit for job in self.running.values()]
            self.progress.held = len(self.held)
            show(self.progress)
            if self.running:
                done, _ = wait(self.running, timeout=WAIT_SECONDS, return_when=FIRST_COMPLETED)
                for future in done:
                    self._finish(future, self.running.pop(future))
            elif self.held:
                time.sleep(WAIT_SECONDS)
        self.store.ingest()
        self.progress.running = []
        show(self.progress)
        return self.progress

    def _start(self) -> None:
        """Start units while workers are free and units wait."""
        if self.held and not self.waiting and time.monotonic() - self.looked > LOOK_SECONDS:
            self.looked = time.monotonic()
            self.waiting.extend(self.held)
            self.held = []
        while self.waiting and len(self.running) < self.workers.slots:
            job = self.waiting.popleft()
            if self.leases is None or self._claim(job, self.leases):
                job.attempts += 1
                self.running[self.workers.submit(run_unit, job.unit, self.invocation.invocation_id)] = job

    def _claim(self, job: _Job, leases: Leases) -> bool:
        """Return whether the unit is ours to run now, without what another driver has stored by now."""
        if not leases.claim(runs_of(job.unit)):
            self.held.append(job)
            return False
        if not leases.shared:
            return True
        left = self._not_stored(job.unit)
        if len(left.cells) == len(job.unit.cells):
            return True
        leases.release(runs_of(job.unit))
        self.progress.elsewhere += len(job.unit.cells) - len(left.cells)
        self.progress.models -= len(job.unit.cells) - len(left.cells)
        self.progress.seconds -= job.unit.seconds - left.seconds
        job.unit = left
        return bool(left.cells) and self._claim(job, leases)

    def _not_stored(self, unit: Unit) -> Unit:
        try:
            stored = self.store.run_ids()
        except MinarchError:
            return unit  # Held by another program: what is trained twice is stored once.
        cells = tuple(cell for cell in unit.cells if unit.run_id(cell.architecture) not in stored)
        return replace(unit, cells=cells, seconds=unit.seconds * len(cells) / len(unit.cells))

    def _finish(self, future: Future[Records], job: _Job) -> None:
        """Store what a unit's worker returned, or see to another attempt."""
        error = future.exception()
        if error is None:
            self._store(complete(future.result(), job.unit, self.invocation), job.unit.name)
            self.progress.models_done += len(job.unit.cells)
            self.progress.seconds_done += job.unit.seconds
        elif job.attempts < ATTEMPTS:
            self.waiting.append(job)
        else:
            self.progress.failures.append((job.unit, f"{type(error).__name__}: {error}".splitlines()[0]))
        if self.leases is not None:
            self.leases.release(runs_of(job.unit))

    def _store(self, records: Records, name: str) -> None:
        """Make a unit safe on the disk, and take what waits there into the database where that is due."""
        began = time.monotonic()
        due = began >= self.merge_at
        self.store.append(records, name=name, take_in=due)
        if due:
            now = time.monotonic()
            self.merge_at = now + (now - began) / MERGING_SHARE


def runs_of(unit: Unit) -> list[str]:
    """Return the ids of a unit's runs."""
    return [unit.run_id(cell.architecture) for cell in unit.cells]


def complete(records: Records, unit: Unit, invocation: Invocation) -> Records:
    """Return a unit's rows with those that they name: its protocol and its invocation."""
    protocol = Protocol(protocol_id=protocol_id(unit.protocol), spec=canonical_json(protocol_spec(unit.protocol)))
    return replace(records, protocols=(protocol,), invocations=(invocation,))
