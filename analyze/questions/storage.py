"""Bytes that a network takes to store, under models that are stated here and in `docs/method.md`."""

from __future__ import annotations

from dataclasses import dataclass

from store.families import family_facts

FLOAT_BYTES = 4
FLOAT_BITS = 32


@dataclass(frozen=True)
class Storage:
    """Numbers that make up a network: `weights` of linear layers and convolutions, and all `others`.

    The others are biases, norms and the class token: neither pruned nor quantized, 4 bytes each. Scales and zero
    points, a few bytes per layer, are not counted.
    """

    weights: int
    others: int

    def stored(self, weight_bits: int, kept: int | None = None) -> int:
        """Return the bytes with so many bits per weight.

        `kept` weights are stored with a bit for each of all that says whether it is kept; None: all are, without such
        a mask. The mask is counted whether or not it pays.
        """
        mask = 0 if kept is None else -(-self.weights // 8)
        weights = self.weights if kept is None else kept
        return mask - (-weights * weight_bits // 8) + FLOAT_BYTES * self.others

    def dense(self) -> int:
        """Return the bytes in fp32."""
        return self.stored(FLOAT_BITS)

    def int8(self) -> int:
        """Return the bytes with a byte per weight."""
        return self.stored(8)

    def pruned(self, sparsity: float) -> int:
        """Return the bytes in fp32 with a bit per weight that says whether it is kept, and the kept ones."""
        return self.stored(FLOAT_BITS, self.kept(sparsity))

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


def units_left(capacity: int, sparsity: float) -> int:
    """Return how many units of a layer stay: round(sparsity x capacity) go, but one stays."""
    return max(1, capacity - round(sparsity * capacity))


def storage_without_units(family: str, depth: int, left: int, weights: int, classes: int) -> Storage:
    """Return what a network is made of that has `left` units in every hidden layer, others having been removed.

    `weights` are those that are left. It is a smaller network, stored without a mask.

    Raises:
        MinarchError: the family is unknown.
    """
    return Storage(weights=weights, others=family_facts(family).floats(depth, left) + classes)
