"""Convolutional networks of one convolution."""

from __future__ import annotations

from dataclasses import dataclass

from generate.architectures import ImageShape
from generate.families.family import Family, Sizes, by_name
from generate.protocol import FamilyProtocol, require_numbers, require_text
from store.families import family_facts

FACTS = family_facts("cnn")
CHANNELS = FACTS.capacities
_KERNEL_INIT = "normal, std sqrt(2 / (kernel_size^2 * out_channels))"


@dataclass(frozen=True, kw_only=True)
class CnnProtocol(FamilyProtocol):
    """One convolution, ReLU, flatten, linear; sizes in pixels."""

    family: str = "cnn"
    kernel_size: int = 3
    stride: int = 1
    padding: int = 0
    activation: str = "relu"
    kernel_init: str = _KERNEL_INIT
    linear_std: float = 0.01
    bias_init: str = "zero"

    def __post_init__(self) -> None:
        require_text(self, family="cnn", activation="relu", kernel_init=_KERNEL_INIT, bias_init="zero")
        require_numbers(self, "kernel_size", "stride", least=1)
        require_numbers(self, "padding", "linear_std", least=0)

    def positions(self, image: ImageShape) -> tuple[int, int]:
        """Return in how many rows and columns the kernel fits into an image; not positive where it does not."""
        room = 2 * self.padding - self.kernel_size
        return (image.height + room) // self.stride + 1, (image.width + room) // self.stride + 1


def _obstacle(sizes: Sizes, image: ImageShape, protocol: CnnProtocol) -> str:
    del sizes
    smallest = protocol.kernel_size - 2 * protocol.padding
    if min(image.height, image.width) < smallest:
        return f"the CNN needs images of at least {smallest} x {smallest} pixels"
    return ""


def _parameters(sizes: Sizes, image: ImageShape, protocol: CnnProtocol) -> int:
    rows, columns = protocol.positions(image)
    kernels = sizes[0] * (protocol.kernel_size**2 * image.channels + 1)
    return kernels + (sizes[0] * rows * columns + 1) * image.classes


def _training_flops(sizes: Sizes, image: ImageShape, protocol: CnnProtocol) -> float:
    rows, columns = protocol.positions(image)
    return 2 * sizes[0] * rows * columns * (2 * protocol.kernel_size**2 * image.channels + 3 * image.classes)


CNN = Family(
    facts=FACTS,
    protocol=CnnProtocol,
    depth=lambda _, __: 1,
    obstacle=_obstacle,
    module=by_name("generate.engine.plain.cnn:Cnn"),
    initial=by_name("generate.engine.plain.cnn:initial"),
    kernel_pack=by_name("generate.engine.cnn.pack:CnnKernelPack"),
    kernel_settings={"kernel_size": 3, "stride": 1, "padding": 0},
    quantized_forward=by_name("generate.engine.plain.cnn:quantized_forward"),
    integer_model=by_name("generate.engine.plain.cnn:integer_model"),
    layers=by_name("generate.engine.plain.cnn:layers"),
    onnx_graph=by_name("generate.deploy.families.cnn:onnx_graph"),
    plain_source=by_name("generate.deploy.families.cnn:source"),
    without_units=by_name("generate.engine.plain.cnn:without_units"),
    parameters=_parameters,
    training_flops=_training_flops,
    flops_per_second=90e9,
)
