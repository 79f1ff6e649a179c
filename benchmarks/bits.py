"""`python -m benchmarks.bits`: what training costs in each precision, on the grids of `benchmarks.run`."""

from __future__ import annotations

import click

from benchmarks.machine import cores, use_one_core
from store.precisions import PRECISIONS

GRID_NAMES = ("narrow", "cnn-mnist", "cnn-cifar10", "vit-mnist", "vit-cifar10")
SECONDS = 0.3
"""About how long each precision is timed in a round."""


@click.command()
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True, help="Turns that each precision takes.")
@click.option("--only", "only", multiple=True, type=click.Choice(GRID_NAMES), help="This grid alone (repeatable).")
def bits(rounds: int, only: tuple[str, ...]) -> None:
    """Time a step of the engine in each precision, in turn on one thread, and print the fastest of all rounds."""
    use_one_core(cores())
    click.echo(f"| grid | fp32, ms per model-step | {' | '.join(PRECISIONS[1:])} |")
    click.echo("|---|---:|" + "---:|" * len(PRECISIONS[1:]))
    for name in only or GRID_NAMES:
        fastest = measured(name, rounds)
        whole = fastest[0]
        click.echo(f"| {name} | {whole:.4g} | {' | '.join(f'{time / whole:.2f}x' for time in fastest[1:])} |")


def measured(name: str, rounds: int) -> list[float]:
    """Return the fastest milliseconds per model-step of a grid, in the order of `PRECISIONS`."""
    import torch

    from benchmarks.grids import GRIDS, load_images
    from benchmarks.measure import filled_pack, pack_timer
    from generate.protocol import Training
    from store.precisions import bits_of

    torch.set_num_threads(1)
    grid = GRIDS[name]
    images = load_images(grid.dataset)
    timers = [
        pack_timer(filled_pack(grid.architectures, grid.image, Training(), bits=bits_of(precision)), images, SECONDS)
        for precision in PRECISIONS
    ]
    turns = [[timer() for timer in timers] for _ in range(rounds)]
    return [min(times) for times in zip(*turns, strict=True)]


if __name__ == "__main__":
    bits()
