"""Vision transformers outside minarch."""

from __future__ import annotations

import math

import numpy as np

from generate.architectures import ImageShape
from generate.deploy.graph import INPUT, FloatGraph
from generate.families.vit import VitProtocol

Sizes = tuple[int, ...]
_AXES = (0, 2, 4, 1, 3, 5)
"""From tiles [n, channels, side, height, side, width] to patches whose values run over channel, row, column."""


def onnx_graph(build: FloatGraph, sizes: Sizes, protocol: VitProtocol) -> str:
    """Add a network's nodes and return the name of its logits.

    Tokens between layers are [n, tokens, width]; linear layers take them as rows.
    """
    from generate.engine.plain.vit import sine_positions

    (width,), image = sizes, build.image
    grid = protocol.patches(image)
    side, high, wide = grid.side, grid.patch_height, grid.patch_width
    h = INPUT
    if (grid.padded_height, grid.padded_width) != (image.height, image.width):
        more = (0, 0, 0, 0, 0, 0, grid.padded_height - image.height, grid.padded_width - image.width)
        h = build.node("Pad", h, build.constant("padding", np.array(more, np.int64)))
    h = build.reshaped(h, -1, image.channels, side, high, side, wide)
    h = build.reshaped(build.node("Transpose", h, perm=_AXES), -1, image.channels * high * wide)
    h = build.reshaped(build.linear("embedding", build.entering(h)), -1, grid.patches, width)
    # The class token goes first: a row of zeros, to which it is added with its position.
    first = sine_positions(grid.patches + 1, width).numpy()[None].copy()
    first[0, 0] += build.parameters["class_token"]
    h = build.node("Pad", h, build.constant("class token's place", np.array((0, 1, 0, 0, 0, 0), np.int64)))
    tokens = build.node("Add", h, build.constant("class token and positions", first))
    for block in range(protocol.blocks):
        tokens = _block(build, f"blocks.{block}", tokens, grid.patches + 1, width, protocol.heads)
    last = build.node("Gather", tokens, build.constant("class token's index", np.int64(0)), axis=1)
    return build.linear("head", _norm(build, "norm", last))


def _block(build: FloatGraph, at: str, tokens: str, count: int, width: int, heads: int) -> str:
    h = build.reshaped(_norm(build, f"{at}.norm1", tokens), -1, width)
    h = build.reshaped(build.linear(f"{at}.query_key_value", h), -1, count, 3, heads, width // heads)
    parted = build.node("Transpose", h, perm=(2, 0, 3, 1, 4))
    query, key, value = (
        build.node("Gather", parted, build.constant(f"index {k}", np.int64(k)), axis=0) for k in range(3)
    )
    product = build.node("MatMul", query, build.node("Transpose", key, perm=(0, 1, 3, 2)))
    scaled = build.node("Div", product, build.constant("root of a head's width", np.float32(math.sqrt(width // heads))))
    h = build.node("MatMul", build.node("Softmax", scaled, axis=-1), value)
    h = build.linear(f"{at}.projection", build.reshaped(build.node("Transpose", h, perm=(0, 2, 1, 3)), -1, width))
    tokens = build.node("Add", tokens, build.reshaped(h, -1, count, width))
    h = build.reshaped(_norm(build, f"{at}.norm2", tokens), -1, width)
    h = build.node("Gelu", build.linear(f"{at}.expand", h))
    return build.node("Add", tokens, build.reshaped(build.linear(f"{at}.contract", h), -1, count, width))


def _norm(build: FloatGraph, name: str, values: str) -> str:
    weight, bias = build.parameter(f"{name}.weight"), build.parameter(f"{name}.bias")
    return build.node("LayerNormalization", values, weight, bias, axis=-1, epsilon=1e-5)


def source(sizes: Sizes, image: ImageShape, protocol: VitProtocol) -> str:
    """Return the classes `Block` and `Network` as Python text."""
    (width,), grid = sizes, protocol.patches(image)
    side, high, wide = grid.side, grid.patch_height, grid.patch_width
    below, right = grid.padded_height - image.height, grid.padded_width - image.width
    heads, inner = protocol.heads, protocol.mlp_ratio * width
    return f"""\
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm({width}), nn.LayerNorm({width})
        self.query_key_value, self.projection = nn.Linear({width}, {3 * width}), nn.Linear({width}, {width})
        self.expand, self.contract = nn.Linear({width}, {inner}), nn.Linear({inner}, {width})

    def forward(self, tokens):
        n, count, width = tokens.shape
        parted = self.query_key_value(self.norm1(tokens)).view(n, count, 3, {heads}, width // {heads})
        query, key, value = parted.permute(2, 0, 3, 1, 4)
        attention = torch.softmax(query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1]), dim=-1)
        attended = (attention @ value).transpose(1, 2).reshape(n, count, width)
        tokens = tokens + self.projection(attended)
        return tokens + self.contract(F.gelu(self.expand(self.norm2(tokens))))


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Linear({image.channels * high * wide}, {width})
        self.class_token = nn.Parameter(torch.zeros({width}))
        self.blocks = nn.ModuleList(Block() for _ in range({protocol.blocks}))
        self.norm, self.head = nn.LayerNorm({width}), nn.Linear({width}, {image.classes})
        index, place = torch.arange({width}), torch.arange({grid.patches + 1}, dtype=torch.float64)[:, None]
        angle = place / 10000 ** (2 * (index // 2) / {width})
        self.positions = torch.where(index % 2 == 0, torch.sin(angle), torch.cos(angle)).float()

    def forward(self, images):
        n = len(images)
        tiles = F.pad(images, (0, {right}, 0, {below})).reshape(n, {image.channels}, {side}, {high}, {side}, {wide})
        patches = self.embedding(tiles.permute{_AXES}.reshape(n, {grid.patches}, -1))
        tokens = torch.cat([self.class_token.expand(n, 1, -1), patches], dim=1) + self.positions
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(self.norm(tokens[:, 0]))
"""
