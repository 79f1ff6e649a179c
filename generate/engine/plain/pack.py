"""Packs of plain PyTorch modules: any family on any device, where no faster engine fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from generate.architectures import Architecture, ImageShape
from generate.engine.pack import Pack, Tally, normalise
from generate.engine.plain.modules import build_module
from generate.engine.plain.quantization import hooked_forward, quantizers_for, rounded_by
from generate.families import family_named
from generate.protocol import FamilyProtocol
from store.precisions import Bits
from store.records import Engine

EVALUATION_BATCH = 500
"""Images evaluated at a time: bounds the memory of the widest activations."""


class TorchPack(Pack):
    """Models as `nn.Module`s under autograd, with one Adam, fused where PyTorch offers it, over all their parameters.

    Args:
        architectures: of any family.
        image: the input and the number of classes.
        protocol: how they are trained; `compute="bf16"` runs the forward passes under autocast.
        device: where the models live, such as `"cpu"` or `"cuda"`. Images and labels may come from elsewhere.
        bits: train under fake quantization to so many; evaluation then uses the quantizers as they are.
    """

    engine: Engine = "torch"

    def __init__(
        self,
        architectures: Sequence[Architecture],
        image: ImageShape,
        protocol: FamilyProtocol,
        *,
        device: str = "cpu",
        bits: Bits | None = None,
    ) -> None:
        super().__init__(architectures, image, protocol)
        self._device = torch.device(device)
        self._models = [build_module(a, image, protocol).to(self._device) for a in self.architectures]
        self._quantized_forward = family_named(protocol.family).quantized_forward or hooked_forward
        self._quantizers = [quantizers_for(model, self._device, bits) if bits else {} for model in self._models]
        self._optimizer = torch.optim.Adam(
            [parameter for model in self._models for parameter in model.parameters()],
            lr=self.training.learning_rate,
            betas=self.training.betas,
            eps=self.training.epsilon,
            fused=self._device.type in {"cpu", "cuda"},
        )
        self._held: list[tuple[Tensor, Tensor]] = []

    def tensors(self, model: int) -> dict[str, Tensor]:
        """Return the parameters of one model as writable views, named and shaped as in its module's `state_dict`."""
        return {name: value.detach() for name, value in self._models[model].named_parameters()}

    def quantizers(self, model: int) -> dict[str, Tensor]:
        """Return the quantizers of one model as writable rows."""
        return self._quantizers[model]

    def hold(self, masks: Sequence[Mapping[str, Tensor]]) -> None:
        """Set the weights to zero whose mask is False, and keep them there."""
        self._held = [
            (tensors[name], mask.to(self._device))
            for tensors, own in zip(map(self.tensors, range(len(self._models))), masks, strict=True)
            for name, mask in own.items()
        ]
        self._zero_held()

    def _zero_held(self) -> None:
        for value, mask in self._held:
            value.mul_(mask)

    def gradients(self, images: Tensor, labels: Tensor) -> list[dict[str, Tensor]]:
        """Return, per model, the gradient of the mean loss of this minibatch, without changing any parameter."""
        before = [{name: row.clone() for name, row in rows.items()} for rows in self._quantizers]
        self._backward(images, labels)
        for rows, values in zip(self._quantizers, before, strict=True):
            for name, row in rows.items():
                row.copy_(values[name])
        gradients = [
            {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
            for model in self._models
        ]
        self._optimizer.zero_grad()
        return gradients

    def step(self, images: Tensor, labels: Tensor) -> Tally:
        """Take one Adam step of every model on a minibatch and return its running metrics (before the step)."""
        tally = self._backward(images, labels)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._zero_held()
        return tally

    @torch.no_grad()
    def evaluate(self, images: Tensor, labels: Tensor) -> Tally:
        """Return the metrics of every model on images (any number of them), changing nothing."""
        loss = torch.zeros(len(self._models), dtype=torch.float64)
        correct = torch.zeros(len(self._models), dtype=torch.int64)
        for some, answers in zip(
            torch.split(images, EVALUATION_BATCH), torch.split(labels, EVALUATION_BATCH), strict=True
        ):
            _, tally = self._score(some, answers, observe=False)
            loss += tally.loss
            correct += tally.correct
        return Tally(loss, correct)

    def _backward(self, images: Tensor, labels: Tensor) -> Tally:
        """Leave every parameter's gradient in its `grad`; return the metrics."""
        losses, tally = self._score(images, labels, observe=True)
        torch.autograd.backward(list(losses))
        return tally

    def _score(self, images: Tensor, labels: Tensor, *, observe: bool) -> tuple[Tensor, Tally]:
        """Return the mean loss of each model [models] and the metrics."""
        inputs, answers = normalise(images.to(self._device), self.training), labels.to(self._device)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self.training.compute == "bf16"):
            logits = [
                self._quantized_forward(model, inputs, rounded_by(quantizers, observe=observe))
                if quantizers
                else model(inputs)
                for model, quantizers in zip(self._models, self._quantizers, strict=True)
            ]
        logits = [output.float() for output in logits]
        losses = torch.stack([F.cross_entropy(output, answers) for output in logits])
        correct = torch.stack([(output.argmax(1) == answers).sum() for output in logits])
        return losses, Tally(losses.detach().double().cpu() * len(labels), correct.cpu())
