"""Statistics of a results store, as thin in Python as on the command line.

`from analyze import regimes; regimes("results.duckdb").frame()`. Names load on first use: importing this package
costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analyze._candidates import Candidate
    from analyze._claims import ClaimVerdict, claims
    from analyze._curves import CurvePoint, EpochPoint, curves, learning_curves
    from analyze._epochs import EpochOverfitting, epoch_overfitting
    from analyze._power import Power, power
    from analyze._pruning import DepthCrossing, Pruning, depth_crossings, pruning
    from analyze._quantization import (
        IntegerAgreement,
        QuantizationGap,
        QuantizationTrend,
        integer_agreement,
        quantization,
        quantization_trends,
    )
    from analyze._recommend import Recommendation, Recommendations, recommend
    from analyze._regimes import Regime, regimes
    from analyze._results import Results
    from analyze._shapes import (
        ShapeComponents,
        ShapeEquivalence,
        ShapeThreshold,
        shape_components,
        shape_thresholds,
        shapes,
    )
    from analyze._table_one import TableOneFigure, table_one

# The modules are private because a public module `regimes` would, once imported, hide the function of that name.
_HOMES = {
    "Candidate": "analyze._candidates",
    "CurvePoint": "analyze._curves",
    "ClaimVerdict": "analyze._claims",
    "DepthCrossing": "analyze._pruning",
    "EpochOverfitting": "analyze._epochs",
    "EpochPoint": "analyze._curves",
    "IntegerAgreement": "analyze._quantization",
    "Power": "analyze._power",
    "Pruning": "analyze._pruning",
    "QuantizationGap": "analyze._quantization",
    "QuantizationTrend": "analyze._quantization",
    "Recommendation": "analyze._recommend",
    "Recommendations": "analyze._recommend",
    "Regime": "analyze._regimes",
    "Results": "analyze._results",
    "ShapeComponents": "analyze._shapes",
    "ShapeEquivalence": "analyze._shapes",
    "ShapeThreshold": "analyze._shapes",
    "TableOneFigure": "analyze._table_one",
    "curves": "analyze._curves",
    "claims": "analyze._claims",
    "depth_crossings": "analyze._pruning",
    "epoch_overfitting": "analyze._epochs",
    "integer_agreement": "analyze._quantization",
    "learning_curves": "analyze._curves",
    "power": "analyze._power",
    "pruning": "analyze._pruning",
    "quantization": "analyze._quantization",
    "quantization_trends": "analyze._quantization",
    "recommend": "analyze._recommend",
    "regimes": "analyze._regimes",
    "shape_components": "analyze._shapes",
    "shape_thresholds": "analyze._shapes",
    "shapes": "analyze._shapes",
    "table_one": "analyze._table_one",
}

__all__ = [
    "Candidate",
    "ClaimVerdict",
    "CurvePoint",
    "DepthCrossing",
    "EpochOverfitting",
    "EpochPoint",
    "IntegerAgreement",
    "Power",
    "Pruning",
    "QuantizationGap",
    "QuantizationTrend",
    "Recommendation",
    "Recommendations",
    "Regime",
    "Results",
    "ShapeComponents",
    "ShapeEquivalence",
    "ShapeThreshold",
    "TableOneFigure",
    "claims",
    "curves",
    "depth_crossings",
    "epoch_overfitting",
    "integer_agreement",
    "learning_curves",
    "power",
    "pruning",
    "quantization",
    "quantization_trends",
    "recommend",
    "regimes",
    "shape_components",
    "shape_thresholds",
    "shapes",
    "table_one",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'analyze' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)
