"""Which engine trains a pack: compiled kernels where they can, plain PyTorch elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from generate.architectures import Architecture, ImageShape
from generate.engine.pack import Pack
from generate.families import family_named
from generate.protocol import FamilyProtocol
from store.errors import MinarchError
from store.precisions import Bits

EngineChoice = Literal["auto", "kernel", "torch"]
ENGINES: tuple[EngineChoice, ...] = ("auto", "kernel", "torch")


def build_pack(
    architectures: Sequence[Architecture],
    image: ImageShape,
    protocol: FamilyProtocol,
    *,
    engine: EngineChoice = "auto",
    device: str = "cpu",
    bits: Bits | None = None,
) -> Pack:
    """Return an untrained pack for architectures of the protocol's family, on the engine asked for.

    With `bits` it trains under fake quantization.

    `auto` takes the kernels on the CPU in float32, where the family has some that compute what the protocol says and
    Numba works on this machine, and PyTorch otherwise.

    Raises:
        MinarchError: `kernel` was asked for and cannot train these models here, there are no such models on these
            images, or the family is unknown.
        ValueError: an architecture is of another family.
    """
    family = family_named(protocol.family)
    if any(architecture.family != family.name for architecture in architectures):
        raise ValueError(f"a protocol of the family {family.name} trains no other")
    for architecture in architectures:
        fault = family.obstacle(architecture.hidden_sizes, image, protocol)
        if fault:
            raise MinarchError(fault)
    obstacle = kernel_obstacle(protocol, device)
    if engine == "kernel" and obstacle:
        raise MinarchError(f"the compiled kernels cannot be used: {obstacle}; use --engine auto or torch")
    if engine == "torch" or obstacle or family.kernel_pack is None:
        from generate.engine.plain.pack import TorchPack

        return TorchPack(architectures, image, protocol, device=device, bits=bits)
    pack: Pack = family.kernel_pack(architectures, image, protocol, bits=bits)
    return pack


def kernel_obstacle(protocol: FamilyProtocol, device: str) -> str:
    """Return why the compiled kernels cannot be used, or an empty string."""
    if device != "cpu":
        return f"they run on the cpu, not on {device}"
    if protocol.training.compute != "float32":
        return f"they compute in float32, not in {protocol.training.compute}"
    obstacle = family_named(protocol.family).kernel_obstacle(protocol)
    if obstacle:
        return obstacle
    try:
        import generate.engine.simd.vector  # noqa: F401
    except ImportError as error:
        return f"Numba does not work here ({error})"
    return ""
