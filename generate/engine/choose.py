"""Which engine trains a pack: compiled kernels where they can, plain PyTorch elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from generate.architectures import Architecture, ImageShape
from generate.engine.pack import Pack
from generate.protocol import Family, Training
from store.errors import MinarchError

EngineChoice = Literal["auto", "kernel", "torch"]
ENGINES: tuple[EngineChoice, ...] = ("auto", "kernel", "torch")


def build_pack(
    architectures: Sequence[Architecture],
    image: ImageShape,
    training: Training,
    *,
    engine: EngineChoice = "auto",
    device: str = "cpu",
    quantized: bool = False,
) -> Pack:
    """Return an untrained pack for architectures of one family, on the engine asked for.

    With `quantized` it trains under fake quantization.

    `auto` takes the kernels on the CPU in float32, where Numba works on this machine, and PyTorch otherwise.

    Raises:
        MinarchError: `kernel` was asked for and cannot train these models here.
    """
    obstacle = kernel_obstacle(training, device)
    if engine == "kernel" and obstacle:
        raise MinarchError(f"the compiled kernels cannot be used: {obstacle}; use --engine auto or torch")
    if engine == "torch" or obstacle:
        from generate.engine.plain.pack import TorchPack

        return TorchPack(architectures, image, training, device=device, quantized=quantized)
    return _kernel_pack(architectures[0].family)(architectures, image, training, quantized=quantized)


def kernel_obstacle(training: Training, device: str) -> str:
    """Return why the compiled kernels cannot be used, or an empty string."""
    if device != "cpu":
        return f"they run on the cpu, not on {device}"
    if training.compute != "float32":
        return f"they compute in float32, not in {training.compute}"
    try:
        import generate.engine.simd.vector  # noqa: F401
    except ImportError as error:
        return f"Numba does not work here ({error})"
    return ""


def _kernel_pack(family: Family) -> Callable[..., Pack]:
    # Imported one by one: a worker compiles or loads only the kernels that it needs.
    if family == "dnn":
        from generate.engine.dnn.pack import DnnKernelPack

        return DnnKernelPack
    if family == "cnn":
        from generate.engine.cnn.pack import CnnKernelPack

        return CnnKernelPack
    from generate.engine.vit.pack import VitKernelPack

    return VitKernelPack
