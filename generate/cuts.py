"""How trained networks are to be pruned: methods, shares, and training on; without PyTorch, for whoever plans it."""

from __future__ import annotations

import typing
from dataclasses import dataclass, replace

from generate.protocol import SPARSITIES
from store.records import Precision, PruningMethod

METHODS: tuple[PruningMethod, ...] = typing.get_args(PruningMethod)
"""All of them, that by magnitude first."""
FINETUNE_SPARSITIES = (0.5, 0.7, 0.9)


@dataclass(frozen=True, kw_only=True)
class Finetuning:
    """Training on after pruning: for how many epochs, and what was pruned how."""

    epochs: int
    sparsities: tuple[float, ...] = FINETUNE_SPARSITIES
    methods: tuple[PruningMethod, ...] = ("magnitude",)


@dataclass(frozen=True, kw_only=True)
class Cuts:
    """How each network of phase 2 is pruned after its training.

    Without retraining at every one of `sparsities` by every one of `methods`; and, with `finetuning`, trained on.
    """

    sparsities: tuple[float, ...] = SPARSITIES
    methods: tuple[PruningMethod, ...] = ("magnitude",)
    finetuning: Finetuning | None = None

    def of(self, precision: Precision) -> Cuts:
        """Return what of this is done to networks of a precision: quantized ones are pruned by magnitude only."""
        return self if precision == "fp32" else replace(self, methods=("magnitude",), finetuning=None)

    @property
    def rows(self) -> int:
        """Rows of pruning per network, at most."""
        trained_on = self.finetuning
        more = len(trained_on.sparsities) * len(trained_on.methods) if trained_on else 0
        return len(self.sparsities) * len(self.methods) + more


def units_left(width: int, share: float) -> int:
    """Return how many of a layer's units stay: all but round(share x width), and one at least."""
    return max(1, width - round(share * width))
