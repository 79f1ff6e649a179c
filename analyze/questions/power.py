"""Replicates that each question takes at every size of a store, from the variances seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from analyze import wording
from analyze.arguments import checked
from analyze.questions.shapes import Topologies, topologies
from analyze.results import Results
from analyze.stats.equivalence import complete_blocks, contrasts, obstacle, pairs
from analyze.stats.replicates import counts, pack
from analyze.stats.result import MIN_REPLICATES
from analyze.stats.safety import MARGIN
from analyze.stats.sample_size import SampleSize, for_boundary, for_equivalence, for_noninferiority, for_precision
from analyze.stats.stability import DEAD_MARGIN, stability_boundary
from analyze.study import Study, study_of, sweep_rng
from analyze.sweeps import Sweep, sweeps
from analyze.texts import Command, phrase, quoted
from store.families import family_facts, family_rank

if TYPE_CHECKING:
    import polars

    from store.advice import Phase

Goal = Literal["equivalence", "pruning", "quantization", "boundary"]
Sufficiency = Literal["enough", "more", "out_of_reach", "insufficient"]

LOSSES = f"""
SELECT r.protocol_id, r.dataset, r.dataset_fingerprint, r.family, r.depth, r.capacity, p.sparsity, count(*) AS n,
       avg(r.test_accuracy - p.test_accuracy) AS mean, stddev_samp(r.test_accuracy - p.test_accuracy) AS sd
FROM magnitude_pruning p JOIN runs r USING (run_id) SEMI JOIN equal_widths USING (run_id)
     JOIN datasets d USING (dataset_fingerprint)
WHERE r.precision = 'fp32' AND r.status = 'ok' AND p.sparsity > 0
      AND r.test_accuracy >= d.chance_accuracy + {DEAD_MARGIN}
GROUP BY ALL ORDER BY ALL
"""
GAPS = f"""
SELECT q.protocol_id, q.dataset, q.dataset_fingerprint, q.family, q.depth, q.capacity, count(*) AS n,
       stddev_samp(q.gap) AS sd
FROM quantization_gaps q SEMI JOIN equal_widths e ON q.fp32_run_id = e.run_id
     JOIN datasets d USING (dataset_fingerprint)
