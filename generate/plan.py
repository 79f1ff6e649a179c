"""From a request to units of work: which models a sweep consists of, in which order, and what is already stored."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from generate.architectures import Architecture, Cell, ImageShape
from generate.cost import QUANTIZATION_COST, cutting_seconds, model_seconds, post_training_seconds
from generate.cuts import FINETUNE_SPARSITIES, Cuts, Finetuning
from generate.datasets import Dataset, default_epochs
from generate.families import FAMILIES, Design, family_named, protocol_for
from generate.families.counts import parameter_count
from generate.families.settings import with_settings
from generate.protocol import PRECISIONS, SPARSITIES, Compute, FamilyProtocol, Seeding, Training, digest, protocol_id
from store.precisions import WEIGHT_BITS
from store.records import Precision, PruningMethod

if TYPE_CHECKING:
    from generate.engine.choose import EngineChoice

Phase = Literal["all", "shapes", "convergence", "quantization"]
QUANTIZING: tuple[Phase, ...] = ("all", "quantization")
"""Phases that train under fake quantization."""
UNIT_SECONDS = 60.0
"""Nominal length of a unit: a crash loses little, and models enough share a minibatch."""
ROW_BYTES = 200
"""Disk that a row of learning or pruning curves takes, with its share of all else; measured on stores of 200 runs."""
UNIT_PARAMETERS = 2_000_000
"""Most parameters in a unit of several models: with Adam's moments they then stay in a last-level cache."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a user asks for; None stands for the protocol's own value.

    `precisions` are those of quantization-aware training, in the phases that do it; `settings` of the protocols are as
    in `generate.families.settings`.
    """

    phase: Phase
    datasets: tuple[str, ...] = ("digits",)
    families: tuple[str, ...] = field(default_factory=lambda: tuple(FAMILIES))
    capacities: tuple[int, ...] | None = None
    depths: tuple[int, ...] | None = None
    epochs: int | None = None
    repeats: int | None = None
    patience: int | None = None
    sparsities: tuple[float, ...] = SPARSITIES
    prune_by: tuple[PruningMethod, ...] = ("magnitude",)
    finetune: int | None = None
    finetune_sparsities: tuple[float, ...] = FINETUNE_SPARSITIES
    finetune_by: tuple[PruningMethod, ...] = ("magnitude",)
    integer_checks: int = 1
    precisions: tuple[Precision, ...] = PRECISIONS
    seed: int = 0
    compute: Compute = "float32"
    settings: tuple[str, ...] = ()
    engine: EngineChoice = "auto"
    device: str = "cpu"
    data_dir: Path | None = None

    @property
    def cuts(self) -> Cuts:
        """How the networks of phase 2 are pruned."""
        finetuning = None
        if self.finetune is not None:
            finetuning = Finetuning(epochs=self.finetune, sparsities=self.finetune_sparsities, methods=self.finetune_by)
        return Cuts(sparsities=self.sparsities, methods=self.prune_by, finetuning=finetuning)


@dataclass(frozen=True)
class DatasetRef:
    """Where a worker finds a dataset, the fingerprint that it must have, and the name its runs are stored under."""

    source: str
    data_dir: Path | None
    fingerprint: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Models of one family trained in lockstep by one worker: the smallest thing that is done or not done.

    After training the models of phase 2 are pruned as `cuts` says, and those in fp32 quantized; after training in int8,
    with `integer_check`, they are converted to integers and tested again. `seconds` is the nominal cost of
    `generate.cost`.
    """

    dataset: DatasetRef
    protocol: FamilyProtocol
    replicate: int
    precision: Precision
    cells: tuple[Cell, ...]
    cuts: Cuts
    integer_check: bool
    engine: EngineChoice
    device: str
    seconds: float

    @property
    def family(self) -> str:
        """Family of all its models."""
        return self.protocol.family

    def run_id(self, architecture: Architecture) -> str:
        """Return the identity of one of its models."""
        return run_id(self.protocol, self.dataset.fingerprint, architecture, self.precision, self.replicate)

    @property
    def name(self) -> str:
        """Short name for progress lines and files."""
        capacities = sorted({cell.architecture.capacity for cell in self.cells})
        span = f"{capacities[0]}-{capacities[-1]}" if len(capacities) > 1 else f"{capacities[0]}"
        kind = self.family if self.precision == "fp32" else f"{self.family} {self.precision}"
        return f"{Path(self.dataset.source).name} {kind} {span} replicate {self.replicate}"


@dataclass(frozen=True)
class Plan:
    """Units still to run, with what the whole request consists of.

    Attributes:
        units: in the order in which they are to start.
        cells: cells of the design, every topology counted, over all datasets and families.
        models: distinct models of the request, replicates counted.
        stored: how many of these the store holds already.
    """

    units: tuple[Unit, ...]
    cells: int
    models: int
    stored: int

    @property
    def missing(self) -> int:
        """Models still to train."""
        return self.models - self.stored

    @property
    def disk_bytes(self) -> int:
        """Bytes that the missing runs will add to a store, roughly."""
        beside = len(WEIGHT_BITS)
        rows = sum(len(unit.cells) * (unit.protocol.training.epochs + unit.cuts.rows + beside) for unit in self.units)
        return ROW_BYTES * rows


