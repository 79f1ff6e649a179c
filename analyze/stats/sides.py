"""Evidence for and against a claim: one-sided p values, how parts combine, and the verdicts of a whole table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from analyze.stats.multiple import holm
from analyze.stats.result import LEVEL

Verdict = Literal["supported", "contradicted", "inconclusive", "not_testable"]


@dataclass(frozen=True)
class Sides:
    """One-sided p values of a claim: `p_for` tests that it is false, `p_against` that it is true."""

    p_for: float
    p_against: float


UNDECIDED = Sides(1.0, 1.0)


@dataclass(frozen=True)
class Judgement:
    """A verdict; `p` is twice the smaller side, `adjusted` the smaller side by Holm over both sides of all claims."""

    verdict: Verdict
    p: float
    adjusted: float


def every(parts: Sequence[Sides]) -> Sides:
    """Return the evidence for all parts being true: one that is shown false is enough to contradict.

    Source: intersection-union test, Berger (1982), Technometrics 24, 295-300; Bonferroni against.
    """
    return Sides(max(part.p_for for part in parts), min(1.0, len(parts) * min(part.p_against for part in parts)))


def some(parts: Sequence[Sides]) -> Sides:
    """Return the evidence for at least one part being true: all have to be shown false to contradict."""
    return Sides(min(1.0, len(parts) * min(part.p_for for part in parts)), max(part.p_against for part in parts))


def judge(claims: Sequence[Sides]) -> list[Judgement]:
    """Return the verdict on each of several claims, at a family-wise error rate of at most 5%.

    Holm's method over the 2 x claims one-sided hypotheses: a claim shown in the wrong direction is an error too.
    """
    adjusted = holm([p for sides in claims for p in (sides.p_for, sides.p_against)])
    return [
        _judgement(sides, *pair)
        for sides, pair in zip(claims, zip(adjusted[::2], adjusted[1::2], strict=True), strict=True)
    ]


def _judgement(sides: Sides, p_for: float, p_against: float) -> Judgement:
    verdict: Verdict = "supported" if p_for <= p_against else "contradicted"
    adjusted = min(p_for, p_against)
    return Judgement(
        verdict=verdict if adjusted <= LEVEL else "inconclusive",
        p=min(1.0, 2 * min(sides.p_for, sides.p_against)),
        adjusted=adjusted,
    )
