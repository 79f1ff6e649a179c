"""The process of a worker: carries out one task after the other. The driver imports this, and no PyTorch with it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from generate.plan import Unit
    from store.records import Records


def serve(tasks: Connection) -> None:
    """Carry out tasks until the other end of the pipe is closed; answer each with success and result or exception.

    Deaf to Ctrl-C (the driver ends this process), and gone when the driver is.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_driver, daemon=True).start()
    with contextlib.suppress(EOFError):
        while True:
            function, arguments, keywords = tasks.recv()
            try:
                answer = True, function(*arguments, **keywords)
            except Exception as error:
                answer = False, _portable(error)
            tasks.send(answer)


def _portable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _leave_with_driver() -> None:
    # The driver holds the other end of a pipe to each worker: unlike a process id it tells even of a `kill -9`.
    driver = multiprocessing.parent_process()
    if driver is not None:
        driver.join()
        os._exit(1)


def run_unit(unit: Unit, invocation_id: str) -> Records:
    """Carry out `generate.worker.run_unit`, which is imported where it runs.

    Raises:
        MinarchError: the data is not what the driver saw.
    """
    from generate import worker

    return worker.run_unit(unit, invocation_id)
