"""The protocol as data: what is trained, how, and under which identity.

Every field is either fixed by the paper or one of the choices listed in the README ("Where the paper is silent").
A protocol's identity is the hash of its canonical JSON; grids (ladders, topologies, numbers of replicates) say which
models are trained, not how, and are no part of it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

Family = Literal["dnn", "cnn", "vit"]
Compute = Literal["float32", "bf16"]

FAMILIES: tuple[Family, ...] = ("dnn", "cnn", "vit")
DNN_LADDER = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1000)
DNN_DEPTHS = (1, 2, 3, 4)
CNN_CHANNELS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
VIT_WIDTHS = (1, 2, 3, 4, 6, 8, 10, 12, 14, 16)
PAPER_REPEATS: dict[Family, int] = {"dnn": 30, "cnn": 10, "vit": 10}
SPARSITIES = tuple(round(step / 20, 2) for step in range(21))


@dataclass(frozen=True, kw_only=True)
class Training:
    """How every model is trained; learning rate and betas are Adam's, `patience` is in epochs (None: never stop)."""

    epochs: int = 20
    batch_size: int = 100
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    loss: str = "cross-entropy"
    validation_fraction: float = 0.1
    selection: str = "highest validation accuracy, first on ties"
    patience: int | None = None
    input_mean: float = 0.5
    input_std: float = 0.5
    compute: Compute = "float32"
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """Quantization-aware training: PyTorch's default configuration for QNNPACK, from the first step on."""

    configuration: str = "qnnpack default: qint8 per-tensor symmetric weights, quint8 per-tensor affine activations"
    observer: str = "moving-average min/max, averaging constant 0.01"
    placement: str = "input; every weight; every output of linear and convolution, after the fused ReLU"


@dataclass(frozen=True, kw_only=True)
class DnnProtocol:
    """Fully connected ReLU networks."""

    family: Literal["dnn"] = "dnn"
    training: Training = field(default_factory=Training)
    quantization: Quantization = field(default_factory=Quantization)
    activation: str = "relu"
    weight_init: str = "normal, std sqrt(2 / fan_in)"
    bias_init: str = "zero"


@dataclass(frozen=True, kw_only=True)
class CnnProtocol:
    """One 3x3 convolution, ReLU, flatten, linear."""

    family: Literal["cnn"] = "cnn"
    training: Training = field(default_factory=Training)
    quantization: Quantization = field(default_factory=Quantization)
    kernel_size: int = 3
    stride: int = 1
    padding: int = 0
    activation: str = "relu"
    kernel_init: str = "normal, std sqrt(2 / (kernel_size^2 * out_channels))"
    linear_std: float = 0.01
    bias_init: str = "zero"


@dataclass(frozen=True, kw_only=True)
class VitProtocol:
    """Vision transformer of two pre-norm encoder blocks, everything as wide as the embedding."""

    family: Literal["vit"] = "vit"
    training: Training = field(default_factory=Training)
    quantization: Quantization = field(default_factory=Quantization)
    grid: int = 7
    grid_of_8x8_images: int = 4
    blocks: int = 2
    heads: int = 1
    mlp_ratio: int = 1
    activation: str = "gelu"
    norm: str = "pre-norm, final layer norm, eps 1e-5"
    positions: str = "fixed sine and cosine"
    linear_init: str = "uniform, bound 1 / sqrt(fan_in), weights and biases"
    class_token_std: float = 0.02


FamilyProtocol = DnnProtocol | CnnProtocol | VitProtocol

PROTOCOLS: dict[Family, type[FamilyProtocol]] = {"dnn": DnnProtocol, "cnn": CnnProtocol, "vit": VitProtocol}


def protocol_for(family: Family, training: Training) -> FamilyProtocol:
    """Return the family's protocol with these training settings."""
    return replace(PROTOCOLS[family](), training=training)


def canonical_json(spec: object) -> str:
    """Return JSON with sorted keys and no spaces: equal specs give equal text."""
    return json.dumps(spec, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(spec: object) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of the canonical JSON of `spec`."""
    return hashlib.sha256(canonical_json(spec).encode()).hexdigest()[:16]


def protocol_spec(protocol: FamilyProtocol) -> dict[str, object]:
    """Return the protocol as a JSON-ready dictionary."""
    return asdict(protocol)


def protocol_id(protocol: FamilyProtocol) -> str:
    """Return the identity of a protocol: the digest of its spec."""
    return digest(protocol_spec(protocol))
