"""How the engine's cost grows with the models in a unit of work, with replicates, and with worker processes."""

from __future__ import annotations

import multiprocessing
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from queue import Empty
from typing import Protocol

import torch

from benchmarks.grids import Grid, Images, load_images
from benchmarks.machine import bind
from benchmarks.measure import filled_pack, pack_timer
from generate.architectures import Architecture
from generate.engine.pack import Pack
from generate.protocol import Training
from store.errors import MinarchError

SCALED_GRIDS = ("narrow", "cnn-mnist", "vit-mnist")
PACKS = (1, 2, 4, 8)
REPLICATES = (1, 2, 5, 10)
SECONDS = 0.3
WORKER_SECONDS = 1.0
WORKER_TIMEOUT = 300


class Reports(Protocol):
    """Where a worker puts its model-steps per second."""

    def put(self, item: float, /) -> None:
        """Add one report."""


@dataclass(frozen=True)
class Growth:
    """One line of the result: `what` (models per unit, replicates or workers) at `value`.

    `milliseconds` is the median over rounds per model-step of all work done; `speed` is relative to the first line
    of its kind.
    """

    grid: str
    what: str
    value: int
    milliseconds: float
    speed: float


def growth(grid: Grid, images: Images, *, rounds: int, cores: set[int]) -> list[Growth]:
    """Return how the cost of a grid grows with the models per unit, replicates and workers."""
    return [
        *models_per_unit(grid, images, rounds=rounds),
        *replicates(grid, images, rounds=rounds),
        *workers(grid, rounds=rounds, cores=cores),
    ]


def models_per_unit(grid: Grid, images: Images, *, rounds: int) -> list[Growth]:
    """Return the cost of training the whole grid in one pack, and dealt out to several."""
    packings = {count: _deal(grid.architectures, count) for count in PACKS if count <= len(grid.architectures)}
    packs = {
        -(-len(grid.architectures) // count): [filled_pack(hand, grid.image, Training()) for hand in hands]
        for count, hands in packings.items()
    }
    return _lines(grid.name, "models per unit", _interleaved(packs, images, rounds))


def replicates(grid: Grid, images: Images, *, rounds: int) -> list[Growth]:
    """Return the cost of stepping several replicates of the grid in turn."""
    packs = [filled_pack(grid.architectures, grid.image, Training(), replicate=r) for r in range(max(REPLICATES))]
    return _lines(grid.name, "replicates", _interleaved({n: packs[:n] for n in REPLICATES}, images, rounds))


def workers(grid: Grid, *, rounds: int, cores: set[int]) -> list[Growth]:
    """Return the cost with 1, 2, 4, ... worker processes up to one per core: wall time per model-step of them all."""
    numbers = sorted({*(2**power for power in range(len(cores).bit_length())), len(cores)})
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(len(cores)), context.Queue()
    crew = [
        context.Process(target=_work, args=(grid, index, numbers, rounds, cores, barrier, queue))
        for index in range(len(cores))
    ]
    for process in crew:
        process.start()
    times: dict[int, list[float]] = {number: [] for number in numbers}
    try:
        for _ in range(rounds):
            for number in numbers:
                rates = [float(queue.get(timeout=WORKER_TIMEOUT)) for _ in range(number)]
                times[number].append(1e3 / sum(rates))
    except Empty as error:
        raise MinarchError(f"a benchmark worker said nothing for {WORKER_TIMEOUT} seconds") from error
    finally:
        for process in crew:
            process.join(timeout=10)
            process.kill()
    return _lines(grid.name, "workers", times)


def _deal(architectures: Sequence[Architecture], count: int) -> list[Sequence[Architecture]]:
    return [architectures[start::count] for start in range(count)]


def _interleaved(packs: dict[int, list[Pack]], images: Images, rounds: int) -> dict[int, list[float]]:
    timers = {
        value: [(pack_timer(pack, images, SECONDS / len(group)), len(pack.architectures)) for pack in group]
        for value, group in packs.items()
    }
    times: dict[int, list[float]] = {value: [] for value in timers}
    for _ in range(rounds):
        for value, group in timers.items():
            models = sum(count for _, count in group)
            times[value].append(sum(measure() * count for measure, count in group) / models)
    return times


def _lines(grid: str, what: str, times: dict[int, list[float]]) -> list[Growth]:
    medians = {value: statistics.median(found) for value, found in times.items()}
    first = next(iter(medians.values()))
    return [Growth(grid, what, value, median, first / median) for value, median in medians.items()]


def _work(
    grid: Grid, index: int, numbers: Sequence[int], rounds: int, cores: set[int], barrier: Barrier, queue: Reports
) -> None:
    """Be worker `index`: in turn for each number of workers, train if among them, and put model-steps per second."""
    bind(cores)
    torch.set_num_threads(1)
    measure = pack_timer(
        filled_pack(grid.architectures, grid.image, Training()), load_images(grid.dataset), WORKER_SECONDS
    )
    for _ in range(rounds):
        for number in numbers:
            barrier.wait(WORKER_TIMEOUT)
            if index < number:
                queue.put(1e3 / measure())
