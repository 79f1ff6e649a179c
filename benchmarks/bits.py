"""`python -m benchmarks.bits`: what training costs in each precision, on the grids of `benchmarks.run`."""

from __future__ import annotations

import time

import click

from store.precisions import PRECISIONS

GRID_NAMES = ("narrow", "cnn-mnist", "cnn-cifar10", "vit-mnist", "vit-cifar10")
STEPS = 5
"""Steps that each precision takes in a round."""


@click.command()
@click.option(
    "--rounds", type=click.IntRange(1), default=20, show_default=True, help="Turns that each precision takes."
)
@click.option("--only", "only", multiple=True, type=click.Choice(GRID_NAMES), help="This grid alone (repeatable).")
def bits(rounds: int, only: tuple[str, ...]) -> None:
    """Time steps of the engine in each precision, in turn on one thread, and print the CPU time of the fastest."""
    click.echo(f"| grid | fp32, ms per model-step | {' | '.join(PRECISIONS[1:])} |")
    click.echo("|---|---:|" + "---:|" * len(PRECISIONS[1:]))
    for name in only or GRID_NAMES:
        whole, *others = measured(name, rounds)
        click.echo(f"| {name} | {whole:.4g} | {' | '.join(f'{time / whole:.2f}x' for time in others)} |")


def measured(name: str, rounds: int) -> list[float]:
    """Return the CPU milliseconds of the fastest model-step of a grid, in the order of `PRECISIONS`."""
    import torch

    from benchmarks.grids import GRIDS, load_images
    from benchmarks.measure import filled_pack
    from generate.protocol import Training
    from store.precisions import bits_of

    torch.set_num_threads(1)
    grid, training = GRIDS[name], Training()
    images = load_images(grid.dataset)
    packs = [filled_pack(grid.architectures, grid.image, training, bits=bits_of(precision)) for precision in PRECISIONS]
    fastest = [float("inf")] * len(packs)
    generator = torch.Generator().manual_seed(0)
    for _ in range(rounds):
        order = torch.randint(len(images.labels), (STEPS, training.batch_size), generator=generator)
        for at, pack in enumerate(packs):
            for indices in order:
                pixels, labels = images.pixels[indices], images.labels[indices]
                began = time.thread_time()
                pack.step(pixels, labels)
                fastest[at] = min(fastest[at], time.thread_time() - began)
    return [1e3 * seconds / len(grid.architectures) for seconds in fastest]


if __name__ == "__main__":
    bits()
