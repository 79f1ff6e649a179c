"""What a report is made of: the frames that `analyze` and the store give, per dataset and family."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from analyze import Study, claims, regimes, table_one
from analyze.questions.designs import designs
from analyze.sweeps import Sweep, sweeps
from reports import queries
from reports.charts.vocabulary import DATASETS, FAMILIES
from reports.subject import IDENTITY, Budget, Frames, Limits, Subject
from store.advice import Advice
from store.errors import MinarchError


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Everything a report shows; what takes an analysis is made when it is first looked at, and once.

    `families` is the choice of the user, empty for all. `advice` writes commands that add to the store.
    `min_accuracy` is what a search asked for.
    """

    subjects: tuple[Subject, ...]
    families: tuple[str, ...]
    notes: tuple[str, ...]
    frames: Frames
    with_claims: bool
    dataset_facts: pl.DataFrame
    models: pl.DataFrame
    invocations: pl.DataFrame
    protocols: pl.DataFrame
    advice: Advice
    min_accuracy: float | None = None

    @property
    def recommendations(self) -> pl.DataFrame:
        """What `analyze.recommend` answers."""
        return self.frames.recommendations

    @cached_property
    def table_one(self) -> pl.DataFrame:
        """What `analyze.table_one` says."""
        return table_one(self.frames.study).frame()

    @cached_property
    def claims(self) -> pl.DataFrame | None:
        """What `analyze.claims` says of the paper's claims; None where that was not asked for."""
        return claims(self.frames.study).frame() if self.with_claims else None

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
    limits, budget = _asked(study, found.content)
    frames = Frames(study, limits, budget)
    return Findings(
        subjects=_subjects(frames, facts),
        families=tuple(families),
        notes=regimes(study).notes,
        frames=frames,
        with_claims=with_claims,
        dataset_facts=facts,
        models=models,
        invocations=study.query(queries.INVOCATIONS),
        protocols=study.query(queries.PROTOCOLS),
        advice=study.advice,
        min_accuracy=limits.get("min_accuracy"),
    )


def _asked(study: Study, found: Sequence[Sweep]) -> tuple[Limits, Budget]:
    """Return what the newest search asked that covers any of these sweeps, nothing where there is none."""
    for planned in designs(study):
        if planned.spec.goal == "answer" and any(planned.covers(sweep.key, "convergence") for sweep in found):
            spec = planned.spec
            budget = Budget(
                max_parameters=spec.max_parameters, max_macs=spec.max_macs, max_ram=spec.max_ram, by=spec.by
            )
            return Limits(max_drop=spec.max_drop, min_accuracy=spec.min_accuracy), budget
    return Limits(), Budget()


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


def _subjects(frames: Frames, facts: pl.DataFrame) -> tuple[Subject, ...]:
    """Return one subject per dataset and family of the regimes, with exactly the runs that those were found on."""
    chance = dict(facts.select("dataset_fingerprint", "chance_accuracy").iter_rows())
    return tuple(
        Subject(
            dataset=str(dataset),
            family=str(family),
            chance=float(chance[fingerprint]),
            identity=rows.select(IDENTITY).unique(),
            frames=frames,
        )
        for (dataset, family, _, fingerprint), rows in frames.boundaries.group_by(IDENTITY, maintain_order=True)
    )