def run_id(
    protocol: FamilyProtocol, fingerprint: str, architecture: Architecture, precision: Precision, replicate: int
) -> str:
    """Return the identity of a trained model: the digest of its canonical spec."""
    return digest(
        {
            "protocol": protocol_id(protocol),
            "dataset": fingerprint,
            "family": architecture.family,
            "hidden_sizes": list(architecture.hidden_sizes),
            "precision": precision,
            "replicate": replicate,
        }
    )


def training_for(request: Request, source: str, seeding: Seeding) -> Training:
    """Return the training settings of a request on a dataset, which is loaded from `source`, a name or a path."""
    return Training(
        epochs=request.epochs or default_epochs(source),
        patience=request.patience,
        seed=request.seed,
        compute=request.compute,
        seeding=seeding,
    )


def protocol_of(request: Request, family: str, source: str, seeding: Seeding = "dataset name") -> FamilyProtocol:
    """Return the protocol of a family that a request asks for on a dataset, which is loaded from `source`.

    Raises:
        MinarchError: a setting is not allowed.
    """
    return with_settings(protocol_for(family, training_for(request, source, seeding)), request.settings)


def cells_for(request: Request, name: str, dataset: str) -> list[Cell]:
    """Return the cells that a request asks for in one family; none for a family that the phase leaves out."""
    family = family_named(name)
    if request.phase == "shapes" and not family.facts.layered:
        return []
    ladder = family.facts.grid(dataset)
    all_topologies = request.phase in ("all", "shapes")
    return family.cells(
        name, Design(request.capacities or ladder, request.depths or family.facts.depths, all_topologies, ladder)
    )


def precisions_for(request: Request) -> tuple[Precision, ...]:
    """Return the precisions that the phase of a request trains in, fp32 first."""
    whole: tuple[Precision, ...] = () if request.phase == "quantization" else ("fp32",)
    return (*whole, *request.precisions) if request.phase in QUANTIZING else whole


def repeats_for(request: Request, family: str) -> int:
    """Return the number of replicates: the request's, or the paper's for this family."""
    return request.repeats or family_named(family).facts.replicates


def make_plan(request: Request, datasets: Sequence[tuple[str, Dataset]], stored: Collection[str]) -> Plan:
    """Return the plan of a request, less the runs that are stored.

    Args:
        request: what is asked for.
        datasets: each dataset with the name or path it was loaded from.
        stored: run ids that need no training.

    The order is by dataset, then replicate (so that an interrupted sweep leaves whole replicates), then cost, the
    dearest unit first. A run's result does not depend on the units that the plan forms.
    """
    units: list[Unit] = []
    cells = models = done = 0
    for source, dataset in datasets:
        by_replicate: dict[int, list[Unit]] = {}
        for family in request.families:
            designed = cells_for(request, family, source)
            protocol = protocol_of(request, family, source, dataset.seeding)
            cells += _labels_asked_for(request, designed)
            for precision, replicate in product(precisions_for(request), range(repeats_for(request, family))):
                found = [cell for cell in designed if precision == "fp32" or cell.architecture.in_phase_2]
                missing = [
                    cell
                    for cell in found
                    if run_id(protocol, dataset.fingerprint, cell.architecture, precision, replicate) not in stored
                ]
                models += len(found)
                done += len(found) - len(missing)
                cuts = request.cuts.of(precision)
                for pack, seconds in _packs(missing, dataset, protocol, precision, cuts):
                    unit = Unit(
                        dataset=DatasetRef(source, request.data_dir, dataset.fingerprint, dataset.name),
                        protocol=protocol,
                        replicate=replicate,
                        precision=precision,
                        cells=pack,
                        cuts=cuts,
                        integer_check=precision == "int8" and replicate < request.integer_checks,
                        engine=request.engine,
                        device=request.device,
                        seconds=seconds,
                    )
                    by_replicate.setdefault(replicate, []).append(unit)
        for _, some in sorted(by_replicate.items()):
            units += sorted(some, key=lambda unit: -unit.seconds)
    return Plan(tuple(units), cells, models, done)


def _labels_asked_for(request: Request, cells: Sequence[Cell]) -> int:
    return (
        len(cells) if request.phase in ("convergence", "quantization") else sum(len(cell.topologies) for cell in cells)
    )


def _packs(
    cells: Sequence[Cell], dataset: Dataset, protocol: FamilyProtocol, precision: Precision, cuts: Cuts
) -> Iterator[tuple[tuple[Cell, ...], float]]:
    image: ImageShape = dataset.image
    counts = (len(dataset.train.images), len(dataset.test.images))
    pack: list[Cell] = []
    seconds, parameters = 0.0, 0
    for cell in sorted(cells, key=lambda c: parameter_count(c.architecture, image, protocol)):
        cost = model_seconds(cell.architecture, image, protocol, *counts)
        if cell.architecture.in_phase_2:
            cost += cutting_seconds(cell.architecture, image, protocol, *counts, cuts)
        if precision != "fp32":
            cost *= QUANTIZATION_COST
        elif cell.architecture.in_phase_2:
            cost += post_training_seconds(cell.architecture, image, protocol, counts[1])
        size = parameter_count(cell.architecture, image, protocol)
        if pack and (seconds + cost > UNIT_SECONDS or parameters + size > UNIT_PARAMETERS):
            yield tuple(pack), seconds
            pack, seconds, parameters = [], 0.0, 0
        pack.append(cell)
        seconds, parameters = seconds + cost, parameters + size
    if pack:
        yield tuple(pack), seconds
