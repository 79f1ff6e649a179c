"""Quantization-aware training with torch.ao's own modules: the oracle of the engine's fake quantization."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from generate.architectures import Architecture, ImageShape
from generate.datasets import Dataset
from generate.engine.pack import normalise
from generate.engine.plain.cnn import Cnn
from generate.engine.plain.modules import build_module
from generate.families import protocol_for
from generate.families.cnn import CnnProtocol
from generate.protocol import Training
from store.precisions import Bits
from tests.generate.reference import initialised

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.ao import quantization


EIGHT = Bits(8, 8)


def configuration(bits: Bits = EIGHT) -> Any:
    """Return what torch.ao trains with by default for QNNPACK: observers and rounding of weights and activations.

    Other bits than 8 take the same classes with other ranges.
    """
    toolbox: Any = quantization
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        default = toolbox.get_default_qat_qconfig("qnnpack")
    if bits == EIGHT:
        return default
    half = 2 ** (bits.weights - 1)
    return toolbox.QConfig(
        activation=default.activation.with_args(quant_min=0, quant_max=2**bits.activations - 1),
        weight=default.weight.with_args(quant_min=-half, quant_max=half - 1),
    )


def post_training_configuration(bits: Bits) -> Any:
    """Return torch.ao's observers of extremes, with the rounding that they lead to, for weights and activations."""
    toolbox: Any = quantization
    half = 2 ** (bits.weights - 1)
    return toolbox.QConfig(
        activation=toolbox.FakeQuantize.with_args(
            observer=toolbox.MinMaxObserver, quant_min=0, quant_max=2**bits.activations - 1, dtype=torch.quint8
        ),
        weight=toolbox.FakeQuantize.with_args(
            observer=toolbox.MinMaxObserver,
            quant_min=-half,
            quant_max=half - 1,
            dtype=torch.qint8,
            qscheme=torch.per_tensor_symmetric,
        ),
    )


class QuantizedDnn(nn.Module):
    """The DNN with QNNPACK's default quantization-aware configuration: input, weights, outputs after the ReLU."""

    def __init__(self, architecture: Architecture, image: ImageShape) -> None:
        super().__init__()
        plain = build_module(architecture, image, protocol_for(architecture.family))
        self.quantize, self.dequantize = quantization.QuantStub(), quantization.DeQuantStub()
        layers = list(plain.layers)  # type: ignore[arg-type]
        self.blocks = nn.ModuleList([nn.Sequential(layer, nn.ReLU()) for layer in layers[:-1]])
        self.blocks.append(nn.Sequential(layers[-1]))

    def forward(self, images: Tensor) -> Tensor:
        h = self.quantize(images.flatten(1))
        for block in self.blocks:
            h = block(h)
        logits: Tensor = self.dequantize(h)
        return logits


def prepared(architecture: Architecture, image: ImageShape, config: Any = None) -> QuantizedDnn:
    """Return the module ready for quantization-aware training."""
    model = QuantizedDnn(architecture, image)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # These functions carry no annotations.
        toolbox: Any = quantization
        model.qconfig = config or configuration()
        pairs = [[f"blocks.{k}.0", f"blocks.{k}.1"] for k in range(len(model.blocks) - 1)]
        if pairs:
            toolbox.fuse_modules_qat(model, pairs, inplace=True)
        toolbox.prepare_qat(model, inplace=True)
    return model


def layers_of(model: QuantizedDnn) -> list[nn.Module]:
    """Return the quantization-aware linear layers in order."""
    return [block[0] for block in model.blocks]  # type: ignore[index]


def load(model: QuantizedDnn, tensors: dict[str, Tensor]) -> None:
    """Copy parameters named as in the plain module."""
    with torch.no_grad():
        for k, layer in enumerate(layers_of(model)):
            layer.weight.copy_(tensors[f"layers.{k}.weight"])  # type: ignore[operator]
            layer.bias.copy_(tensors[f"layers.{k}.bias"])  # type: ignore[operator]


def quantizer_state(quantizer: nn.Module) -> tuple[float, float, float, float]:
    """Return lowest and highest value observed, scale and zero point."""
    observer = quantizer.activation_post_process
    values = (observer.min_val, observer.max_val, quantizer.scale, quantizer.zero_point)  # type: ignore[union-attr]
    return tuple(float(value) for value in values)  # type: ignore[return-value, arg-type]


def observe(model: nn.Module, *, on: bool) -> None:
    """Let the observers move with what they see, or hold them."""
    model.apply(quantization.enable_observer if on else quantization.disable_observer)


