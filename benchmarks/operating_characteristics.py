"""Error rates and coverage of the estimators on planted data: the tables of docs/method.md.

    python -m benchmarks.operating_characteristics --stores 400

prints one Markdown table per method, shares and means with their Monte Carlo standard errors. Nothing was tuned on
these seeds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from statistics import mean, stdev

from tests import planted
from tests.planted_auto import AutoTally, grid_tally, pairs_tally, topologies_tally
from tests.planted_bits import EDGE, FLAT, LADDER, descent_tally
from tests.planted_budget import budget_tally, forms_tally
from tests.planted_claims import WORLDS, claims_looked_tally, claims_tally
from tests.planted_curves import NULL_CURVES, RARE_DROPS, RISING_CURVES
from tests.planted_forms import comparison_tally, frontier_tally
from tests.planted_means import KINDS, LEVELS, rejections
from tests.planted_pruning import PRUNING
from tests.planted_reach import CHOICES, NOISES, reach_tally
from tests.planted_recommend import edge_looks, guess_tally, recommend_tally
from tests.planted_search import MANY, SWEEPS, normal, search_tally, skewed, steep_tally
from tests.planted_shapes import (
    COMPONENTS,
    component_coverage,
    equivalence_tally,
    equivalent_at_some_look,
    rare_component_coverage,
)
from tests.tally import (
    LOOKS,
    POINTS,
    Tally,
    curve_tally,
    death_coverage,
    death_tally,
    gap_coverage,
    harmless_calls,
    overfitting_looks,
    overfitting_tally,
    pruning_tally,
    rare_tally,
    stability_looks,
    stability_tally,
    trend_tally,
    unsafe_at_some_look,
    unsafe_calls,
)

REPLICATES = (5, 10, 30)
FIRST_SEED = 50_000
FIXED = 20
"""Replicates of the design that a search is compared with."""
LOCATED = ("R", "located", "exact", "within one size", "95% interval covers", "mean width, sizes")


def stability(seeds: range) -> Iterator[str]:
    """Yield the lines on the stability boundary."""
    boundaries = {**planted.BOUNDARIES, **planted.HARD_BOUNDARIES}
    yield from boundary_table(boundaries, lambda s, r: stability_tally(boundaries[s], r, seeds))
    others = {**planted.NULLS, "gradual": planted.gradual}
    yield from status_table(others, lambda s, r: stability_tally(others[s], r, seeds))
    yield from header("30 replicates, from the seventh size on 5", "located", "exact", "within one size", "covered")
    for name, scenario in {**planted.BOUNDARIES, **planted.NULLS}.items():
        t = stability_tally(planted.unequal(scenario), 30, seeds)
        hits = (share(count, t.stores) if name in planted.BOUNDARIES else "" for count in (t.exact, t.within_one))
        covered = share(t.covered, t.located) if name in planted.BOUNDARIES else ""
        yield row(name, share(t.located, t.stores), *hits, covered)
    yield ""
    columns = ("located", "first stable size dies in 5% or more", "bound on failures not too low")
    yield from header("probability of death", "R", *columns)
    for name, scenario in DEATHS.items():
        for replicates in REPLICATES:
            d = death_tally(scenario, replicates, seeds)
            yield row(
                name, replicates, share(d.located, d.stores), share(d.dying, d.stores), share(d.bounded, d.located)
            )
    yield ""
    yield from looks_table(planted.NULLS, lambda name: stability_looks(planted.NULLS[name], seeds), len(seeds))


def overfitting(seeds: range) -> Iterator[str]:
    """Yield the lines on the overfitting boundary."""
    yield from boundary_table(planted.GAPS, lambda s, r: overfitting_tally(planted.GAPS[s], r, seeds))
    yield from status_table(planted.NULL_GAPS, lambda s, r: overfitting_tally(planted.NULL_GAPS[s], r, seeds))
    yield from looks_table(
        planted.NULL_GAPS, lambda name: overfitting_looks(planted.NULL_GAPS[name], seeds), len(seeds)
    )


def epochs(seeds: range) -> Iterator[str]:
    """Yield the lines on overfitting in the epoch curves."""
    yield from header("learning curves", "R", "test loss found to rise", "rise not overstated (95%)")
    for name, scenario in {**RISING_CURVES, **NULL_CURVES, **RARE_DROPS}.items():
        for replicates in REPLICATES:
            t = curve_tally(scenario, replicates, seeds)
            yield row(name, replicates, share(t.located, t.stores), share(t.covered, t.stores))
    yield ""


def means(seeds: range) -> Iterator[str]:
    """Yield the lines on one-sided tests of means: 100 samples per store, the bootstrap on every fifth of them."""
    ways = ("t", "t, Hall", "t, bootstrap-t", "all three")
    yield from header("losses", "R", "level", *ways)
    samples, few = 100 * len(seeds), 20 * len(seeds)
    for kind in KINDS:
        for replicates in REPLICATES:
            t = rejections(kind, replicates, samples, seed=seeds.start)
            b = rejections(kind, replicates, few, seed=seeds.stop, resamples=9_999)
            for at, level in enumerate(LEVELS):
                counts = ((t.by_t, samples), (t.by_hall, samples), (b.by_bootstrap, few), (b.by_all, few))
                shares = (share(int(hits[at]), trials, digits=4) for hits, trials in counts)
                yield row(kind, replicates, f"{level:g}", *shares)
    yield ""


def pruning(seeds: range) -> Iterator[str]:
    """Yield the lines on pruning phases and safe sparsities."""
    yield from header("pruning curves", "R", "phases detected", *(f"{name}: exact, covered" for name in POINTS))
    for name, scenario in PRUNING.items():
        for replicates in REPLICATES:
            t = pruning_tally(scenario, replicates, seeds)
            points = (
                f"{share(t.exact[p], t.having[p])}, {share(t.covered[p], t.given[p]) if t.given[p] else '-'}"
                if t.having[p]
                else "-"
                for p in POINTS
            )
            yield row(name, replicates, share(t.detected, t.stores), *points)
    yield ""
    yield from header("true mean loss = margin", "R", "called safe")
    kinds = ("normal", "skewed", "lognormal", "rare")
    for kind in kinds:
        for replicates in REPLICATES:
            yield row(kind, replicates, share(unsafe_calls(kind, replicates, seeds), len(seeds)))
    for kind in kinds:
        looks = ", ".join(map(str, LOOKS))
        yield row(kind, f"any of {looks}", share(unsafe_at_some_look(kind, seeds), len(seeds)))
    yield ""
    yield from header("true mean loss, normal", "R", "called safe")
    for loss in (0.0, 0.005):
        for replicates in REPLICATES:
            yield row(f"{100 * loss:g} points", replicates, share(harmless_calls(loss, replicates, seeds), len(seeds)))
    yield ""


def quantization(seeds: range) -> Iterator[str]:
    """Yield the lines on gaps, deaths and trends."""
    yield from header("95% intervals of", "R", "cover")
    for name, coverage in COVERAGES.items():
        for replicates in REPLICATES:
            covered, intervals = coverage(replicates, seeds)
            yield row(name, replicates, share(covered, intervals, stores=len(seeds)))
    yield ""
    yield from header("trend of the gap, points per tenfold parameters", "R", "detected", "95% interval covers")
    for slope in (0.0, -0.005, -0.01):
        for replicates in REPLICATES:
            t = trend_tally(replicates, seeds, slope=slope)
            yield row(100 * slope, replicates, share(t.located, t.stores), share(t.covered, t.stores))
    yield ""


def drops(seeds: range) -> Iterator[str]:
    """Yield the lines on gaps and trends where one model in ten drops."""
    columns = ("gap covered", "one replicate named", "gap missed, none named", "false trend", "false trend, none named")
    yield from header("1 in 10 drops, R", *columns)
    for replicates in REPLICATES:
        t = rare_tally(replicates, seeds)
        counts = (t.covered, t.warned, t.missed_unwarned, t.trends, t.trends_unwarned)
        yield row(replicates, *(share(count, t.stores) for count in counts))
    yield ""


def bits(seeds: range) -> Iterator[str]:
    """Yield the lines on the fewest safe bits and on the onset of loss."""
    yield from header("losses", "R", "unsafe bits called safe", "false onset", "exactly found", "its onset found")
    for kind in ("normal", "skewed"):
        for replicates in REPLICATES:
            edge, flat, known = (descent_tally(truth, kind, replicates, seeds) for truth in (EDGE, FLAT, LADDER))
            unsafe, false = share(edge.unsafe, edge.networks), share(flat.false_onsets, flat.networks)
            yield row(
                kind, replicates, unsafe, false, share(known.exact, known.networks), share(known.onsets, known.networks)
            )
    yield ""


def forms(seeds: range) -> Iterator[str]:
    """Yield the lines on pairs of forms and on the frontier."""
    yield from header("20 pairs", "R", "some verdict wrong", "equal ones equivalent", "2 points found")
    for kind in ("normal", "skewed"):
        for replicates in REPLICATES:
            c = comparison_tally(kind, replicates, seeds)
            found = (share(count, c.pairs, stores=c.families) for count in (c.equal, c.better))
            yield row(kind, replicates, share(c.wrong, c.families), *found)
    yield ""
    yield from header("120 forms", "R", "some form wrongly beaten", "3 points below, beaten")
    for kind in ("normal", "skewed"):
        for replicates in REPLICATES:
            f = frontier_tally(kind, replicates, seeds)
            far = share(f.beaten, f.far, stores=f.frontiers)
            yield row(kind, replicates, share(f.wrong, f.frontiers), far)
    yield ""


def shapes(seeds: range) -> Iterator[str]:
    """Yield the lines on equivalence of topologies and on variance components."""
    yield from header(
        "topologies", "R", "at the margin: equivalent", "different", "covered", "equal: found", "power stated"
    )
    for topologies in (2, 3, 9):
        for replicates in REPLICATES:
            apart = equivalence_tally(topologies, replicates, seeds, difference=0.01, margin=0.01)
            equal = equivalence_tally(topologies, replicates, seeds, difference=0.0, margin=0.01)
            counted = (apart.equivalent, apart.different, apart.covered, equal.equivalent)
            shares = (share(count, len(seeds)) for count in counted)
            yield row(topologies, replicates, *shares, average(equal.stated, 3))
    yield ""
    yield from header("3 topologies at the margin, noise", "R", "equivalent", "different", "covered")
    for kind in ("skewed", "rare"):
        for replicates in REPLICATES:
            apart = equivalence_tally(3, replicates, seeds, difference=0.01, margin=0.01, kind=kind)
            judged = (apart.equivalent, apart.different, apart.covered)
            yield row(kind, replicates, *(share(count, len(seeds)) for count in judged))
    yield ""
    yield from header(f"2 topologies at the margin, looks at {', '.join(map(str, LOOKS))}", "equivalent at some look")
    for kind in ("normal", "skewed", "rare"):
        hits = equivalent_at_some_look(LOOKS, seeds, margin=0.01, kind=kind)
        yield row(kind, share(hits, len(seeds)))
    yield ""
    yield from header("95% intervals cover: effect, trend", "R", *COMPONENTS)
    for effect, trend in ((0.0, 0.0), (0.004, 0.0), (0.0, 0.02), (0.004, 0.02)):
        for replicates in REPLICATES:
            covered = component_coverage(replicates, seeds, effect=effect, trend=trend)
            shares = (share(covered[name], len(seeds)) for name in COMPONENTS)
            yield row(f"{100 * effect:.1f}, {100 * trend:.0f} points", replicates, *shares)
    yield ""
    yield from header("1 in 50 loses 50 points, R", "replicate covered", "one replicate named")
    for replicates in REPLICATES:
        yield row(replicates, *(share(count, len(seeds)) for count in rare_component_coverage(replicates, seeds)))
    yield ""


def recommend(seeds: range) -> Iterator[str]:
    """Yield the lines on recommendations."""
    columns = (
        "unstable",
        "too bad",
        "any wrong one passes",
        "larger than need be",
        "interval covers",
        "share overstated",
    )
    yield from header("R", "something is recommended", *columns)
    for replicates in REPLICATES:
        t = recommend_tally(replicates, seeds)
        counts = (t.unstable, t.too_bad, t.any_wrong, t.larger, t.covered, t.overstated)
        yield row(replicates, share(t.made, t.stores), *(share(count, t.made) for count in counts))
    yield ""
    yield from header("R", "something is guessed", "good enough", "replicates advised", "then proven", "wrongly")
    for replicates in REPLICATES:
        g = guess_tally(replicates, seeds)
        advised = f"{g.replicates / max(g.named, 1):.0f}"
        proven, wrong = share(g.proven, g.named), share(g.wrong, g.named)
        yield row(replicates, share(g.made, g.stores), share(g.good, g.made), advised, proven, wrong)
    yield ""
    yield from header(
        "at the margin, four rivals", f"passes at R = {LOOKS[-1]}", f"at any of {', '.join(map(str, LOOKS))}"
    )
    for kind in ("normal", "lognormal"):
        yield row(kind, *(share(hits, len(seeds)) for hits in edge_looks(kind, seeds)))
    yield ""


def reach(seeds: range) -> Iterator[str]:
    """Yield the lines on the share of trainings that reach the target."""
    yield from header("trainings", "R", *(f"overstated of {choice}" for choice in CHOICES))
    for noise in NOISES:
        for replicates in REPLICATES:
            t = reach_tally(noise, replicates, seeds)
            yield row(noise, replicates, *(share(t.wrong[choice], t.stores) for choice in CHOICES))
    yield ""


def claims(seeds: range) -> Iterator[str]:
    """Yield the lines on the verdicts of whole tables of claims."""
    columns = ("tables with a wrong verdict", "rows wrong", "rows per table", "true or false ones decided")
    yield from header("claims are", "R", *columns)
    for name, world in WORLDS.items():
        for replicates in REPLICATES:
            t = claims_tally(world, replicates, seeds)
            wrong = share(t.rows_wrong, t.rows, stores=t.stores, digits=4)
            decided = share(t.decided, t.decidable, stores=t.stores)
            yield row(name, replicates, share(t.tables_wrong, t.stores), wrong, f"{t.rows / t.stores:.0f}", decided)
    yield ""


COVERAGES: dict[str, Callable[[int, range], tuple[int, int]]] = {
    "gaps, normal noise": partial(gap_coverage, skewed=False),
    "gaps, exponential noise": partial(gap_coverage, skewed=True),
    "death rates, 5%": partial(death_coverage, rate=0.05),
    "death rates, 20%": partial(death_coverage, rate=0.2),
}
DEATHS = {
    "falls smoothly over sizes": planted.dying_smoothly,
    "0.4, then 0.01": planted.dying_rarely,
    "falls from 0.6 to 0.25": planted.all_dying,
}


def search(seeds: range) -> Iterator[str]:
    """Yield the lines on sequential searches."""
    columns = ("a wrong answer", "CNN answered", "with the smallest", f"all at R = {FIXED}", "trainings", "looks")
    for sweeps in (SWEEPS, MANY):
        yield from header(f"{sum(map(len, sweeps.values()))} sizes: replicates", "correlation", *columns)
        for name, noise in (("normal", normal), ("exponential, long tail downwards", skewed)):
            for correlation in (0.0, 0.8):
                t = search_tally(noise, correlation, seeds, sweeps=sweeps, fixed=FIXED)
                shares = (share(count, t.stores) for count in (t.wrong, t.answered, t.smallest, t.fixed))
                yield row(name, correlation, *shares, average(t.trainings, 0), average(t.looks, 1))
        yield ""
    scopes = ("dnn", "cnn", "all", "any")
    yield from header(
        "all but the largest at the margin: replicates", "correlation", *(f"{s} too small" for s in scopes)
    )
    for name, noise in (("normal", normal), ("exponential, long tail downwards", skewed)):
        for correlation in (0.0, 0.8):
            counts = steep_tally(noise, correlation, seeds)
            yield row(name, correlation, *(share(counts[scope], len(seeds)) for scope in scopes))
    yield ""


def budget(seeds: range) -> Iterator[str]:
    """Yield the lines on recommendations under a budget."""
    scopes = ("dnn", "cnn", "all", "any")
    columns = (*(f"{scope} too small" for scope in scopes), "CNN answered with the best that fits")
    yield from header("under a budget, tested", "replicates", "correlation", *columns)
    for way in (f"once, at R = {FIXED}", "by a design"):
        for name, noise in (("normal", normal), ("exponential, long tail downwards", skewed)):
            for correlation in (0.0, 0.8):
                counts = budget_tally(noise, correlation, seeds, "design" if "design" in way else "fixed", FIXED)
                shares = (share(counts[scope], len(seeds)) for scope in (*scopes, "within"))
                yield row(way, name, correlation, *shares)
    yield ""
    yield from header("8 networks with 4 kinds of forms at the margin", "R", "some form called safe")
    for kind in ("normal", "skewed"):
        for replicates in REPLICATES:
            yield row(kind, replicates, share(forms_tally(kind, replicates, seeds), len(seeds)))
    yield ""


def auto(seeds: range) -> Iterator[str]:
    """Yield the lines on sweeps with `--repeats auto`."""
    noises = (("normal", normal), ("exponential, long tail downwards", skewed))
    effort = "trainings, of 30 of everything"
    yield from header("shapes: replicates", "equivalent at the margin", "different", "alike ones shown", effort)
    for name, noise in noises:
        t = topologies_tally(noise, seeds)
        yield row(name, *_shown(t, t.stores), average(t.trainings))
    yield ""
    yield from header("8 bits: replicates", "within at the margin", "beyond", "free ones shown", effort)
    for name, noise in noises:
        t = pairs_tally(noise, seeds)
        yield row(name, *_shown(t, 3 * t.stores), average(t.trainings))
    yield ""
    yield from header(
        "equal widths: replicates", "correlation", "too small", "boundary not covered", "with the smallest", effort
    )
    for name, noise in noises:
        for correlation in (0.0, 0.8):
            t = grid_tally(noise, correlation, seeds)
            shares = (share(t.wrong, t.stores), share(t.wrong_other, 2 * t.stores), share(t.decided, t.decidable))
            yield row(name, correlation, *shares, average(t.trainings))
    yield ""
    yield from header("claims are", "tables with a wrong verdict", "true or false ones decided")
    for name in ("at the edge", "at the edge, skewed"):
        c = claims_looked_tally(WORLDS[name], seeds)
        yield row(name, share(c.tables_wrong, c.stores), share(c.decided, c.decidable, stores=c.stores))
    yield ""


def _shown(tally: AutoTally, tests: int) -> Iterator[str]:
    yield share(tally.wrong, tests)
    yield share(tally.wrong_other, tests)
    yield share(tally.decided, tally.decidable, stores=tally.stores)


METHODS: dict[str, Callable[[range], Iterator[str]]] = {
    "stability": stability,
    "overfitting": overfitting,
    "epochs": epochs,
    "means": means,
    "pruning": pruning,
    "quantization": quantization,
    "drops": drops,
    "bits": bits,
    "forms": forms,
    "shapes": shapes,
    "recommend": recommend,
    "reach": reach,
    "claims": claims,
    "search": search,
    "budget": budget,
    "auto": auto,
}


def boundary_table(scenarios: Mapping[str, object], tally: Callable[[str, int], Tally]) -> Iterator[str]:
    """Yield a Markdown table of scenarios that have a boundary: shares of stores; coverage among those located."""
    yield from header("planted boundary", *LOCATED)
    for scenario in scenarios:
        for replicates in REPLICATES:
            t = tally(scenario, replicates)
            shares = (share(count, t.stores) for count in (t.located, t.exact, t.within_one))
            yield row(scenario, replicates, *shares, share(t.covered, t.located), average(t.widths))
    yield ""


def status_table(scenarios: Mapping[str, object], tally: Callable[[str, int], Tally]) -> Iterator[str]:
    """Yield a Markdown table of scenarios without a boundary: what was said of them."""
    yield from header("no boundary planted", "R", "false positives", "said instead")
    for scenario in scenarios:
        for replicates in REPLICATES:
            t = tally(scenario, replicates)
            said = ", ".join(f"{name} {share(count, t.stores)}" for name, count in t.statuses.most_common())
            yield row(scenario, replicates, share(t.statuses["detected"], t.stores), said)
    yield ""


def looks_table(scenarios: Mapping[str, object], looks: Callable[[str], tuple[int, int]], stores: int) -> Iterator[str]:
    """Yield a Markdown table of what is detected where nothing is, at the last look and at any."""
    yield from header("no boundary planted", "detected at R = 30", f"at any look: R = {', '.join(map(str, LOOKS))}")
    for scenario in scenarios:
        yield row(scenario, *(share(hits, stores) for hits in looks(scenario)))
    yield ""


def share(hits: int, trials: int, *, stores: int | None = None, digits: int = 3) -> str:
    """Return a share with its Monte Carlo standard error, `0.952 ± .011`; `-` of no trials.

    Half a hit and half a miss are added for the error, so that it is not zero where all trials agree. `stores` says how
    many stores the trials came from, where a store has several: the error is then that of as many trials as stores,
    which is too large unless those of a store agree.
    """
    if not trials:
        return "-"
    p = (hits + 0.5) / (trials + 1)
    error = (p * (1 - p) / min(trials, stores or trials)) ** 0.5
    return f"{hits / trials:.{digits}f} ± {_bare(error, digits)}"


def average(values: Sequence[float], digits: int = 2) -> str:
    """Return a mean with its Monte Carlo standard error; `-` of fewer than two values."""
    if len(values) < 2:
        return "-"
    return f"{mean(values):.{digits}f} ± {_bare(stdev(values) / len(values) ** 0.5, digits)}"


def _bare(number: float, digits: int) -> str:
    return f"{number:.{digits}f}".removeprefix("0")


def header(*names: str) -> Iterator[str]:
    """Yield the two first lines of a Markdown table."""
    yield row(*names)
    yield row(*("---" for _ in names))


def row(*cells: object) -> str:
    """Return a line of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stores", type=int, default=400, help="planted stores per scenario (default: 400)")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help=f"default: {FIRST_SEED}")
    parser.add_argument("--method", choices=METHODS, action="append", help="repeatable; default: all")
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.stores)
    for name in options.method or METHODS:
        started = time.perf_counter()
        print(f"### {name}: {len(seeds)} stores per row, seeds {seeds.start}-{seeds.stop - 1}\n")
        for line in METHODS[name](seeds):
            print(line, flush=True)
        print(f"({time.perf_counter() - started:.0f} s)\n")


if __name__ == "__main__":
    main()
