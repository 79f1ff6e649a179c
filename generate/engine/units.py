"""Removing whole hidden units or channels: which go, and the smaller network without them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from generate.cuts import units_left


class Smaller(NamedTuple):
    """A network without some units: its hidden sizes and its parameters, named as in its module's `state_dict`."""

    hidden_sizes: tuple[int, ...]
    tensors: dict[str, Tensor]


def largest_units(weights: Tensor, share: float) -> Tensor:
    """Return the places, rising, of the units that stay: those with the largest L2 norm of their incoming weights.

    `weights` are [units, ...]; biases do not count. Of equal norms the first unit goes first. What goes is what
    `torch.nn.utils.prune.ln_structured` zeroes with n = 2 and dim = 0, but for the one unit that always stays.
    """
    order = torch.argsort(torch.linalg.vector_norm(weights.flatten(1), dim=1), stable=True)
    return order[len(order) - units_left(len(order), share) :].sort().values
