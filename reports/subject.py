"""One dataset and family of a report, as frames: each is made from the study when it is first looked at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypedDict

import polars as pl

from analyze import (
    BitStep,
    FineTuning,
    FrontierPoint,
    Results,
    Study,
    bit_steps,
    curves,
    depth_crossings,
    epoch_overfitting,
    finetuned_networks,
    frontier,
    learning_curves,
    pruning,
    quantization,
    reach,
    recommend,
    regimes,
    shape_components,
    shape_thresholds,
)
from reports import queries
from store.designs import By

IDENTITY = ["dataset", "family", "protocol_id", "dataset_fingerprint"]
MOST_EPOCHS = 30


class Limits(TypedDict, total=False):
    """What the smallest network has to satisfy, as `recommend` takes it."""

    max_drop: float
    min_accuracy: float | None


class Budget(TypedDict, total=False):
    """What it may take, and what it is to be small in, as `recommend` takes it."""

    max_parameters: int | None
    max_macs: int | None
    max_ram: int | None
    by: By


COSTS: tuple[By, ...] = ("bytes", "macs", "ram")
"""What the frontiers of accuracy are against."""


@dataclass(frozen=True)
class Frames:
    """What the analyses say of a study, of all its datasets and families."""

    study: Study
    limits: Limits
    budget: Budget

    @cached_property
    def boundaries(self) -> pl.DataFrame:
        """What `analyze.regimes` finds."""
        return regimes(self.study).frame()

    @cached_property
    def recommendations(self) -> pl.DataFrame:
        """What `analyze.recommend` answers under the limits."""
        return recommend(self.study, **self.limits, **self.budget).frame()

    @cached_property
    def cells(self) -> pl.DataFrame:
        """Test accuracy per architecture."""
        return _renamed(curves(self.study).frame(), "shape", "precision", "sparsity")

    @cached_property
    def replicates(self) -> pl.DataFrame:
        """Test accuracy per run."""
        return self.study.query(queries.REPLICATES)

    @cached_property
    def pruning(self) -> pl.DataFrame:
        """Accuracy along sparsities."""
        return _renamed(curves(self.study, over="sparsity").frame(), "shape", "precision")

    @cached_property
    def precisions(self) -> pl.DataFrame:
        """Accuracy in each precision."""
        return _renamed(curves(self.study, over="precision").frame(), "shape", "sparsity")

    @cached_property
    def gaps(self) -> pl.DataFrame:
        """What `analyze.quantization` finds."""
        return quantization(self.study).frame()

    @cached_property
    def safety(self) -> pl.DataFrame:
        """What `analyze.pruning` finds."""
        return pruning(self.study).frame()

    @cached_property
    def crossings(self) -> pl.DataFrame:
        """What `analyze.depth_crossings` detects."""
        return depth_crossings(self.study).frame().filter(pl.col("status") == "detected")

    @cached_property
    def topologies(self) -> pl.DataFrame:
        """Accuracy of every topology."""
        frame = curves(self.study, over="topology").frame()
        return _renamed(frame, "precision", "sparsity", "ci_low", "ci_high")

    @cached_property
    def _varied(self) -> pl.DataFrame:
        return self.topologies.filter((pl.col("depth") >= 2) & pl.col("shape").str.contains("[+-]"))

    @cached_property
    def shape_thresholds(self) -> pl.DataFrame:
        """What `analyze.shape_thresholds` finds where topologies vary."""
        return shape_thresholds(self.study).frame().join(self._varied, on=IDENTITY, how="semi")

    @cached_property
    def shape_components(self) -> pl.DataFrame:
        """What `analyze.shape_components` finds where topologies vary."""
        return shape_components(self.study).frame().join(self._varied, on=IDENTITY, how="semi")

    @cached_property
    def curves(self) -> pl.DataFrame:
        """Learning curves."""
        return _renamed(learning_curves(self.study).frame(), "parameters")

    @cached_property
    def onsets(self) -> pl.DataFrame:
        """What `analyze.epoch_overfitting` detects."""
        return epoch_overfitting(self.study).frame().filter(pl.col("status") == "detected")

    @cached_property
    def reach(self) -> pl.DataFrame:
        """What `analyze.reach` finds, and which network is recommended."""
        return _marked(reach(self.study, **self.limits).frame(), self.recommendations)

    @cached_property
    def _kinds(self) -> pl.DataFrame:
        """Datasets and families with forms beyond pruning by magnitude and 8 bits."""
        return self.study.query(queries.FORMS)

    @cached_property
    def bits(self) -> pl.DataFrame:
        """What `analyze.bit_steps` finds below 8 bits."""
        steps = (Results(BitStep, ()) if self._kinds.is_empty() else bit_steps(self.study)).frame()
        fewer = steps.filter((pl.col("bits") != "int8") & pl.col("loss").is_not_null())
        return steps.join(fewer, on=IDENTITY, how="semi", maintain_order="left")

    @cached_property
    def finetuned(self) -> pl.DataFrame:
        """What `analyze.finetuned_networks` finds of magnitude pruning against one-shot."""
        tuned = (Results(FineTuning, ()) if self._kinds.is_empty() else finetuned_networks(self.study)).frame()
        return tuned.filter(
            (pl.col("against") == "one-shot")
            & (pl.col("pruned_by") == "magnitude")
            & (pl.col("bits") == "fp32")
            & pl.col("difference").is_not_null()
        )

    @cached_property
    def frontier(self) -> pl.DataFrame:
        """What `analyze.frontier` finds, by each of `COSTS`, where there are further forms."""
        none = self._kinds.is_empty()
        found = [Results(FrontierPoint, ()) if none else frontier(self.study, by=by) for by in COSTS]
        points = pl.concat([one.frame() for one in found])
        some = points.join(self._kinds, on=IDENTITY, how="semi", maintain_order="left")
        return some.filter(pl.col("ci_low").is_not_null())


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One dataset and family; accuracies are fractions, and a frame without rows says that none were run.

    `chance` is the accuracy of guessing, `identity` the row of `IDENTITY` columns that its rows have in `frames`.
    """

    dataset: str
    family: str
    chance: float
    identity: pl.DataFrame
    frames: Frames

    @cached_property
    def cells(self) -> pl.DataFrame:
        """Per depth and capacity: parameters, n, diverged, mean, sd, ci_low, ci_high of test accuracy."""
        return self._own(self.frames.cells)

    @cached_property
    def replicates(self) -> pl.DataFrame:
        """Per run: depth, capacity, parameters, replicate, test_accuracy."""
        return self._own(self.frames.replicates)

    @cached_property
    def boundaries(self) -> pl.DataFrame:
        """The regimes table, with the ends of the intervals in parameters too."""
        return _with_parameters(self.frames.boundaries.join(self.identity, on=IDENTITY, how="semi"), self.cells)

    @cached_property
    def pruning(self) -> pl.DataFrame:
        """Per depth, capacity and sparsity: parameters, n, mean, sd, ci_low, ci_high."""
        return self._own(self.frames.pruning)

    @cached_property
    def precisions(self) -> pl.DataFrame:
        """Per depth, capacity and precision: parameters, n, mean, sd, ci_low, ci_high, of paired runs."""
        return self._own(self.frames.precisions)

    @cached_property
    def gaps(self) -> pl.DataFrame:
        """Per depth and capacity, as `analyze.quantization` has them: gap, ci_low, ci_high, status, deaths."""
        return self._own(self.frames.gaps)

    @cached_property
    def safety(self) -> pl.DataFrame:
        """Per depth and capacity, as `analyze.pruning` has them: safe sparsity and phases."""
        return self._own(self.frames.safety)

    @cached_property
    def crossings(self) -> pl.DataFrame:
        """Sparsities at which two depths of a capacity are equally accurate."""
        return self._own(self.frames.crossings)

    @cached_property
    def topologies(self) -> pl.DataFrame:
        """Per depth, capacity and shape: parameters, n, mean, sd."""
        return self._own(self.frames.topologies)

    @cached_property
    def shape_thresholds(self) -> pl.DataFrame:
        """Per depth, the size from which topologies are equivalent."""
        return self._own(self.frames.shape_thresholds)

    @cached_property
    def shape_components(self) -> pl.DataFrame:
        """Per depth, how much of the spread is of sizes, topologies and replicates."""
        return self._own(self.frames.shape_components)

    @cached_property
    def curves(self) -> pl.DataFrame:
        """Per depth, capacity, epoch and split: loss, accuracy."""
        return _thinned(self._own(self.frames.curves))

    @cached_property
    def onsets(self) -> pl.DataFrame:
        """Architectures whose test loss rises before training ends."""
        return self._own(self.frames.onsets)

    @cached_property
    def reach(self) -> pl.DataFrame:
        """Share of trainings that reach the target per depth and capacity, as `analyze.reach` has it, and its bounds.

        `recommended` marks the network recommended of the family; no rows where none is stable.
        """
        return self._own(self.frames.reach)

    @cached_property
    def bits(self) -> pl.DataFrame:
        """Losses down the bits, as `analyze.bit_steps` has them; no rows where the store has 8 bits alone."""
        return self._own(self.frames.bits)

    @cached_property
    def finetuned(self) -> pl.DataFrame:
        """Fine-tuned against one-shot magnitude pruning in fp32, as `analyze.finetuned_networks` has it."""
        return self._own(self.frames.finetuned)

    @cached_property
    def frontier(self) -> pl.DataFrame:
        """Every form by each cost, as `analyze.frontier` has it; no rows where the store has no further forms."""
        return self._own(self.frames.frontier)

    @property
    def depths(self) -> list[int]:
        """Depths with runs, in increasing order."""
        return [int(depth) for depth in self.cells["depth"].unique().sort()]

    @property
    def capacities(self) -> list[int]:
        """Capacities with runs, in increasing order."""
        return [int(capacity) for capacity in self.cells["capacity"].unique().sort()]

    @property
    def chosen_capacity(self) -> int:
        """The capacity to look at first: the smallest past every depth's stability boundary, else the largest."""
        stable = self.boundaries.filter((pl.col("boundary") == "stability") & (pl.col("status") == "detected"))
        found = stable["capacity"].drop_nulls().to_list()
        return int(max(found)) if found else self.capacities[-1]

    @property
    def stable_means(self) -> list[float]:
        """Mean accuracies from the chosen capacity on: the plateau, where there is one."""
        return self.cells.filter(pl.col("capacity") >= self.chosen_capacity)["mean"].drop_nulls().to_list()

    def _own(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.join(self.identity, on=IDENTITY, how="semi", maintain_order="left").drop(IDENTITY)


def _renamed(frame: pl.DataFrame, *unused: str) -> pl.DataFrame:
    """Return a frame of `analyze` without columns that say nothing in its figures."""
    return frame.drop(unused).rename({"replicates": "n"})


def _marked(shares: pl.DataFrame, recommendations: pl.DataFrame) -> pl.DataFrame:
    """Return the shares with `recommended`: whether that is the network recommended of its family."""
    architecture = [*IDENTITY, "depth", "capacity"]
    chosen = recommendations.filter(pl.col("scope") == pl.col("family")).select(architecture)
    marked = chosen.with_columns(recommended=pl.lit(True))
    joined = shares.join(marked, on=architecture, how="left", maintain_order="left")
    return joined.with_columns(pl.col("recommended").fill_null(False))


def _thinned(curves: pl.DataFrame) -> pl.DataFrame:
    """Return the curves with about 30 epochs of each at most: the eye sees no more, and the file stays small."""
    if curves.is_empty():
        return curves
    last = int(curves.select(pl.col("epoch").max()).item())
    stride = -(-last // MOST_EPOCHS)
    return curves.filter((pl.col("epoch") % stride == 0) | (pl.col("epoch") == 1) | (pl.col("epoch") == last))


def _with_parameters(boundaries: pl.DataFrame, cells: pl.DataFrame) -> pl.DataFrame:
    """Return the boundaries with the ends of their intervals in trainable parameters too."""
    sizes = cells.select("depth", "capacity", "parameters")
    for end in ("low", "high"):
        at = sizes.rename({"capacity": f"ci_{end}", "parameters": f"parameters_{end}"})
        boundaries = boundaries.join(at, on=["depth", f"ci_{end}"], how="left", maintain_order="left")
    return boundaries
