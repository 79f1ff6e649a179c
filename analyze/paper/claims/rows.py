"""The row of a claim, and how findings become rows with verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from analyze.paper.figures import DATASETS
from analyze.stats.contrasts import Contrast
from analyze.stats.sides import UNDECIDED, Judgement, Sides, Verdict, judge
from analyze.texts import Command, phrase
from store.families import FAMILIES, family_facts, family_rank

if TYPE_CHECKING:
    from store.advice import Phase

Unit = Literal[
    "count",
    "parameters",
    "ratio",
    "sparsity",
    "share",
    "share per layer",
    "share per tenfold width",
    "accuracy",
    "accuracy per tenfold parameters",
]
SCALES: Mapping[Unit, str] = {
    "count": "",
    "parameters": "",
    "ratio": "",
    "sparsity": ", %",
    "share": ", %",
    "share per layer": ", %",
    "share per tenfold width": ", %",
    "accuracy": ", points",
    "accuracy per tenfold parameters": ", points",
}
"""What a heading says of the numbers of a unit: nothing where they are plain, else in what fractions are written."""

Range = tuple[float | None, float | None]
POSITIVE: Range = (0.0, None)
NEGATIVE: Range = (None, 0.0)


@dataclass(frozen=True, kw_only=True)
class ClaimVerdict:
    """A claim of the paper in one scope, and what the store says of it; `docs/method.md` defines the fields."""

    claim: int
    title: str
    dataset: str | None
    family: str | None
    statistic: str
    unit: Unit
    estimate: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    claim_low: float | None = None
    claim_high: float | None = None
    n: int | None = None
    skewness: float | None = None
    p_for: float | None = None
    p_against: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    verdict: Verdict = "not_testable"
    detail: str | None = None
    to_test: str | None = None
    design: str | None = None
    look: int | None = None
    planned_looks: str | None = None
    method: str
    protocol_id: str | None = None
    dataset_fingerprint: str | None = None


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a claim says in one scope, before the data are asked."""

    claim: int
    title: str
    statistic: str
    unit: Unit
    method: str
    allowed: Range = (None, None)

    def row(self, dataset: str | None, family: str | None) -> ClaimVerdict:
        """Return the row of a scope, with nothing found yet."""
        return ClaimVerdict(
            claim=self.claim,
            title=self.title,
            dataset=dataset,
            family=family,
            statistic=self.statistic,
            unit=self.unit,
            claim_low=self.allowed[0],
            claim_high=self.allowed[1],
            method=self.method,
        )


def found(
    row: ClaimVerdict,
    sides: Sides,
    *,
    n: int,
    estimate: float | None,
    interval: tuple[float | None, float | None] | None = None,
    detail: str | None = None,
    skewness: float | None = None,
) -> ClaimVerdict:
    """Return the row with its evidence; its verdict is still to come."""
    low, high = interval or (None, None)
    return replace(
        row,
        p_for=sides.p_for,
        p_against=sides.p_against,
        n=n,
        estimate=estimate,
        ci_low=low,
        ci_high=high,
        detail=detail,
        skewness=skewness,
    )


def measured(row: ClaimVerdict, contrast: Contrast, sides: Sides, detail: str | None = None) -> ClaimVerdict:
    """Return the row with a contrast as its statistic."""
    return found(
        row,
        sides,
        n=contrast.n,
        estimate=contrast.estimate,
        interval=contrast.interval,
        detail=detail,
        skewness=contrast.skewness,
    )


def missing(row: ClaimVerdict, why: str, command: str | None, n: int | None = None) -> ClaimVerdict:
    """Return the row of a scope that cannot be tested: what is missing, and the command that adds it."""
    return replace(row, detail=why, to_test=command, n=n)


def command(
    phase: Phase,
    datasets: str | Sequence[str],
    family: str | None = None,
    *,
    capacities: tuple[int, ...] = (),
    depths: tuple[int, ...] = (),
    epochs: int | None = None,
) -> str:
    """Return the call of `generate` that adds the paper's number of replicates to a dataset and family."""
    return phrase(
        Command(
            phase,
            (datasets,) if isinstance(datasets, str) else tuple(datasets),
            () if family is None else (family,),
            capacities=capacities,
            depths=depths,
            repeats=None if family is None else family_facts(family).replicates,
            epochs=epochs,
        )
    )


def judged(rows: Sequence[ClaimVerdict], *, waiting: int = 0) -> tuple[ClaimVerdict, ...]:
    """Return the rows in order, those that have evidence with their verdicts, adjusted for one another.

    `waiting` are rows without evidence that count too, for they may have some later.
    """
    titles = list(dict.fromkeys(row.title for row in rows))
    ordered = sorted(rows, key=lambda row: (row.claim, titles.index(row.title), _place(row)))
    tested = [Sides(row.p_for, row.p_against) for row in ordered if row.p_for is not None and row.p_against is not None]
    verdicts = iter(judge([*tested, *[UNDECIDED] * waiting]))
    return tuple(row if row.p_for is None else _with(row, next(verdicts)) for row in ordered)


def _with(row: ClaimVerdict, judgement: Judgement) -> ClaimVerdict:
    return replace(row, p_value=judgement.p, p_adjusted=judgement.adjusted, verdict=judgement.verdict)


def difficulty(dataset: str | None) -> tuple[int, str]:
    """Return where a dataset stands: the paper's in rising difficulty, others after them, none last."""
    rank = DATASETS.index(dataset) if dataset in DATASETS else len(DATASETS) + (dataset is None)
    return rank, dataset or ""


def _place(row: ClaimVerdict) -> tuple[tuple[int, str], int]:
    return difficulty(row.dataset), len(FAMILIES) if row.family is None else family_rank(row.family)
