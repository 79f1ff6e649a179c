"""The paper's Table I from a store: minimum stable parameters, safe pruning ratio and 8-bit gap, beside its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.special import stdtrit

from analyze.arguments import checked
from analyze.paper.figures import TABLE_ONE, Printed, TableOneRow
from analyze.questions.candidates import Cell, cells
from analyze.questions.pruning import Pruning, pruned
from analyze.questions.quantization import QuantizationGap, gaps
from analyze.questions.regimes import Regime, boundaries
from analyze.results import Results
from analyze.stats.result import FLOOR, LEVEL, MIN_REPLICATES, Status
from analyze.stats.safety import MARGIN
from analyze.study import ARCHITECTURE, ArchitectureKey, Study, once, study_of
from analyze.sweeps import sweeps
from analyze.texts import Command, joined, phrase, quoted

if TYPE_CHECKING:
    from store.advice import Phase

Loss = tuple[float, int, float, float]
Quantity = Literal["parameters", "safe sparsity", "8-bit gap"]

VALIDATION = f"""
SELECT {ARCHITECTURE}, avg(validation_accuracy) AS validation
FROM runs SEMI JOIN equal_widths USING (run_id)
WHERE precision = 'fp32' AND status = 'ok'
GROUP BY ALL
"""

LOSSES = f"""
SELECT {ARCHITECTURE}, sparsity, count(*) AS n,
       avg(r.test_accuracy - p.test_accuracy) AS mean, stddev_samp(r.test_accuracy - p.test_accuracy) AS sd
