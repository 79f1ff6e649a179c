"""Seeds and initial weights: functions of dataset, replicate and architecture, never of how models are packed."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from generate.architectures import Architecture, ImageShape
from generate.engine.plain.modules import tensor_shapes
from generate.families import family_named
from generate.protocol import FamilyProtocol

Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
Shapes = dict[str, tuple[int, ...]]
"""Shapes of a model's parameters, by name as in its module's `state_dict`."""


def seed_sequence(*, seed: int, dataset: str, replicate: int, purpose: str) -> np.random.SeedSequence:
    """Return the seed sequence of one purpose, such as `"split"`, `"order"` or an architecture's name."""
    text = f"{dataset}\0{purpose}".encode()
    words = np.frombuffer(hashlib.sha256(text).digest(), dtype=np.uint32).tolist()
    return np.random.SeedSequence([seed, replicate, *words])


def initial_tensors(
    architecture: Architecture, image: ImageShape, protocol: FamilyProtocol, *, dataset: str, replicate: int
) -> dict[str, Tensor]:
    """Return the initial parameters of one model, float32, named and shaped as in its module's `state_dict`."""
    name = f"{architecture.family} {architecture.hidden_sizes}"
    seeds = seed_sequence(seed=protocol.training.seed, dataset=dataset, replicate=replicate, purpose=name)
    rng = np.random.default_rng(seeds)
    shapes = tensor_shapes(architecture, image, protocol)
    initial = family_named(architecture.family).initial
    return {key: torch.from_numpy(initial(key, shape, shapes, protocol, rng)) for key, shape in shapes.items()}


def normal(rng: np.random.Generator, shape: tuple[int, ...], std: float) -> Array:
    """Return draws from a normal distribution around zero."""
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(std)
