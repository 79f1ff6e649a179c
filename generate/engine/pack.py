"""What the training loop asks of a pack: models of one family that see the same minibatches in lockstep."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from generate.architectures import Architecture, ImageShape
from generate.protocol import FamilyProtocol, Training
from store.records import Engine


@dataclass(frozen=True)
class Tally:
    """Sums over the images seen, per model: cross-entropy [models] float64 and correct answers [models] int64."""

    loss: Tensor
    correct: Tensor


class Pack(ABC):
    """Models trained in lockstep. Subclasses own the parameters and lay them out as suits their arithmetic.

    Attributes:
        architectures: one per model, in order.
        image: the input and the number of classes.
        protocol: how they are trained.
        engine: what trains it, as recorded with each run.
    """

    engine: Engine = "torch"

    def __init__(self, architectures: Sequence[Architecture], image: ImageShape, protocol: FamilyProtocol) -> None:
        self.architectures = tuple(architectures)
        self.image = image
        self.protocol = protocol

    @property
    def training(self) -> Training:
        """Optimiser settings."""
        return self.protocol.training

    @abstractmethod
    def tensors(self, model: int) -> dict[str, Tensor]:
        """Return the parameters of one model as writable views, named and shaped as in its module's `state_dict`.

        A write reaches the pack, except where padding or a transposed copy is kept: call `refresh` after writing.
        """

    @abstractmethod
    def gradients(self, images: Tensor, labels: Tensor) -> list[dict[str, Tensor]]:
        """Return, per model, the gradient of the mean loss of this minibatch, without changing any parameter.

        Names and shapes are those of `tensors`. For tests: not used in training.
        """

    @abstractmethod
    def step(self, images: Tensor, labels: Tensor) -> Tally:
        """Take one Adam step of every model on a minibatch and return its running metrics (before the step).

        Args:
            images: uint8 [batch, channels, height, width]; the pack normalises them.
            labels: int64 [batch].
        """

    @abstractmethod
    def evaluate(self, images: Tensor, labels: Tensor) -> Tally:
        """Return the metrics of every model on images (any number of them), changing nothing."""

    @abstractmethod
    def hold(self, masks: Sequence[Mapping[str, Tensor]]) -> None:
        """Set weights to zero and keep them there, whatever steps are taken.

        `masks` has per model bool tensors, named and shaped as some of `tensors`; False holds a weight. The others
        train as if they alone had gradients: what is held is zero again before anything reads it, and Adam treats each
        weight by itself.
        """

    def state(self, model: int) -> dict[str, Tensor]:
        """Return all that training changes in one model but Adam's moments: `tensors` and quantizers, writable."""
        observed = {f"{name} quantizer": row for name, row in self.quantizers(model).items()}
        return {**self.tensors(model), **observed}

    def quantizers(self, model: int) -> dict[str, Tensor]:
        """Return the quantizers of one model, writable rows as in `quantize.rows`; empty without quantization.

        Names: `input`; a layer's name for its outputs; NAME.weight for its weights.
        """
        del model
        return {}

    def refresh(self) -> None:
        """Take over what was written into `tensors`. Packs whose views are the parameters themselves need nothing."""

    def load(self, model: int, values: dict[str, Tensor]) -> None:
        """Copy values, named as in `state`, into one model; call `refresh` after the last one."""
        for name, tensor in self.state(model).items():
            if name in values:
                tensor.copy_(values[name])


def write_masks(masks: Sequence[Mapping[str, Tensor]], views: Callable[[int], dict[str, Tensor]]) -> None:
    """Write every model's masks, as `Pack.hold` takes them, into what `views` returns of it."""
    for model, own in enumerate(masks):
        for name, view in views(model).items():
            if name in own:
                view.copy_(own[name])


def normalise(images: Tensor, training: Training) -> Tensor:
    """Return uint8 images as float32: (x / 255 - mean) / std, of the same shape."""
    scale = 1 / (255 * training.input_std)
    return images.to(torch.float32).mul_(scale).sub_(training.input_mean / training.input_std)
