"""A recommendation in words: the reasoning behind it, or what stands in its way and which sweep would decide it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import ceil, isclose

from scipy.special import ndtri

from analyze.questions.budget import Limits, exceeded, taken_by
from analyze.questions.candidates import Candidate
from analyze.questions.costs import NOUNS
from analyze.questions.cuts import PRUNED_INT8
from analyze.questions.facts import Finding
from analyze.questions.forms import Measured
from analyze.questions.guess import Guess, more_replicates
from analyze.questions.reach import reach_in_words
from analyze.questions.regimes import Regime
from analyze.stats.result import MIN_REPLICATES, MIN_SIZES, Status
from analyze.study import ArchitectureKey
from analyze.texts import Command, joined, phrase
from store.families import family_facts
from store.words import counted

WHY_ALL_DIFFERS = (
    "Why `all` can differ from a family's row: there everything is measured against the best of all families, and more "
    "architectures share the 5%, so that what passes within its family need not pass"
)
POWER = 0.8
MOST_REPEATS = 1000


def remedy(
    judged: Sequence[Candidate],
    regimes: Sequence[Regime],
    limits: Limits,
    passed: Sequence[Finding],
    guess: Guess | None,
    forms: Callable[[ArchitectureKey], Sequence[Measured]],
) -> tuple[Status, str, str | None]:
    """Return the status of a scope in which nothing qualifies, why, and the command that would decide it, if any would.

    `forms` returns the forms of an architecture that were measured.
    """
    tested = [row for row in judged if row.p_value is not None]
    if passed:
        least = min(passed, key=lambda found: found.safe_bytes)
        return "absent", _no_form(least, limits), _smaller(least.candidate, judged)
    if tested:
        return "absent", *_not_shown(tested, limits, guess)
    measured = [form for row in judged for form in forms(row.key)]
    if measured and not any(limits.allows(form, unknown=True) for form in measured):
        return "absent", *_nothing_fits(judged, limits, measured)
    contenders = [row for row in judged if row.verdict == "too large"]
    if contenders:
        first = min(contenders, key=lambda row: (row.takes(limits.by), row.parameters))
        over = ", and ".join(exceeded(forms(first.key), limits)) or f"no form that takes {limits.in_words}"
        reason = f"the smallest stable architecture, {first.name}, has {over}"
        return "absent", reason, _smaller(first, judged)
    too_few = [row for row in judged if row.verdict == "too few"]
    if too_few:
        reason = f"every stable size has fewer than {MIN_REPLICATES} replicates"
        return "insufficient", reason, _sweep(too_few[-1], (too_few[-1].capacity,), MIN_REPLICATES)
    return _nothing_stable(judged, regimes)


def explanation(
    judged: Sequence[Candidate],
    regimes: Sequence[Regime],
    limits: Limits,
    best: Finding | None,
    guess: Guess | None,
    reason: str | None,
    command: str | None,
    looks: Sequence[int] = (),
) -> str:
    """Return the reasoning in sentences, one per line; `looks` are those of the sequential design, if there is one."""
    tested = [row for row in judged if row.p_value is not None]
    passed = [row for row in tested if row.verdict not in ("not shown", "guess")]
    lines = [f"Stability: {'; '.join(_boundary(row) for row in regimes)}."]
    if tested:
        also = "" if limits.min_accuracy is None else f", and more accurate than {100 * limits.min_accuracy:g}%"
        rivals = f" that can be had with {limits.in_words}" if limits.budget else ""
        lines.append(
            f"Tested: {counted(len(tested), 'stable architecture')}, each for non-inferiority to every other stable "
            f"one{rivals}, margin {in_points(limits.max_drop)}, paired by replicate{also}. The largest size of a sweep "
            f"goes first and hands its level on; family-wise error rate at most 5%. {len(passed)} passed."
        )
        if looks:
            lines.append(
                f"Looked at after {', '.join(map(str, looks))} replicates, as planned before the first: the 5% are "
                f"spent over these looks (O'Brien-Fleming type), whenever training stops."
            )
    if best is None:
        lines.append(phrase("Nothing is proven to qualify: ", reason or "", "."))
    else:
        lines += _choice(best, judged, limits)
    if guess:
        lines.append(phrase(f"Best guess, not proven: {guess.candidate.name}, ", in_words(guess), "."))
    if best is None and command and not (guess and guess.command == command):
        lines.append(phrase("What would decide it: ", command))
    if judged[0].scope == "all":
        lines.append(f"{WHY_ALL_DIFFERS}.")
    return joined(lines, "\n")


def in_words(guess: Guess) -> str:
    """Return what is known of a guess, and what would prove it."""
    row = guess.candidate
    below = "" if row.drop is None else f", {_below(row.drop)}"
    looks = (
        f"{row.parameters:,} parameters{_as_form(guess.form)}, mean accuracy {100 * row.mean:.2f}% over "
        f"{row.replicates} replicates{below}"
    )
    if guess.last_look and guess.command:
        return phrase(f"{looks}; undecided so far, and the search goes on with `", guess.command, "`")
    if guess.last_look:
        return f"{looks}; undecided after all {guess.last_look} replicates that were planned"
    if guess.replicates is None:
        return f"{looks}; so close to what is allowed that 1000 replicates would not prove it"
    return phrase(
        f"{looks}; if that is so, {guess.replicates} replicates of all that it is compared with prove it in 80% of "
        f"cases: {counted(guess.trainings, 'training')}, {duration(guess.seconds)} on "
        f"{counted(guess.cores, 'core')}: `",
        guess.command or "",
        "`",
    )


def _as_form(form: Measured | None) -> str:
    """Return the form that a budget makes of a guess, with what it takes."""
    return "" if form is None else f" ({form.form.name}: {_taken(form)}, not shown to be safe)"


def _taken(form: Measured) -> str:
    """Return what is known of what a form takes."""
    known = ((taken_by(form, kind), NOUNS[kind]) for kind in ("bytes", "macs", "ram"))
    return ", ".join(f"{taken:,} {noun}" for taken, noun in known if taken is not None)


def _no_form(least: Finding, limits: Limits) -> str:
    """Return why nothing that is good enough fits the budget, by the one whose safe form takes the fewest bytes."""
    reason = (
        f"the smallest safe form of those shown to be good enough is {least.candidate.name}, {least.safe_form}: "
        f"{least.safe_bytes:,} bytes"
    )
    if set(limits.budget) <= {"bytes"}:
        unknown = f"; the store does not know how many {NOUNS[limits.by]} it takes"
        return f"{reason}, and {limits.max_bytes:,} are allowed" if limits.budget else reason + unknown
    known = ((least.safe_macs, NOUNS["macs"]), (least.safe_ram, NOUNS["ram"]))
    more = "".join(f", {taken:,} {noun}" for taken, noun in known if taken is not None)
    return f"{reason}{more}; allowed are {limits.in_words}"


def duration(seconds: float) -> str:
    """Return a time that was estimated, in words."""
    if seconds < 60:
        return "less than a minute"
    number, unit = (seconds / 60, "minute") if seconds < 5400 else (seconds / 3600, "hour")
    return f"about {number:.0f} {unit}{'' if round(number) == 1 else 's'}"


def _below(drop: float) -> str:
    """Return how an architecture compares with the best other one."""
    return "the best of all that were seen" if drop <= 0 else f"estimated {_points(drop)} below the best"


def tested_in_words(row: Candidate) -> str:
    """Return the test that an architecture did not pass, in words; in a sequential design at its last look."""
    if row.look is None or row.p_value is None or row.nominal_level is None:
        return f"p = {row.p_value:.2g} at level {row.level:.2g}"
    if row.p_value <= row.nominal_level:
        return f"p = {row.p_value:.2g} after {row.look} replicates, but a rival has fewer than a look needs"
    return f"p = {row.p_value:.2g} after {row.look} replicates, where {row.nominal_level:.2g} is needed"


def _choice(best: Finding, judged: Sequence[Candidate], limits: Limits) -> list[str]:
    row = best.candidate
    lines = [f"Chosen: {row.name}, {row.parameters:,} parameters{_why(best, limits)}."]
    size = row.takes(limits.by)
    smaller = [other for other in judged if other.verdict in ("not shown", "guess") and other.takes(limits.by) < size]
    if smaller:
        last = max(smaller, key=lambda other: other.takes(limits.by))
        drop = "" if last.drop is None else f", {_below(last.drop)}"
        lines.append(f"Next smaller: {last.name}{drop}, did not pass ({tested_in_words(last)}).")
    if row.ci_low is not None and row.ci_high is not None and row.ci_level is not None:
        lines.append(
            f"Accuracy: mean {100 * row.mean:.2f}% over {row.replicates} replicates, between {100 * row.ci_low:.2f}% "
            f"and {100 * row.ci_high:.2f}%. A chosen architecture looks better than it is, so the interval is that of "
            f"{100 * row.ci_level:.4g}%, wide enough to hold with 95% whichever of those tested is chosen."
        )
    lines.append(f"Failures: {failures_in_words(row.failures, row.replicates, row.failure_bound)}.")
    if row.reach is not None and row.reached is not None and row.reach_share is not None:
        words = reach_in_words(row.reach, row.reached, row.replicates, row.reach_share)
        lines.append(f"Reliability: {words}.")
    margin = in_points(limits.max_drop)
    if best.safe_sparsity is None:
        lines.append("Pruning: not known.")
    else:
        lines.append(f"Pruning: {100 * best.safe_sparsity:.0f}% of the weights are shown to cost less than {margin}.")
    lines.append(f"8 bits: {_quantized(best, margin)}.")
    lines.append(
        f"Bytes: {best.bytes_fp32:,} in fp32, {best.bytes_int8:,} in int8"
        + ("" if best.bytes_pruned is None else f", {best.bytes_pruned:,} pruned")
        + f"; smallest form shown to be safe: {best.safe_form}, {best.safe_bytes:,}."
        if best.chosen is None
        else f"Bytes: {best.bytes_fp32:,} in fp32; form chosen: {best.safe_form}, {best.safe_bytes:,}."
    )
    return [*lines, *_further(best, margin)]


def _why(best: Finding, limits: Limits) -> str:
    """Return by what a network was chosen."""
    if best.chosen is None:
        return ": the fewest among those that satisfy every limit"
    satisfy = f"the fewest {NOUNS[limits.by]} among those that satisfy every limit"
    budget = f" ({limits.in_words})" if limits.budget else ""
    return f", {best.chosen.form.name}, {_taken(best.chosen)}: {satisfy}{budget}"


def _further(best: Finding, margin: str) -> Iterator[str]:
    """Yield what is known of forms beyond pruned and in 8 bits: those at once first, or what measures them."""
    row = best.candidate
    if PRUNED_INT8 not in best.cuts:
        command = Command("quantization", (row.dataset,), (row.family,), capacities=(row.capacity,))
        yield phrase(
            "Pruned and in 8 bits at once: not measured; `",
            command,
            "` prunes the networks that it trains, with more --repeats or into a new store.",
        )
    safe = [f"{cut.form.form.name} ({cut.form.bytes:,} bytes)" for cut in best.cuts.values() if cut]
    if best.cuts:
        yield (
            f"Further forms: {counted(len(best.cuts), 'kind')} measured; of each the harshest that is shown to cost "
            f"less than {margin}, the kinds sharing 5%: {', '.join(safe) or 'none'}."
        )


def failures_in_words(failures: int, replicates: int, bound: float) -> str:
    """Return how many trainings failed, and how large a share of all may do so although few were seen."""
    seen = "none" if failures == 0 else f"{failures}"
    return (
        f"{seen} of its {replicates} trainings failed, which leaves open that up to {100 * bound:.2g}% do "
        "(exact, one-sided 95%)"
    )


def _quantized(best: Finding, margin: str) -> str:
    gap = best.gap
    if best.int8_safe is None or gap is None:
        return "not known"
    if gap.death_rate:
        return f"not safe, {100 * gap.death_rate:.0f}% of the models die"
    interval = (
        "" if gap.gap is None or gap.ci_high is None else f"gap {_points(gap.gap)}, at most {_points(gap.ci_high)}"
    )
    return f"{interval}: {'safe' if best.int8_safe else 'not shown to be'} within {margin}"


def _boundary(row: Regime) -> str:
    name = f"{row.family} depth {row.depth}"
    if row.capacity is None:
        return f"{name} {row.status.replace('_', ' ')}"
    return f"{name} from size {row.capacity} on (95% interval {row.ci_low} to {row.ci_high}, {row.status})"


def _not_shown(tested: Sequence[Candidate], limits: Limits, guess: Guess | None) -> tuple[str, str]:
    """Return why no tested architecture passed, and what to run."""
    best = max(tested, key=lambda row: row.mean)
    if limits.min_accuracy is not None and best.mean <= limits.min_accuracy:
        reason = (
            f"the best stable architecture, {best.name}, has a mean accuracy of {100 * best.mean:.2f}%, "
            f"and {100 * limits.min_accuracy:g}% are asked for"
        )
        return reason, _larger(best, tested)
    nearest = min(tested, key=lambda row: row.drop if row.drop is not None else 0.0)
    drop, sd = max(nearest.drop or 0.0, 0.0), nearest.sd or 0.0
    lacking = (
        "the one stable architecture is not" if len(tested) == 1 else f"none of {len(tested)} stable architectures is"
    )
    reason = (
        f"{lacking} shown to be within {in_points(limits.max_drop)} of the best"
        + ("" if limits.min_accuracy is None else f" and above {100 * limits.min_accuracy:g}%")
        + f"; nearest: {nearest.name}, {tested_in_words(nearest)}"
    )
    if guess and (guess.command or guess.last_look):
        return reason, guess.command or ""
    if drop >= limits.max_drop:
        return f"{reason}, estimated {_points(drop)} below the best, which is too large itself", _larger(best, tested)
    rooms = [limits.max_drop - drop]
    if limits.min_accuracy is not None and nearest.mean > limits.min_accuracy:
        rooms.append(nearest.mean - limits.min_accuracy)
    z = -float(ndtri(nearest.level or 0.05)) + float(ndtri(POWER))
    # Two architectures of equal spread, replicates uncorrelated: the pairing can only make it fewer.
    # A hair's breadth asks for more than a float can count.
    needed = ceil(2 * min(z * sd / min(rooms), MOST_REPEATS) ** 2) + 2
    repeats = min(max(needed, nearest.replicates + 5), MOST_REPEATS)
    enough = f"about {repeats}" if needed <= MOST_REPEATS else f"more than {MOST_REPEATS}"
    return f"{reason}; {enough} replicates of all of them would show it", more_replicates(tested, repeats)


def _nothing_fits(judged: Sequence[Candidate], limits: Limits, measured: Sequence[Measured]) -> tuple[str, str | None]:
    """Return that no network fits the budget, stable or not, and the command that trains smaller ones if there are."""
    over = ", and ".join(exceeded(measured, limits))
    why = f"the least takes {over}" if over else f"none takes {limits.in_words} at once"
    least = min(judged, key=lambda row: (row.takes(limits.by), row.parameters))
    below = tuple(range(1, least.capacity)[-4:])
    networks = counted(len(judged), "network")
    return (
        f"no form fits of the {networks} that were trained: {why}",
        _sweep(least, below, max(least.replicates, MIN_REPLICATES)) if below else None,
    )


def _nothing_stable(judged: Sequence[Candidate], regimes: Sequence[Regime]) -> tuple[Status, str, str]:
    unreached = [row for row in regimes if row.status == "not_reached"]
    first = judged[0]
    if unreached:
        about = [row for row in judged if (row.family, row.depth) == (unreached[0].family, unreached[0].depth)]
        largest = max(about, key=lambda row: row.capacity)
        why = joined(dict.fromkeys(row.reason for row in unreached))
        return "not_reached", phrase("no size is stable: ", why), _larger(largest, about)
    why = joined(dict.fromkeys(row.reason for row in regimes))
    sizes = sorted({row.capacity for row in judged if (row.family, row.depth) == (first.family, first.depth)})
    lacking = MIN_SIZES - len(sizes)
    more = (*sizes, *(2**step * sizes[-1] for step in range(1, lacking + 1))) if lacking > 0 else ()
    command = phrase(Command("convergence", (first.dataset,), (first.family,), more, repeats=10))
    return "insufficient", phrase("too little data to find stable sizes: ", why), command


def _larger(row: Candidate, among: Sequence[Candidate]) -> str:
    """Return the command that trains sizes beyond the largest of this sweep."""
    largest = max(other.capacity for other in among if (other.family, other.depth) == (row.family, row.depth))
    return _sweep(row, (2 * largest, 4 * largest), max(row.replicates, MIN_REPLICATES))


def _smaller(row: Candidate, judged: Sequence[Candidate]) -> str:
    """Return the command that trains the sizes between the last unstable one of this sweep and the first stable one."""
    sweep = [other for other in judged if (other.family, other.depth) == (row.family, row.depth)]
    first = min(other.capacity for other in sweep if other.stable)
    last = max((other.capacity for other in sweep if not other.stable), default=0)
    between = range(last + 1, first)
    if not between:
        # No size lies between: what is left is more certainty about the ones there are.
        return _sweep(row, (), row.replicates + 10)
    step = ceil(len(between) / 4)
    return _sweep(row, tuple(between[::step]), max(row.replicates, MIN_REPLICATES))


def _sweep(row: Candidate, sizes: tuple[int, ...], repeats: int) -> str:
    """Return the command that trains more of an architecture's sweep: these sizes of it, or all that the store has."""
    depths = (row.depth,) if family_facts(row.family).layered else ()
    return phrase(
        Command("convergence", (row.dataset,), (row.family,), capacities=sizes, depths=depths, repeats=repeats)
    )


def in_points(margin: float) -> str:
    """Return a margin, a fraction, in words: `1 point`, `0.5 points`."""
    return "1 point" if isclose(margin, 0.01) else f"{100 * margin:g} points"


def _points(value: float) -> str:
    return f"{100 * value:.2f} points"
