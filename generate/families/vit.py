"""Vision transformers."""

from __future__ import annotations

from dataclasses import dataclass

from generate.architectures import ImageShape
from generate.families.family import Family, Sizes, by_name
from generate.protocol import FamilyProtocol, require_numbers, require_text
from store.families import family_facts

FACTS = family_facts("vit")
WIDTHS = FACTS.capacities
_TEXTS = {
    "family": "vit",
    "activation": "gelu",
    "norm": "pre-norm, final layer norm, eps 1e-5",
    "positions": "fixed sine and cosine",
    "linear_init": "uniform, bound 1 / sqrt(fan_in), weights and biases",
}


@dataclass(frozen=True, kw_only=True)
class VitProtocol(FamilyProtocol):
    """Vision transformer of pre-norm encoder blocks, everything but the MLP as wide as the embedding.

    `grid` counts patches per side; the MLP is `mlp_ratio` times as wide as the embedding, which the number of `heads`
    must divide.
    """

    family: str = "vit"
    grid: int = 7
    grid_of_8x8_images: int = 4
    blocks: int = 2
    heads: int = 1
    mlp_ratio: int = 1
    activation: str = _TEXTS["activation"]
    norm: str = _TEXTS["norm"]
    positions: str = _TEXTS["positions"]
    linear_init: str = _TEXTS["linear_init"]
    class_token_std: float = 0.02

    def __post_init__(self) -> None:
        require_text(self, **_TEXTS)
        require_numbers(self, "grid", "grid_of_8x8_images", "blocks", "heads", "mlp_ratio", least=1)
        require_numbers(self, "class_token_std", least=0)

    def patches(self, image: ImageShape) -> PatchGrid:
        """Return how an image is cut."""
        return patch_grid(image, side=self.grid, side_of_8x8=self.grid_of_8x8_images)


@dataclass(frozen=True)
class PatchGrid:
    """How a vision transformer cuts an image: padded size, patch size (pixels) and patches per side."""

    side: int
    padded_height: int
    padded_width: int
    patch_height: int
    patch_width: int

    @property
    def patches(self) -> int:
        """Number of patches."""
        return self.side**2


def patch_grid(image: ImageShape, *, side: int = 7, side_of_8x8: int = 4) -> PatchGrid:
    """Return the patch grid: `side` x `side`, the image zero-padded to the next multiple; 4 x 4 for 8x8 images."""
    n = side_of_8x8 if (image.height, image.width) == (8, 8) else side
    patch_height, patch_width = -(-image.height // n), -(-image.width // n)
    return PatchGrid(n, n * patch_height, n * patch_width, patch_height, patch_width)


def _obstacle(sizes: Sizes, image: ImageShape, protocol: VitProtocol) -> str:
    del image
    if sizes[0] % protocol.heads:
        return f"{protocol.heads} heads do not divide the embedding width {sizes[0]} (--capacities chooses widths)"
    return ""


def _patch_values(image: ImageShape, protocol: VitProtocol) -> int:
    grid = protocol.patches(image)
    return grid.patch_height * grid.patch_width * image.channels


def _parameters(sizes: Sizes, image: ImageShape, protocol: VitProtocol) -> int:
    d, inner = sizes[0], protocol.mlp_ratio * sizes[0]
    embedding = (_patch_values(image, protocol) + 1) * d + d
    block = 2 * 2 * d + 4 * (d + 1) * d + (d + 1) * inner + (inner + 1) * d
    return embedding + protocol.blocks * block + 2 * d + (d + 1) * image.classes


def _training_flops(sizes: Sizes, image: ImageShape, protocol: VitProtocol) -> float:
    d, patches = sizes[0], protocol.patches(image).patches
    tokens = patches + 1
    embedding = patches * _patch_values(image, protocol) * d
    block = tokens * ((4 + 2 * protocol.mlp_ratio) * d * d + 2 * tokens * d)
    return 2 * (2 * embedding + 3 * (protocol.blocks * block + d * image.classes))


VIT = Family(
    facts=FACTS,
    protocol=VitProtocol,
    depth=lambda _, protocol: int(protocol.blocks),
    obstacle=_obstacle,
    module=by_name("generate.engine.plain.vit:Vit"),
    initial=by_name("generate.engine.plain.vit:initial"),
    kernel_pack=by_name("generate.engine.vit.pack:VitKernelPack"),
    kernel_settings={"blocks": 2, "heads": 1, "mlp_ratio": 1},
    integer_model=by_name("generate.engine.plain.vit:IntegerVit"),
    c_program=by_name("generate.deploy.c.vit:program"),
    onnx_graph=by_name("generate.deploy.families.vit:onnx_graph"),
    plain_source=by_name("generate.deploy.families.vit:source"),
    parameters=_parameters,
    training_flops=_training_flops,
    flops_per_second=60e9,
)
