"""Figures of the study that this project implements: its Table I, as data.

Zheng, Liang, Snasel, Latora, Pardalos, Nicosia and Ojha: Systematic Characterization of Minimal Deep Learning
Architectures.
"""

from __future__ import annotations

from dataclasses import dataclass

DATASETS = ("mnist", "fashion_mnist", "cifar10")
"""In rising difficulty, as the paper ranks them."""


@dataclass(frozen=True)
class Printed:
    """A printed figure, and half a unit of its last digit: it stands for anything that rounds to it."""

    value: float
    half: float

    @property
    def interval(self) -> tuple[float, float]:
        """The range that rounds to it."""
        return self.value - self.half, self.value + self.half


@dataclass(frozen=True)
class TableOneRow:
    """A row of Table I; sparsity and gap are fractions."""

    parameters: Printed
    sparsity: Printed
    gap: Printed


def _row(parameters: float, unit: float, sparsity: float, gap: float) -> TableOneRow:
    # Parameters have one digit, safe ratios come in steps of 5 points, gaps have two decimals in points.
    return TableOneRow(Printed(parameters, unit / 2), Printed(sparsity, 0.025), Printed(gap, 0.00005))


TABLE_ONE: dict[tuple[str, str], TableOneRow] = {
    ("mnist", "dnn"): _row(2e4, 1e4, 0.60, 0.0015),
    ("mnist", "cnn"): _row(3e4, 1e4, 0.20, 0.0074),
    ("mnist", "vit"): _row(5e3, 1e3, 0.20, 0.1066),
    ("fashion_mnist", "dnn"): _row(2e4, 1e4, 0.40, 0.0142),
    ("fashion_mnist", "cnn"): _row(3e4, 1e4, 0.20, 0.0110),
    ("fashion_mnist", "vit"): _row(5e3, 1e3, 0.20, 0.0322),
    ("cifar10", "dnn"): _row(2e6, 1e6, 0.40, 0.0750),
    ("cifar10", "cnn"): _row(3e6, 1e6, 0.05, 0.1480),
    ("cifar10", "vit"): _row(6e3, 1e3, 0.10, 0.0417),
}
