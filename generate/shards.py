"""Many processes on one plan without a driver: units are claimed and stored as files in a folder that all share.

Every shard makes the same plan from the same request and data. A unit has a name made of its runs, and up to two files:
NAME.lease while a process trains it, and NAME.parquet, whole from its first moment on, once it is trained. `store
ingest --spool` takes the latter into a database and leaves NAME.done in their place.

Like the claims of drivers (`generate.leases`), a lease saves work and protects nothing: a unit that two shards train
all the same is written once, with the same rows.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import NamedTuple

from generate.driver import ATTEMPTS, WAIT_SECONDS, Progress, complete, runs_of
from generate.executors import Workers
from generate.leases import BEAT_SECONDS, EXPIRY_SECONDS, SUFFIX, Lease, has_ended, read_lease
from generate.plan import Unit
from generate.serving import run_unit
from store import files, spool
from store.records import Invocation, Records

LOOK_SECONDS = 5.0
"""How often a shard that has nothing else to do looks whether the units of others are done, or free again."""


class Shard(NamedTuple):
    """One of a number of shards, from 1."""

    number: int
    of: int


def unit_name(unit: Unit) -> str:
    """Return what a unit is called in the shared folder: a digest of its runs."""
    return hashlib.sha256("\n".join(sorted(runs_of(unit))).encode()).hexdigest()[:32]


def in_turn(units: Sequence[Unit], shard: Shard) -> list[tuple[str, Unit]]:
    """Return the units with their names, in the order in which a shard wants them.

    First every `shard.of`-th one of the longest first, which are its own; then those of the others in an order of its
    own, so that shards that have run dry do not all ask for the same.
    """
    ordered = sorted(((unit_name(unit), unit) for unit in units), key=lambda pair: (-pair[1].seconds, pair[0]))
    own = ordered[shard.number - 1 :: shard.of]
    others = [pair for place, pair in enumerate(ordered) if place % shard.of != shard.number - 1]
    random.Random(shard.number).shuffle(others)
    return own + others


class UnitFolder:
    """The shared folder as one shard sees it. Ages of leases are taken from the file system's clock alone.

    Raises:
        MinarchError: the folder cannot be made, read or written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._owner = uuid.uuid4().hex
        self._clock = folder / f".{self._owner}.clock"
        self._held: set[str] = set()
        self._beaten = time.monotonic()
        with self._faults():
            folder.mkdir(parents=True, exist_ok=True)
            self._now()

    def finished(self) -> set[str]:
        """Return the names of the units that are trained, taken in since or not."""
        with self._faults(), os.scandir(self.folder) as entries:
            names = (entry.name.rpartition(".") for entry in entries)
            return {stem for stem, _, ending in names if f".{ending}" in (spool.SUFFIX, spool.TAKEN)}

    def claim(self, name: str) -> bool:
        """Return whether this shard may train a unit: nobody else does, and it is not trained yet."""
        path = self.folder / f"{name}{SUFFIX}"
        with self._faults():
            for _ in range(2):
                try:
                    with path.open("x", encoding="utf-8") as file:
                        file.write(Lease.of_this_process(self._owner, ()).text())
                except FileExistsError:
                    if not self._take_away(path):
                        return False
                else:
                    self._held.add(name)
                    if not any(path.with_suffix(ending).exists() for ending in (spool.SUFFIX, spool.TAKEN)):
                        return True
                    self.release(name)
                    return False
        return False

    def write(self, name: str, records: Records) -> None:
        """Make a trained unit safe on the disk under its name."""
        with self._faults():
            spool.write_as(self.folder, records, name)

    def release(self, name: str) -> None:
        """Give a claim back: the unit is trained, or this shard does not train it now."""
        self._held.discard(name)
        path = self.folder / f"{name}{SUFFIX}"
        with contextlib.suppress(OSError):
            if self._is_ours(path):
                path.unlink()

    def beat(self) -> None:
        """Show that this shard still works; to be called often, it does nothing in most calls."""
        if time.monotonic() - self._beaten < BEAT_SECONDS:
            return
        self._beaten = time.monotonic()
        for name in self._held:
            path = self.folder / f"{name}{SUFFIX}"
            with contextlib.suppress(OSError):
                if self._is_ours(path):
                    os.utime(path)

    def close(self) -> None:
        """Give all claims back."""
        for name in tuple(self._held):
            self.release(name)
        with contextlib.suppress(OSError):
            self._clock.unlink()

    def _take_away(self, path: Path) -> bool:
        """Return whether a lease that stood in the way is gone: it was void, and nobody had renewed it meanwhile."""
        if not self._is_void(path):
            return False
        aside = self.folder / f".{path.stem}-{uuid.uuid4().hex[:8]}.void"
        try:
            path.rename(aside)
        except FileNotFoundError:
            return False  # Another shard was faster.
        if self._is_void(aside):
            aside.unlink()
            return True
        # What another shard had put there between two looks: it gets it back.
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
        aside.unlink()
        return False

    def _is_void(self, path: Path) -> bool:
        try:
            age, lease = self._now() - path.stat().st_mtime, read_lease(path)
        except FileNotFoundError:
            return True
        return age > EXPIRY_SECONDS or (lease is not None and has_ended(lease))

    def _is_ours(self, path: Path) -> bool:
        lease = read_lease(path)
        return lease is not None and lease.driver == self._owner

    def _now(self) -> float:
        self._clock.touch()
        return self._clock.stat().st_mtime

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise files.system_fault(error, self.folder) from error


