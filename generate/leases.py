"""Claims on units of work, where several drivers share a store: each trains what no other trains already.

A claim is a lease: a file that names the runs and who trains them. Its holder touches it every few seconds; it is void
once that process has ended (seen on the same machine) or has not touched it for two minutes (seen everywhere), and the
next one who wants those runs takes it over. Ages are taken from the file system's clock alone, so that machines may
disagree on the time.

Claims save work and protect nothing: a run that two drivers train all the same is stored once. So where a lease cannot
be written, or locks do not work, the sweep goes on without.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import time
import uuid
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

BEAT_SECONDS = 10.0
EXPIRY_SECONDS = 120.0
LOCK_SECONDS = 2.0
"""How long a claim waits for another one that is being made."""
SUFFIX = ".lease"


@dataclass(frozen=True)
class Lease:
    """What a lease file says: who trains which runs. `started` tells processes apart that have one id in turn."""

    driver: str
    machine: str
    process: int
    started: str
    runs: tuple[str, ...]

    @classmethod
    def of_this_process(cls, driver: str, runs: Collection[str]) -> Lease:
        """Return the lease of a driver that is this process."""
        process = os.getpid()
        return cls(driver, _machine(), process, _started(process) or "", tuple(sorted(runs)))

    def text(self) -> str:
        """Return what its file says."""
        return json.dumps(asdict(self))


class Leases:
    """The claims of one driver, as files in `folder`.

    Attributes:
        shared: whether another driver that works has been seen here.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._driver = uuid.uuid4().hex
        self._held: dict[frozenset[str], Path] = {}
        self._beaten = time.monotonic()
        self.shared = False
        with contextlib.suppress(OSError):
            if folder.is_dir():
                with self._alone() as now:
                    self._others(now)

    def claim(self, runs: Collection[str]) -> bool:
        """Return whether this driver may train these runs; not if another one trains any of them."""
        wanted = frozenset(runs)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._alone() as now:
                if any(wanted & set(lease.runs) for lease in self._others(now)):
                    return False
                self._held[wanted] = self._write(wanted)
        except FileExistsError:
            return False  # Another one was faster, on a file system without locks.
        except OSError:
            pass
        return True

    def release(self, runs: Collection[str]) -> None:
        """Give a claim back: its runs are stored, or this driver does not train them now."""
        path = self._held.pop(frozenset(runs), None)
        if path is not None:
            with contextlib.suppress(OSError):
                if self._is_ours(path):
                    path.unlink()

    def beat(self) -> None:
        """Show that this driver still works; to be called often, it does nothing in most calls."""
        if time.monotonic() - self._beaten < BEAT_SECONDS:
            return
        self._beaten = time.monotonic()
        for path in self._held.values():
            with contextlib.suppress(OSError):
                if self._is_ours(path):
                    os.utime(path)

    def close(self) -> None:
        """Give all claims back."""
        for runs in tuple(self._held):
            self.release(runs)

    def _write(self, runs: frozenset[str]) -> Path:
        name = hashlib.sha256("\n".join(sorted(runs)).encode()).hexdigest()[:32]
        path = self._folder / f"{name}{SUFFIX}"
        with path.open("x", encoding="utf-8") as file:
            file.write(Lease.of_this_process(self._driver, runs).text())
        return path

    def _others(self, now: float) -> list[Lease]:
        """Return the leases of other drivers that work, and delete those that are void."""
        found = []
        for path in self._folder.glob(f"*{SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):
                lease, age = read_lease(path), now - path.stat().st_mtime
                if lease is not None and lease.driver == self._driver:
                    continue
                if age > EXPIRY_SECONDS or (lease is not None and has_ended(lease)):
                    path.unlink()
                elif lease is not None:
                    self.shared = True
                    found.append(lease)
        return found

    def _is_ours(self, path: Path) -> bool:
        lease = read_lease(path)
        return lease is not None and lease.driver == self._driver

    @contextlib.contextmanager
    def _alone(self) -> Iterator[float]:
        """Keep other drivers from claiming meanwhile, if the file system can; yields its time."""
        lock = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            _lock(lock)
            os.utime(lock)
            yield os.fstat(lock).st_mtime
        finally:
            os.close(lock)


def _lock(descriptor: int) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return  # Its holder was stopped in the middle of a claim.
            time.sleep(0.01)
        except OSError:
            return  # A file system without locks.
        else:
            return


def read_lease(path: Path) -> Lease | None:
    """Return what a lease file says, or None while it is being written, or if it is damaged."""
    try:
        content = json.loads(path.read_bytes())
        return Lease(**{**content, "runs": tuple(content["runs"])})
    except (ValueError, TypeError, KeyError):
        return None


@cache
def _machine() -> str:
    """Return a digest of what two processes have in common if each sees the other's id."""
    facts = [platform.node()]
    with contextlib.suppress(OSError):
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        facts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def has_ended(lease: Lease) -> bool:
    """Return whether the process that holds a lease has ended, which only its own machine can see."""
    return lease.machine == _machine() and _started(lease.process) != lease.started


def _started(process: int) -> str | None:
    """Return when a process here started, in ticks of the system ("" if that does not say); None if it ended."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass  # Another user's.
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else ""
    except OSError:
        return ""
    return None if fields[0] in "ZX" else fields[19]