class QuantizedCnn(nn.Module):
    """The CNN with QNNPACK's default quantization-aware configuration, by torch.ao's own tools."""

    def __init__(self, architecture: Architecture, image: ImageShape, config: Any = None) -> None:
        super().__init__()
        plain = Cnn(architecture.hidden_sizes, image, CnnProtocol())
        self.quantize = quantization.QuantStub()
        self.convolution: Any = nn.Sequential(plain.convolution, nn.ReLU())
        self.linear: Any = plain.linear
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            toolbox: Any = quantization
            self.qconfig = config or configuration()
            toolbox.fuse_modules_qat(self, [["convolution.0", "convolution.1"]], inplace=True)
            toolbox.prepare_qat(self, inplace=True)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.convolution(self.quantize(images)).flatten(1))
        return logits

    def layers(self) -> dict[str, Any]:
        return {"convolution": self.convolution[0], "linear": self.linear}

    def quantizers(self) -> dict[str, Any]:
        found: dict[str, Any] = {"input": self.quantize.activation_post_process}
        for name, layer in self.layers().items():
            found[name] = layer.activation_post_process
            found[f"{name}.weight"] = layer.weight_fake_quant
        return found

    def load(self, tensors: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, layer in self.layers().items():
                layer.weight.copy_(tensors[f"{name}.weight"])
                layer.bias.copy_(tensors[f"{name}.bias"])


def state_of(quantizer: Any) -> list[float]:
    observer = quantizer.activation_post_process
    return [float(value) for value in (observer.min_val, observer.max_val, quantizer.scale, quantizer.zero_point)]


class QuantizedVit(nn.Module):
    """The plain module with torch.ao's fake quantization of the input, weights and outputs of linear layers."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.input = quantization.QuantStub()
        self.vit = copy.deepcopy(module)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.vit(self.input(images))
        return logits


def quantized_vit(module: nn.Module, config: Any = None) -> QuantizedVit:
    """Return the plain vision transformer, copied, ready for quantization-aware training."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        toolbox: Any = quantization
        model: Any = QuantizedVit(module)
        model.qconfig = config or configuration()
        norms: list[Any] = [part for part in model.modules() if isinstance(part, nn.LayerNorm)]
        for norm in norms:
            norm.qconfig = None
        oracle: QuantizedVit = toolbox.prepare_qat(model.train())
    return oracle


def quantizers_of(oracle: QuantizedVit) -> dict[str, Any]:
    """Return torch.ao's fake quantizers, named as the pack names its own."""
    found: dict[str, Any] = {}
    for name, part in oracle.named_modules():
        if hasattr(part, "activation_post_process") and (name == "input" or hasattr(part, "weight_fake_quant")):
            found[name.removeprefix("vit.")] = part.activation_post_process
            if hasattr(part, "weight_fake_quant"):
                found[name.removeprefix("vit.") + ".weight"] = part.weight_fake_quant
    return found


def quantized(plain: nn.Module, architecture: Architecture, image: ImageShape, config: Any = None) -> Any:
    """Return the plain module with its parameters, ready for quantization-aware training."""
    if architecture.family == "vit":
        return quantized_vit(plain, config)
    if architecture.family == "cnn":
        cnn = QuantizedCnn(architecture, image, config)
        cnn.load(plain.state_dict())
        return cnn
    dnn = prepared(architecture, image, config)
    load(dnn, plain.state_dict())
    return dnn


def named_quantizers(family: str, oracle: Any) -> dict[str, Any]:
    """Return torch.ao's fake quantizers of a model of any family, named as the pack names its own."""
    if family == "vit":
        return quantizers_of(oracle)
    if family == "cnn":
        found: dict[str, Any] = oracle.quantizers()
        return found
    found = {"input": oracle.quantize.activation_post_process}
    for k, layer in enumerate(layers_of(oracle)):
        found[f"layers.{k}"] = layer.activation_post_process
        found[f"layers.{k}.weight"] = layer.weight_fake_quant
    return found


def train_oracle(architecture: Architecture, dataset: Dataset, *, epochs: int, seed: int, bits: Bits = EIGHT) -> float:
    """Train one model as torch.ao's users would and return the test accuracy of its best validation epoch."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model = quantized(initialised(architecture, dataset, generator), architecture, dataset.image, configuration(bits))
    order = torch.randperm(len(dataset.train_images), generator=generator)
    held_out = round(len(order) / 10)
    validation, training = order[:held_out], order[held_out:]
    images, tests = (normalise(i, Training()) for i in (dataset.train_images, dataset.test_images))
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    best, result = -1.0, 0.0
    for _ in range(epochs):
        observe(model, on=True)
        for rows in torch.split(training[torch.randperm(len(training), generator=generator)], 100):
            optimiser.zero_grad()
            F.cross_entropy(model(images[rows]), dataset.train_labels[rows]).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        observe(model, on=False)
        with torch.no_grad():
            valid = float((model(images[validation]).argmax(1) == dataset.train_labels[validation]).double().mean())
            test = float((model(tests).argmax(1) == dataset.test_labels).double().mean())
        if valid > best:
            best, result = valid, test
    return result
