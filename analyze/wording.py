"""What estimators return as data, in words: what is missing and what to run, and what explains an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby

from analyze.stats.decline import SPAN
from analyze.stats.gaps import MIN_SIZES_FOR_TREND
from analyze.stats.overfitting import MIN_OPENING, MIN_SLOPE_CHANGE
from analyze.stats.result import MIN_REPLICATES, Needed, Observed, Reason, Shortage
from analyze.stats.stability import UNSTABLE_SPREAD
from analyze.texts import Command, joined, phrase, quoted

LIMIT = f"(unstable: {100 * UNSTABLE_SPREAD:g} or more)"

SHORTAGES: Mapping[Needed, str | Callable[[int], str]] = {
    "replicates": lambda need: f"needed replicates: run with --repeats {need} or more",
    "replicates for intervals": lambda need: (
        f"replicates that intervals of onset and collapse take: run with --repeats {need} or more"
    ),
    "replicates over sizes": f"needed replicates with {MIN_SIZES_FOR_TREND} living sizes: run more sizes or --repeats",
    "shared replicates": lambda need: phrase(
        "needed replicates shared by the topologies: run ", quoted(Command("shapes", repeats=need))
    ),
    "living pairs": lambda need: f"needed replicates alive in both; run with --repeats {need} or more",
    "living replicates": lambda need: f"needed replicates alive in fp32: run with --repeats {need} or more",
    "sizes": "needed sizes: run more --capacities",
    "comparable sizes": "needed sizes can be tested: run more --capacities",
    "sizes with topologies": lambda _: phrase(
        f"needed sizes with two topologies of {MIN_REPLICATES} shared replicates: run ",
        quoted(Command("shapes", repeats=MIN_REPLICATES)),
        ", or more --capacities",
    ),
    "topologies": lambda _: phrase("one topology only: run ", quoted(Command("shapes"))),
    "sparsities": "needed sparsities: run more --sparsities",
    "epochs": "epochs: run with more --epochs",
}
"""What follows `3 of 5`, given what is needed; a single topology is said without numbers."""


def _pooled(why: str, spread: float) -> str:
    """Return why sizes are one regime, and what to run where that is the unstable one."""
    return f"{why} {LIMIT}" + (": run larger sizes" if spread >= UNSTABLE_SPREAD else "")


REMARKS: Mapping[Observed, str | Callable[..., str]] = {
    "all sizes dead": "every size is at chance; run larger sizes, or more epochs",
    "gradual fall": "the spread falls steadily over the sizes: the step is its middle, no boundary",
    "no fall": lambda p, spread: _pooled(
        f"no fall in spread found (p = {p:.2g}); pooled sd {100 * spread:.2g} points", spread
    ),
    "one side of the limit": lambda below, above, spread: _pooled(
        "the spread falls, but does not part unstable from stable sizes: "
        f"{100 * below:.2g} to {100 * above:.2g} points",
        spread,
    ),
    "no stable size": "no size is stable yet, and the gap is looked at above the stability boundary",
    "gap levels off": "the gap between training and test accuracy opens nowhere: if it bends, it levels off",
    "gap on a line": lambda p: f"the gap between training and test accuracy follows a line in size (p = {p:.2g})",
    "gap opens slowly": lambda change: (
        f"the gap opens by {100 * change:.2g} points per size only (least that counts: {100 * MIN_SLOPE_CHANGE:g})"
    ),
    "gap opens little": lambda opening: (
        f"the gap opens by {100 * opening:.2g} points in all only (least that counts: {100 * MIN_OPENING:g})"
    ),
    "test accuracy rises": lambda rising: (
        f"the gap opens while test accuracy may still rise by {100 * rising:.2g} points per size"
    ),
    "all topologies dead": "every topology is at chance, equal since none learned: run larger --capacities",
    "topologies left out": lambda left_out, among: (
        f"{left_out} of {among} topologies left out for fewer than {MIN_REPLICATES} replicates"
    ),
    "topologies differ": "topologies still differ by more than the margin at the largest size: run larger sizes",
    "equivalence not shown": "equivalence is not shown at the largest size; `analyze power` says what it takes",
    "one replicate dominates": "one replicate makes most of the variance: rare events make intervals cover too little "
    "and p values too small",
    "one replicate dominates networks": "one replicate makes most of the variance within networks: rare events make "
    "its interval cover too little",
    "one replicate dominates rise": "one replicate makes most of the variance of the rise: rare drops or rises make p "
    "too small, and the interval covers too little",
    "no rise": lambda p: f"test loss at the end is not higher than at its best (p = {p:.2g})",
    "no crossing": "neither curve is significantly better first and worse later",
    "no safe sparsity": "even the smallest sparsity is not shown to be within the margin",
    "nothing to lose": "the unpruned models are at chance: there is nothing to lose",
    "straight decline": "a straight line describes accuracy over sparsity as well",
    "lost": lambda share, sparsity: f"{share:z.1%} lost at {sparsity:.0%}",
    "lost within span": lambda share: f"{share:z.0%} lost within {100 * SPAN:.0f} points",
    "spread": lambda sd, sparsity, unpruned: (
        f"sd {100 * sd:.1f} points at {sparsity:.0%}, {100 * unpruned:.1f} unpruned"
    ),
    "left": lambda share, sparsity: f"{share:z.0%} left at {sparsity:.0%}",
}


def several(reasons: Iterable[Reason]) -> str | None:
    """Return the reasons in words, in their order; None where there are none."""
    texts = []
    for stable_only, members in groupby(reasons, key=_of_stable_sizes):
        text = joined(one(part) for part in members)
        texts.append(phrase("at or above the stability boundary: ", text) if stable_only else text)
    return joined(texts) or None


def one(reason: Reason) -> str:
    """Return a reason in words; which sizes it counted is said by `several` only."""
    if isinstance(reason, Shortage):
        return _shortage(reason)
    words = REMARKS[reason.observed]
    return words if isinstance(words, str) else words(*reason.numbers)


def _shortage(missing: Shortage) -> str:
    words = SHORTAGES[missing.of]
    after = words if isinstance(words, str) else words(missing.need)
    if missing.of == "topologies":
        return after
    if missing.dead:
        return (
            f"{missing.have} of {missing.need} needed replicates alive in both; the others are dead: run larger sizes, "
            f"or --repeats {missing.need} or more"
        )
    return phrase(f"{missing.have} of {missing.need} ", after)


def _of_stable_sizes(part: Reason) -> bool:
    return isinstance(part, Shortage) and part.stable_only
