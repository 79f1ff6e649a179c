"""Figures of the study that this project implements: its Table I and the ranges in its text, as data.

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


SHAPED = "dnn"
"""The family whose topologies it compares."""
ORDERED = ("vit", "dnn", "cnn")
"""Families by the parameters from which training is stable, the fewest first."""
IMPROVED = "vit"
"""The family of which it says that 8 bits improve some networks."""
DECLINE_OF_SMALLEST = ("vit",)
"""Families whose decline under pruning it shows for the smallest stable network; for others for the best."""
LAYERS = {"cnn": 1, "vit": 2}
"""Depths of the families that have one."""
SIZES: dict[str, tuple[int, int]] = {"dnn": (1, 1000), "cnn": (1, 32), "vit": (1, 16)}
"""Smallest and largest width, number of channels and embedding width of its sweeps (section III)."""


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

TextRanges = dict[tuple[str, str], tuple[float, float]]
"""Ranges by dataset and family, widened by half a unit of their last digit."""

STABLE_PARAMETERS: TextRanges = {("mnist", "dnn"): (500.0, 1500.0)}
"""Parameters from which networks are stable (section IV a): "above 1,000"."""

LARGEST_ACCURACY: TextRanges = {
    ("mnist", "cnn"): (0.9935, 0.9985),
    ("fashion_mnist", "cnn"): (0.9895, 0.9965),
    ("cifar10", "cnn"): (0.825, 0.885),
    ("mnist", "vit"): (0.955, 0.965),
    ("fashion_mnist", "vit"): (0.795, 0.805),
    ("cifar10", "vit"): (0.365, 0.375),
}
"""Test accuracy at the largest size (section IV a): 99.4-99.8, 99.0-99.6, 83-88%; about 96%, 0.80, 0.37."""

DECLINE: TextRanges = {
    ("mnist", "dnn"): (0.575, 0.725),
    ("mnist", "cnn"): (0.575, 0.725),
    ("fashion_mnist", "cnn"): (0.575, 0.725),
    ("cifar10", "cnn"): (0.475, 0.625),
    ("mnist", "vit"): (0.425, 0.625),
    ("cifar10", "vit"): (0.325, 0.475),
}
"""Sparsity at which accuracy begins to decline (section IV b): 60-70, 60-70, 60-70, 50-60, 45-60, 35-45%."""

LARGEST_GAP: TextRanges = {("cifar10", "vit"): (0.035, 0.065), ("cifar10", "cnn"): (0.0145, 0.0255)}
"""8-bit gap at the largest width (section IV c): 4 to 6 points; "at larger channel counts" 1.5% to 2.5%."""

REDUNDANCY = 0.60
"""Parameter redundancy "as high as 60%" (abstract)."""
