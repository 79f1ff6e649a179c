"""What a network consists of and costs: parameters, and operations of a training step."""

from __future__ import annotations

import functools

from generate.architectures import Architecture, ImageShape
from generate.families import family_named
from generate.protocol import FamilyProtocol


@functools.lru_cache(maxsize=4096)
def parameter_count(architecture: Architecture, image: ImageShape, protocol: FamilyProtocol) -> int:
    """Return the number of trainable parameters, biases included."""
    family = family_named(architecture.family)
    count = family.parameters or counted_parameters
    return count(architecture.hidden_sizes, image, protocol)


@functools.lru_cache(maxsize=4096)
def training_flops(architecture: Architecture, image: ImageShape, protocol: FamilyProtocol) -> float:
    """Return floating point operations per image of one training step: forward, weight and input gradients."""
    family = family_named(architecture.family)
    count = family.training_flops or counted_flops
    return count(architecture.hidden_sizes, image, protocol)


def depth_of(architecture: Architecture, protocol: FamilyProtocol) -> int:
    """Return the number of layers that the family's words name: hidden layers, convolutions, encoder blocks."""
    return family_named(architecture.family).depth(architecture.hidden_sizes, protocol)


def counted_parameters(sizes: tuple[int, ...], image: ImageShape, protocol: FamilyProtocol) -> int:
    """Return the number of parameters of the module, built without memory for them."""
    import torch

    with torch.device("meta"):
        module = family_named(protocol.family).module(sizes, image, protocol)
    return sum(parameter.numel() for parameter in module.parameters())


def counted_flops(sizes: tuple[int, ...], image: ImageShape, protocol: FamilyProtocol) -> float:
    """Return what PyTorch counts in the products of one forward and backward pass of the module on one image."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        module = family_named(protocol.family).module(sizes, image, protocol)
        images = torch.empty(1, image.channels, image.height, image.width)
        torch.autograd.backward(module(images).sum())
    return float(counter.get_total_flops())
