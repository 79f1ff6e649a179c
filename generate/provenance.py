"""What is recorded of the program and the machine behind a sweep."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import uuid
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from generate.protocol import canonical_json
from store.records import Invocation


def new_invocation() -> Invocation:
    """Return the record of this call: command line, versions, and the machine (its name is left out)."""
    return Invocation(
        invocation_id=uuid.uuid4().hex[:16],
        argv=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        started_at=datetime.now(UTC).replace(tzinfo=None),
        package_version=version("minarch"),
        torch_version=torch.__version__,
        host=canonical_json(
            {
                "processor": _processor(),
                "cores": os.cpu_count(),
                "memory_bytes": _memory(),
                "system": f"{platform.system()} {platform.release()}",
                "python": platform.python_version(),
            }
        ),
    )


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    if facts.is_file():
        for line in facts.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
