"""The smallest stable architecture that is good enough, how far it can be cut, and why it was chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from analyze.arguments import checked
from analyze.questions.candidates import Candidate, Cell, Limits, judge
from analyze.questions.candidates import cells as cells_in
from analyze.questions.cuts import Kind, SafeCut, cut_architecture
from analyze.questions.designs import Planned, coverings
from analyze.questions.explain import Finding, explanation, in_points, in_words, remedy
from analyze.questions.guess import Guess, best_guess, continued, within_design
from analyze.questions.pruning import Pruning, pruned_architecture
from analyze.questions.quantization import QuantizationGap, gaps
from analyze.questions.reach import with_reach
from analyze.questions.regimes import Regime, boundaries
from analyze.questions.sequential import judge_by_design
from analyze.questions.storage import storage
from analyze.results import Results
from analyze.stats.result import Status
from analyze.stats.safety import MARGIN
from analyze.study import ARCHITECTURE, ArchitectureKey, Study, study_of
from analyze.sweeps import sweeps
from analyze.texts import Command, joined, phrase, quoted

if TYPE_CHECKING:
    from store.advice import Phase

DESIGNED = (
    "stable by the stability boundary, at Pocock-type levels; sequential design: paired non-inferiority to every other "
    "stable architecture of it, largest of t, Hall's transformation and bootstrap-t p values, O'Brien-Fleming-type "
    "levels at each look, fallback procedure from the largest size down, family-wise error rate 5% over all looks; "
    "accuracy by repeated t intervals, Bonferroni over the candidates"
)
METHOD = (
    "stable by the stability boundary; paired non-inferiority to every other stable architecture, largest of t, Hall's "
    "transformation and bootstrap-t p values, fallback procedure from the largest size down, family-wise error rate "
    "5%; accuracy by t interval, Bonferroni over the candidates"
)

SECONDS = f"""
SELECT {ARCHITECTURE}, avg(seconds) AS seconds
FROM runs SEMI JOIN equal_widths USING (run_id) WHERE precision = 'fp32' GROUP BY ALL
"""


EXTENDED = """
WITH asked AS (
    SELECT DISTINCT r.dataset, r.family, i.request->>'$.repeats' AS repeats
    FROM runs r JOIN invocations i USING (invocation_id) SEMI JOIN equal_widths USING (run_id)
    WHERE r.precision = 'fp32' AND i.request->>'$.phase' != 'search' AND i.request->>'$.repeats' IS NOT NULL
), steps AS (
    SELECT dataset, family, list(repeats::INTEGER ORDER BY repeats::INTEGER) AS counts
    FROM asked GROUP BY ALL HAVING count(*) > 1
)
SELECT dataset, arg_max(counts, len(counts)) AS counts FROM steps GROUP BY dataset ORDER BY dataset
"""


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """The smallest architecture of one scope, a family or `all`; `docs/method.md` defines the fields."""

    dataset: str
    scope: str
    status: Status
    family: str | None = None
    depth: int | None = None
    capacity: int | None = None
    parameters: int | None = None
    accuracy: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    ci_level: float | None = None
    replicates: int | None = None
    failures: int | None = None
    failure_bound: float | None = None
    reach: float | None = None
    reached: int | None = None
    reach_share: float | None = None
    drop: float | None = None
    max_drop: float
    stability: str | None = None
    stability_low: int | None = None
    stability_high: int | None = None
    safe_sparsity: float | None = None
    int8_safe: bool | None = None
    gap: float | None = None
    gap_low: float | None = None
    gap_high: float | None = None
    bytes_fp32: int | None = None
    bytes_pruned: int | None = None
    bytes_int8: int | None = None
    bytes_pruned_int8: int | None = None
    safe_sparsity_int8: float | None = None
    safe_form: str | None = None
    safe_bytes: int | None = None
    runner_up_family: str | None = None
    runner_up_depth: int | None = None
    runner_up_capacity: int | None = None
    runner_up_parameters: int | None = None
    guess_family: str | None = None
    guess_depth: int | None = None
    guess_capacity: int | None = None
    guess_parameters: int | None = None
    guess_accuracy: float | None = None
    guess_drop: float | None = None
    guess_replicates: int | None = None
    guess_trainings: int | None = None
    guess_seconds: float | None = None
    guess_cores: int | None = None
    guess_command: str | None = None
    guess_reason: str | None = None
    candidates: int
    tested: int
    design: str | None = None
    look: int | None = None
    planned_looks: str | None = None
    method: str = METHOD
    reason: str | None = None
    command: str | None = None
    explanation: str
    protocol_id: str | None = None
    dataset_fingerprint: str | None = None


@dataclass(frozen=True)
class Recommendations(Results[Recommendation]):
    """Recommendations, one per scope, and the evidence behind them, a row per scope and architecture."""

    evidence: Results[Candidate] = field(default_factory=lambda: Results(Candidate, ()))


@dataclass(frozen=True)
class Facts:
    """What is known about the architectures beside their accuracy.

    What pruning, 8 bits and further forms cost them, the mean time of a training in seconds, and the classes of each
    version of the data.
    """

    pruned: Callable[[ArchitectureKey], Pruning | None]
    cuts: Callable[[ArchitectureKey], Mapping[Kind, SafeCut | None]]
    gaps: dict[ArchitectureKey, QuantizationGap]
    seconds: dict[ArchitectureKey, float]
    classes: dict[str, int]


@checked
def recommend(
    store: str | Path | Study,
    dataset: str | Sequence[str] | None = None,
    family: str | Sequence[str] | None = None,
    protocol: str | None = None,
    *,
    max_drop: float = MARGIN,
    max_parameters: int | None = None,
    max_bytes: int | None = None,
    min_accuracy: float | None = None,
    seed: int = 0,
) -> Recommendations:
    """Return the smallest stable architecture that satisfies the limits, per family and over all, of each dataset.

    Accuracies are fractions. `max_drop` is what may be lost against the best stable architecture, by every form of
    it, each; `max_bytes` bounds the smallest form that was measured and is shown to be safe.

    Raises:
        MinarchError: there is no such store, or it holds none of a dataset, family or protocol that was named.
    """
    limits = Limits(max_drop=max_drop, max_parameters=max_parameters, max_bytes=max_bytes, min_accuracy=min_accuracy)
    study = study_of(store, dataset, family, protocol, seed=seed, tables=("pruning", "post_training"))
    notes = study.demand(sweeps(study)).notes
    stability = [row for row, _ in boundaries(study)]
    cells, facts = cells_in(study), facts_in(study, max_drop)
    rows: list[Recommendation] = []
    evidence: list[Candidate] = []
    for name, members in groupby(cells, key=lambda cell: cell.dataset):
        about = [row for row in stability if row.dataset == name]
        for scope, part in _scopes(list(members)):
            planned = _design(study, part, limits)
            judged = (
                judge_by_design(planned, part, scope, limits, seed=study.seed)
                if planned
                else judge(part, scope, limits, seed=study.seed)
            )
            judged = with_reach(judged, part, limits)
            regimes = [row for row in about if scope in ("all", row.family)]
            row, judged = _recommendation(judged, part, regimes, limits, facts, planned)
            rows.append(_designed(row, judged, planned) if planned else row)
            evidence += judged
    undesigned = {row.dataset for row in rows if row.design is None}
    notes = (*notes, *(note for name, note in extended(study) if name in undesigned))
    return study.advised(
        Recommendations(Recommendation, tuple(rows), notes, Results(Candidate, tuple(evidence), notes))
    )


def extended(study: Study) -> list[tuple[str, str]]:
    """Return the datasets whose replicates were added in several steps, each with a warning."""
    found: list[tuple[str, str]] = []
    for dataset, counts in study.query(EXTENDED).iter_rows():
        steps = ", then ".join(map(str, counts))
        found.append(
            (
                dataset,
                f"{dataset}: replicates were added in steps, to {steps}: if results decided on that, what passes errs "
                "more often than 5% (in 10% with looks at 5, 10, 15, 20 and 30); `generate search` plans its looks",
            )
        )
    return found


def _design(study: Study, cells: Sequence[Cell], limits: Limits) -> Planned | None:
    """Return the newest design that was made for the question asked of these architectures, None without one."""
    asked = (limits.max_drop, limits.min_accuracy)
    found = coverings(study, {cell.key.sweep for cell in cells})
    return next((one for one in found if (one.spec.max_drop, one.spec.min_accuracy) == asked), None)


def _designed(row: Recommendation, judged: Sequence[Candidate], planned: Planned) -> Recommendation:
    """Return the row with its design and the look at which it was decided, or the last one that was taken."""
    taken = [other.look for other in judged if other.look and other.verdict in ("recommended", "not shown", "guess")]
    chosen = [other.look for other in judged if other.verdict == "recommended"]
    return replace(
        row,
        method=DESIGNED,
        design=planned.design_id,
        look=chosen[0] if chosen else max(taken, default=None),
        planned_looks=", ".join(map(str, planned.spec.looks)),
    )


def _scopes(cells: list[Cell]) -> list[tuple[str, list[Cell]]]:
    """Return the families, and all together where there are several on the same version of the data."""
    families = [(family, list(part)) for family, part in groupby(cells, key=lambda cell: cell.family)]
    one_version = len({cell.dataset_fingerprint for cell in cells}) == 1
    return [("all", cells), *families] if len(families) > 1 and one_version else families


def facts_in(study: Study, margin: float) -> Facts:
    """Return what a study says of its architectures beside their accuracy; `margin` is the loss that is safe."""
    seconds = study.query(SECONDS).iter_rows()
    return Facts(
        # Asked of the few that qualify: phases take the longest of all.
        partial(pruned_architecture, study, margin=margin),
        partial(cut_architecture, study, margin=margin),
        {row.key: row for row in gaps(study)},
        {ArchitectureKey.of(*row[:-1]): row[-1] for row in seconds},
        dict(study.query("SELECT dataset_fingerprint, classes FROM datasets").iter_rows()),
    )


def _recommendation(
    judged: list[Candidate],
    cells: Sequence[Cell],
    regimes: Sequence[Regime],
    limits: Limits,
    facts: Facts,
    planned: Planned | None,
) -> tuple[Recommendation, list[Candidate]]:
    """Return the recommendation, and the evidence with its verdicts made final."""

    def few_bytes(row: Candidate) -> bool:
        return limits.max_bytes is None or _finding(row, regimes, limits, facts).safe_bytes <= limits.max_bytes

    passed = sorted((row for row in judged if row.verdict == "qualifies"), key=lambda row: row.parameters)
    findings = [_finding(row, regimes, limits, facts) for row in passed]
    small = [found for found in findings if limits.max_bytes is None or found.safe_bytes <= limits.max_bytes]
    best = small[0] if small else None
    second = small[1].candidate if len(small) > 1 else None
    verdicts = {id(found.candidate): "too many bytes" for found in findings}
    verdicts |= {id(found.candidate): "qualifies" for found in small}
    if best:
        verdicts[id(best.candidate)] = "recommended"
    if second:
        verdicts[id(second)] = "runner-up"
    guess = best_guess(judged, cells, limits, best.candidate if best else None, facts.seconds, few_bytes)
    if guess and planned:
        guess = within_design(guess, planned.spec.looks)
    if guess:
        verdicts[id(guess.candidate)] = "guess"
    final = [replace(row, verdict=verdicts.get(id(row), row.verdict)) for row in judged]
    status: Status = "detected"
    reason, command = _caveats(best, limits) if best else None, None
    if best is None:
        status, reason, command = remedy(judged, regimes, limits, findings, guess)
    if planned and best is None:
        command = continued([row for row in judged if row.stable is not False], planned.spec.looks)
    row = Recommendation(
        dataset=judged[0].dataset,
        scope=judged[0].scope,
        status=status,
        reach=judged[0].reach,
        max_drop=limits.max_drop,
        candidates=sum(row.stable is True for row in judged),
        tested=sum(row.p_value is not None for row in judged),
        reason=reason,
        command=command,
        explanation=explanation(
            final, regimes, limits, best, guess, reason, command, planned.spec.looks if planned else ()
        ),
    )
    return _with_guess(_with(row, best, second), guess), final


def _with_guess(row: Recommendation, guess: Guess | None) -> Recommendation:
    """Return the row with the best guess filled in."""
    if guess is None:
        return row
    looks = guess.candidate
    return replace(
        row,
        guess_family=looks.family,
        guess_depth=looks.depth,
        guess_capacity=looks.capacity,
        guess_parameters=looks.parameters,
        guess_accuracy=looks.mean,
        guess_drop=looks.drop,
        guess_replicates=guess.replicates,
        guess_trainings=guess.trainings,
        guess_seconds=guess.seconds,
        guess_cores=guess.cores,
        guess_command=guess.command,
        guess_reason=in_words(guess),
    )


def _with(row: Recommendation, best: Finding | None, second: Candidate | None) -> Recommendation:
    """Return the row with what was found filled in."""
    if best is None:
        return row
    chosen, both = best.candidate, best.pruned_int8
    row = replace(
        row,
        family=chosen.family,
        depth=chosen.depth,
        capacity=chosen.capacity,
        parameters=chosen.parameters,
        accuracy=chosen.mean,
        ci_low=chosen.ci_low,
        ci_high=chosen.ci_high,
        ci_level=chosen.ci_level,
        replicates=chosen.replicates,
        failures=chosen.failures,
        failure_bound=chosen.failure_bound,
        reached=chosen.reached,
        reach_share=chosen.reach_share,
        drop=chosen.drop,
        stability=best.boundary.status,
        stability_low=best.boundary.ci_low,
        stability_high=best.boundary.ci_high,
        safe_sparsity=best.safe_sparsity,
        int8_safe=best.int8_safe,
        bytes_fp32=best.bytes_fp32,
        bytes_pruned=best.bytes_pruned,
        bytes_int8=best.bytes_int8,
        bytes_pruned_int8=both.form.bytes if both else None,
        safe_sparsity_int8=both.form.form.sparsity if both else None,
        safe_form=best.safe_form,
        safe_bytes=best.safe_bytes,
        protocol_id=chosen.protocol_id,
        dataset_fingerprint=chosen.dataset_fingerprint,
    )
    if best.gap:
        row = replace(row, gap=best.gap.gap, gap_low=best.gap.ci_low, gap_high=best.gap.ci_high)
    if second:
        row = replace(
            row,
            runner_up_family=second.family,
            runner_up_depth=second.depth,
            runner_up_capacity=second.capacity,
            runner_up_parameters=second.parameters,
        )
    return row


def _finding(row: Candidate, regimes: Sequence[Regime], limits: Limits, facts: Facts) -> Finding:
    boundary = next(found for found in regimes if (found.family, found.depth) == (row.family, row.depth))
    pruned, gap = facts.pruned(row.key), facts.gaps.get(row.key)
    parts = storage(row.family, row.depth, row.capacity, row.parameters, facts.classes[row.dataset_fingerprint])
    sparsity = pruned.safe_sparsity if pruned else None
    return Finding(
        candidate=row,
        boundary=boundary,
        safe_sparsity=sparsity,
        pruned=pruned,
        gap=gap,
        int8_safe=_int8_safe(gap, limits.max_drop),
        bytes_fp32=parts.dense(),
        bytes_int8=parts.int8(),
        bytes_pruned=None if sparsity is None else parts.pruned(sparsity),
        cuts=facts.cuts(row.key),
    )


def _int8_safe(gap: QuantizationGap | None, margin: float) -> bool | None:
    """Return whether 8 bits are shown to cost less than the margin and to kill none; None where that is not known."""
    if gap is None or (gap.ci_high is None and not gap.death_rate):
        return None
    return bool(gap.ci_high is not None and gap.ci_high < margin and not gap.death_rate)


def _caveats(best: Finding, limits: Limits) -> str | None:
    """Return what a user should know about a recommendation that was made."""
    row, boundary = best.candidate, best.boundary
    remarks = []
    if boundary.status == "gradual":
        remarks.append("its stability boundary is gradual: there is no sharp first stable size")
    if boundary.ci_high is not None and row.capacity < boundary.ci_high:
        remarks.append(f"the 95% interval of its stability boundary reaches up to size {boundary.ci_high}")

    def again(phase: Phase) -> str:
        return quoted(Command(phase, (row.dataset,), (row.family,), capacities=(row.capacity,)))

    if best.safe_sparsity is None:
        remarks.append(phrase("pruning is not known: ", again("convergence")))
    if best.int8_safe is None:
        remarks.append(phrase("8 bits are not known: ", again("quantization")))
    elif not best.int8_safe:
        remarks.append(f"8 bits are not shown to cost less than {in_points(limits.max_drop)}")
    return joined(remarks) or None
