"""What is recorded of the program and the machine behind a sweep."""

from __future__ import annotations

import os
import platform
import runpy
import shlex
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from generate.cuts import FINETUNE_SPARSITIES, METHODS
from generate.datasets import DATASETS, Dataset
from generate.families.settings import by_family
from generate.plan import Request
from generate.protocol import PRECISIONS, SPARSITIES, canonical_json
from store.records import Invocation


def new_invocation(request: Mapping[str, object] | None = None) -> Invocation:
    """Return the record of this call: command line, request, versions, and the machine (its name is left out)."""
    return Invocation(
        invocation_id=uuid.uuid4().hex[:16],
        argv=shlex.join(["generate", *sys.argv[1:]]),
        started_at=datetime.now(UTC).replace(tzinfo=None),
        package_version=version("minarch"),
        torch_version=_torch_version(),
        host=canonical_json(
            {
                "processor": _processor(),
                "cores": os.cpu_count(),
                "memory_bytes": _memory(),
                "system": f"{platform.system()} {platform.release()}",
                "python": platform.python_version(),
            }
        ),
        request=None if request is None else canonical_json(request),
    )


def _absolute(folder: Path) -> str:
    """Return the path from the root, links followed; one that leads back to itself as it is: `Path.resolve` raises."""
    return os.path.realpath(folder)


def _torch_version() -> str:
    """Return `torch.__version__` from the file that it comes from: the driver need not wait for all of PyTorch."""
    found = find_spec("torch")
    assert found is not None
    assert found.origin is not None
    return str(runpy.run_path(str(Path(found.origin).with_name("version.py")))["__version__"])


def request_spec(request: Request, datasets: Sequence[tuple[str, Dataset]]) -> dict[str, object]:
    """Return a request as a JSON-ready dictionary, for `store.advice`: None stands for the protocol's own value.

    Folders are absolute, so that the request can be made again from any other folder.
    """
    spec = asdict(request)
    spec["datasets"] = [
        {
            "source": source if source in DATASETS else _absolute(Path(source).expanduser()),
            "dataset": dataset.name,
            "fingerprint": dataset.fingerprint,
        }
        for source, dataset in datasets
    ]
    spec["data_dir"] = None if request.data_dir is None else _absolute(request.data_dir)
    spec["settings"] = by_family(request.settings, request.families)
    # What is left of these is what was given: the defaults of this version may change.
    unless = {
        "sparsities": SPARSITIES,
        "precisions": PRECISIONS,
        "prune_by": METHODS[:1],
        "finetune_sparsities": FINETUNE_SPARSITIES,
        "finetune_by": METHODS[:1],
    }
    spec |= {name: None for name, default in unless.items() if spec[name] == default}
    return spec


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
