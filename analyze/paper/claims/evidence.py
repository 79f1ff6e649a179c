"""What the claims are tested on: each kind of data of a store loaded once, each boundary computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from analyze.paper.claims.rows import ClaimVerdict, Question, command, difficulty, missing
from analyze.paper.figures import DATASETS
from analyze.paper.table_one import Contest, contest, most_accurate, validation_means
from analyze.questions.candidates import Cell, cells
from analyze.questions.pruning import Curves, pruning_curves
from analyze.questions.quantization import Pairs, pairs
from analyze.questions.regimes import Regime, boundaries, first_stable_of, sizes_used
from analyze.questions.shapes import Topologies, topologies
from analyze.stats.locations import existence_p, locations
from analyze.stats.result import MIN_REPLICATES, FloatArray
from analyze.study import ArchitectureKey, Selection, Study, SweepKey, sweep_rng
from analyze.sweeps import Sweep, sweeps
from analyze.texts import joined
from store.errors import MinarchError
from store.families import FAMILIES, family_rank

if TYPE_CHECKING:
    from store.advice import Phase

NAMES = "SELECT DISTINCT dataset, family, protocol_id FROM runs"


@dataclass(frozen=True)
class Located:
    """The stability boundary of one sweep: its rows, the p value of its existence, its place in bootstrap samples.

    `drawn` has parameters, of shape (9999,); None where no boundary was located.
    """

    sweep: Sweep
    stability: Regime
    overfitting: Regime
    p: float | None
    drawn: FloatArray | None


@dataclass(frozen=True)
class Evidence:
    """What claims are tested on, of one protocol and version of the data per dataset and family."""

    chosen: Selection
    scopes: tuple[tuple[str, str], ...]
    located: tuple[Located, ...]
    cells: tuple[Cell, ...]
    curves: dict[ArchitectureKey, Curves]
    pairs: tuple[Pairs, ...]
    topologies: tuple[Topologies, ...]
    validation: dict[ArchitectureKey, float]
    seed: int
    notes: tuple[str, ...]

    @property
    def datasets(self) -> list[str]:
        """The datasets of the store, or those chosen of them: the paper's in rising difficulty, then the others."""
        return sorted({dataset for dataset, _ in self.scopes}, key=difficulty)

    @cached_property
    def stable(self) -> dict[SweepKey, float]:
        """First stable size of each sweep."""
        return first_stable_of(entry.stability for entry in self.located)

    def families(self, dataset: str) -> list[str]:
        """Return the families that the store has of a dataset."""
        return sorted((family for name, family in self.scopes if name == dataset), key=family_rank)

    def printed(self, figures: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return which of the datasets and families that the paper has figures of are asked for and in the store."""
        families = self.chosen.families or tuple(FAMILIES)
        wanted = set(figures)
        return [(d, f) for d in self.datasets for f in families if (d, f) in wanted]

    def sweeps(self, dataset: str, family: str) -> list[Located]:
        """Return the sweeps of a dataset and family, one per depth."""
        return [e for e in self.located if (e.sweep.dataset, e.sweep.family) == (dataset, family)]

    def stable_cells(self, dataset: str, family: str) -> list[Cell]:
        """Return the stable architectures of a dataset and family."""
        return [cell for cell in self.cells if (cell.dataset, cell.family) == (dataset, family) and cell.stable]

    def pruned(self, dataset: str, family: str) -> Contest:
        """Return the stable architectures that claims on pruning can be about, and those that wait for replicates."""
        counts = {key: len(curves.accuracy) for key, curves in self.curves.items()}
        return contest(self.stable_cells(dataset, family), counts)

    def quantized(self, dataset: str, family: str) -> Contest:
        """Return the same for claims on 8 bits."""
        counts = {
            ArchitectureKey(p.key, int(capacity)): int(present.sum())
            for p in self.gaps(dataset, family)
            for capacity, present in zip(p.capacities, p.present, strict=True)
        }
        return contest(self.stable_cells(dataset, family), counts)

    def best(self, dataset: str, family: str) -> Cell | None:
        """Return the pruned architecture with the highest mean validation accuracy."""
        return most_accurate(self.pruned(dataset, family).contenders, self.validation)

    def curves_of(self, cell: Cell) -> Curves | None:
        """Return the pruning curves of an architecture, if it was pruned under the same protocol."""
        return self.curves.get(cell.key)

    def gaps(self, dataset: str, family: str) -> list[Pairs]:
        """Return the pairs of a dataset and family, one sweep per depth."""
        return [pairs for pairs in self.pairs if (pairs.dataset, pairs.family) == (dataset, family)]

    def rng(self, *key: object) -> np.random.Generator:
        """Return a generator that depends on the seed and the key only."""
        return sweep_rng(self.seed, "claims", *key)


def evidence_of(study: Study) -> Evidence:
    """Return the evidence of a study.

    Raises:
        MinarchError: the store holds no runs at all of a dataset, family or protocol that was named.
    """
    chosen = study.chosen
    names = study.query(NAMES)
    for column, wanted in (
        ("dataset", chosen.datasets),
        ("family", chosen.families),
        ("protocol_id", chosen.protocols),
    ):
        known = names[column].unique().sort().to_list()
        for name in wanted:
            if known and name not in known and not chosen.lenient:
                what = f"{column.removesuffix('_id')} {name!r}"
                raise MinarchError(f"the store holds no runs of {what}, only of {', '.join(known)}")
    scopes = sorted(
        {
            (dataset, family)
            for dataset, family, _ in names.iter_rows()
            if dataset in (chosen.datasets or (dataset,)) and family in (chosen.families or (family,))
        }
    )
    found = sweeps(study)
    located = tuple(
        locate(sweep, *rows, seed=study.seed) for sweep, rows in zip(found.content, boundaries(study), strict=True)
    )
    return Evidence(
        chosen=chosen,
        scopes=tuple(scopes),
        located=located,
        cells=cells(study),
        curves={c.key: c for c in pruning_curves(study).content},
        pairs=pairs(study).content,
        topologies=topologies(study).content,
        validation=validation_means(study),
        seed=study.seed,
        notes=found.notes,
    )


def locate(sweep: Sweep, stability: Regime, overfitting: Regime, *, seed: int) -> Located:
    """Return the boundaries of a sweep, as fine as claims need them."""
    if stability.capacity is None:
        return Located(sweep, stability, overfitting, None, None)
    used = sizes_used(sweep)
    # The same random numbers for all depths of a family: their replicates are drawn jointly.
    rng = sweep_rng(seed, "claims", sweep.dataset, sweep.family)
    accuracy = sweep.accuracy[used]
    chance, images = sweep.chance, sweep.test_images
    at = locations(accuracy, chance=chance, rng=rng, test_images=images)
    p = existence_p(accuracy, chance=chance, rng=rng, test_images=images)
    return Located(sweep, stability, overfitting, p, sweep.parameters[used][at].astype(np.float64))


def absent(
    evidence: Evidence, question: Question, figures: Iterable[tuple[str, str]], *phases: Phase
) -> Iterator[ClaimVerdict]:
    """Yield one row for all datasets with figures of the paper that the store lacks; none if datasets were named."""
    if evidence.chosen.datasets:
        return
    families = evidence.chosen.families or tuple(FAMILIES)
    printed = {dataset for dataset, family in figures if family in families}
    lacking = [dataset for dataset in DATASETS if dataset in printed - set(evidence.datasets)]
    if lacking:
        why = f"the store has no runs of {', '.join(lacking)}"
        row = question.row(None, None)
        yield missing(row, why, joined((command(phase, lacking) for phase in phases), " && "))


def shared(tables: Sequence[Mapping[int, float]]) -> FloatArray | None:
    """Return values by replicate as (tables, replicates that all of them have); None if those are fewer than 5."""
    replicates = sorted(set.intersection(*(set(table) for table in tables)))
    if len(replicates) < MIN_REPLICATES:
        return None
    return np.array([[table[replicate] for replicate in replicates] for table in tables])


def compared_datasets(evidence: Evidence, family: str) -> tuple[str, ...]:
    """Return the easiest and the hardest of the paper's datasets that the store has of a family, if it has two."""
    have = [name for name in evidence.datasets if name in DATASETS and (name, family) in evidence.scopes]
    return (have[0], have[-1]) if len(have) > 1 else ()


def across(
    evidence: Evidence,
    question: Question,
    phase: Phase,
    test: Callable[[Evidence, ClaimVerdict, str, str], ClaimVerdict],
) -> Iterator[ClaimVerdict]:
    """Yield a claim on the paper's datasets per family: `test` gets the row, the easiest and the hardest dataset.

    One row where the store has fewer than two of them; none if datasets were named.
    """
    hard = [dataset for dataset in evidence.datasets if dataset in DATASETS]
    families = [family for family in evidence.chosen.families or FAMILIES if compared_datasets(evidence, family)]
    for family in families:
        yield test(evidence, question.row(None, family), *compared_datasets(evidence, family))
    if not families and not evidence.chosen.datasets:
        lacking = [dataset for dataset in DATASETS if dataset not in hard] or DATASETS
        row = question.row(None, None)
        yield missing(row, "takes a family on two of the paper's datasets", command(phase, lacking))
