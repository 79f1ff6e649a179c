"""`model.safetensors` and `model.py`: the network for whoever has PyTorch and no minarch."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from generate.deploy.retrain import Network
from generate.engine.quantize.rows import FIRST, LAST, SCALE, ZERO_POINT
from generate.families import family_named

if TYPE_CHECKING:
    from generate.protocol import Training

WEIGHTS, MODULE = "model.safetensors", "model.py"
PREFIX = "quantizers."
"""Of the names of quantizers among the tensors: scale, zero point, first and last level."""
BATCH = 500

_HEAD = '''\
"""{title}, for {dataset}. Needs torch and safetensors: `python model.py` answers the image in test_vector.json.

`predict(images)` takes uint8 images [n, {channels}, {height}, {width}] and returns the numbers of their classes.
"""

import json
{math}from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

FOLDER = Path(__file__).parent


'''
_LOAD = '''

def load():
    """Return the network with its weights, from normalised images to logits [n, {classes}]."""
    network = Network()
    network.load_state_dict(load_file(FOLDER / "model.safetensors"))
    return network.eval()
'''
_LOAD_QUANTIZED = '''

def rounded(values, quantizer):
    """Return values rounded to 8 bits and back; a quantizer has scale, zero point, first and last level."""
    scale, zero_point, first, last = quantizer
    levels = torch.clamp(torch.round(values * (1 / scale)) + zero_point, first, last)
    return (levels - zero_point) * scale


def load():
    """Return the network with its weights, from normalised images to logits [n, {classes}].

    As in training, its input, its weights and the outputs of its layers are rounded to 8 bits.
    """
    tensors = load_file(FOLDER / "model.safetensors")
    quantizers = {{name[{prefix}:]: tensors.pop(name) for name in list(tensors) if name.startswith("{word}")}}
    network = Network()
    network.load_state_dict(tensors)
    network.register_forward_pre_hook(lambda _, images: (rounded(images[0], quantizers["input"]),))
    for name, layer in network.named_modules():
        if name in quantizers:
            layer.weight.data = rounded(layer.weight.data, quantizers[name + ".weight"])
            layer.register_forward_hook(lambda _, __, output, row=quantizers[name]: rounded(output, row))
    return network.eval()
'''
_TAIL = '''

def normalise(images):
    """Return uint8 images as the network takes them: (x / 255 - {mean}) / {std}, float32."""
    return images.float() * {scale!r} - {shift!r}


@torch.no_grad()
def predict(images, network=None):
    """Return the numbers of the classes [n] of uint8 images [n, {channels}, {height}, {width}]."""
    return (network or load())(normalise(images)).argmax(1)


if __name__ == "__main__":
    vector = json.loads((FOLDER / "test_vector.json").read_text())
    labels = json.loads((FOLDER / "labels.json").read_text())
    answer = int(predict(torch.tensor([vector["image"]], dtype=torch.uint8))[0])
    print(f"answer {{labels[answer]}}, the image is of class {{labels[vector['label']]}}")
'''


def scaling(training: Training) -> tuple[float, float]:
    """Return what bytes are multiplied by, and what is subtracted then, as `engine.pack.normalise` does."""
    return 1 / (255 * training.input_std), training.input_mean / training.input_std


def module_text(network: Network, *, title: str, dataset: str) -> str | None:
    """Return the text of `model.py`; None for a family that brings no text of its module."""
    source = family_named(network.architecture.family).plain_source
    if source is None:
        return None
    body = source(network.architecture.hidden_sizes, network.image, network.protocol)
    image, training = network.image, network.protocol.training
    scale, shift = scaling(training)
    values: dict[str, object] = {
        "channels": image.channels,
        "height": image.height,
        "width": image.width,
        "classes": image.classes,
    }
    values |= {
        "prefix": len(PREFIX),
        "word": PREFIX,
        "scale": scale,
        "shift": shift,
        "title": title,
        "dataset": dataset,
    }
    values |= {"mean": training.input_mean, "std": training.input_std, "math": "import math\n" * ("math." in body)}
    return (
        _HEAD.format(**values)
        + body
        + (_LOAD_QUANTIZED if network.quantizers else _LOAD).format(**values)
        + _TAIL.format(**values)
    )


def tensors_of(network: Network) -> dict[str, Tensor]:
    """Return what `model.safetensors` holds: parameters, and quantizers under names of their own."""
    rows = {
        f"{PREFIX}{name}": row[[SCALE, ZERO_POINT, FIRST, LAST]].contiguous()
        for name, row in network.quantizers.items()
    }
    return {**network.tensors, **rows}


def write_plain(
    network: Network, folder: Path, *, title: str, dataset: str, facts: Mapping[str, str]
) -> tuple[str, ...]:
    """Write the weights, and the module where the family has a text of it; return the names of the files."""
    from safetensors.torch import save

    # One entry: safetensors writes several in an order of chance.
    metadata = {"minarch": json.dumps(dict(facts))}
    (folder / WEIGHTS).write_bytes(save(tensors_of(network), metadata=metadata))
    text = module_text(network, title=title, dataset=dataset)
    if text is None:
        return (WEIGHTS,)
    (folder / MODULE).write_text(text, encoding="utf-8")
    return WEIGHTS, MODULE


def run_plain(folder: Path, images: Tensor) -> Tensor:
    """Return the logits [n, classes] that a folder's `model.py` computes of uint8 images, as its user would."""
    spec = importlib.util.spec_from_file_location("model_to_check", folder / MODULE)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    network = module.load()
    with torch.no_grad():
        return torch.cat([network(module.normalise(some)) for some in torch.split(images, BATCH)])
