"""What a report is made of: the frames that `analyze` and the store give, per dataset and family."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypedDict

import polars as pl

from analyze import (
    BitStep,
    CurvePoint,
    EpochPoint,
    FineTuning,
    FrontierPoint,
    Results,
    Study,
    bit_steps,
    claims,
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
    table_one,
)
from analyze.questions.designs import designs
from analyze.sweeps import Sweep, sweeps
from reports import queries
from reports.charts.vocabulary import DATASETS, FAMILIES
from store.advice import Advice
from store.errors import MinarchError

IDENTITY = ["dataset", "family", "protocol_id", "dataset_fingerprint"]
MOST_EPOCHS = 30
CURVES: Mapping[str, tuple[Callable[..., Results[CurvePoint] | Results[EpochPoint]], tuple[str, ...]]] = {
    "cells": (curves, ("shape", "precision", "sparsity")),
    "pruning": (partial(curves, over="sparsity"), ("shape", "precision")),
    "precisions": (partial(curves, over="precision"), ("shape", "sparsity")),
    "topologies": (partial(curves, over="topology"), ("precision", "sparsity", "ci_low", "ci_high")),
    "curves": (learning_curves, ("parameters",)),
}
"""Where the frames of a subject that figures draw come from, and the columns that say nothing there."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One dataset and family, as frames; accuracies are fractions, and a frame without rows says that none were run.

    Attributes:
        dataset: Name of the dataset.
        family: Name of the family.
        chance: Accuracy of guessing.
        cells: Per depth and capacity: parameters, n, diverged, mean, sd, ci_low, ci_high of test accuracy.
        replicates: Per run: depth, capacity, parameters, replicate, test_accuracy.
        boundaries: The regimes table, with the ends of the intervals in parameters too.
        pruning: Per depth, capacity and sparsity: parameters, n, mean, sd, ci_low, ci_high.
        precisions: Per depth, capacity and precision: parameters, n, mean, sd, ci_low, ci_high, of paired runs.
        gaps: Per depth and capacity, as `analyze.quantization` has them: gap, ci_low, ci_high, status, deaths.
        safety: Per depth and capacity, as `analyze.pruning` has them: safe sparsity and phases.
        crossings: Sparsities at which two depths of a capacity are equally accurate.
        topologies: Per depth, capacity and shape: parameters, n, mean, sd.
        shape_thresholds: Per depth, the size from which topologies are equivalent.
        shape_components: Per depth, how much of the spread is of sizes, topologies and replicates.
        curves: Per depth, capacity, epoch and split: loss, accuracy.
        onsets: Architectures whose test loss rises before training ends.
        reach: Per depth and capacity, as `analyze.reach` has them: share of trainings that reach the target, with its
            bounds, and whether that is the network `recommended` of the family; no rows where none is stable.
        bits: Losses down the bits, as `analyze.bit_steps` has them; no rows where the store has 8 bits alone.
        finetuned: Fine-tuned against one-shot magnitude pruning in fp32, as `analyze.finetuned_networks` has it.
        frontier: Every form by its bytes, as `analyze.frontier` has it; no rows where the store has no further forms.
    """

    dataset: str
    family: str
    chance: float
    cells: pl.DataFrame
    replicates: pl.DataFrame
    boundaries: pl.DataFrame
    pruning: pl.DataFrame
    precisions: pl.DataFrame
    gaps: pl.DataFrame
    safety: pl.DataFrame
    crossings: pl.DataFrame
    topologies: pl.DataFrame
    shape_thresholds: pl.DataFrame
    shape_components: pl.DataFrame
    curves: pl.DataFrame
    onsets: pl.DataFrame
    reach: pl.DataFrame
    bits: pl.DataFrame
    finetuned: pl.DataFrame
    frontier: pl.DataFrame

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


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Everything a report shows.

    `families` is the choice of the user, empty for all; `recommendations`, `table_one` and `claims` are those of
    `analyze`, `claims` None where they were not asked for. `advice` writes commands that add to the store.
    `min_accuracy` is what a search asked for.
    """

    subjects: tuple[Subject, ...]
    families: tuple[str, ...]
    notes: tuple[str, ...]
    recommendations: pl.DataFrame
    table_one: pl.DataFrame
    claims: pl.DataFrame | None
    dataset_facts: pl.DataFrame
    models: pl.DataFrame
    invocations: pl.DataFrame
    protocols: pl.DataFrame
    advice: Advice
    min_accuracy: float | None = None

    @property
    def datasets(self) -> list[str]:
        """Datasets with runs, the easier ones of the paper first."""
        return list(dict.fromkeys(self.models["dataset"]))

    def subject(self, dataset: str, family: str) -> Subject | None:
        """Return the subject, or None where the store has no such runs."""
        return next((s for s in self.subjects if (s.dataset, s.family) == (dataset, family)), None)

    def key(self, dataset: str) -> str:
        """Return a name for the dataset that is safe in an address and an element's id."""
        plain = re.sub(r"[^a-z0-9_]+", "-", dataset.lower()).strip("-")
        return plain if plain == dataset else f"{plain or 'data'}-{self.datasets.index(dataset)}"


