"""Small networks trained on digits, once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from generate.architectures import Architecture, ImageShape
from generate.datasets import Dataset, load_dataset
from generate.engine.choose import build_pack
from generate.engine.initialise import initial_tensors
from generate.engine.pack import normalise
from generate.engine.plain.modules import build_module
from generate.engine.plain.quantization import hooked_forward, quantizers_for, rounded_by
from generate.engine.training import split_data, train
from generate.families import family_named, protocol_for
from generate.protocol import FamilyProtocol, Training
from store.precisions import Bits, Precision, bits_of


@dataclass(frozen=True)
class Example:
    """A trained network with the images that it is tried on."""

    architecture: Architecture
    protocol: FamilyProtocol
    image: ImageShape
    parameters: Mapping[str, torch.Tensor]
    quantizers: Mapping[str, torch.Tensor]
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    @property
    def family(self) -> str:
        return self.architecture.family

    @property
    def normalised(self) -> torch.Tensor:
        return normalise(torch.from_numpy(self.images), self.protocol.training)

    @torch.no_grad()
    def logits(self) -> NDArray[np.float32]:
        """What the plain module returns, fake-quantized where it was trained so."""
        module = build_module(self.architecture, self.image, self.protocol)
        module.load_state_dict(dict(self.parameters))
        if not self.quantizers:
            found: NDArray[np.float32] = module(self.normalised).numpy()
            return found
        forward: Any = family_named(self.family).quantized_forward or hooked_forward
        quantized: NDArray[np.float32] = forward(
            module, self.normalised, rounded_by(dict(self.quantizers), observe=False)
        ).numpy()
        return quantized


Train = Callable[..., Example]


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """The bundled dataset."""
    return load_dataset("digits", None)


@pytest.fixture(scope="session")
def trained(digits: Dataset) -> Train:
    """Train a network on digits, or return the one that was trained already."""

    @cache
    def example(family: str, *sizes: int, precision: Precision = "int8", epochs: int = 15) -> Example:
        torch.set_num_threads(1)
        protocol, architecture = protocol_for(family, Training(epochs=epochs)), Architecture(family, sizes)
        pack = build_pack([architecture], digits.image, protocol, engine="torch", bits=bits_of(precision))
        pack.load(0, initial_tensors(architecture, digits.image, protocol, dataset="digits", replicate=0))
        pack.refresh()
        data = (digits.train_images, digits.train_labels, digits.test_images, digits.test_labels)
        train(pack, split_data(*data, protocol.training, dataset="digits", replicate=0), dataset="digits", replicate=0)
        return Example(
            architecture,
            protocol,
            digits.image,
            {name: value.clone() for name, value in pack.tensors(0).items()},
            {name: row.clone() for name, row in pack.quantizers(0).items()},
            digits.test.images,
            digits.test.labels,
        )

    return example


def untrained(architecture: Architecture, protocol: FamilyProtocol, image: ImageShape, *, seed: int = 0) -> Example:
    """Return a network with random parameters and images, its quantizers fitted to what they then round.

    The weights of its last layer are all positive, which gives them a zero point other than 0.
    """
    rng = np.random.default_rng(seed)
    module = build_module(architecture, image, protocol)
    parameters = {
        name: torch.from_numpy(rng.standard_normal(value.shape) / np.sqrt(value[0].numel())).float()
        for name, value in module.state_dict().items()
    }
    head = [name for name in parameters if name.endswith("weight")][-1]
    parameters[head] = parameters[head].abs() + 0.01
    module.load_state_dict(parameters)
    pixels = (8, image.channels, image.height, image.width)
    images = rng.integers(0, 256, pixels, dtype=np.uint8)
    labels = rng.integers(0, image.classes, len(images))
    example = Example(architecture, protocol, image, parameters, {}, images, labels)
    rows = quantizers_for(module, torch.device("cpu"), Bits(8, 8))
    forward: Any = family_named(architecture.family).quantized_forward or hooked_forward
    forward(module, example.normalised, rounded_by(rows, observe=True))
    return replace(example, quantizers={name: row.detach() for name, row in rows.items()})
