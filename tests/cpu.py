"""What child processes cost in CPU time, which a busy machine inflates less than time on the clock."""

from __future__ import annotations

import resource
from collections.abc import Callable


def children_seconds(call: Callable[[], object], *, repeats: int = 3) -> float:
    """Return the least CPU time of the repeats, user and system, in seconds, of all children that `call` waits for."""
    return min(_once(call) for _ in range(repeats))


def _once(call: Callable[[], object]) -> float:
    before = _spent()
    call()
    return _spent() - before


def _spent() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
