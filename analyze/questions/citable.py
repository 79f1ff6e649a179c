"""The citable statement in words: Markdown made of a `Statement`, every number from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import floor
from typing import TYPE_CHECKING

from analyze.questions.budget import Limits
from analyze.questions.costs import NOUNS
from analyze.questions.explain import failures_in_words, in_points
from analyze.questions.reach import in_percent, reach_in_words
from analyze.questions.statement import HARDWARE
from store.families import family_facts
from store.words import counted

if TYPE_CHECKING:
    from analyze.questions.recommend import Recommendation
    from analyze.questions.statement import Data, Statement


def markdown(statement: Statement) -> str:
    """Return the statement as a section of Markdown: the answer, and below it what it rests on, a line each."""
    lines = [f"## The smallest reliable network: {statement.dataset}, {statement.scope}", "", _headline(statement), ""]
    lines += [f"- **{title}.** {text}" for title, text in _clauses(statement)]
    return "\n".join(lines) + "\n"


def _headline(statement: Statement) -> str:
    answer = statement.answer
    tried = sum(len(row.capacities) for row in statement.tried)
    if answer.family is None or answer.depth is None or answer.capacity is None:
        return (
            f"Of {counted(tried, 'network')} tried, none is shown to be stable and good enough ({answer.status}): "
            f"{answer.reason}." + (f" The budget: {limits_of(answer).in_words}." if limits_of(answer).budget else "")
        )
    name = _named(answer.family, answer.depth, answer.capacity)
    also = "".join(f", {limit}" for limit in _limits(statement))
    text = (
        f"Of {counted(tried, 'network')} tried, the {_smallest(answer)} that is shown to be good enough is **{name}, "
        f"with {answer.parameters:,} parameters**{_taken(answer)}: it is stable, and non-inferior within "
        f"{in_points(answer.max_drop)} of test accuracy to every other stable one{_rivals(answer)}{also}."
    )
    reliable = _reliability(answer)
    return f"{text} {reliable[:1].upper()}{reliable[1:]}." if reliable else text


def limits_of(answer: Recommendation) -> Limits:
    """Return the limits that an answer was asked with."""
    return Limits(
        max_drop=answer.max_drop,
        max_parameters=answer.max_parameters,
        max_bytes=answer.max_bytes,
        max_macs=answer.max_macs,
        max_ram=answer.max_ram,
        by=answer.by,
    )


def _smallest(answer: Recommendation) -> str:
    return "smallest" if answer.by == "parameters" else f"one with the fewest {NOUNS[answer.by]}"


def _taken(answer: Recommendation) -> str:
    """Return the form that was chosen, where one was, with what it takes."""
    if not limits_of(answer).of_forms:
        return ""
    taken = ((answer.safe_bytes, "bytes"), (answer.safe_macs, "macs"), (answer.safe_ram, "ram"))
    words = ", ".join(f"{number:,} {NOUNS[kind]}" for number, kind in taken if number is not None)  # type: ignore[index]
    return f", as {answer.safe_form}: {words}"


def _rivals(answer: Recommendation) -> str:
    """Return which of the others it was measured against, where not against all."""
    budget = limits_of(answer).in_words
    return f" of which some measured form takes {budget}" if budget else ""


def _clauses(statement: Statement) -> Iterator[tuple[str, str]]:
    answer = statement.answer
    yield "Population", _population(statement)
    yield "What varied between trainings", f"{', '.join(statement.varied)}, all drawn by the number of the replicate"
    yield "What did not", _same(statement)
    yield "Networks tried", _tried(statement)
    yield "Test", _test(answer)
    yield "Looks", statement.looks
    if answer.family is not None:
        yield from _results(statement)
    elif answer.command:
        yield "What would decide it", f"`{answer.command}`"
    if answer.reason and answer.family is not None:
        yield "To know", answer.reason
    if answer.guess_reason:
        guess = f"{answer.guess_family}, depth {answer.guess_depth}, size {answer.guess_capacity}"
        yield "Best guess, not proven", f"{guess}: {answer.guess_reason}"
    if statement.undecided:
        yield "Undecided", "; ".join(statement.undecided)
    yield "Levels", "every clause holds at its own level, 95% unless it names another, and not all of them jointly"
    yield from _provenance(statement)


def _results(statement: Statement) -> Iterator[tuple[str, str]]:
    """Yield what was found of the network that is recommended."""
    answer = statement.answer
    yield "Stability", _stability(answer)
    yield "Accuracy", _accuracy(answer)
    if statement.lowest:
        reached, share = floor(1000 * statement.lowest.accuracy) / 10, floor(100 * statement.lowest.share)
        yield (
            "Reliability",
            f"{_reliability(answer)}; the lowest of the {answer.replicates} accuracies is {reached:.1f}% (rounded "
            f"down), which at least {share}% of trainings reach (95% confidence). Not adjusted for the choice of the "
            "network",
        )
    failed = failures_in_words(answer.failures or 0, answer.replicates or 0, answer.failure_bound or 0.0)
    yield "Failures", f"{failed}; failed are trainings that are dead or end 10 points below the median of the network"
    yield "Cuts", _cuts(answer)


def _provenance(statement: Statement) -> Iterator[tuple[str, str]]:
    compute, versions = statement.compute, statement.versions
    yield (
        "Compute",
        f"{counted(compute.trainings, 'training')} in 32 and 8 bits, {compute.hours:,.1f} hours of training, "
        f"ended {compute.first} to {compute.last}; the store holds {counted(compute.store_trainings, 'training')}, "
        f"{compute.store_hours:,.1f} hours",
    )
    yield (
        "Versions",
        f"trained with minarch {_several(versions.minarch)} and PyTorch {_several(versions.torch)}, engine "
        f"{_several(versions.engines)}; analysed with minarch {versions.analysed_with}, seed of the resampling "
        f"{statement.asked.seed}",
    )
    protocols = ", ".join(f"`{name}`" for name in statement.protocols)
    yield "Identity", f"protocol {protocols}; results `{statement.store_id}` (store {statement.store})"
    if statement.notes:
        yield "Choice of runs", "; ".join(statement.notes)


def _population(statement: Statement) -> str:
    about = "these networks" if statement.answer.family is None else "this network"
    protocols = statement.answer.protocol_id or ", ".join(statement.protocols)
    return (
        f"all trainings of {about} by protocol {protocols} on {statement.dataset}, {_data(statement.data)}; a "
        "replicate is a training drawn from them. Intervals and bounds are about trainings: the test images are these "
        "and no others"
    )


def _data(data: Data) -> str:
    return (
        f"fingerprint `{data.fingerprint}` ({data.train_images:,} training and {data.test_images:,} test images of "
        f"{data.height} x {data.width} x {data.channels}, {data.classes} classes, chance accuracy "
        f"{100 * data.chance_accuracy:.1f}%)"
    )


def _same(statement: Statement) -> str:
    hosts = statement.versions.hosts
    same = ", ".join(statement.same)
    if len(hosts) == 1:
        return f"{same} ({hosts[0]})" if HARDWARE in statement.same else f"{same}; hardware: {hosts[0]}"
    return f"{same}; hardware did: {'; '.join(hosts)}"


def _tried(statement: Statement) -> str:
    alike: dict[tuple[str, tuple[int, ...], int, int], list[int]] = {}
    for row in statement.tried:
        key = (row.family, row.capacities, row.fewest_replicates, row.most_replicates)
        alike.setdefault(key, []).append(row.depth)
    rows = []
    for (family, capacities, fewest, most), depths in alike.items():
        facts = family_facts(family)
        layers = facts.depth(depths[0]) if len(depths) == 1 else f"{_list(depths)} {facts.layer[1]}"
        replicates = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        rows.append(f"{facts.title}, {layers}, {facts.capacity_noun} {_list(capacities)}: {replicates} replicates")
    return "; ".join(rows)


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _test(answer: Recommendation) -> str:
    return (
        f"margin {in_points(answer.max_drop)}; {answer.candidates} of these are stable, {answer.tested} of them were "
        f"tested; {answer.method}"
    )


def _stability(answer: Recommendation) -> str:
    interval = (
        ""
        if answer.stability_low is None or answer.stability_high is None
        else f", 95% interval {answer.stability_low} to {answer.stability_high} in size"
    )
    return f"boundary of its family and depth: {(answer.stability or 'unknown').replace('_', ' ')}{interval}"


def _accuracy(answer: Recommendation) -> str:
    mean = f"mean {100 * (answer.accuracy or 0.0):.2f}% over {counted(answer.replicates or 0, 'training')}"
    if answer.ci_low is None or answer.ci_high is None or answer.ci_level is None:
        return f"{mean}; no interval"
    return (
        f"{mean}, between {100 * answer.ci_low:.2f}% and {100 * answer.ci_high:.2f}% ({100 * answer.ci_level:.4g}% "
        "interval, which holds with 95% whichever of those tested is chosen)"
    )


def _reliability(answer: Recommendation) -> str:
    if answer.reach is None or answer.reached is None or answer.reach_share is None or answer.replicates is None:
        return ""
    return reach_in_words(answer.reach, answer.reached, answer.replicates, answer.reach_share)


def _cuts(answer: Recommendation) -> str:
    margin = in_points(answer.max_drop)
    pruned = (
        "pruning is not known"
        if answer.safe_sparsity is None
        else f"{100 * answer.safe_sparsity:.0f}% of the weights can be pruned for less than {margin} (one-sided 95%)"
    )
    bits = {
        None: "8 bits are not known",
        True: f"8 bits cost less than {margin}",
        False: f"8 bits are not shown to cost less than {margin}",
    }[answer.int8_safe]
    if answer.gap is not None and answer.gap_low is not None and answer.gap_high is not None:
        ends = f"{100 * answer.gap_low:.2f} to {100 * answer.gap_high:.2f}"
        bits += f" (gap {100 * answer.gap:.2f} points, 95% interval {ends})"
    both = (
        ""
        if answer.safe_sparsity_int8 is None
        else f"; in 8 bits and {100 * answer.safe_sparsity_int8:.0f}% pruned at once it costs less than {margin} too"
    )
    return (
        f"{pruned}; {bits}{both}. Each was tested by itself against the network in 32 bits, not jointly. Smallest form "
        f"shown to be safe, of those that were measured: {answer.safe_form}, {answer.safe_bytes:,} bytes"
    )


def _limits(statement: Statement) -> Iterator[str]:
    """Yield the limits that were asked for beside the margin and the budget."""
    asked = statement.asked
    if asked.min_accuracy is not None:
        yield f"with a mean shown to be above {in_percent(asked.min_accuracy)}%"


def _named(family: str, depth: int, capacity: int) -> str:
    facts = family_facts(family)
    return f"{facts.title}, {facts.sized(depth, capacity)}"


def _several(values: tuple[str, ...]) -> str:
    return ", ".join(values) or "not recorded"