def load(
    path: Path,
    datasets: Sequence[str] = (),
    families: Sequence[str] = (),
    protocol: str | None = None,
    *,
    with_claims: bool = False,
) -> Findings:
    """Return what a report on the store at `path` shows, of these datasets and families (all where none is named).

    A family that some of the datasets lack is no error: the report says so in its place. Testing the paper's claims
    takes longer than all else. The answer is that to the question of the newest search among these runs, else to the
    default one of `recommend`.

    Raises:
        MinarchError: there is no store, it has no runs, or none of a dataset, of the families or of the protocol.
    """
    # One study: every part of the report shows the same moment, whatever a sweep adds meanwhile.
    study = Study.read(path, list(datasets), list(families), protocol, lenient=True)
    models = _models(study, path, datasets, families)
    found = sweeps(study)
    if found.missing and (protocol or not found.content):
        raise MinarchError(found.missing)
    facts = in_order(study.query(queries.DATASET_FACTS).filter(pl.col("dataset").is_in(models["dataset"].to_list())))
    limits = _limits(study, found.content)
    recommendations = recommend(study, **limits).frame()
    return Findings(
        subjects=_subjects(study, facts, recommendations, limits),
        families=tuple(families),
        notes=regimes(study).notes,
        recommendations=recommendations,
        table_one=table_one(study).frame(),
        claims=claims(study).frame() if with_claims else None,
        dataset_facts=facts,
        models=models,
        invocations=study.query(queries.INVOCATIONS),
        protocols=study.query(queries.PROTOCOLS),
        advice=study.advice,
        min_accuracy=limits.get("min_accuracy"),
    )


class Limits(TypedDict, total=False):
    """What the smallest network has to satisfy, as `recommend` takes it."""

    max_drop: float
    min_accuracy: float | None


def _limits(study: Study, found: Sequence[Sweep]) -> Limits:
    """Return what the newest search asked that covers any of these sweeps, nothing where there is none."""
    for planned in designs(study):
        if planned.spec.goal == "answer" and any(planned.covers(sweep.key, "convergence") for sweep in found):
            return Limits(max_drop=planned.spec.max_drop, min_accuracy=planned.spec.min_accuracy)
    return Limits()


def _models(study: Study, path: Path, datasets: Sequence[str], families: Sequence[str]) -> pl.DataFrame:
    """Return the number of models per dataset, family and precision, of those asked for."""
    models = study.query(queries.MODELS)
    if models.is_empty():
        raise MinarchError(f"{path} holds no runs yet; `{study.advice.command('all')}` adds them")
    for column, wanted in (("dataset", datasets), ("family", families)):
        known = models[column].unique().sort().to_list()
        unknown = [name for name in wanted if name not in known]
        if unknown and (column == "dataset" or len(unknown) == len(wanted)):
            raise MinarchError(f"no {column} {unknown[0]!r} in {path}; there is {', '.join(known)}")
        if wanted:
            models = models.filter(pl.col(column).is_in(list(wanted)))
    return in_order(models)


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with the paper's datasets first, in rising difficulty, and the families as the paper has them."""
    ranks = {name: place for place, name in enumerate(DATASETS)} | {name: place for place, name in enumerate(FAMILIES)}
    keys = [column for column in ("dataset", "family") if column in frame.columns]
    order = [pl.col(key).replace_strict(ranks, default=len(ranks), return_dtype=pl.Int64) for key in keys]
    return frame.sort([*order, *keys], maintain_order=True)