FROM magnitude_pruning p JOIN runs r USING (run_id) SEMI JOIN equal_widths USING (run_id)
WHERE r.precision = 'fp32' AND r.status = 'ok'
GROUP BY ALL
ORDER BY ALL
"""

METHODS: Mapping[Quantity, str] = {
    "parameters": "fewest parameters from which some depth is stable; least lower to least upper end of the intervals",
    "safe sparsity": "that of the stable architecture best in validation accuracy, of those with 5 replicates; above "
    "the upper end all are shown to be harmful, one-sided t tests from the top of the grid down",
    "8-bit gap": "paired gap of the stable architecture with the fewest parameters of those with 5 pairs",
}


@dataclass(frozen=True, kw_only=True)
class TableOneFigure:
    """One figure of Table I beside the paper's; `docs/method.md` defines the fields. Ratios and gaps are fractions.

    `paper_inside` says whether anything that rounds to the paper's figure lies in the interval; None where either is
    missing.
    """

    dataset: str
    family: str
    quantity: Quantity
    status: Status
    estimate: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    ci_level: float
    paper: float | None = None
    paper_inside: bool | None = None
    depth: int | None = None
    capacity: int | None = None
    replicates: int | None = None
    method: str
    reason: str | None = None
    protocol_id: str
    dataset_fingerprint: str


@checked
def table_one(
    store: str | Path | Study,
    dataset: str | Sequence[str] | None = None,
    family: str | Sequence[str] | None = None,
    protocol: str | None = None,
    *,
    seed: int = 0,
) -> Results[TableOneFigure]:
    """Return minimum stable parameters, safe sparsity and 8-bit gap of every dataset and family.

    Raises:
        MinarchError: there is no such store, or it holds none of a dataset, family or protocol that was named.
    """
    study = study_of(store, dataset, family, protocol, seed=seed, tables=("pruning",))
    notes = study.demand(sweeps(study)).notes
    stability = [row for row, _ in boundaries(study)]
    cut, quantized, validation = pruned(study), gaps(study), validation_means(study)
    replicates_pruned = {row.key: row.replicates for row in cut}
    pairs = {row.key: row.pairs for row in quantized}
    losses: dict[ArchitectureKey, list[Loss]] = {}
    for row in study.query(LOSSES).iter_rows():
        losses.setdefault(ArchitectureKey.of(*row[:6]), []).append(row[6:])
    rows: list[TableOneFigure] = []
    for (name, kind), part in groupby(cells(study), key=lambda cell: (cell.dataset, cell.family)):
        members = list(part)
        paper = TABLE_ONE.get((name, kind))
        regimes = [row for row in stability if (row.dataset, row.family) == (name, kind)]
        for_pruning, for_gap = contest(members, replicates_pruned), contest(members, pairs)
        best = most_accurate(for_pruning.contenders, validation)
        rows += [
            minimum_parameters(members, regimes, paper),
            _sparsity(members, for_pruning, best, cut, losses, paper),
            _gap(members, for_gap, quantized, paper),
        ]
    return study.advised(Results(TableOneFigure, tuple(rows), notes))


@once
def validation_means(study: Study) -> dict[ArchitectureKey, float]:
    """Return the mean validation accuracy of every architecture of equal widths in the store."""
    return {ArchitectureKey.of(*row[:-1]): row[-1] for row in study.query(VALIDATION).iter_rows()}


def most_accurate(stable: Sequence[Cell], validation: Mapping[ArchitectureKey, float]) -> Cell | None:
    """Return the stable architecture with the highest mean validation accuracy: test data must not choose it.

    Those with fewer than 5 replicates do not contend: a first run of a wider one takes no answer away.
    """
    contenders = [cell for cell in stable if cell.contends]
    return max(contenders, key=lambda cell: validation.get(cell.key, -1.0), default=None)


@dataclass(frozen=True)
class Contest:
    """The stable architectures that a figure can be of, and those that wait, with the replicates they have so far."""

    contenders: tuple[Cell, ...]
    waiting: tuple[tuple[Cell, int], ...]

    @property
    def smallest(self) -> Cell | None:
        """The contender with the fewest parameters."""
        return min(self.contenders, key=lambda cell: cell.parameters, default=None)

    def wider(self, than: Cell) -> str | None:
        """Return which wider ones wait, in words."""
        return self.remark("wider ones", lambda cell: cell.parameters > than.parameters)

    def smaller(self, than: Cell) -> str | None:
        """Return which smaller ones wait, in words."""
        return self.remark("smaller ones", lambda cell: cell.parameters < than.parameters)

    def remark(self, word: str, waits: Callable[[Cell], bool]) -> str | None:
        """Return which of those that wait would matter, in words."""
        names = [f"depth {cell.depth} size {cell.capacity} ({n})" for cell, n in self.waiting if waits(cell)]
        return (
            f"{word} with fewer than {MIN_REPLICATES} replicates do not contend yet: {', '.join(names)}"
            if names
            else None
        )


def contest(cells: Sequence[Cell], seen: Mapping[ArchitectureKey, int]) -> Contest:
    """Return which stable architectures have 5 replicates or more, of their runs and of what `seen` counts.

    Where none has enough of what was counted, their runs decide: the figure then says what to run.
    """
    stable = [cell for cell in cells if cell.stable]
    have = [(cell, min(len(cell.observed), seen.get(cell.key, 0))) for cell in stable]
    enough = tuple(cell for cell, n in have if n >= MIN_REPLICATES)
    if not enough:
        return Contest(tuple(cell for cell in stable if cell.contends), ())
    return Contest(enough, tuple((cell, n) for cell, n in have if n < MIN_REPLICATES))


def least_harmful(losses: Sequence[Loss], margin: float) -> float:
    """Return the largest sparsity not shown, at the one-sided 5% level, to lose the margin or more.

    From the top of the grid down, each sparsity is tested and the first that fails ends it: no adjustment is needed.
    A loss is (sparsity, replicates, mean, standard deviation), in rising order of sparsity.
    """
    for sparsity, n, mean, sd in reversed(losses):
        error = np.sqrt((sd**2 + FLOOR**2) / n)
        if mean - float(stdtrit(n - 1, 1 - LEVEL)) * error <= margin:
            return sparsity
    return 0.0


def minimum_parameters(cells: Sequence[Cell], regimes: Sequence[Regime], paper: TableOneRow | None) -> TableOneFigure:
    """Return the fewest parameters from which some depth is stable.

    If every depth's interval holds, the least of the true boundaries lies between the least lower and the least upper
    end.
    """
    figure = _figure(cells[0], "parameters")
    known = [row for row in regimes if row.status != "insufficient"]
    unknown = [row for row in regimes if row.status == "insufficient"]
    causes: dict[str | None, list[str]] = {}
    for row in unknown:
        causes.setdefault(row.reason, []).append(str(row.depth))
    reasons = [
        phrase(
            f"depth {depths[0]} is left out: " if len(depths) == 1 else f"depths {', '.join(depths)} are left out: ",
            cause or "",
        )
        for cause, depths in causes.items()
    ]
    if not known:
        return _beside(replace(figure, reason=joined(reasons)), paper.parameters if paper else None)
    sizes = {(cell.depth, cell.capacity): cell.parameters for cell in cells}
    found = [(_ends(row, sizes), row) for row in known if row.status != "not_reached"]
    if not found:
        reasons = [*(phrase(f"depth {row.depth}: ", row.reason or "") for row in known), *reasons]
        figure = replace(figure, status="not_reached", replicates=min(row.replicates for row in known))
        return _beside(replace(figure, reason=joined(reasons)), paper.parameters if paper else None)
    (estimate, _, _), least = min(found, key=lambda item: item[0][0])
    lows = [ends[1] for ends, _ in found]
    smallest = min(capacity for depth, capacity in sizes if depth == least.depth)
    if least.status != "detected" and least.reason:
        reasons.insert(0, phrase(f"depth {least.depth}: ", least.reason))
    figure = replace(
        figure,
        status=least.status,
        estimate=float(estimate),
        # A sweep whose smallest size is stable bounds the figure from above only.
        ci_low=None if None in lows else float(min(low for low in lows if low is not None)),
        ci_high=float(min(ends[2] for ends, _ in found)),
        depth=least.depth,
        capacity=least.capacity or smallest,
        replicates=min(row.replicates for row in known),
        reason=joined(reasons) or None,
    )
    return _beside(figure, paper.parameters if paper else None)


def _ends(row: Regime, sizes: Mapping[tuple[int, int], int]) -> tuple[int, int | None, int]:
    """Return estimate, lower and upper end of a boundary in parameters; no lower end where all sizes are stable."""
    if row.parameters is None or row.ci_low is None or row.ci_high is None:
        least = min(parameters for (depth, _), parameters in sizes.items() if depth == row.depth)
        return least, None, least
    return row.parameters, sizes[row.depth, row.ci_low], sizes[row.depth, row.ci_high]


def _sparsity(
    cells: Sequence[Cell],
    contest: Contest,
    best: Cell | None,
    pruned: Sequence[Pruning],
    losses: Mapping[ArchitectureKey, Sequence[Loss]],
    paper: TableOneRow | None,
) -> TableOneFigure:
    """Return the safe sparsity of the best stable architecture: by construction the lower end of its interval."""
    figure, printed = _figure(cells[0], "safe sparsity"), paper.sparsity if paper else None
    if best is None:
        return _beside(replace(figure, reason="no stable architecture is known"), printed)
    figure = replace(figure, depth=best.depth, capacity=best.capacity)
    found = next((row for row in pruned if row.key == best.key), None)
    if found is None:
        return _beside(replace(figure, reason=phrase("it was not pruned: ", _again("convergence", best))), printed)
    wider = contest.wider(best)
    reason = joined((found.reason, wider)) or None
    figure = replace(figure, status=found.status, replicates=found.replicates, reason=reason)
    if found.safe_sparsity is None:
        return _beside(figure, printed)
    high = max(found.safe_sparsity, least_harmful(losses.get(best.key, ()), MARGIN))
    return _beside(replace(figure, estimate=found.safe_sparsity, ci_low=found.safe_sparsity, ci_high=high), printed)


def _gap(
    cells: Sequence[Cell], contest: Contest, gaps: Sequence[QuantizationGap], paper: TableOneRow | None
) -> TableOneFigure:
    """Return what 8 bits cost the smallest stable architecture."""
    figure, printed = _figure(cells[0], "8-bit gap"), paper.gap if paper else None
    least = contest.smallest
    if least is None:
        return _beside(replace(figure, reason="no stable architecture is known"), printed)
    figure = replace(figure, depth=least.depth, capacity=least.capacity)
    found = next((row for row in gaps if row.key == least.key), None)
    if found is None:
        reason = phrase("it was not trained in 8 bits: ", _again("quantization", least))
        return _beside(replace(figure, reason=reason), printed)
    smaller = contest.smaller(least)
    deaths = f"{100 * found.death_rate:.0f}% of the models die under int8" if found.death_rate else None
    return _beside(
        replace(
            figure,
            status=found.status,
            estimate=found.gap,
            ci_low=found.ci_low,
            ci_high=found.ci_high,
            replicates=found.replicates,
            reason=joined((found.reason, deaths, smaller)) or None,
        ),
        printed,
    )


def _again(phase: Phase, cell: Cell) -> str:
    return quoted(Command(phase, (cell.dataset,), (cell.family,), capacities=(cell.capacity,)))


def _figure(cell: Cell, quantity: Quantity) -> TableOneFigure:
    return TableOneFigure(
        dataset=cell.dataset,
        family=cell.family,
        quantity=quantity,
        status="insufficient",
        # Two one-sided 95% bounds make a 90% interval.
        ci_level=0.90 if quantity == "safe sparsity" else 0.95,
        method=METHODS[quantity],
        protocol_id=cell.protocol_id,
        dataset_fingerprint=cell.dataset_fingerprint,
    )


def _beside(figure: TableOneFigure, printed: Printed | None) -> TableOneFigure:
    """Return the figure with the paper's beside it."""
    if printed is None:
        return figure
    inside = None
    if figure.ci_high is not None:
        low, high = printed.interval
        inside = bool(low <= figure.ci_high and (figure.ci_low is None or high >= figure.ci_low))
    return replace(figure, paper=printed.value, paper_inside=inside)
