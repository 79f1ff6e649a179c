"""What networks of linear layers and convolutions consist of, whatever numbers they compute with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

Kind = Literal["linear", "convolution"]
Layer = TypeVar("Layer", covariant=True)


class Shape(NamedTuple):
    """Of what a layer takes or returns, flattened in this order: channels, rows, columns."""

    channels: int
    height: int = 1
    width: int = 1

    @property
    def values(self) -> int:
        """Numbers in it."""
        return self.channels * self.height * self.width


class Builder(Protocol[Layer]):
    """Makes a family's layers from what training left, as its `Family.layers` asks for them in order."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Arrays by their names, as in the module's `state_dict`."""

    def layer(
        self,
        kind: Kind,
        name: str,
        *,
        entering: str,
        shapes: tuple[Shape, Shape],
        relu: bool = False,
        stride: int = 1,
        padding: int = 0,
    ) -> Layer:
        """Return the layer `name` of the module.

        Args:
            kind: `linear` takes its input flattened; a `convolution` pads it with zeros.
            name: of the layer; its parameters are NAME.weight and NAME.bias.
            entering: what it takes: `input`, or the name of the layer before.
            shapes: of its input and its output.
            relu: whether outputs below 0 become 0.
            stride: of a convolution, in pixels.
            padding: likewise, on all sides.
        """
