"""How results look in a terminal: tables of at most 80 columns, one per dataset, with the reasons below."""

from __future__ import annotations

from analyze.terminal.bits import bit_steps_table, bits_table
from analyze.terminal.forms import finetuning_table, frontier_table, matched_table
from analyze.terminal.paper import claims_table, table_one_table
from analyze.terminal.power import power_table
from analyze.terminal.pruning import crossings_table, pruning_table
from analyze.terminal.quantization import agreement_table, gaps_table, trends_table
from analyze.terminal.recommend import evidence_table, reasoning, recommendations_table
from analyze.terminal.regimes import epochs_table, regimes_table
from analyze.terminal.search import asked_table
from analyze.terminal.shapes import components_table, shapes_table, thresholds_table

__all__ = [
    "agreement_table",
    "asked_table",
    "bit_steps_table",
    "bits_table",
    "claims_table",
    "components_table",
    "crossings_table",
    "epochs_table",
    "evidence_table",
    "finetuning_table",
    "frontier_table",
    "gaps_table",
    "matched_table",
    "power_table",
    "pruning_table",
    "reasoning",
    "recommendations_table",
    "regimes_table",
    "shapes_table",
    "table_one_table",
    "thresholds_table",
    "trends_table",
]
