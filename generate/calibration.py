"""How this machine compares with the nominal one of `generate.cost`: measured, and remembered for a day."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generate.architectures import Architecture, ImageShape
from generate.cost import ADAM_SECONDS, QUANTIZATION_COST, STEP_SECONDS
from generate.families import family_named
from generate.families.counts import parameter_count, training_flops
from generate.protocol import FamilyProtocol, digest, protocol_id
from store.errors import MinarchError
from store.files import cache_folder
from store.precisions import ACTIVATION_BITS, WEIGHT_BITS, Bits, Precision, bits_of

if TYPE_CHECKING:
    from generate.engine.choose import EngineChoice
    from generate.executors import Workers

Kind = tuple[FamilyProtocol, Precision]

CALIBRATION_SECONDS = 0.4
ATTEMPTS = 3
"""Workers that may die of a measurement before it is given up."""
REMEMBERED_SECONDS = 24 * 3600.0


def calibrate(
    architectures: Mapping[Kind, Collection[Architecture]],
    image: ImageShape,
    *,
    engine: EngineChoice,
    device: str,
    remembered: bool = False,
    workers: Workers | None = None,
) -> dict[Kind, float]:
    """Return, per protocol and precision, measured over nominal seconds of a step here, for a small and a large model.

    `architectures` are those to train. With `remembered` a measurement of the last day serves, which takes no time;
    else it takes about half a second each, after the kernels are compiled, which no worker then has to do. With
    `workers` one of them measures, and this process needs no PyTorch.

    Raises:
        MinarchError: workers died of the measurement again and again.
    """
    factors: dict[Kind, float] = {}
    for kind, found in architectures.items():
        sample = _sample(found, image, kind[0])
        path = _memory(sample, image, kind, engine, device)
        factor = _recall(path) if remembered else None
        if factor is None:
            what = (sample, image, kind, engine, device)
            factor = _measure_in(workers, *what) if workers else _measure(*what)
            _remember(path, factor)
        factors[kind] = factor
    return factors


def _sample(found: Collection[Architecture], image: ImageShape, protocol: FamilyProtocol) -> list[Architecture]:
    ordered = sorted(found, key=lambda a: training_flops(a, image, protocol))
    return sorted({ordered[0], ordered[len(ordered) // 2], ordered[-1]})


def _measure_in(workers: Workers, *what: Any) -> float:
    for _ in range(ATTEMPTS):
        with suppress(BrokenExecutor):
            return workers.submit(_measure, *what).result()
    raise MinarchError(f"{ATTEMPTS} workers died while they measured how long a step takes; is memory short?")


def _measure(sample: Sequence[Architecture], image: ImageShape, kind: Kind, engine: EngineChoice, device: str) -> float:
    protocol, bits = kind[0], bits_of(kind[1])
    import torch

    from generate.engine.choose import build_pack

    torch.set_num_threads(1)
    family, size = family_named(protocol.family), protocol.training.batch_size
    images = torch.zeros(size, image.channels, image.height, image.width, dtype=torch.uint8)
    labels = torch.zeros(size, dtype=torch.int64)
    pack = build_pack(sample, image, protocol, engine=engine, device=device, bits=bits)
    nominal = sum(
        training_flops(a, image, protocol) / family.flops_per_second * size
        + STEP_SECONDS
        + ADAM_SECONDS * parameter_count(a, image, protocol)
        for a in sample
    )
    pack.step(images, labels)
    if bits is None and any(architecture.in_phase_2 for architecture in sample):
        # They are quantized after training: by kernels that are compiled here, where no other worker does so.
        quantized = build_pack(
            sample, image, protocol, engine=engine, device=device, bits=Bits(WEIGHT_BITS[0], ACTIVATION_BITS)
        )
        quantized.evaluate(images, labels)
    durations: list[float] = []
    began = time.perf_counter()
    while not durations or time.perf_counter() - began < CALIBRATION_SECONDS:
        start = time.perf_counter()
        pack.step(images, labels)
        durations.append(time.perf_counter() - start)
    return min(durations) / (nominal * QUANTIZATION_COST if bits else nominal)


def _memory(sample: Sequence[Architecture], image: ImageShape, kind: Kind, engine: EngineChoice, device: str) -> Path:
    """Return where a measurement is remembered: another for other versions, models, images and engines."""
    machine = [version("minarch"), version("torch"), os.cpu_count(), engine, device]
    what = [protocol_id(kind[0]), kind[1], repr(image), [repr(architecture) for architecture in sample]]
    return cache_folder() / "calibration" / f"{digest([*machine, *what])}.json"


def _recall(path: Path) -> float | None:
    # A memory that is damaged or cannot be read is as good as none.
    with suppress(OSError, ValueError, TypeError):
        if 0 <= time.time() - path.stat().st_mtime < REMEMBERED_SECONDS:
            factor = float(json.loads(path.read_text()))
            return factor if 0 < factor < float("inf") else None
    return None


def _remember(path: Path, factor: float) -> None:
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = path.with_suffix(f".{os.getpid()}.tmp")
        whole.write_text(json.dumps(factor))
        whole.replace(path)
