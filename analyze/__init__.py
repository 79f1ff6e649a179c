"""Statistics of a results store, as thin in Python as on the command line.

`from analyze import regimes; regimes("results.duckdb").frame()`. Names load on first use: importing this package
costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analyze.paper.claims import ClaimVerdict, claims
    from analyze.paper.table_one import TableOneFigure, table_one
    from analyze.questions.candidates import Candidate
    from analyze.questions.curves import CurvePoint, EpochPoint, curves, learning_curves
    from analyze.questions.epochs import EpochOverfitting, epoch_overfitting
    from analyze.questions.power import Power, power
    from analyze.questions.pruning import DepthCrossing, Pruning, depth_crossings, pruning
    from analyze.questions.quantization import (
        IntegerAgreement,
        QuantizationGap,
        QuantizationTrend,
        integer_agreement,
        quantization,
        quantization_trends,
    )
    from analyze.questions.recommend import Recommendation, Recommendations, recommend
    from analyze.questions.regimes import Regime, regimes
    from analyze.questions.shapes import (
        ShapeComponents,
        ShapeEquivalence,
        ShapeThreshold,
        shape_components,
        shape_thresholds,
        shapes,
    )
    from analyze.results import Results
    from analyze.study import Study

# The modules are private because a public module `regimes` would, once imported, hide the function of that name.
_HOMES = {
    "Candidate": "analyze.questions.candidates",
    "CurvePoint": "analyze.questions.curves",
    "ClaimVerdict": "analyze.paper.claims",
    "DepthCrossing": "analyze.questions.pruning",
    "EpochOverfitting": "analyze.questions.epochs",
    "EpochPoint": "analyze.questions.curves",
    "IntegerAgreement": "analyze.questions.quantization",
    "Power": "analyze.questions.power",
    "Pruning": "analyze.questions.pruning",
    "QuantizationGap": "analyze.questions.quantization",
    "QuantizationTrend": "analyze.questions.quantization",
    "Recommendation": "analyze.questions.recommend",
    "Recommendations": "analyze.questions.recommend",
    "Regime": "analyze.questions.regimes",
    "Results": "analyze.results",
    "ShapeComponents": "analyze.questions.shapes",
    "ShapeEquivalence": "analyze.questions.shapes",
    "ShapeThreshold": "analyze.questions.shapes",
    "Study": "analyze.study",
    "TableOneFigure": "analyze.paper.table_one",
    "curves": "analyze.questions.curves",
    "claims": "analyze.paper.claims",
    "depth_crossings": "analyze.questions.pruning",
    "epoch_overfitting": "analyze.questions.epochs",
    "integer_agreement": "analyze.questions.quantization",
    "learning_curves": "analyze.questions.curves",
    "power": "analyze.questions.power",
    "pruning": "analyze.questions.pruning",
    "quantization": "analyze.questions.quantization",
    "quantization_trends": "analyze.questions.quantization",
    "recommend": "analyze.questions.recommend",
    "regimes": "analyze.questions.regimes",
    "shape_components": "analyze.questions.shapes",
    "shape_thresholds": "analyze.questions.shapes",
    "shapes": "analyze.questions.shapes",
    "table_one": "analyze.paper.table_one",
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
    "Study",
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


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
