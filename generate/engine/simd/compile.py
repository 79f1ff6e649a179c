"""How the kernels are compiled, and where their machine code is kept."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from numba import njit

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def kernel(declaration: object) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Return a decorator that compiles a function for one signature: Numba's, or as in `"void(float32[::1], int64)"`.

    The machine code is cached on disk, beside the source or, where that is not writable, in Numba's user-wide cache. It
    is made anew when any file of the engine changes, is added or moves: Numba itself looks only at the file of the
    function, not at those it calls. Compiled code releases the interpreter lock and checks no bounds.
    """

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        dispatcher: Any = njit(nogil=True, error_model="numpy", boundscheck=False)(function)
        with suppress(RuntimeError):  # no writable folder at all: compile for this process only
            dispatcher.enable_caching()
            dispatcher._cache._cache_file._source_stamp = _source_stamp(Path(function.__code__.co_filename))
        try:
            dispatcher.compile(declaration)
        except (ImportError, AttributeError):  # the cache's index names a type that has moved since
            dispatcher._cache.flush()
            dispatcher.compile(declaration)
        dispatcher.disable_compile()
        compiled: Callable[Parameters, Result] = dispatcher
        return compiled

    return decorate


def part(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Compile a function into every kernel that calls it, for the types that it is called with; never from Python."""
    dispatcher: Any = njit(nogil=True, error_model="numpy", boundscheck=False)(function)
    compiled: Callable[Parameters, Result] = dispatcher
    return compiled


def inline(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Return the function, to be made part of every kernel that calls it; spares LLVM a module to compile twice."""
    inlined: Any = njit(inline="always")(function)
    compiled: Callable[Parameters, Result] = inlined
    return compiled


def _source_stamp(source: Path) -> tuple[str, str]:
    # The function's own file may lie outside of the engine.
    return _engine_digest(), hashlib.sha256(source.read_bytes()).hexdigest()


@functools.cache
def _engine_digest() -> str:
    return tree_digest(Path(__file__).parents[1])


def tree_digest(root: Path) -> str:
    """Return the digest of the places and contents of all Python files under a folder."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
