"""How results look in a terminal: tables of at most 80 columns, one per dataset, with the reasons below."""

from __future__ import annotations

from analyze._tables.paper import claims_table, table_one_table
from analyze._tables.power import power_table
from analyze._tables.pruning import crossings_table, pruning_table
from analyze._tables.quantization import agreement_table, gaps_table, trends_table
from analyze._tables.recommend import evidence_table, reasoning, recommendations_table
from analyze._tables.regimes import epochs_table, regimes_table
from analyze._tables.shapes import components_table, shapes_table, thresholds_table

__all__ = [
    "agreement_table",
    "claims_table",
    "components_table",
    "crossings_table",
    "epochs_table",
    "evidence_table",
    "gaps_table",
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
