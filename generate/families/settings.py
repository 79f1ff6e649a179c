"""Settings of a protocol as the command line writes them: NAME=VALUE, or FAMILY.NAME=VALUE for one family alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from generate.families import family_named
from generate.protocol import FamilyProtocol
from store.errors import MinarchError

OTHERS = ("epochs", "patience", "seed", "compute")
"""Fields of the training that options of their own set."""
PARTS = ("family", "training", "quantization")


@dataclass(frozen=True)
class Setting:
    """A field of a protocol or of its training and the value it takes; `family` is empty if every family is meant."""

    family: str
    name: str
    value: str


def parse_setting(text: str) -> Setting:
    """Return what `text` sets.

    Raises:
        MinarchError: it is not of the form NAME=VALUE or FAMILY.NAME=VALUE.
    """
    place, equals, value = text.partition("=")
    family, dot, name = place.rpartition(".")
    if not equals or not name or not value or (dot and not family):
        raise MinarchError(f"{text!r} is not of the form NAME=VALUE or FAMILY.NAME=VALUE")
    return Setting(family, name, value)


def names_of(protocol: FamilyProtocol) -> dict[str, object]:
    """Return what can be set in a protocol, with the values it has."""
    own = {f.name: getattr(protocol, f.name) for f in fields(protocol) if f.name not in PARTS}
    shared = {f.name: getattr(protocol.training, f.name) for f in fields(protocol.training) if f.name not in OTHERS}
    return {**own, **shared}


def with_settings(protocol: FamilyProtocol, settings: Sequence[str]) -> FamilyProtocol:
    """Return the protocol with every setting that is meant for its family and that it has.

    Raises:
        MinarchError: a value is not of the field's kind, or not allowed.
    """
    own = {f.name for f in fields(protocol)}
    for setting in map(parse_setting, settings):
        known = names_of(protocol)
        if setting.family in ("", protocol.family) and setting.name in known:
            change = {setting.name: _converted(setting, known[setting.name])}
            if setting.name in own:
                protocol = replace(protocol, **change)  # type: ignore[arg-type]  # converted to the field's kind
            else:
                protocol = replace(protocol, training=replace(protocol.training, **change))  # type: ignore[arg-type]
    return protocol


def check_settings(settings: Sequence[str], families: Sequence[str]) -> None:
    """Check that every setting is one of a family that is trained, and its value allowed.

    Raises:
        MinarchError: it is not; says what can be set.
    """
    protocols = [family_named(name).protocol() for name in families]
    for text in settings:
        setting = parse_setting(text)
        meant = [p for p in protocols if setting.family in ("", p.family)]
        if setting.family and not meant:
            raise MinarchError(f"{text}: the family {setting.family!r} is not trained; those are {', '.join(families)}")
        if not any(setting.name in names_of(protocol) for protocol in meant):
            known = dict.fromkeys(name for protocol in meant for name in names_of(protocol))
            raise MinarchError(f"{text}: there is no setting {setting.name!r}; there are {', '.join(known)}")
    for protocol in protocols:
        with_settings(protocol, settings)


def by_family(settings: Sequence[str], families: Sequence[str]) -> list[str]:
    """Return the settings with the family that each is meant for and that has it, one text per family."""
    return [
        f"{name}.{setting.name}={setting.value}"
        for setting in map(parse_setting, settings)
        for name in families
        if setting.family in ("", name) and setting.name in names_of(family_named(name).protocol())
    ]


def _converted(setting: Setting, present: object) -> object:
    try:
        if isinstance(present, tuple):
            numbers = tuple(float(part) for part in setting.value.split(","))
            if len(numbers) != len(present):
                raise ValueError
            return numbers
        return type(present)(setting.value)  # type: ignore[call-arg]
    except ValueError:
        kind = {int: "a whole number", float: "a number"}.get(type(present), f"like {_written(present)}")
        raise MinarchError(f"{setting.name}={setting.value}: the value must be {kind}") from None


def _written(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
