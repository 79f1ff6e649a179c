"""The three families as plain PyTorch modules: the definition that every fast path is held to.

All take images of shape [batch, channels, height, width], already normalised, and return logits [batch, classes].
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from generate.architectures import Architecture, ImageShape, PatchGrid, patch_grid

ENCODER_BLOCKS = 2


class Dnn(nn.Module):
    """Fully connected ReLU network; parameters `layers.K.weight` [out, in] and `layers.K.bias`, the head last."""

    def __init__(self, hidden_sizes: tuple[int, ...], image: ImageShape) -> None:
        super().__init__()
        sizes = (image.values, *hidden_sizes, image.classes)
        self.layers = nn.ModuleList(nn.Linear(inputs, outputs) for inputs, outputs in pairwise(sizes))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [batch, classes]."""
        h = images.flatten(1)
        for layer in self.layers[:-1]:
            h = F.relu(layer(h))
        logits: Tensor = self.layers[-1](h)
        return logits


class Cnn(nn.Module):
    """One 3x3 convolution, ReLU, flatten, linear; parameters of `convolution` and `linear`."""

    def __init__(self, channels: int, image: ImageShape) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(image.channels, channels, 3)
        self.linear = nn.Linear(channels * (image.height - 2) * (image.width - 2), image.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [batch, classes]."""
        logits: Tensor = self.linear(F.relu(self.convolution(images)).flatten(1))
        return logits


class EncoderBlock(nn.Module):
    """Pre-norm encoder block with one attention head; everything `width` wide."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.expand = nn.Linear(width, width)
        self.contract = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens [batch, tokens, width] to the same shape."""
        query, key, value = self.query_key_value(self.norm1(tokens)).chunk(3, dim=-1)
        attention = torch.softmax(query @ key.transpose(1, 2) / math.sqrt(query.shape[-1]), dim=-1)
        tokens = tokens + self.projection(attention @ value)
        contracted: Tensor = self.contract(F.gelu(self.expand(self.norm2(tokens))))
        return tokens + contracted


class Vit(nn.Module):
    """Vision transformer: patches, linear embedding, class token, fixed positions, two blocks, norm, linear head."""

    positions: Tensor

    def __init__(self, width: int, image: ImageShape) -> None:
        super().__init__()
        self.grid = patch_grid(image)
        self.embedding = nn.Linear(self.grid.patch_height * self.grid.patch_width * image.channels, width)
        self.class_token = nn.Parameter(torch.zeros(width))
        self.blocks = nn.ModuleList(EncoderBlock(width) for _ in range(ENCODER_BLOCKS))
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


def build_module(architecture: Architecture, image: ImageShape) -> nn.Module:
    """Return the plain module of an architecture, with PyTorch's initial weights."""
    if architecture.family == "dnn":
        return Dnn(architecture.hidden_sizes, image)
    if architecture.family == "cnn":
        return Cnn(architecture.capacity, image)
    return Vit(architecture.capacity, image)
