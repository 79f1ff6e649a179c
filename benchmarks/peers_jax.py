"""The same training in JAX, as its users write it: one jitted scan of steps, vmap over replicates.

Import this only where JAX is installed. Parameters are named and shaped as in the PyTorch modules.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import Tensor

from benchmarks.grids import Images
from benchmarks.peers import LEARNING_RATE, Peer, State
from generate.architectures import Architecture, ImageShape
from generate.engine.plain.vit import sine_positions
from generate.families.vit import PatchGrid, VitProtocol, patch_grid

Tree = dict[str, jax.Array]
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class JaxReplicates(Peer):
    """All replicates of an architecture in one compiled program that scans over minibatches."""

    def __init__(self, architecture: Architecture, image: ImageShape, states: Sequence[State], data: Images) -> None:
        self.models = len(states)
        self.images, self.labels = _on_device(data)
        parameters = {name: jnp.asarray(torch.stack([s[name] for s in states]).numpy()) for name in states[0]}
        self.carry = (parameters, *(jax.tree.map(jnp.zeros_like, parameters) for _ in range(2)), jnp.float32(1))
        self.train = jax.jit(_scan(_logits(architecture, image)), donate_argnums=0)

    def run(self, order: Tensor) -> Tensor:
        """Train all replicates."""
        self.carry, losses = self.train(self.carry, jnp.asarray(order.numpy()), self.images, self.labels)
        return torch.from_numpy(np.array(losses[-1]))


@cache
def _on_device(data: Images) -> tuple[jax.Array, jax.Array]:
    """Return the images and labels as JAX holds them: one copy, however many peers use it."""
    return jnp.asarray(data.normalised.numpy()), jnp.asarray(data.labels.numpy())


def _scan(logits: Callable[[Tree, jax.Array], jax.Array]) -> Callable[..., Any]:
    def loss(parameters: Tree, images: jax.Array, labels: jax.Array) -> jax.Array:
        log_probabilities = jax.nn.log_softmax(logits(parameters, images))
        return -jnp.mean(jnp.take_along_axis(log_probabilities, labels[:, None], axis=1))

    def adam(parameters: Tree, first: Tree, second: Tree, step: jax.Array, images: jax.Array, labels: jax.Array) -> Any:
        value, gradient = jax.value_and_grad(loss)(parameters, images, labels)
        first = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, first, gradient)
        second = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, second, gradient)
        rate = LEARNING_RATE / (1 - BETA1**step)
        correction = 1 - BETA2**step
        parameters = jax.tree.map(
            lambda p, m, v: p - rate * m / (jnp.sqrt(v / correction) + EPSILON), parameters, first, second
        )
        return parameters, first, second, value

    replicates: Callable[..., Any] = jax.vmap(adam, in_axes=(0, 0, 0, None, 0, 0))

    def train(carry: Any, order: jax.Array, images: jax.Array, labels: jax.Array) -> Any:
        def body(carry: Any, indices: jax.Array) -> Any:
            *state, step = carry
            *state, losses = replicates(*state, step, images[indices], labels[indices])
            return (*state, step + 1), losses

        return jax.lax.scan(body, carry, order)

    return train


def _logits(architecture: Architecture, image: ImageShape) -> Callable[[Tree, jax.Array], jax.Array]:
    if architecture.family == "dnn":
        return partial(_dnn, layers=len(architecture.hidden_sizes) + 1)
    if architecture.family == "cnn":
        return _cnn
    grid = patch_grid(image)
    positions = jnp.asarray(sine_positions(grid.patches + 1, architecture.capacity).numpy())
    return partial(_vit, grid=grid, positions=positions)


def _linear(parameters: Tree, name: str, x: jax.Array) -> jax.Array:
    return x @ parameters[f"{name}.weight"].T + parameters[f"{name}.bias"]


def _dnn(parameters: Tree, images: jax.Array, *, layers: int) -> jax.Array:
    h = images.reshape(len(images), -1)
    for layer in range(layers - 1):
        h = jax.nn.relu(_linear(parameters, f"layers.{layer}", h))
    return _linear(parameters, f"layers.{layers - 1}", h)


def _cnn(parameters: Tree, images: jax.Array) -> jax.Array:
    # As a product with patches: XLA's convolutions on the CPU are three to five times slower once vmap groups them.
    patches = jax.lax.conv_general_dilated_patches(images, (3, 3), (1, 1), "VALID")
    kernels = parameters["convolution.weight"]
    maps = jnp.einsum("bkhw,ck->bchw", patches, kernels.reshape(len(kernels), -1))
    h = jax.nn.relu(maps + parameters["convolution.bias"][:, None, None])
    return _linear(parameters, "linear", h.reshape(len(images), -1))


def _norm(parameters: Tree, name: str, x: jax.Array) -> jax.Array:
    centred = x - x.mean(-1, keepdims=True)
    scale = jax.lax.rsqrt((centred * centred).mean(-1, keepdims=True) + 1e-5)
    return centred * scale * parameters[f"{name}.weight"] + parameters[f"{name}.bias"]


def _vit(parameters: Tree, images: jax.Array, *, grid: PatchGrid, positions: jax.Array) -> jax.Array:
    embedded = _linear(parameters, "embedding", _patches(images, grid))
    token = jnp.broadcast_to(parameters["class_token"], (len(images), 1, embedded.shape[2]))
    tokens = jnp.concatenate([token, embedded], axis=1) + positions
    for block in range(VitProtocol.blocks):
        name = f"blocks.{block}"
        mixed = _linear(parameters, f"{name}.query_key_value", _norm(parameters, f"{name}.norm1", tokens))
        query, key, value = jnp.split(mixed, 3, axis=-1)
        attention = jax.nn.softmax(query @ key.swapaxes(1, 2) / math.sqrt(query.shape[-1]))
        tokens = tokens + _linear(parameters, f"{name}.projection", attention @ value)
        expanded = _linear(parameters, f"{name}.expand", _norm(parameters, f"{name}.norm2", tokens))
        tokens = tokens + _linear(parameters, f"{name}.contract", jax.nn.gelu(expanded, approximate=False))
    return _linear(parameters, "head", _norm(parameters, "norm", tokens[:, 0]))


def _patches(images: jax.Array, grid: PatchGrid) -> jax.Array:
    batch, channels, height, width = images.shape
    padded = jnp.pad(images, ((0, 0), (0, 0), (0, grid.padded_height - height), (0, grid.padded_width - width)))
    tiles = padded.reshape(batch, channels, grid.side, grid.patch_height, grid.side, grid.patch_width)
    return tiles.transpose(0, 2, 4, 1, 3, 5).reshape(batch, grid.patches, -1)
