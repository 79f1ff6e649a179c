"""Contestants of one grid, timed in turn: noise of the machine falls on all alike."""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from benchmarks.grids import Grid, Images, Sample, initial_states, spread
from benchmarks.peers import DataLoaderLoop, EagerLoop, Peer, State, VmapReplicates
from benchmarks.roofline import LIBRARIES, Roofline
from generate.architectures import Architecture, ImageShape
from generate.engine.choose import EngineChoice, build_pack
from generate.engine.initialise import initial_tensors
from generate.engine.pack import Pack
from generate.families import protocol_for
from generate.protocol import Compute, Training
from store.errors import MinarchError
from store.precisions import Bits

ENGINE = "engine"
# Long enough for the clock and the scheduler, per round.
ENGINE_SECONDS = 0.5
LOADER_ARCHITECTURES = 4
VECTORISED_STEPS = 2
# A contestant that has taken this long, its first round included, sits out the rounds left.
PATIENCE_SECONDS = 10.0

Measure = Callable[[], float]
MakePeer = Callable[[Architecture, ImageShape, Sequence[State], Images], Peer]


@dataclass
class Row:
    """One line of the result: times are milliseconds per model-step, from the first round on.

    `skipped` says why there are none. `kind` is `engine`, `peer` or `roofline`; `detail` says on what, or how, it was
    measured; `setup_seconds` is what building, compiling and warming up took.
    """

    name: str
    kind: str
    detail: str = ""
    skipped: str = ""
    setup_seconds: float = 0.0
    times: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Median over rounds, in milliseconds per model-step."""
        return statistics.median(self.times)

    def ratio(self, engine: Row) -> float:
        """Return the median, over the rounds both were timed in, of this row's time over the engine's."""
        return statistics.median(mine / its for mine, its in zip(self.times, engine.times, strict=False))


@dataclass(frozen=True)
class Contestant:
    """A row, and what builds its subject and returns the function that measures it once."""

    row: Row
    prepare: Callable[[], Measure]


def compare(contestants: Sequence[Contestant], *, rounds: int) -> list[Row]:
    """Return the rows of these contestants, timed in turn, round after round.

    One that cannot be built here keeps the reason in `skipped`. The first, untimed measurement compiles and warms up.
    """
    measures = []
    for contestant in contestants:
        start = time.perf_counter()
        try:
            measure = contestant.prepare()
            measure()
        except (ImportError, MinarchError) as error:
            contestant.row.skipped = str(error)
            continue
        contestant.row.setup_seconds = time.perf_counter() - start
        measures.append((contestant.row, measure))
    spent = dict.fromkeys(range(len(measures)), 0.0)
    for _ in range(rounds):
        for index, (row, measure) in enumerate(measures):
            if spent[index] > PATIENCE_SECONDS:
                continue
            start = time.perf_counter()
            row.times.append(measure())
            spent[index] += time.perf_counter() - start
    return [contestant.row for contestant in contestants]


def contestants_of(grid: Grid, images: Images) -> list[Contestant]:
    """Return the engine, its peers and the rooflines of a grid."""
    few = spread(grid.sample, LOADER_ARCHITECTURES)
    found = [
        _engine(ENGINE, grid, images, "auto"),
        _engine("engine, PyTorch path", grid, images, "torch"),
        _peer("eager loop, Adam", grid, grid.sample, images, lambda *a: EagerLoop(*a, fused=False)),
        _peer("eager loop, fused Adam", grid, grid.sample, images, lambda *a: EagerLoop(*a, fused=True)),
        _peer("DataLoader loop, Adam", grid, few, images, DataLoaderLoop),
        _peer("torch.func vmap", grid, grid.sample, images, VmapReplicates, grid.replicates),
        _peer("JAX jit", grid, grid.coarse, images, _jax_peer),
        _peer("JAX jit + vmap", grid, grid.coarse, images, _jax_peer, grid.replicates),
    ]
    found += [_roofline(f"roofline, {library}", grid, library, torch.float32) for library in LIBRARIES]
    if grid.bf16:
        found.append(_engine("engine, bf16", grid, images, "auto", "bf16"))
        found.append(_roofline("roofline, bf16", grid, "torch.mm", torch.bfloat16))
    return found


def _engine(name: str, grid: Grid, images: Images, choice: EngineChoice, compute: Compute = "float32") -> Contestant:
    training = Training(compute=compute)
    row = Row(name, "engine", _count(len(grid.architectures), "model"))

    def prepare() -> Measure:
        pack = filled_pack(grid.architectures, grid.image, training, choice)
        return pack_timer(pack, images, ENGINE_SECONDS)

    return Contestant(row, prepare)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def filled_pack(
    architectures: Sequence[Architecture],
    image: ImageShape,
    training: Training,
    choice: EngineChoice = "auto",
    *,
    replicate: int = 0,
    bits: Bits | None = None,
) -> Pack:
    """Return a pack with the initial weights of one replicate, in float32 or under fake quantization to `bits`."""
    protocol = protocol_for(architectures[0].family, training)
    pack = build_pack(architectures, image, protocol, engine=choice, bits=bits)
    for model, architecture in enumerate(architectures):
        values = initial_tensors(architecture, image, protocol, dataset="benchmark", replicate=replicate)
        pack.load(model, values)
    pack.refresh()
    return pack


def pack_timer(pack: Pack, images: Images, seconds: float) -> Measure:
    """Return a function that steps the pack for about `seconds` and returns milliseconds per model-step."""
    generator = torch.Generator().manual_seed(0)
    batch, count = pack.training.batch_size, len(images.labels)

    def run(steps: int) -> float:
        order = torch.randint(count, (steps, batch), generator=generator)
        start = time.perf_counter()
        for indices in order:
            pack.step(images.pixels[indices], images.labels[indices])
        return time.perf_counter() - start

    run(1)
    steps = max(1, round(seconds / (run(2) / 2)))
    return lambda: 1e3 * run(steps) / steps / len(pack.architectures)


def _peer(name: str, grid: Grid, sample: Sample, images: Images, make: MakePeer, replicates: int = 1) -> Contestant:
    detail = _count(len(sample), "architecture") + (f", {replicates} replicates" if replicates > 1 else "")
    steps = grid.steps if replicates == 1 else VECTORISED_STEPS

    def prepare() -> Measure:
        peers = [
            (make(a, grid.image, initial_states(a, grid.image, replicates), images), weight) for a, weight in sample
        ]
        return _peer_timer(peers, len(images.labels), steps)

    return Contestant(Row(name, "peer", detail), prepare)


def _peer_timer(peers: Sequence[tuple[Peer, float]], images: int, steps: int) -> Measure:
    generator = torch.Generator().manual_seed(0)
    batch = Training().batch_size

    def milliseconds(peer: Peer) -> float:
        order = torch.randint(images, (steps, peer.models, batch), generator=generator)
        start = time.perf_counter()
        peer.run(order)
        return 1e3 * (time.perf_counter() - start) / steps / peer.models

    return lambda: sum(weight * milliseconds(peer) for peer, weight in peers)


def _jax_peer(architecture: Architecture, image: ImageShape, states: Sequence[State], images: Images) -> Peer:
    if importlib.util.find_spec("jax") is None:
        raise MinarchError("JAX is not installed: pip install 'minarch[bench]'")
    from benchmarks.peers_jax import JaxReplicates

    return JaxReplicates(architecture, image, states, images)


def _roofline(name: str, grid: Grid, library: str, dtype: torch.dtype) -> Contestant:
    row = Row(name, "roofline")

    def prepare() -> Measure:
        roofline = Roofline(grid, library=library, dtype=dtype)

        def measure() -> float:
            milliseconds = roofline.measure()
            row.detail = f"{roofline.rate / 1e9:.0f} GFLOP/s, Adam {roofline.adam * 1e9:.2f} ns a parameter"
            return milliseconds

        return measure

    return Contestant(row, prepare)
