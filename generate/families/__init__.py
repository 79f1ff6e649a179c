"""The families of networks: the registry, and what is asked of a family by its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from generate.families.cnn import CNN
from generate.families.dnn import DNN
from generate.families.family import Design, Family
from generate.families.vit import VIT
from generate.protocol import FamilyProtocol, Quantization, Training
from store.errors import MinarchError
from store.families import UnknownFamilyError, register_facts

__all__ = ["FAMILIES", "Design", "Family", "family_named", "protocol_for", "protocol_from", "register"]

FAMILIES: dict[str, Family] = {family.name: family for family in (DNN, CNN, VIT)}
"""Every family by name, in the order in which they are trained and shown."""


def register(family: Family) -> None:
    """Add a family, facts included; it replaces the one of that name."""
    register_facts(family.facts)
    FAMILIES[family.name] = family


def family_named(name: str) -> Family:
    """Return the family of that name.

    Raises:
        UnknownFamilyError: it is unknown; lists the known ones.
    """
    if name not in FAMILIES:
        raise UnknownFamilyError(f"no family {name!r}; known are {', '.join(FAMILIES)}")
    return FAMILIES[name]


def protocol_for(family: str, training: Training | None = None) -> FamilyProtocol:
    """Return the family's protocol with these training settings, or with the study's."""
    return replace(family_named(family).protocol(), training=training or Training())


def protocol_from(spec: Mapping[str, Any]) -> FamilyProtocol:
    """Return the protocol that a spec, as `generate.protocol.protocol_spec` writes it, describes.

    Raises:
        UnknownFamilyError: it is of a family that nobody registered.
        MinarchError: it has settings that this version does not know.
    """
    family = family_named(str(spec.get("family")))
    own = {name: _frozen(value) for name, value in spec.items() if name not in ("training", "quantization")}
    try:
        training = Training(**{name: _frozen(value) for name, value in spec["training"].items()})
        return family.protocol(**own, training=training, quantization=Quantization(**spec["quantization"]))
    except (TypeError, KeyError, AttributeError) as error:
        raise MinarchError(f"the protocol has settings that this version of minarch does not know: {error}") from error


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
