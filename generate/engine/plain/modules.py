"""The families as plain PyTorch modules: the definition that every fast path is held to.

All take images of shape [batch, channels, height, width], already normalised, and return logits [batch, classes].
"""

from __future__ import annotations

import torch
from torch import nn

from generate.architectures import Architecture, ImageShape
from generate.families import family_named
from generate.protocol import FamilyProtocol


def build_module(architecture: Architecture, image: ImageShape, protocol: FamilyProtocol) -> nn.Module:
    """Return the plain module of an architecture, with PyTorch's initial weights.

    Raises:
        ValueError: the protocol is that of another family.
    """
    if architecture.family != protocol.family:
        raise ValueError(f"a protocol of the family {protocol.family} trains no {architecture.family}")
    module: nn.Module = family_named(architecture.family).module(architecture.hidden_sizes, image, protocol)
    return module


def tensor_shapes(
    architecture: Architecture, image: ImageShape, protocol: FamilyProtocol
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a module's parameters, named as in its `state_dict`, without memory for them."""
    with torch.device("meta"):
        module = build_module(architecture, image, protocol)
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}
