"""The driver: hands units to workers, stores what they return, survives what goes wrong with one of them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace

from generate.executors import Workers
from generate.plan import Unit
from generate.protocol import canonical_json, protocol_id, protocol_spec
from generate.worker import run_unit
from store.records import Invocation, Protocol, Records
from store.results import Store

ATTEMPTS = 3
WAIT_SECONDS = 0.5
"""How long the driver waits for a unit before it shows its progress again."""


@dataclass
class Progress:
    """Where a sweep stands; models and nominal seconds of work are counted when their unit is stored."""

    models: int
    seconds: float
    began: float = field(default_factory=time.monotonic)
    models_done: int = 0
    seconds_done: float = 0.0
    running: list[Unit] = field(default_factory=list)
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
    show: Callable[[Progress], None] | None = None,
) -> Progress:
    """Run all units, store each as it ends, and return the final progress.

    A unit whose worker dies or that fails is tried again, `ATTEMPTS` times in all, then listed under `failures` while
    the sweep goes on. Units that are done when this raises (`KeyboardInterrupt`, a full disk) stay stored.

    Raises:
        MinarchError: the store cannot be written.
    """
    progress = Progress(sum(len(unit.cells) for unit in units), sum(unit.seconds for unit in units))
    waiting, attempts = deque(units), dict.fromkeys(range(len(units)), 0)
    number = {id(unit): n for n, unit in enumerate(units)}
    running: dict[Future[Records], Unit] = {}
    while waiting or running:
        while waiting and len(running) < workers.slots:
            unit = waiting.popleft()
            attempts[number[id(unit)]] += 1
            running[workers.submit(run_unit, unit, invocation.invocation_id)] = unit
        progress.running = list(running.values())
        if show is not None:
            show(progress)
        done, _ = wait(running, timeout=WAIT_SECONDS, return_when=FIRST_COMPLETED)
        for future in done:
            unit = running.pop(future)
            error = future.exception()
            if error is None:
                store.append(_complete(future.result(), unit, invocation), name=unit.name)
                progress.models_done += len(unit.cells)
                progress.seconds_done += unit.seconds
            elif attempts[number[id(unit)]] < ATTEMPTS:
                waiting.append(unit)
            else:
                progress.failures.append((unit, f"{type(error).__name__}: {error}".splitlines()[0]))
    progress.running = []
    if show is not None:
        show(progress)
    return progress


def _complete(records: Records, unit: Unit, invocation: Invocation) -> Records:
    protocol = Protocol(protocol_id=protocol_id(unit.protocol), spec=canonical_json(protocol_spec(unit.protocol)))
    return replace(records, protocols=(protocol,), invocations=(invocation,))
