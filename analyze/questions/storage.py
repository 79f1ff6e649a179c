"""Bytes that a network takes to store, under models that are stated here and in `docs/method.md`."""

from __future__ import annotations

from dataclasses import dataclass

from store.families import family_facts

FLOAT_BYTES = 4


@dataclass(frozen=True)
class Storage:
    """Numbers that make up a network: `weights` of linear layers and convolutions, and all `others`.

    The others are biases, norms and the class token: neither pruned nor quantized, 4 bytes each. Scales and zero
    points, a few bytes per layer, are not counted.
    """

    weights: int
    others: int

    def dense(self) -> int:
        """Return the bytes in fp32."""
        return FLOAT_BYTES * (self.weights + self.others)

    def int8(self) -> int:
        """Return the bytes with a byte per weight."""
        return self.weights + FLOAT_BYTES * self.others

    def pruned(self, sparsity: float) -> int:
        """Return the bytes in fp32 with a bit per weight that says whether it is kept, and the kept ones."""
        return -(-self.weights // 8) + FLOAT_BYTES * (self.kept(sparsity) + self.others)

    def pruned_int8(self, sparsity: float) -> int:
        """Return the bytes with a bit per weight, a byte per kept weight."""
        return -(-self.weights // 8) + self.kept(sparsity) + FLOAT_BYTES * self.others

    def kept(self, sparsity: float) -> int:
        """Return the weights left: round(sparsity x weights) are removed."""
        return self.weights - round(sparsity * self.weights)


def storage(family: str, depth: int, capacity: int, parameters: int, classes: int) -> Storage:
    """Return what a network of equal widths is made of.

    Raises:
        MinarchError: the family is unknown.
    """
    others = family_facts(family).floats(depth, capacity) + classes
    return Storage(weights=parameters - others, others=others)
