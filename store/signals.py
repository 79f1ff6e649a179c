"""Stopping by a signal, for all programs: one line and exit code 130, from the first import on until the end.

Imports nothing heavy, so that a program can call `understand` before it imports anything else. The interpreter's own
start comes before that, and no program can cover it.

A signal that the caller ignores stays ignored: a shell's background jobs count on that (SIGINT), and so does `nohup`
(SIGHUP). A program for which that is no use says `hear_interrupts`.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Literal, NoReturn

INTERRUPTED = 130
PATIENCE_SECONDS = 5.0
"""How long a program may take to end after an interrupt was raised in it."""
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# What the first signal does: end the program at once, raise KeyboardInterrupt, or only be noted. A second one ends the
# program at once in any case: all that is under way is as safe from that as from `kill -9`.
Answer = Literal["leave", "raise", "note"]

_name = ""
_answer: Answer = "leave"
_received = False
_spoken = False


def understand(name: str) -> None:
    """From now on a signal to stop ends the program `name` at once, with one line and exit code 130."""
    global _name
    _name = name
    _listen()
    sys.unraisablehook = _unraisable
    # Registered first, it runs last: a signal cannot change any more what the program has done.
    atexit.register(_ignore)


@contextlib.contextmanager
def answering(answer: Answer) -> Iterator[Callable[[], bool]]:
    """Answer the first signal in another way for a while; yields a function that says whether one has come.

    In a program of ours what came before counts; what calls us as a library may go on after an interrupt.
    """
    global _answer, _received, _spoken
    if not _name:
        _received = _spoken = False
    before, handlers = _answer, _listen()
    _answer = answer
    try:
        yield received
    finally:
        _answer = before
        for number, handler in handlers.items():
            signal.signal(number, handler)


def hear_interrupts() -> None:
    """Answer Ctrl-C even where the caller ignores it, as a shell does for the background jobs of a script."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, _stop)


def received() -> bool:
    """Return whether a signal to stop has come."""
    return _received


def end() -> NoReturn:
    """End an interrupted program with exit code 130.

    Not by `SystemExit`: an interrupt that hits a text in `exec`, as where a dataclass is made, marks the
    interpreter, which then ends by the signal whatever its exit code.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(INTERRUPTED)


def speak() -> bool:
    """Return whether the line that says so is still to be printed; from now on it counts as printed."""
    global _spoken
    before, _spoken = _spoken, bool(_name)
    return not before


def _listen() -> dict[signal.Signals, Any]:
    """Handle the signals to stop and return the handlers before."""
    handlers = {number: signal.getsignal(number) for number in STOPPING}
    return {number: signal.signal(number, _stop) for number in STOPPING if handlers[number] is not signal.SIG_IGN}


def _stop(*_: Any) -> None:
    global _received
    if _received or _answer == "leave":
        _leave()
    _received = True
    if _answer == "raise":
        # Some library may swallow it, as what guards an import by a bare `except` does.
        watch = threading.Timer(PATIENCE_SECONDS, _leave)
        watch.daemon = True
        watch.start()
        raise KeyboardInterrupt


def _leave() -> NoReturn:
    if speak():
        with contextlib.suppress(OSError):
            # A live display hides the cursor, and leaves a line behind.
            clear = "\r\x1b[2K\x1b[?25h" if os.isatty(2) else ""
            os.write(2, f"{clear}{_name or 'minarch'}: interrupted\n".encode())
    os._exit(INTERRUPTED)


def _unraisable(unraisable: Any) -> None:
    # Where Python can only print an exception, as in a callback from C, the interrupt would be lost.
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        _leave()
    sys.__unraisablehook__(unraisable)


def _ignore() -> None:
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
