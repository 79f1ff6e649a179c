"""`python -m benchmarks.footprint`: what networks for digits, as C, take on a Cortex-M, and what they answer there.

The DNN and the CNN are those that `make demo` recommends, with the shares that it calls safe to prune. Needs
arm-none-eabi-gcc and qemu-system-arm.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from store.families import family_facts
from store.precisions import Precision

if TYPE_CHECKING:
    from generate.datasets import Dataset
    from generate.engine.pack import Pack

NETWORKS = (("dnn", (14,), 0.35), ("cnn", (3,), 0.4), ("vit", (16,), 0.0))
"""Families, hidden sizes, and shares of the weights that are pruned."""


@dataclass(frozen=True)
class Taken:
    """What one form of a network takes on a Cortex-M3 and M4, in bytes, and its test accuracy there, a fraction.

    `differing` counts the images that it answers otherwise than the reference: that in integers, or the module.
    """

    name: str
    form: str
    accuracy: float
    differing: int
    flash: tuple[int, int]
    ram: int
    stack: int


@click.command()
@click.option("--epochs", type=click.IntRange(1), default=100, show_default=True, help="Epochs of training.")
@click.option("--only", "only", multiple=True, help="Networks of this family alone (repeatable).")
def footprint(epochs: int, only: tuple[str, ...]) -> None:
    """Train networks on digits, write them as C, run the whole test set on an emulated Cortex-M3, and print a table."""
    click.echo("| network | form | test accuracy | other answers | flash, M3 | flash, M4F | RAM | stack |")
    click.echo("|---|---|---:|---:|---:|---:|---:|---:|")
    for one in measured(epochs, only):
        bytes_taken = " | ".join(f"{size:,}" for size in (*one.flash, one.ram, one.stack))
        click.echo(f"| {one.name} | {one.form} | {one.accuracy:.1%} | {one.differing} | {bytes_taken} |")


def measured(epochs: int, only: tuple[str, ...] = ()) -> Iterator[Taken]:
    """Return what every form of every network takes, of all families or only of some."""
    import numpy as np
    import torch

    from generate.datasets import load_dataset
    from generate.engine.pruning import pruning_order

    torch.set_num_threads(1)
    data = load_dataset("digits", None)
    precisions: tuple[Precision, ...] = ("fp32", "int8")
    for family, sizes, share in (one for one in NETWORKS if not only or one[0] in only):
        name = f"{family_facts(family).title} {sizes[0]}"
        for precision in precisions:
            pack = _trained(family, sizes, precision, epochs, data)
            yield _taken(name, precision, pack, data)
            if share:
                tensors = pack.tensors(0)
                for weight, mask in pruning_order("magnitude", tensors, np.random.default_rng(0)).masks(share).items():
                    tensors[weight].mul_(mask)
                yield _taken(name, f"{precision}, {share:.0%} pruned", pack, data)


def _trained(family: str, sizes: tuple[int, ...], precision: Precision, epochs: int, data: Dataset) -> Pack:
    from generate.architectures import Architecture
    from generate.engine.choose import build_pack
    from generate.engine.initialise import initial_tensors
    from generate.engine.training import split_data, train
    from generate.families import protocol_for
    from generate.protocol import Training
    from store.precisions import bits_of

    protocol, architecture = protocol_for(family, Training(epochs=epochs)), Architecture(family, sizes)
    # Its kernels are compiled in longer than these few trainings take in PyTorch.
    pack = build_pack([architecture], data.image, protocol, engine="torch", bits=bits_of(precision))
    pack.load(0, initial_tensors(architecture, data.image, protocol, dataset="digits", replicate=0))
    pack.refresh()
    images = (data.train_images, data.train_labels, data.test_images, data.test_labels)
    train(pack, split_data(*images, protocol.training, dataset="digits", replicate=0), dataset="digits", replicate=0)
    return pack


def _taken(name: str, form: str, pack: Pack, data: Dataset) -> Taken:
    from generate.deploy.c import Footprint, emulate, float_network, write_c
    from generate.deploy.c import footprint as of
    from generate.deploy.integer import integer_network, run
    from generate.families import family_named

    family = pack.protocol.family
    given: tuple[Any, ...] = (family, pack.protocol, pack.tensors(0), pack.quantizers(0), pack.image)
    expected = _answers(pack, data)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if pack.quantizers(0) and family_named(family).layers:
            network = integer_network(*given)
            storage = write_c(network, folder)
            expected = run(network, data.test.images).argmax(1)
        else:
            storage = write_c(float_network(*given), folder)
        found = emulate(folder, data.test.images)
        small, large = of(folder, "cortex-m3"), of(folder, "cortex-m4f")
    if found.answers is None or not isinstance(small, Footprint) or not isinstance(large, Footprint):
        raise click.ClickException(found.reason or f"{small}; {large}")
    kinds = ", ".join(dict.fromkeys(layer.form for layer in storage))
    return Taken(
        name=name,
        form=f"{form}: {kinds}",
        accuracy=float((found.answers == data.test.labels).mean()),
        differing=int((found.answers != expected).sum()),
        flash=(small.flash, large.flash),
        ram=small.ram,
        stack=small.stack,
    )


def _answers(pack: Pack, data: Dataset) -> Any:
    """Return what the plain module answers, fake-quantized where it was trained so, int64 [images]."""
    import torch

    from generate.engine.pack import normalise
    from generate.engine.plain.modules import build_module
    from generate.engine.plain.quantization import hooked_forward, rounded_by
    from generate.families import family_named

    module = build_module(pack.architectures[0], pack.image, pack.protocol)
    module.load_state_dict(pack.tensors(0))
    images = normalise(data.test_images, pack.training)
    forward = family_named(pack.protocol.family).quantized_forward or hooked_forward
    with torch.no_grad():
        quantizers = pack.quantizers(0)
        logits = forward(module, images, rounded_by(quantizers, observe=False)) if quantizers else module(images)
    return logits.argmax(1).numpy()


if __name__ == "__main__":
    footprint()
