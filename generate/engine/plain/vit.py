"""Vision transformers as a plain PyTorch module; their initial weights and their integer model."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from generate.architectures import ImageShape
from generate.engine.initialise import Array, Shapes, normal
from generate.engine.plain.integer import LEVELS, IntegerLinear, Values, levels
from generate.families.vit import PatchGrid, VitProtocol


class EncoderBlock(nn.Module):
    """Pre-norm encoder block `width` wide, but for the hidden layer of the MLP."""

    def __init__(self, width: int, *, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.expand = nn.Linear(width, mlp_ratio * width)
        self.contract = nn.Linear(mlp_ratio * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens [batch, tokens, width] to the same shape."""
        tokens = tokens + self.projection(attend(self.query_key_value(self.norm1(tokens)), self.heads))
        contracted: Tensor = self.contract(F.gelu(self.expand(self.norm2(tokens))))
        return tokens + contracted


class Vit(nn.Module):
    """Vision transformer: patches, linear embedding, class token, fixed positions, blocks, norm, linear head."""

    positions: Tensor

    def __init__(self, hidden_sizes: tuple[int, ...], image: ImageShape, protocol: VitProtocol) -> None:
        super().__init__()
        (width,) = hidden_sizes
        self.grid = protocol.patches(image)
        self.embedding = nn.Linear(self.grid.patch_height * self.grid.patch_width * image.channels, width)
        self.class_token = nn.Parameter(torch.zeros(width))
        self.blocks = nn.ModuleList(
            EncoderBlock(width, heads=protocol.heads, mlp_ratio=protocol.mlp_ratio) for _ in range(protocol.blocks)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, image.classes)
        self.register_buffer("positions", sine_positions(self.grid.patches + 1, width), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [batch, classes]."""
        embedded = self.embedding(patches(images, self.grid))
        token = self.class_token.expand(len(images), 1, -1)
        tokens = torch.cat([token, embedded], dim=1) + self.positions
        for block in self.blocks:
            tokens = block(tokens)
        logits: Tensor = self.head(self.norm(tokens[:, 0]))
        return logits


def attend(query_key_value: Tensor, heads: int) -> Tensor:
    """Return what every token gathers from all of them, the heads side by side: [batch, tokens, width].

    `query_key_value` is [batch, tokens, 3 x width]; each head has a slice of every third.
    """
    batch, tokens, width = query_key_value.shape
    if heads == 1:
        query, key, value = query_key_value.chunk(3, dim=-1)
    else:
        parted = query_key_value.view(batch, tokens, 3, heads, width // (3 * heads))
        query, key, value = parted.permute(2, 0, 3, 1, 4)
    attention = torch.softmax(query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1]), dim=-1)
    attended: Tensor = attention @ value
    return attended if heads == 1 else attended.transpose(1, 2).reshape(batch, tokens, -1)


def patches(images: Tensor, grid: PatchGrid) -> Tensor:
    """Cut normalised images [batch, channels, height, width] into patches [batch, patches, values of a patch].

    The image is zero-padded to the right and below; the values of a patch run over channel, row, column.
    """
    batch, channels, height, width = images.shape
    padded = F.pad(images, (0, grid.padded_width - width, 0, grid.padded_height - height))
    tiles = padded.reshape(batch, channels, grid.side, grid.patch_height, grid.side, grid.patch_width)
    return tiles.permute(0, 2, 4, 1, 3, 5).reshape(batch, grid.patches, -1)


def sine_positions(tokens: int, width: int) -> Tensor:
    """Return the fixed sine and cosine positional embedding [tokens, width] of Vaswani et al. (2017), section 3.5."""
    position = torch.arange(tokens, dtype=torch.float64)[:, None]
    index = torch.arange(width)[None]
    angle = position / 10000 ** (2 * (index // 2) / width)
    return torch.where(index % 2 == 0, torch.sin(angle), torch.cos(angle)).float()


def initial(
    name: str, shape: tuple[int, ...], shapes: Shapes, protocol: VitProtocol, rng: np.random.Generator
) -> Array:
    """Return the initial values of a parameter."""
    if name == "class_token":
        return normal(rng, shape, protocol.class_token_std)
    if "norm" in name:
        return np.full(shape, 1.0 if name.endswith("weight") else 0.0, dtype=np.float32)
    fan_in = shapes[name.removesuffix("bias").removesuffix("weight") + "weight"][1]
    bound = 1 / math.sqrt(fan_in)
    return rng.uniform(-bound, bound, shape).astype(np.float32)


class IntegerVit:
    """A trained network on integers, from normalised images to logits.

    In training only the outputs of linear layers are quantized. The floats that enter the other linear layers (after
    layer norm, attention and GELU) get ranges observed over the images `calibration`, as a converted model needs them.
    """

    def __init__(self, protocol: VitProtocol, values: Values, calibration: Tensor) -> None:
        self._protocol, self._parameters, self._quantizers = protocol, values.parameters, values.quantizers
        names = [name.removesuffix(".weight") for name in values.quantizers if name.endswith(".weight")]
        self._linear = {name: IntegerLinear(name, values) for name in names}
        self._entering: dict[str, Tensor] = {}
        self(calibration)

    def __call__(self, images: Tensor) -> Tensor:
        """Return logits [batch, classes]."""
        _, channels, height, width = images.shape
        grid = self._protocol.patches(ImageShape(height, width, channels, classes=len(self._parameters["head.bias"])))
        cut = levels(patches(images, grid), self._quantizers["input"], torch.quint8)
        embedded = self._linear["embedding"](cut).dequantize()
        token = self._parameters["class_token"].expand(len(images), 1, -1)
        tokens = torch.cat([token, embedded], dim=1)
        tokens = tokens + sine_positions(tokens.shape[1], tokens.shape[2])
        for block in range(self._protocol.blocks):
            at = f"blocks.{block}"
            joint = self._apply(f"{at}.query_key_value", self._norm(f"{at}.norm1", tokens))
            tokens = tokens + self._apply(f"{at}.projection", attend(joint, self._protocol.heads))
            hidden = F.gelu(self._apply(f"{at}.expand", self._norm(f"{at}.norm2", tokens)))
            tokens = tokens + self._apply(f"{at}.contract", hidden)
        return self._apply("head", self._norm("norm", tokens[:, 0]))

    def _apply(self, name: str, values: Tensor) -> Tensor:
        if name not in self._entering:
            low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
            scale = max((high - low) / LEVELS, torch.finfo(torch.float32).eps)
            self._entering[name] = torch.tensor([low, high, scale, round(-low / scale)], dtype=torch.float64)
        return self._linear[name](levels(values, self._entering[name], torch.quint8)).dequantize()

    def _norm(self, name: str, values: Tensor) -> Tensor:
        weight, bias = self._parameters[f"{name}.weight"], self._parameters[f"{name}.bias"]
        return F.layer_norm(values, values.shape[-1:], weight, bias)
