"""Where units run: processes of this machine, or the workers of a Dask cluster, behind one small interface."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from generate.worker import start_worker
from store.errors import MinarchError

P = ParamSpec("P")
T = TypeVar("T")


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
    """One process per slot, each in a pool of its own: when one dies, its task is known, and no other suffers.

    Raises `RuntimeError` on a `submit` while every slot is taken.
    """

    def __init__(self, slots: int) -> None:
        # Fork is unsafe with threads, and a server forks a fresh worker faster than a new interpreter starts.
        self._context = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
        if os.name == "posix":
            self._context.set_forkserver_preload(["generate.worker"])
        self._pools: list[ProcessPoolExecutor | None] = [None] * slots
        self._busy: list[Future[Any] | None] = [None] * slots

    @property
    def slots(self) -> int:
        """Number of processes."""
        return len(self._pools)

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Start a task in a free process, which is started if need be."""
        slot = next((s for s, future in enumerate(self._busy) if future is None or future.done()), None)
        if slot is None:
            raise RuntimeError("every worker is busy")
        pool = self._pools[slot]
        previous = self._busy[slot]
        if pool is not None and previous is not None and isinstance(previous.exception(), BrokenExecutor):
            pool.shutdown(wait=False)
            pool = None
        if pool is None:
            pool = self._new_pool()
        try:
            future = pool.submit(function, *args, **kwargs)
        except BrokenExecutor:
            # The process died while it had nothing to do.
            pool = self._new_pool()
            future = pool.submit(function, *args, **kwargs)
        self._pools[slot], self._busy[slot] = pool, future
        return future

    def _new_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(max_workers=1, mp_context=self._context, initializer=start_worker)

    def stop(self) -> None:
        """Kill the processes and forget their tasks."""
        for pool in self._pools:
            if pool is not None:
                for process in list((pool._processes or {}).values()):
                    process.kill()
                pool.shutdown(wait=True, cancel_futures=True)
        self._pools = [None] * len(self._pools)
        self._busy = [None] * len(self._busy)


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
