"""Where units run: processes of this machine, or the workers of a Dask cluster, behind one small interface."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from generate.serving import serve
from store.errors import MinarchError

P = ParamSpec("P")
T = TypeVar("T")
Task = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]

# Fork is unsafe with threads, and a server forks a fresh worker faster than a new interpreter starts.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["generate.serving", "generate.worker"])
STARTS, START_PAUSE = 20, 0.1
"""Attempts to start a process, and seconds between them."""
DEAF_TO = (signal.SIGINT, signal.SIGHUP)
"""What a terminal sends to all its processes; the driver answers it for its workers."""


class Workers(Protocol):
    """A number of workers that each take one task at a time."""

    @property
    def slots(self) -> int:
        """How many tasks may be under way at once."""

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Start a task; its future raises `BrokenExecutor` if the worker died."""

    def stop(self) -> None:
        """End all workers at once, whatever they do."""


class LocalWorkers:
    """One process per slot and a pipe to it: when one dies, its task is known, and no other suffers.

    A fork server starts the processes. Killed, it takes none of them with it, and a new server starts the next one.
    Server and processes are deaf to Ctrl-C from their first instruction: the driver alone answers, and ends them.

    Raises `RuntimeError` on a `submit` while every slot is taken.
    """

    def __init__(self, slots: int) -> None:
        self._workers: list[_Worker | None] = [None] * slots
        self._busy: list[Future[Any] | None] = [None] * slots
        self._stopped = False

    @property
    def slots(self) -> int:
        """Number of processes."""
        return len(self._workers)

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Start a task in a free process, which is started if need be."""
        slot = next((s for s, future in enumerate(self._busy) if future is None or future.done()), None)
        if slot is None:
            raise RuntimeError("every worker is busy")
        future: Future[T] = Future()
        self._busy[slot] = future
        # The wait for an answer, and for the server to start, must not keep the driver from anything else.
        threading.Thread(
            target=self._carry_out, args=(slot, future, (function, args, kwargs)), name="worker", daemon=True
        ).start()
        return future

    def _carry_out(self, slot: int, future: Future[Any], task: Task) -> None:
        _block_signals()
        try:
            worker = self._workers[slot]
            if worker is None or worker.is_gone():
                worker = self._workers[slot] = _start()
            if self._stopped:
                worker.kill()
            done, outcome = worker.answer(task)
        except Exception as error:
            self._workers[slot] = None
            done, outcome = False, error
        if done:
            future.set_result(outcome)
        else:
            future.set_exception(outcome)

    def stop(self) -> None:
        """Kill the processes and forget their tasks."""
        self._stopped = True
        for worker in self._workers:
            if worker is not None:
                worker.kill()


@dataclass(frozen=True)
class _Worker:
    """A process and this end of the pipe to it."""

    process: BaseProcess
    pipe: Connection

    def is_gone(self) -> bool:
        """Return whether the process has died while it had nothing to do."""
        return self.pipe.poll()

    def answer(self, task: Task) -> tuple[bool, Any]:
        """Return whether the task succeeded, with its result or its exception.

        Raises:
            BrokenProcessPool: the process died.
        """
        try:
            self.pipe.send(task)
            answer: tuple[bool, Any] = self.pipe.recv()
            return answer
        except (EOFError, OSError) as error:
            self.kill()
            raise BrokenProcessPool("the worker process died") from error

    def kill(self) -> None:
        """End the process, whatever it does."""
        if self.process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                # Not by the process object: after the death of the fork server that takes the process for dead too.
                os.kill(self.process.pid, signal.SIGKILL)


def _start() -> _Worker:
    """Start a worker process, through a new fork server if the last one has died.

    Raises:
        BrokenProcessPool: none can be started.
    """
    for attempt in range(STARTS):
        ours, theirs = CONTEXT.Pipe()
        process = CONTEXT.Process(target=serve, args=(theirs,), daemon=True)
        try:
            _start_server()
            process.start()
        except (OSError, EOFError) as error:
            # A server that was killed is refused or silent before the system reports its death: wait for that.
            ours.close()
            if attempt == STARTS - 1:
                raise BrokenProcessPool(f"no worker process can be started: {error}") from error
            time.sleep(START_PAUSE)
        else:
            return _Worker(process, ours)
        finally:
            theirs.close()
    raise AssertionError("unreachable")


def _start_server() -> None:
    # Its processes inherit what this thread blocks. Starting the tracker of resources unblocks SIGINT: first that.
    resource_tracker.ensure_running()
    _block_signals()
    forkserver.ensure_running()


def _block_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, DEAF_TO)


class DaskWorkers:
    """The workers of a Dask cluster, reached through its scheduler."""

    def __init__(self, scheduler: str) -> None:
        try:
            import distributed
        except ImportError:
            raise MinarchError("--executor dask needs the extra: pip install 'minarch[cluster]'") from None
        try:
            # Its methods carry no annotations.
            self._client = cast(Any, distributed.Client)(scheduler, timeout="10s")
        except (OSError, ValueError, TimeoutError) as error:
            raise MinarchError(f"no Dask scheduler answers at {scheduler}: {error}") from None
        self._executor: Executor = self._client.get_executor(pure=False, retries=0)

    @property
    def slots(self) -> int:
        """Threads of all workers, and a spare each so that none waits."""
        return max(1, 2 * int(sum(self._client.nthreads().values())))

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Start a task on the cluster."""
        return self._executor.submit(function, *args, **kwargs)

    def stop(self) -> None:
        """Cancel what is under way and leave the cluster."""
        self._executor.shutdown(wait=False)
        self._client.close()
