"""Statistics of a results store, as thin in Python as on the command line.

`from analyze import regimes; regimes("results.duckdb").frame()`. Names load on first use: importing this package
costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analyze._epochs import EpochOverfitting, epoch_overfitting
    from analyze._regimes import Regime, regimes
    from analyze._results import Results

# The modules are private because a public module `regimes` would, once imported, hide the function of that name.
_HOMES = {
    "EpochOverfitting": "analyze._epochs",
    "Regime": "analyze._regimes",
    "Results": "analyze._results",
    "epoch_overfitting": "analyze._epochs",
    "regimes": "analyze._regimes",
}

__all__ = ["EpochOverfitting", "Regime", "Results", "epoch_overfitting", "regimes"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'analyze' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)
