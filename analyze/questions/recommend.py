"""The smallest stable architecture that is good enough, how far it can be cut, and why it was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from analyze.arguments import checked
from analyze.questions.budget import Limits, may_fit, smallest, taken_by
from analyze.questions.candidates import Candidate, Cell, judge
from analyze.questions.candidates import cells as cells_in
from analyze.questions.costs import By
from analyze.questions.designs import Planned, coverings
from analyze.questions.explain import explanation, in_points, in_words, remedy
from analyze.questions.facts import Facts, Finding, facts_in, finding
from analyze.questions.forms import Measured
from analyze.questions.guess import Guess, best_guess, continued, within_design
from analyze.questions.reach import with_reach
from analyze.questions.regimes import Regime, boundaries
from analyze.questions.sequential import judge_by_design
from analyze.results import Results
from analyze.stats.result import LEVEL, Status
from analyze.stats.safety import MARGIN
from analyze.study import Study, study_of
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

LEVEL_OF_FORMS = LEVEL / 2
"""What the forms of all architectures share where one of them is chosen: skewed losses err at twice small levels."""
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
    macs: int | None = None
    ram_fp32: int | None = None
    ram_int8: int | None = None
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
    safe_macs: int | None = None
    safe_ram: int | None = None
    by: By = "parameters"
    max_parameters: int | None = None
    max_bytes: int | None = None
    max_macs: int | None = None
    max_ram: int | None = None
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


@dataclass(frozen=True, repr=False)
class Recommendations(Results[Recommendation]):
    """Recommendations, one per scope, and the evidence behind them, a row per scope and architecture."""

    evidence: Results[Candidate] = field(default_factory=lambda: Results(Candidate, ()))


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
    max_macs: int | None = None,
    max_ram: int | None = None,
    by: By = "parameters",
    seed: int = 0,
) -> Recommendations:
    """Return the smallest stable architecture that satisfies the limits, per family and over all, of each dataset.

    Accuracies are fractions. `max_drop` is what may be lost against the best stable architecture that fits the budget,
    and by every form of the one that is chosen, each. The budget bounds parameters, and of some form that was measured
    and is shown to be safe the stored bytes, multiply-accumulates of an inference and bytes of its activations; `by`
    says in which of these it is the smallest.

    Raises:
        MinarchError: there is no such store, or it holds none of a dataset, family or protocol that was named.
    """
    limits = Limits(
        max_drop=max_drop,
        max_parameters=max_parameters,
        max_bytes=max_bytes,
        min_accuracy=min_accuracy,
        max_macs=max_macs,
        max_ram=max_ram,
        by=by,
    )
    study = study_of(store, dataset, family, protocol, seed=seed, tables=("pruning", "post_training"))
    notes = study.demand(sweeps(study)).notes
    stability = [row for row, _ in boundaries(study)]
    cells, facts = cells_in(study), facts_in(study, max_drop)
    rows: list[Recommendation] = []
    evidence: list[Candidate] = []
    fits = may_fit(limits, facts.forms)
    for name, members in groupby(cells, key=lambda cell: cell.dataset):
        about = [row for row in stability if row.dataset == name]
        for scope, part in _scopes(list(members)):
            planned = _design(study, part, limits)
            judged = (
                judge_by_design(planned, part, scope, limits, seed=study.seed, fits=fits)
                if planned
                else judge(part, scope, limits, seed=study.seed, fits=fits)
            )
            judged = with_reach(judged, part, limits, fits)
            regimes = [row for row in about if scope in ("all", row.family)]
            row, judged = _recommendation(judged, part, regimes, limits, facts, planned)
            rows.append(_designed(row, judged, planned, limits) if planned else row)
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
    found = [one for one in found if (one.spec.max_drop, one.spec.min_accuracy) == asked]
    budget = (limits.max_macs, limits.max_ram)
    return next((one for one in found if (one.spec.max_macs, one.spec.max_ram) == budget), next(iter(found), None))


def _designed(row: Recommendation, judged: Sequence[Candidate], planned: Planned, limits: Limits) -> Recommendation:
    """Return the row with its design and the look at which it was decided, or the last one that was taken."""
    taken = [other.look for other in judged if other.look and other.verdict in ("recommended", "not shown", "guess")]
    chosen = [other.look for other in judged if other.verdict == "recommended"]
    return replace(
        row,
        method=within_budget(DESIGNED, limits),
        design=planned.design_id,
        look=chosen[0] if chosen else max(taken, default=None),
        planned_looks=", ".join(map(str, planned.spec.looks)),
    )


def _scopes(cells: list[Cell]) -> list[tuple[str, list[Cell]]]:
    """Return the families, and all together where there are several on the same version of the data."""
    families = [(family, list(part)) for family, part in groupby(cells, key=lambda cell: cell.family)]
    one_version = len({cell.dataset_fingerprint for cell in cells}) == 1
    return [("all", cells), *families] if len(families) > 1 and one_version else families


def _recommendation(
    judged: list[Candidate],
    cells: Sequence[Cell],
    regimes: Sequence[Regime],
    limits: Limits,
    facts: Facts,
    planned: Planned | None,
) -> tuple[Recommendation, list[Candidate]]:
    """Return the recommendation, and the evidence with its verdicts made final."""
    tested = sum(row.p_value is not None for row in judged)

    passed = [row for row in judged if row.verdict == "qualifies"]
    findings = [finding(row, regimes, limits, facts, LEVEL_OF_FORMS / max(tested, 1)) for row in passed]
    findings.sort(key=lambda found: (found.takes(limits), found.candidate.parameters))
    small = [found for found in findings if not limits.of_forms or found.chosen is not None]
    best = small[0] if small else None
    second = small[1].candidate if len(small) > 1 else None
    verdicts = {id(found.candidate): "no safe form fits" for found in findings}
    verdicts |= {id(found.candidate): "qualifies" for found in small}
    if best:
        verdicts[id(best.candidate)] = "recommended"
    if second:
        verdicts[id(second)] = "runner-up"
    likely: dict[int, Measured | None] = {}

    def takes(row: Candidate) -> float:
        if not limits.of_forms:
            return row.parameters
        form = likely.setdefault(id(row), smallest(facts.harmless(row.key), limits))
        return inf if form is None else taken_by(form, limits.by) or 0

    guess = best_guess(
        judged,
        cells,
        limits,
        best.takes(limits) if best else inf,
        facts.seconds,
        takes,
        fits=may_fit(limits, facts.forms),
    )
    if guess:
        guess = replace(guess, form=likely.get(id(guess.candidate)))
    if guess and planned:
        guess = within_design(guess, planned.spec.looks)
    if guess:
        verdicts[id(guess.candidate)] = "guess"
    final = [replace(row, verdict=verdicts.get(id(row), row.verdict)) for row in judged]
    status: Status = "detected"
    reason, command = _caveats(best, limits) if best else None, None
    if best is None:
        status, reason, command = remedy(judged, regimes, limits, findings, guess, facts.forms)
    if planned and best is None:
        command = continued([row for row in judged if row.stable is not False], planned.spec.looks)
    row = Recommendation(
        dataset=judged[0].dataset,
        scope=judged[0].scope,
        status=status,
        reach=judged[0].reach,
        max_drop=limits.max_drop,
        by=limits.by,
        max_parameters=limits.max_parameters,
        max_bytes=limits.max_bytes,
        max_macs=limits.max_macs,
        max_ram=limits.max_ram,
        candidates=sum(row.stable is True for row in judged),
        tested=tested,
        method=within_budget(METHOD, limits),
        reason=reason,
        command=command,
        explanation=explanation(
            final, regimes, limits, best, guess, reason, command, planned.spec.looks if planned else ()
        ),
    )
    return _with_guess(_with(row, best, second), guess), final


def within_budget(method: str, limits: Limits) -> str:
    """Return the method with what a budget changes of it."""
    if limits.budget:
        method = method.replace("other stable architecture", "other stable architecture that fits the budget", 1)
    forms = "; forms of all architectures tested share 2.5%" if limits.of_forms else ""
    return method + forms


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
        macs=chosen.macs,
        ram_fp32=chosen.ram_fp32,
        ram_int8=chosen.ram_int8,
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
        safe_macs=best.safe_macs,
        safe_ram=best.safe_ram,
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
