"""What the analyses accept: one rule per argument, which Python functions and the command line both follow."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from numbers import Integral, Real
from typing import ParamSpec, TypeVar

from store.errors import MinarchError
from store.families import FAMILIES

Taken = ParamSpec("Taken")
Given = TypeVar("Given")


class ArgumentError(MinarchError, ValueError):
    """An argument out of its range; the text says what is allowed, as the command line would."""


@dataclass(frozen=True)
class Fraction:
    """A number between 0 and 1, the ends left out."""

    def fault(self, value: object) -> str | None:
        """Return what is wrong with a value, None where it is fine."""
        if isinstance(value, bool) or not isinstance(value, Real):
            return f"{value!r} is not a valid float"
        number = float(value)
        return None if math.isfinite(number) and 0 < number < 1 else f"{value} is not in the range 0<x<1"


@dataclass(frozen=True)
class Count:
    """A whole number of `least` or more."""

    least: int

    def fault(self, value: object) -> str | None:
        """Return what is wrong with a value, None where it is fine."""
        if isinstance(value, bool) or not isinstance(value, Integral):
            return f"{value!r} is not a valid integer"
        return None if int(value) >= self.least else f"{value} is not in the range x>={self.least}"


@dataclass(frozen=True)
class Names:
    """A name or several, of those in `known` where it lists any; what a store holds is for the analysis to say."""

    known: Collection[str] = ()
    several: bool = True

    def fault(self, value: object) -> str | None:
        """Return what is wrong with a value, None where it is fine."""
        names = [value] if isinstance(value, str) or not self.several else value
        if not isinstance(names, (list, tuple, set, frozenset)) or not all(isinstance(name, str) for name in names):
            return f"{value!r} is not a name" + (" or a sequence of names" if self.several else "")
        unknown = next((name for name in names if self.known and name not in self.known), None)
        return None if unknown is None else f"{unknown!r} is not one of {', '.join(map(repr, self.known))}"


@dataclass(frozen=True)
class Location:
    """A path, or a study, which was read from one."""

    def fault(self, value: object) -> str | None:
        """Return what is wrong with a value, None where it is fine."""
        from analyze.study import Study  # Here, since a study's own names are held to these rules.

        return None if isinstance(value, (str, os.PathLike, Study)) else f"{value!r} is not a path"


Rule = Fraction | Count | Names | Location
RULES: Mapping[str, Rule] = {
    "store": Location(),
    "dataset": Names(),
    "family": Names(FAMILIES),
    "protocol": Names(several=False),
    "margin": Fraction(),
    "max_drop": Fraction(),
    "min_accuracy": Fraction(),
    "max_parameters": Count(1),
    "max_bytes": Count(1),
    "max_macs": Count(1),
    "max_ram": Count(1),
    "seed": Count(0),
    "by": Names(("parameters", "bytes", "macs", "ram"), several=False),
    "over": Names(("size", "sparsity", "precision", "topology"), several=False),
}
"""The rule of every argument, by name; None stands for a default and is always fine where there is one."""
OWN: Mapping[str, Mapping[str, Rule]] = {"prune_or_small": {"by": Names(("bytes", "nonzero"), several=False)}}
"""Rules of single analyses, by their names, where an argument means something else."""


def checked(analysis: Callable[Taken, Given]) -> Callable[Taken, Given]:
    """Return the analysis, its arguments held to the rules before anything is read.

    Raises:
        ArgumentError: by the analysis that is returned, where an argument breaks its rule; a `ValueError` too.
    """
    parameters = signature(analysis)
    optional = {name for name, parameter in parameters.parameters.items() if parameter.default is None}

    @wraps(analysis)
    def held(*args: Taken.args, **kwargs: Taken.kwargs) -> Given:
        for name, value in parameters.bind(*args, **kwargs).arguments.items():
            rule = OWN.get(analysis.__name__, RULES).get(name, RULES[name])
            fault = None if value is None and name in optional else rule.fault(value)
            if fault:
                raise ArgumentError(f"{name}: {' '.join(fault.split())}")
        return analysis(*args, **kwargs)

    return held
