"""The families of networks: the registry, and what is asked of a family by its name."""

from __future__ import annotations

from dataclasses import replace

from generate.families.cnn import CNN
from generate.families.dnn import DNN
from generate.families.family import Design, Family
from generate.families.vit import VIT
from generate.protocol import FamilyProtocol, Training
from store.families import UnknownFamilyError, register_facts

__all__ = ["FAMILIES", "Design", "Family", "family_named", "protocol_for", "register"]

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
