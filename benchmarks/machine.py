"""The machine: one thread for everything that is compared, and a description to put beside the result."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

PACKAGES = ("torch", "numba", "numpy", "jax")
# Read by the libraries when they are loaded, so to be set before.
SINGLE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
}


def cores() -> set[int]:
    """Return the cores that this process may use."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def use_one_core(allowed: set[int]) -> None:
    """Bind this process to one core: threads that a library starts all the same then gain it nothing.

    Call it before torch or JAX is imported.
    """
    os.environ.update(SINGLE_THREAD)
    bind({max(allowed)})


def bind(allowed: set[int]) -> None:
    """Bind this process to these cores, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, allowed)


def describe() -> dict[str, str | int]:
    """Return processor, cores, system and versions."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    versions: dict[str, str | int] = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count() or 1,
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        **versions,
    }
