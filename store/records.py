"""Rows of the store's tables, typed. Field names are column names; `store/migrations` documents each.

A field with a default is a column that a later version added: exports of an earlier one lack it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from store.precisions import Precision as Precision

PruningMethod = Literal["magnitude", "random", "layerwise", "units"]
Engine = Literal["torch", "kernel"]
Status = Literal["ok", "diverged"]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """The settings that runs were made under; `spec` is canonical JSON and `protocol_id` its hash."""

    protocol_id: str
    spec: str


@dataclass(frozen=True, kw_only=True)
class DatasetFacts:
    """What the store knows of a dataset; sizes in images and pixels, `chance_accuracy` a fraction."""

    dataset_fingerprint: str
    dataset: str
    train_images: int
    test_images: int
    height: int
    width: int
    channels: int
    classes: int
    chance_accuracy: float


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """One call of `generate`; `started_at` is UTC without a zone, `host` and `request` (what it was asked) are JSON."""

    invocation_id: str
    argv: str
    started_at: datetime
    package_version: str
    torch_version: str
    host: str
    request: str | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """One trained model. Accuracies are fractions, losses nats; None where the value is not finite."""

    run_id: str
    protocol_id: str
    invocation_id: str
    dataset: str
    dataset_fingerprint: str
    family: str
    depth: int
    capacity: int
    hidden_sizes: tuple[int, ...]
    parameters: int
    replicate: int
    precision: Precision
    engine: Engine
    status: Status
    epochs: int
    best_epoch: int
    train_accuracy: float | None
    validation_accuracy: float | None
    test_accuracy: float | None
    train_loss: float | None
    validation_loss: float | None
    test_loss: float | None
    last_train_accuracy: float | None
    last_validation_accuracy: float | None
    last_test_accuracy: float | None
    last_train_loss: float | None
    last_validation_loss: float | None
    last_test_loss: float | None
    seconds: float
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Label:
    """A topology that a run stands for."""

    run_id: str
    shape: str
    degenerate: bool


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One point of a learning curve; epochs count from 1."""

    run_id: str
    epoch: int
    train_loss: float | None
    train_accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """A trained model after pruning `sparsity` (a fraction) of its prunable weights, or of its hidden units.

    `nonzero` counts the prunable weights left, `finetune_epochs` those trained after pruning.
    """

    run_id: str
    sparsity: float
    test_accuracy: float | None
    test_loss: float | None
    nonzero: int
    method: PruningMethod = "magnitude"
    finetune_epochs: int = 0


@dataclass(frozen=True, kw_only=True)
class PostTraining:
    """A model trained in fp32 after quantization to so many bits, without training on."""

    run_id: str
    weight_bits: int
    activation_bits: int
    test_accuracy: float | None
    test_loss: float | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class IntegerCheck:
    """Accuracy of a quantization-aware run after conversion to a real 8-bit model."""

    run_id: str
    test_accuracy: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Design:
    """A sequential design; `spec` is canonical JSON (`store.designs` reads it) and `design_id` its hash."""

    design_id: str
    dataset_fingerprint: str
    spec: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Look:
    """A look of a design at its data; `spec` is JSON (`store.designs` reads it), numbers count from 0."""

    design_id: str
    number: int
    spec: str
    taken_at: datetime


@dataclass(frozen=True, kw_only=True)
class ArchitectureCosts:
    """What one inference of an architecture takes; `store.costs` says what each number is."""

    protocol_id: str
    dataset_fingerprint: str
    family: str
    hidden_sizes: tuple[int, ...]
    weights: int
    macs: int
    ram_fp32: int
    ram_int8: int


@dataclass(frozen=True, kw_only=True)
class Records:
    """Rows that reach the store in one transaction: all of a unit of work, or none. Fields are table names."""

    protocols: tuple[Protocol, ...] = ()
    datasets: tuple[DatasetFacts, ...] = ()
    invocations: tuple[Invocation, ...] = ()
    runs: tuple[Run, ...] = ()
    labels: tuple[Label, ...] = ()
    epochs: tuple[Epoch, ...] = ()
    pruning: tuple[Pruned, ...] = ()
    integer_checks: tuple[IntegerCheck, ...] = ()
    designs: tuple[Design, ...] = ()
    looks: tuple[Look, ...] = ()
    post_training: tuple[PostTraining, ...] = ()
    costs: tuple[ArchitectureCosts, ...] = ()
