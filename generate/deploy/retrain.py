"""Training a stored run again: a store keeps no weights, but a run's id fixes all that they depend on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from generate.architectures import Architecture, Cell, ImageShape
from generate.cuts import Cuts
from generate.cutting import Cutting
from generate.datasets import Dataset
from generate.deploy.stored import METRICS, Cut, StoredRun
from generate.engine.choose import EngineChoice, kernel_obstacle
from generate.engine.training import evaluate
from generate.families import family_named
from generate.plan import DatasetRef, Unit
from generate.protocol import FamilyProtocol
from generate.worker import train_unit
from store.errors import MinarchError

TAIL = 0.001
"""Probability that two trainings which differ by chance alone differ by more than is accepted."""


@dataclass(frozen=True)
class Network:
    """A trained network, pruned and quantized as it is to be written.

    Attributes:
        tensors: parameters, float32, named and shaped as in its module's `state_dict`.
        quantizers: rows as in `engine.quantize.rows`, by name; empty in fp32.
    """

    architecture: Architecture
    image: ImageShape
    protocol: FamilyProtocol
    tensors: dict[str, Tensor]
    quantizers: dict[str, Tensor]


@dataclass(frozen=True)
class Repeated:
    """How a run that was trained again compares with what is stored of it.

    Attributes:
        verdict: identical if every accuracy, every loss and the best epoch are equal to the last bit.
        correct: test images that it answers right, of `images`; `stored` as many did when it was stored.
        accepted: largest difference between these that chance may make.
        engine: what trained it.
    """

    verdict: Literal["identical", "equivalent, not identical"]
    correct: int
    stored: int
    images: int
    accepted: int
    engine: str

    def words(self) -> str:
        """Return the comparison in words."""
        if self.verdict == "identical":
            return f"identical: {self.correct:,} of {self.images:,} test answers right, as stored"
        difference = self.correct - self.stored
        return (
            f"{self.verdict}: {self.correct:,} of {self.images:,} test answers right, {abs(difference):,}"
            f" {'fewer' if difference < 0 else 'more'} than the {self.stored:,} stored;"
            f" chance may make {self.accepted:,}"
        )


def train_again(run: StoredRun, dataset: Dataset, cut: Cut | None) -> tuple[Network, Repeated]:
    """Train a run again with its protocol, seeds and engine, prune it, and return it with how the training compares.

    Raises:
        MinarchError: the data are others than the run's, or it differs by more than chance makes.
    """
    if dataset.fingerprint != run.fingerprint:
        raise MinarchError(
            f"{dataset.name}: these are not the images and labels that run {run.run_id} was trained on (fingerprint"
            f" {dataset.fingerprint}, the store has {run.fingerprint}); --data-dir names the folder of data"
        )
    unit = _unit(run, dataset)
    pack, split, trained = train_unit(unit, dataset)
    repeated = compared(run, trained.summary(0), len(dataset.test.labels), pack.engine)
    if cut is None:
        tensors, architecture = pack.tensors(0), run.architecture
    else:
        cutting = Cutting(unit, pack, split, dataset.seed_key)
        network = cutting.network(cut.method, cut.sparsity, cut.finetune_epochs)
        tensors, architecture = network.tensors, network.architecture
    own = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    quantizers = {name: row.clone() for name, row in pack.quantizers(0).items()}
    return Network(architecture, dataset.image, run.protocol, own, quantizers), repeated


def compared(run: StoredRun, summary: dict[str, object], images: int, engine: str) -> Repeated:
    """Return how a training compares with what is stored; `summary` is that of `Trained`, `images` counts tested ones.

    Raises:
        MinarchError: it diverged, or the difference is larger than chance makes.
    """
    same = summary["best_epoch"] == run.best_epoch and all(summary[name] == run.metrics[name] for name in METRICS)
    correct, stored = (
        round(_number(value) * images) for value in (summary["test_accuracy"], run.metrics["test_accuracy"])
    )
    accepted = chance_difference(run, images)
    verdict: Literal["identical", "equivalent, not identical"] = "identical" if same else "equivalent, not identical"
    found = Repeated(verdict, correct, stored, images, accepted, engine)
    if summary["status"] != "ok" or abs(correct - stored) > accepted:
        raise MinarchError(
            f"run {run.run_id} cannot be repeated here: trained again it answers {correct:,} of {images:,} test images"
            f" right, {stored:,} are stored, and rounding and chance make {accepted:,} at most"
        )
    return found


def chance_difference(run: StoredRun, images: int) -> int:
    """Return how many test answers two trainings of a run may be apart that differ by rounding alone.

    Rounding differs between processors and versions of libraries. Training amplifies it until the weights are those of
    another training; so two of them are no further apart than replicates are, which also begin from other weights.
    Accepted is what two normal draws exceed with probability `TAIL`: their standard deviation is that of the store's
    other replicates, or that of independent answers at this accuracy where this is larger or there are few.
    """
    from scipy.stats import norm, t

    accuracy, n = run.metrics["test_accuracy"], len(run.others)
    # Of right answers one half is added, as in a posterior: at 100% too two trainings may differ.
    share = (accuracy * images + 0.5) / (images + 1)
    independent = float(norm.isf(TAIL / 2)) * math.sqrt(share * (1 - share) / images)
    between = 0.0
    if n >= 5:
        mean = sum(run.others) / n
        deviation = math.sqrt(sum((value - mean) ** 2 for value in run.others) / (n - 1))
        between = float(t.isf(TAIL / 2, n - 1)) * deviation
    return math.ceil(math.sqrt(2) * max(independent, between) * images)


def evaluated(network: Network, dataset: Dataset, run: StoredRun) -> int:
    """Return how many test images a network answers right on the engine that trains."""
    from generate.engine.choose import build_pack
    from store.precisions import bits_of

    bits = bits_of(run.precision)
    pack = build_pack([network.architecture], network.image, network.protocol, engine=_engine(run), bits=bits)
    pack.load(0, {**network.tensors, **{f"{name} quantizer": row for name, row in network.quantizers.items()}})
    pack.refresh()
    _, accuracy = evaluate(pack, dataset.test_images, dataset.test_labels)
    return round(float(accuracy[0]) * len(dataset.test.labels))


def _engine(run: StoredRun) -> EngineChoice:
    """Return the engine that trained a run, or another where that cannot be used here."""
    return "auto" if run.engine == "kernel" and kernel_obstacle(run.protocol, "cpu") else run.engine


def _unit(run: StoredRun, dataset: Dataset) -> Unit:
    family = family_named(run.architecture.family)
    obstacle = family.obstacle(run.architecture.hidden_sizes, dataset.image, run.protocol)
    if obstacle:
        raise MinarchError(f"run {run.run_id}: {obstacle}")
    # Pruning goes by `in_phase_2`, which cuts are made for: other architectures have none.
    return Unit(
        dataset=DatasetRef(run.dataset, None, run.fingerprint, run.dataset),
        protocol=run.protocol,
        replicate=run.replicate,
        precision=run.precision,
        cells=(Cell(run.architecture, ()),),
        cuts=Cuts(),
        integer_check=False,
        engine=_engine(run),
        device="cpu",
        seconds=0.0,
    )


def _number(value: object) -> float:
    assert isinstance(value, float)
    return value