def run_shard(
    units: Sequence[Unit],
    folder: UnitFolder,
    workers: Workers,
    invocation: Invocation,
    shard: Shard,
    *,
    show: Callable[[Progress], None] = lambda _: None,
    stopping: Callable[[], bool] = lambda: False,
) -> Progress:
    """Train all units that no other shard trains, return once all of the plan are trained or have failed here.

    A unit whose worker dies or that fails is tried again, `ATTEMPTS` times in all, then listed under `failures`.

    Raises:
        MinarchError: the folder cannot be written.
        KeyboardInterrupt: `stopping`, which is asked between two steps, said so.
    """
    return _Shard(units, folder, workers, invocation, shard).run(show, stopping)


class _Shard:
    def __init__(
        self, units: Sequence[Unit], folder: UnitFolder, workers: Workers, invocation: Invocation, shard: Shard
    ) -> None:
        self.folder, self.workers, self.invocation = folder, workers, invocation
        self.progress = Progress(sum(len(unit.cells) for unit in units), sum(unit.seconds for unit in units))
        self.waiting = deque(in_turn(units, shard))
        self.held: list[tuple[str, Unit]] = []
        self.running: dict[Future[Records], tuple[str, Unit]] = {}
        self.attempts: dict[str, int] = {}
        self.finished = folder.finished()
        self.looked = time.monotonic()

    def run(self, show: Callable[[Progress], None], stopping: Callable[[], bool]) -> Progress:
        while self.waiting or self.running or self.held:
            if stopping():
                raise KeyboardInterrupt
            self.folder.beat()
            self._start()
            self.progress.running = [unit for _, unit in self.running.values()]
            self.progress.held = len(self.held)
            show(self.progress)
            if self.running:
                done, _ = wait(self.running, timeout=WAIT_SECONDS, return_when=FIRST_COMPLETED)
                for future in done:
                    self._finish(future, *self.running.pop(future))
            elif self.held:
                time.sleep(WAIT_SECONDS)
        self.progress.running = []
        return self.progress

    def _start(self) -> None:
        """Start units while workers are free and units wait."""
        if self.held and not self.waiting and time.monotonic() - self.looked > LOOK_SECONDS:
            self.looked, self.finished = time.monotonic(), self.folder.finished()
            self.waiting.extend(self.held)
            self.held = []
        while self.waiting and len(self.running) < self.workers.slots:
            name, unit = self.waiting.popleft()
            if name in self.finished:
                self._leave(unit)
            elif self.folder.claim(name):
                self.attempts[name] = self.attempts.get(name, 0) + 1
                self.running[self.workers.submit(run_unit, unit, self.invocation.invocation_id)] = (name, unit)
            else:
                self.held.append((name, unit))

    def _leave(self, unit: Unit) -> None:
        self.progress.elsewhere += len(unit.cells)
        self.progress.models -= len(unit.cells)
        self.progress.seconds -= unit.seconds

    def _finish(self, future: Future[Records], name: str, unit: Unit) -> None:
        error = future.exception()
        if error is None:
            self.folder.write(name, complete(future.result(), unit, self.invocation))
            self.progress.models_done += len(unit.cells)
            self.progress.seconds_done += unit.seconds
        elif self.attempts[name] < ATTEMPTS:
            self.waiting.append((name, unit))
        else:
            self.progress.failures.append((unit, f"{type(error).__name__}: {error}".splitlines()[0]))
        self.folder.release(name)
