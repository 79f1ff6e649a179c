"""How fast a training step could be: its matrix products at the highest rate measured here, and Adam's traffic.

roofline = floating-point operations of the step / GEMM rate + parameters x time of fused Adam per parameter

The operations are those of the matrix products that a step cannot do without; activations, softmax, layer norm and
everything between the products count for nothing. The GEMM rate is the highest over a square product and the
grid's own largest products; fused Adam runs over one flat buffer as large as the grid's parameters together, or
131,072 where those are fewer, so that the call itself weighs little.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise

import torch
from torch.nn import functional as F

from benchmarks.grids import Grid
from generate.architectures import Architecture, ImageShape
from generate.families.counts import parameter_count
from generate.families.vit import patch_grid
from generate.protocol import Training

BATCH = Training().batch_size
SMALLEST_UPDATE = 2**17
Product = tuple[int, int, int]


def operations(architecture: Architecture, image: ImageShape) -> int:
    """Return the floating-point operations of one step's matrix products: forward, and backward to all weights.

    A product with the images has no gradient with respect to its input. In the ViT's second block only the class
    token's query, projection and MLP are needed.
    """
    if architecture.family == "dnn":
        products = [a * b for a, b in pairwise((image.values, *architecture.hidden_sizes, image.classes))]
        return 2 * BATCH * (2 * products[0] + 3 * sum(products[1:]))
    if architecture.family == "cnn":
        positions, channels = (image.height - 2) * (image.width - 2), architecture.capacity
        return 2 * BATCH * positions * channels * (2 * 9 * image.channels + 3 * image.classes)
    d, grid = architecture.capacity, patch_grid(image)
    tokens = grid.patches + 1
    embedding = grid.patches * grid.patch_height * grid.patch_width * image.channels * d
    block = tokens * 3 * d * d + 2 * tokens * tokens * d + tokens * 3 * d * d
    last_block = tokens * 2 * d * d + d * d + 2 * tokens * d + 3 * d * d
    return 2 * BATCH * (2 * embedding + 3 * (block + last_block + d * image.classes))


def products(grid: Grid) -> list[Product]:
    """Return a large square product and the largest ones of the grid, as (m, k, n): [m, k] times [k, n]."""
    image, widest = grid.image, max(a.capacity for a in grid.architectures)
    shapes = [(1024, 1024, 1024)]
    if grid.family == "dnn":
        rows = sum(a.capacity for a in grid.architectures)
        shapes += [(BATCH, image.values, rows), (rows, BATCH, image.values), (BATCH, widest, widest)]
    elif grid.family == "cnn":
        positions = (image.height - 2) * (image.width - 2)
        shapes += [(widest, 9 * image.channels, BATCH * positions), (BATCH, widest * positions, image.classes)]
    else:
        patches = patch_grid(image)
        values = patches.patch_height * patches.patch_width * image.channels
        shapes += [(BATCH * patches.patches, values, widest), (BATCH * (patches.patches + 1), widest, 3 * widest)]
    return shapes


class Roofline:
    """The roofline of a grid, measured anew in every round.

    Attributes:
        rate: GEMM rate of the last round in operations per second.
        adam: seconds per parameter of the last round.
    """

    def __init__(self, grid: Grid, *, library: str = "torch.mm", dtype: torch.dtype = torch.float32) -> None:
        models = len(grid.architectures)
        self.operations = sum(operations(a, grid.image) for a in grid.architectures) / models
        total = sum(parameter_count(a, grid.image, grid.protocol) for a in grid.architectures)
        self.parameters = total / models
        self.products = [LIBRARIES[library](shape, dtype) for shape in products(grid)]
        self.sizes = [2 * m * k * n for m, k, n in products(grid)]
        self.updated = max(total, SMALLEST_UPDATE)
        self.update = _fused_adam(self.updated)
        self.rate, self.adam = 0.0, 0.0

    def measure(self) -> float:
        """Return milliseconds per model-step."""
        with torch.no_grad():
            self.rate = max(size / _fastest(product) for size, product in zip(self.sizes, self.products, strict=True))
        self.adam = _fastest(self.update) / self.updated
        return 1e3 * (self.operations / self.rate + self.parameters * self.adam)


def _mm(shape: Product, dtype: torch.dtype) -> Callable[[], object]:
    m, k, n = shape
    a, b, out = torch.randn(m, k).to(dtype), torch.randn(k, n).to(dtype), torch.empty(m, n, dtype=dtype)
    return lambda: torch.mm(a, b, out=out)


def _onednn(shape: Product, dtype: torch.dtype) -> Callable[[], object]:
    m, k, n = shape
    a, b = (x.to(dtype).to_mkldnn() for x in (torch.randn(m, k), torch.randn(n, k)))
    return lambda: F.linear(a, b)


LIBRARIES: dict[str, Callable[[Product, torch.dtype], Callable[[], object]]] = {"torch.mm": _mm, "oneDNN": _onednn}


def _fused_adam(parameters: int) -> Callable[[], object]:
    flat = torch.nn.Parameter(torch.randn(parameters))
    flat.grad = torch.randn(parameters)
    return torch.optim.Adam([flat], lr=Training().learning_rate, fused=True).step


def _fastest(run: Callable[[], object], repeats: int = 5, seconds: float = 0.01) -> float:
    """Return the shortest time of one call, in seconds, over `repeats` series of at least `seconds` each."""
    run()
    times = []
    for _ in range(repeats):
        calls, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds or not calls:
            run()
            calls += 1
        times.append(elapsed / calls)
    return min(times)
