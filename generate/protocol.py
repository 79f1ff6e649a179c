"""The protocol as data: how models are trained, and under which identity.

Every field is either fixed by the paper or one of the choices listed in the README ("Where the paper is silent"). The
protocol of each family is in `generate.families`. A protocol's identity is the hash of its canonical JSON; grids
(ladders, topologies, numbers of replicates) say which models are trained, not how, and are no part of it.

Every field changes what is trained. Fields of text name what is implemented: any other value is refused.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from typing import Literal

from store.errors import MinarchError
from store.precisions import Precision

Compute = Literal["float32", "bf16"]
Seeding = Literal["dataset name", "fingerprint"]
"""What random numbers are drawn from, beside the base seed and the replicate."""

SPARSITIES = tuple(round(step / 20, 2) for step in range(21))
PRECISIONS: tuple[Precision, ...] = ("int8",)
"""Of quantization-aware training, unless others are asked for."""


def require_text(spec: object, **allowed: str | tuple[str, ...]) -> None:
    """Check fields of text.

    Raises:
        MinarchError: a field is none of those that are implemented; says which are.
    """
    for name, values in allowed.items():
        known = (values,) if isinstance(values, str) else values
        if getattr(spec, name) not in known:
            options = " or ".join(repr(value) for value in known)
            raise MinarchError(f"{name}: only {options} is implemented, not {getattr(spec, name)!r}")


def require_numbers(
    spec: object, *names: str, least: float = -math.inf, above: float = -math.inf, below: float = math.inf
) -> None:
    """Check that fields, or all members of those that are tuples, are finite, at least `least`, and within two bounds.

    Raises:
        MinarchError: a number lies outside; says what is allowed.
    """
    bounds = [
        f"{words} {bound:g}"
        for words, bound in (("at least", least), ("above", above), ("below", below))
        if math.isfinite(bound)
    ]
    for name in names:
        value = getattr(spec, name)
        for number in value if isinstance(value, tuple) else (value,):
            if not (math.isfinite(number) and number >= least and above < number < below):
                raise MinarchError(f"{name} must be {' and '.join(bounds) or 'finite'}, not {number}")


@dataclass(frozen=True, kw_only=True)
class Training:
    """How every model is trained; learning rate and betas are Adam's, `patience` is in epochs (None: never stop).

    `seeding` came later: its default, what all runs did before, is left out of the spec, so that they keep their
    identities.

    Raises:
        MinarchError: a number is out of range, or a text names what is not implemented.
    """

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
    seeding: Seeding = "dataset name"

    def __post_init__(self) -> None:
        require_text(
            self,
            loss="cross-entropy",
            selection="highest validation accuracy, first on ties",
            compute=("float32", "bf16"),
            seeding=("dataset name", "fingerprint"),
        )
        require_numbers(self, "epochs", "batch_size", least=1)
        require_numbers(self, "learning_rate", "epsilon", "input_std", above=0)
        require_numbers(self, "betas", least=0, below=1)
        require_numbers(self, "validation_fraction", above=0, below=1)
        require_numbers(self, "input_mean")


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """Quantization-aware training: PyTorch's default configuration for QNNPACK, from the first step on.

    Raises:
        MinarchError: a text names what is not implemented.
    """

    configuration: str = "qnnpack default: qint8 per-tensor symmetric weights, quint8 per-tensor affine activations"
    observer: str = "moving-average min/max, averaging constant 0.01"
    placement: str = "input; every weight; every output of linear and convolution, after the fused ReLU"

    def __post_init__(self) -> None:
        require_text(self, **{name: str(spec.default) for name, spec in self.__dataclass_fields__.items()})


@dataclass(frozen=True, kw_only=True)
class FamilyProtocol:
    """How a family is trained; each family adds its own settings."""

    family: str
    training: Training = field(default_factory=Training)
    quantization: Quantization = field(default_factory=Quantization)


def canonical_json(spec: object) -> str:
    """Return JSON with sorted keys and no spaces: equal specs give equal text."""
    return json.dumps(spec, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(spec: object) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of the canonical JSON of `spec`."""
    return hashlib.sha256(canonical_json(spec).encode()).hexdigest()[:16]


def protocol_spec(protocol: FamilyProtocol) -> dict[str, object]:
    """Return the protocol as a JSON-ready dictionary."""
    spec = asdict(protocol)
    if protocol.training.seeding == "dataset name":
        del spec["training"]["seeding"]
    return spec


@functools.lru_cache(maxsize=256)  # A plan asks for it once per model.
def protocol_id(protocol: FamilyProtocol) -> str:
    """Return the identity of a protocol: the digest of its spec."""
    return digest(protocol_spec(protocol))
