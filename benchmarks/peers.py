"""Training loops as users of PyTorch write them: what the engine is compared with.

Every peer takes Adam steps of the same modules on the same minibatches, one thread. `run` takes the indices of the
images, [steps, models, batch], and returns the mean loss of each model on the last minibatch, before its step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from PIL import Image
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as MapDataset
from torchvision import transforms

from benchmarks.grids import Images
from generate.architectures import Architecture, ImageShape
from generate.engine.plain.modules import build_module
from generate.families import protocol_for

LEARNING_RATE = 1e-3
State = dict[str, Tensor]


class Peer(ABC):
    """A training loop for one architecture; `models` replicates are trained at once."""

    models: int = 1

    @abstractmethod
    def run(self, order: Tensor) -> Tensor:
        """Train on minibatches `order` [steps, models, batch]; return the last losses [models]."""


class EagerLoop(Peer):
    """The usual loop, over tensors in memory."""

    def __init__(
        self, architecture: Architecture, image: ImageShape, states: Sequence[State], data: Images, *, fused: bool
    ) -> None:
        self.images, self.labels = data.normalised, data.labels
        self.module = _module(architecture, image, states[0])
        # The default chooses between loops by itself, as it does for most users.
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=LEARNING_RATE, fused=fused or None)

    def run(self, order: Tensor) -> Tensor:
        """Train one model."""
        loss = torch.zeros(())
        for indices in order[:, 0]:
            loss = _step(self.module, self.optimizer, self.images[indices], self.labels[indices])
        return loss.detach()[None]


class DataLoaderLoop(Peer):
    """The loop of PyTorch's tutorials: a dataset of images, transforms, a DataLoader, Adam as it comes."""

    def __init__(self, architecture: Architecture, image: ImageShape, states: Sequence[State], data: Images) -> None:
        self.dataset = ImageDataset(data)
        self.module = _module(architecture, image, states[0])
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=LEARNING_RATE)

    def run(self, order: Tensor) -> Tensor:
        """Train one model."""
        loss = torch.zeros(())
        for images, labels in DataLoader(self.dataset, batch_sampler=order[:, 0].tolist()):
            loss = _step(self.module, self.optimizer, images, labels)
        return loss.detach()[None]


class ImageDataset(MapDataset[tuple[Tensor, int]]):
    """Images that become tensors one by one, as in torchvision's datasets."""

    def __init__(self, data: Images) -> None:
        self.pixels, self.labels = data.pixels.permute(0, 2, 3, 1).contiguous().numpy(), data.labels
        channels = self.pixels.shape[3]
        self.transform = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize((0.5,) * channels, (0.5,) * channels)]
        )

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        pixels = self.pixels[index]
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        return self.transform(image), int(self.labels[index])


class VmapReplicates(Peer):
    """All replicates of an architecture at once, by torch.func's vmap over stacked parameters; fused Adam."""

    def __init__(self, architecture: Architecture, image: ImageShape, states: Sequence[State], data: Images) -> None:
        self.models = len(states)
        self.images, self.labels = data.normalised, data.labels
        modules = [_module(architecture, image, state) for state in states]
        stacked, _ = stack_module_state(modules)
        self.parameters: State = {name: value.detach() for name, value in stacked.items()}
        self.gradient = _vectorised_gradient(modules[0])
        self.optimizer = torch.optim.Adam(list(self.parameters.values()), lr=LEARNING_RATE, fused=True)

    def run(self, order: Tensor) -> Tensor:
        """Train all replicates."""
        losses = torch.zeros(self.models)
        for indices in order:
            gradients, losses = self.gradient(self.parameters, self.images[indices], self.labels[indices])
            for name, parameter in self.parameters.items():
                parameter.grad = gradients[name]
            self.optimizer.step()
        return losses


def _vectorised_gradient(module: nn.Module) -> Callable[[State, Tensor, Tensor], tuple[State, Tensor]]:
    def loss(parameters: State, images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(module, parameters, (images,)), labels)

    vectorised: Callable[[State, Tensor, Tensor], tuple[State, Tensor]] = vmap(grad_and_value(loss))
    return vectorised


def _module(architecture: Architecture, image: ImageShape, state: State) -> nn.Module:
    module = build_module(architecture, image, protocol_for(architecture.family))
    module.load_state_dict(state)
    return module


def _step(module: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> Tensor:
    loss = F.cross_entropy(module(images), labels)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss
