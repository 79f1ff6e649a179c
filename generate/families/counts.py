"""What a network consists of and costs: parameters, operations of a training step, and what one inference takes."""

from __future__ import annotations

import functools

from generate.architectures import Architecture, ImageShape
from generate.families import family_named
from generate.protocol import FamilyProtocol, protocol_spec
from store.costs import Costs


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


@functools.lru_cache(maxsize=4096)
def inference_costs(architecture: Architecture, image: ImageShape, protocol: FamilyProtocol) -> Costs:
    """Return what one inference takes: weights, multiply-accumulates, and bytes of activations."""
    known = family_named(architecture.family).facts.costs
    if known is None:
        return counted_costs(architecture.hidden_sizes, image, protocol)
    return known(architecture.hidden_sizes, image, protocol_spec(protocol))


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


def counted_costs(sizes: tuple[int, ...], image: ImageShape, protocol: FamilyProtocol) -> Costs:
    """Return what PyTorch counts of one inference of the module, scheduled as in `families.activations`."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from generate.engine.pruning import prunable
    from generate.families.activations import ram

    with torch.device("meta"):
        module = family_named(protocol.family).module(sizes, image, protocol).eval()
        images = torch.empty(1, image.channels, image.height, image.width)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module(images)
        ram_fp32, ram_int8 = ram(module, images)
    weights = sum(value.numel() for name, value in module.named_parameters() if prunable(name, value))
    return Costs(weights=weights, macs=counter.get_total_flops() // 2, ram_fp32=ram_fp32, ram_int8=ram_int8)