WHERE q.fp32_accuracy >= d.chance_accuracy + {DEAD_MARGIN} AND q.int8_accuracy >= d.chance_accuracy + {DEAD_MARGIN}
GROUP BY ALL ORDER BY ALL
"""
METHODS: dict[Goal, str] = {
    "equivalence": "all-pairs TOST, 5%, equal means, covariance seen, simulated; 80% power",
    "pruning": "paired one-sided t test, 5%, true loss half the margin, noncentral t; 80% power",
    "quantization": "half-width of the paired 95% t interval",
    "boundary": "located within one size in 95% of 200 sweeps drawn from the replicates seen",
}


@dataclass(frozen=True, kw_only=True)
class Power:
    """How many replicates a question takes at one size; `docs/method.md` defines the fields.

    `margin` is the one asked for (for quantization the precision), `achieved` what the replicates seen give: a power,
    a probability, or for quantization the half-width of the interval, a fraction.
    """

    dataset: str
    family: str
    depth: int
    capacity: int | None
    goal: Goal
    status: Sufficiency
    margin: float | None
    sparsity: float | None
    sd: float | None
    replicates_seen: int
    replicates_needed: int | None
    achieved: float | None
    method: str
    reason: str | None
    protocol_id: str
    dataset_fingerprint: str


@checked
def power(
    store: str | Path | Study,
    dataset: str | Sequence[str] | None = None,
    family: str | Sequence[str] | None = None,
    protocol: str | None = None,
    *,
    margin: float = MARGIN,
    seed: int = 0,
) -> Results[Power]:
    """Return the replicates that equivalence, pruning, gaps and boundaries take at every size, beside those seen.

    Runs are chosen as by `regimes`. `margin`, a fraction, is that of equivalence and of pruning, and the half-width
    wanted of a gap's interval.

    Raises:
        MinarchError: there is no such store, or it holds none of a dataset, family or protocol that was named.
    """
    study = study_of(store, dataset, family, protocol, seed=seed, tables=("pruning",))
    found = study.demand(sweeps(study))
    rows = [_boundary(sweep, study.seed) for sweep in found.content]
    layered = {sweep.dataset for sweep in found.content if family_facts(sweep.family).layered and sweep.depth > 1}
    shaped = [shapes for shapes in topologies(study).content if shapes.dataset in layered]
    rows += [_equivalence(s, index, margin, study.seed) for s in shaped for index in range(len(s.capacities))]
    if found.content:
        rows += _pruning(_of(study.query(LOSSES), found.content), margin)
        rows += [_gap(cell, margin) for cell in _of(study.query(GAPS), found.content).iter_rows(named=True)]
    goals = list(METHODS)
    rows.sort(
        key=lambda row: (row.dataset, family_rank(row.family), row.depth, goals.index(row.goal), row.capacity or 0)
    )
    return study.advised(Results(Power, tuple(rows), found.notes))


def _of(cells: polars.DataFrame, sweeps: Sequence[Sweep]) -> polars.DataFrame:
    """Return the cells of the protocols and data that the sweeps are of."""
    import polars

    identity = ["protocol_id", "dataset_fingerprint", "family"]
    keys = polars.DataFrame(
        [tuple(getattr(sweep, name) for name in identity) for sweep in sweeps],
        schema=dict.fromkeys(identity, polars.String),
        orient="row",
    )
    return cells.join(keys.unique(), on=identity, how="semi", maintain_order="left")


def _boundary(sweep: Sweep, seed: int) -> Power:
    accuracy = pack(sweep.accuracy[counts(sweep.accuracy) >= MIN_REPLICATES])
    rng = sweep.rng(seed)
    found = stability_boundary(accuracy, chance=sweep.chance, rng=rng, test_images=sweep.test_images)
    common: dict[str, Any] = {**_names(sweep), "capacity": None, "goal": "boundary", "margin": None}
    if found.estimate is None:
        absent = {
            "all_stable": "every size is stable already",
            "not_reached": "no size is stable yet: run larger sizes",
        }
        few = phrase(
            f"fewer than 5 sizes or {MIN_REPLICATES} replicates: run ",
            quoted(Command("convergence", repeats=MIN_REPLICATES)),
        )
        return _row(None, reason=absent.get(found.status, few), seen=found.n, **common)
    size = for_boundary(accuracy, found.estimate, chance=sweep.chance, rng=rng, test_images=sweep.test_images)
    return _row(size, seen=found.n, **common)


def _equivalence(sweep: Topologies, index: int, margin: float, seed: int) -> Power:
    rows, table = complete_blocks(sweep.accuracy[index])
    capacity, n = sweep.capacities[index], table.shape[1]
    common: dict[str, Any] = {**_names(sweep), "capacity": capacity, "goal": "equivalence", "margin": margin, "seen": n}
    lacking = obstacle(sweep.accuracy[index], table, sweep.chance)
    if lacking:
        return _row(None, reason=wording.one(lacking), **common)
    errors = pairs(table).error
    sd = float((n * (errors**2).sum() / (len(rows) * (len(rows) - 1))) ** 0.5)
    rng = sweep_rng(seed, "power", sweep.dataset, sweep.depth, capacity)
    return _row(for_equivalence(contrasts(table), n, margin=margin, rng=rng), sd=sd, **common)


def _pruning(cells: polars.DataFrame, margin: float) -> Iterator[Power]:
    """Yield a row per architecture, at the largest sparsity whose mean loss seen is at most half the margin."""
    for group in cells.partition_by(["dataset", "family", "depth", "capacity"], maintain_order=True):
        first = group.row(0, named=True)
        common: dict[str, Any] = {**_named(first), "goal": "pruning", "margin": margin, "seen": first["n"]}
        if first["n"] < MIN_REPLICATES:
            yield _row(None, reason=_few(first["n"], "convergence"), **common)
            continue
        mild = [cell for cell in group.iter_rows(named=True) if cell["mean"] <= margin / 2]
        if not mild:
            yield _row(None, reason="every sparsity loses more than half the margin", **common)
            continue
        cell = max(mild, key=lambda cell: float(cell["sparsity"]))
        size = for_noninferiority(cell["sd"], cell["n"], margin=margin, loss=margin / 2)
        yield _row(size, sd=cell["sd"], sparsity=cell["sparsity"], **common)


def _gap(cell: dict[str, Any], precision: float) -> Power:
    common: dict[str, Any] = {**_named(cell), "goal": "quantization", "margin": precision, "seen": cell["n"]}
    if cell["n"] < MIN_REPLICATES:
        return _row(None, reason=_few(cell["n"], "quantization"), **common)
    return _row(for_precision(cell["sd"], cell["n"], precision=precision), sd=cell["sd"], **common)


def _few(n: int, phase: Phase) -> str:
    command = quoted(Command(phase, repeats=MIN_REPLICATES))
    return phrase(f"{n} of {MIN_REPLICATES} needed living replicates: run ", command, ", or with more replicates")


def _names(sweep: Sweep | Topologies) -> dict[str, object]:
    names = ("dataset", "family", "depth", "protocol_id", "dataset_fingerprint")
    return {name: getattr(sweep, name) for name in names}


def _named(cell: dict[str, Any]) -> dict[str, object]:
    names = ("dataset", "family", "depth", "capacity", "protocol_id", "dataset_fingerprint")
    return {name: cell[name] for name in names}


def _row(
    size: SampleSize | None,
    *,
    goal: Goal,
    seen: int,
    sd: float | None = None,
    sparsity: float | None = None,
    reason: str | None = None,
    **names: Any,
) -> Power:
    status: Sufficiency = "insufficient"
    needed = None
    if size is not None:
        needed = size.replicates
        status = "out_of_reach" if needed is None else "enough" if needed <= seen else "more"
        if needed is None:
            reason = "more replicates than were tried: up to 100 for a boundary, else 1000"
    return Power(
        goal=goal,
        status=status,
        sparsity=sparsity,
        sd=sd,
        replicates_seen=seen,
        replicates_needed=needed,
        achieved=None if size is None else size.achieved,
        method=METHODS[goal],
        reason=reason,
        **names,
    )
