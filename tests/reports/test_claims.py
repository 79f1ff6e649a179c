"""The claims section says what `analyze.claims` found, in the reader's units, and what would test the rest."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from analyze import ClaimVerdict, Results
from reports import claims
from reports.findings import Findings
from reports.page import render
from store.results import Store

TESTED = ClaimVerdict(
    claim=7,
    title="sparsity where the decline begins",
    dataset="mnist",
    family="dnn",
    statistic="first sparsity with 2% lost",
    unit="sparsity",
    estimate=0.5,
    ci_low=0.45,
    ci_high=0.525,
    claim_low=0.6,
    claim_high=0.7,
    n=30,
    p_adjusted=0.0004,
    verdict="contradicted",
    detail="dnn, depth 1, size 100",
    method="t",
)
LACKING = ClaimVerdict(
    claim=7,
    title=TESTED.title,
    dataset="cifar10",
    family="vit",
    statistic=TESTED.statistic,
    unit="sparsity",
    verdict="not_testable",
    detail="no such runs",
    to_test="generate convergence --dataset cifar10 --family vit",
    method="t",
)


def _shown(*rows: ClaimVerdict) -> Mapping[str, Any]:
    found = claims.claims(Results(ClaimVerdict, rows).frame())
    assert found is not None
    return found


def test_a_row_has_verdict_evidence_and_claim() -> None:
    shown = _shown(TESTED, LACKING)
    (group,) = shown["groups"]
    assert (group["number"], group["statistic"]) == (7, "First sparsity with 2% lost, %")
    (row,) = group["rows"]
    assert row == {
        "where": "MNIST DNN",
        "verdict": {"key": "insufficient", "text": "contradicted"},
        "here": "50",
        "interval": "45 to 52.50",
        "claimed": "60 to 70",
        "p": "< 0.001",
        "n": "30",
        "detail": "dnn, depth 1, size 100",
    }
    assert [badge["text"] for badge in shown["counts"]] == ["1 contradicted", "1 not testable"]


def test_what_cannot_be_tested_is_gathered_by_what_to_run() -> None:
    other = dataclasses.replace(LACKING, claim=9, title="safe sparsity (Table I)")
    twin = dataclasses.replace(LACKING, dataset="mnist")
    assert _shown(LACKING, twin, other)["untested"] == [
        {
            "command": LACKING.to_test,
            "claims": [
                "7. Sparsity where the decline begins (CIFAR-10 ViT, MNIST ViT)",
                "9. Safe sparsity (Table I) (CIFAR-10 ViT)",
            ],
        }
    ]


@pytest.mark.parametrize(
    ("unit", "low", "high", "words"),
    [
        ("accuracy", -0.0123, 0.5, "−1.23 to 50.00"),
        ("parameters", 15_000, 25_000, "15,000 to 25,000"),
        ("count", 4, None, "at least 4"),
        ("share per layer", 0.0, None, "at least 0"),
        ("ratio", None, 1.0, "at most 1.00"),
        ("sparsity", 0.6, 0.6, "60"),
        ("share", None, None, ""),
    ],
)
def test_ranges_in_words(unit: str, low: float | None, high: float | None, words: str) -> None:
    assert claims.span(unit, low, high) == words


def test_the_report_shows_every_claim_of_the_analysis(store: Store, report: Path) -> None:
    from analyze import claims as found

    page = report.read_text(encoding="utf-8")
    section = page[page.index('id="claims-heading"') :].split("</section>")[0]
    rows = list(found(store.path))
    tested = [row for row in rows if row.verdict != "not_testable"]
    assert tested
    assert section.count('data-title="Claimed"') == len(tested)
    badges = re.findall(r'<span class="badge \w+">([a-z ]+)</span></td>', section)
    assert badges == [row.verdict for row in tested]
    commands = {row.to_test for row in rows if row.verdict == "not_testable" and row.to_test}
    assert commands
    assert all(f"<code>{command.replace('&&', '&amp;&amp;')}</code>" in section for command in commands)


def test_claims_that_were_left_out_are_said_to_be(findings: Findings) -> None:
    assert findings.claims is None
    assert "<code>analyze claims</code> prints them" in render(findings)