def _subjects(study: Study, facts: pl.DataFrame, recommendations: pl.DataFrame, limits: Limits) -> tuple[Subject, ...]:
    """Return one subject per dataset and family of the regimes, with exactly the runs that those were found on."""
    boundaries = regimes(study).frame()
    frames = {
        name: get(study).frame().drop(unused).rename({"replicates": "n"}) for name, (get, unused) in CURVES.items()
    }
    frames["replicates"] = study.query(queries.REPLICATES)
    varied = frames["topologies"].filter((pl.col("depth") >= 2) & pl.col("shape").str.contains("[+-]"))
    analyses = {
        "onsets": epoch_overfitting(study).frame(),
        "gaps": quantization(study).frame(),
        "safety": pruning(study).frame(),
        "crossings": depth_crossings(study).frame(),
        "reach": _marked(reach(study, **limits).frame(), recommendations),
        "shape_thresholds": shape_thresholds(study).frame().join(varied, on=IDENTITY, how="semi"),
        "shape_components": shape_components(study).frame().join(varied, on=IDENTITY, how="semi"),
    }
    analyses |= _forms(study)
    chance = dict(facts.select("dataset_fingerprint", "chance_accuracy").iter_rows())
    subjects = []
    for (dataset, family, _, fingerprint), rows in boundaries.group_by(IDENTITY, maintain_order=True):
        identity = rows.select(IDENTITY).unique()
        own = {
            name: frame.join(identity, on=IDENTITY, how="semi", maintain_order="left").drop(IDENTITY)
            for name, frame in {**frames, **analyses}.items()
        }
        subjects.append(
            Subject(
                dataset=str(dataset),
                family=str(family),
                chance=float(chance[fingerprint]),
                cells=own["cells"],
                replicates=own["replicates"],
                boundaries=_with_parameters(rows, own["cells"]),
                pruning=own["pruning"],
                precisions=own["precisions"],
                gaps=own["gaps"],
                safety=own["safety"],
                crossings=own["crossings"].filter(pl.col("status") == "detected"),
                topologies=own["topologies"],
                shape_thresholds=own["shape_thresholds"],
                shape_components=own["shape_components"],
                curves=_thinned(own["curves"]),
                onsets=own["onsets"].filter(pl.col("status") == "detected"),
                reach=own["reach"],
                bits=own["bits"],
                finetuned=own["finetuned"],
                frontier=own["frontier"],
            )
        )
    return tuple(subjects)


def _forms(study: Study) -> dict[str, pl.DataFrame]:
    """Return the frames on forms beyond pruning by magnitude and 8 bits; without rows for whom the store has none."""
    kinds = study.query(queries.FORMS)
    some = not kinds.is_empty()
    steps = (bit_steps(study) if some else Results(BitStep, ())).frame()
    tuned = (finetuned_networks(study) if some else Results(FineTuning, ())).frame()
    points = (frontier(study) if some else Results(FrontierPoint, ())).frame()
    fewer = steps.filter((pl.col("bits") != "int8") & pl.col("loss").is_not_null())
    return {
        "bits": steps.join(fewer, on=IDENTITY, how="semi", maintain_order="left"),
        "finetuned": tuned.filter(
            (pl.col("against") == "one-shot")
            & (pl.col("pruned_by") == "magnitude")
            & (pl.col("bits") == "fp32")
            & pl.col("difference").is_not_null()
        ),
        "frontier": points.join(kinds, on=IDENTITY, how="semi", maintain_order="left").filter(
            pl.col("ci_low").is_not_null()
        ),
    }


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
