"""Seeds and initial weights: functions of dataset, replicate and architecture, never of how models are packed."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from torch import Tensor

from generate.architectures import Architecture, ImageShape
from generate.engine.plain.modules import build_module
from generate.protocol import CnnProtocol, FamilyProtocol, VitProtocol


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
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in build_module(architecture, image).state_dict().items()}
    return {key: torch.from_numpy(_draw(key, shape, shapes, protocol, rng)) for key, shape in shapes.items()}


def _draw(
    name: str,
    shape: tuple[int, ...],
    shapes: dict[str, tuple[int, ...]],
    protocol: FamilyProtocol,
    rng: np.random.Generator,
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    if isinstance(protocol, VitProtocol):
        if name == "class_token":
            return _normal(rng, shape, protocol.class_token_std)
        if "norm" in name:
            return np.full(shape, 1.0 if name.endswith("weight") else 0.0, dtype=np.float32)
        fan_in = shapes[name.removesuffix("bias").removesuffix("weight") + "weight"][1]
        bound = 1 / math.sqrt(fan_in)
        return rng.uniform(-bound, bound, shape).astype(np.float32)
    if name.endswith("bias"):
        return np.zeros(shape, dtype=np.float32)
    if isinstance(protocol, CnnProtocol):
        if name.startswith("convolution"):
            return _normal(rng, shape, math.sqrt(2 / (protocol.kernel_size**2 * shape[0])))
        return _normal(rng, shape, protocol.linear_std)
    return _normal(rng, shape, math.sqrt(2 / shape[1]))


def _normal(
    rng: np.random.Generator, shape: tuple[int, ...], std: float
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(std)
