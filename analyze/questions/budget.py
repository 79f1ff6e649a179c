"""What a recommended network may take, and which forms of which networks fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analyze.questions.costs import NOUNS, By
from analyze.questions.forms import Measured
from analyze.stats.safety import MARGIN
from analyze.study import ArchitectureKey

if TYPE_CHECKING:
    from analyze.questions.candidates import Cell


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a recommended architecture must satisfy.

    `max_drop` is the accuracy, a fraction, that may be lost: against the best stable architecture that fits the budget,
    by pruning and by 8 bits, each. The budget is all that begins with `max_` but for it; `by` is what the recommended
    network is the smallest in.
    """

    max_drop: float = MARGIN
    max_parameters: int | None = None
    max_bytes: int | None = None
    min_accuracy: float | None = None
    max_macs: int | None = None
    max_ram: int | None = None
    by: By = "parameters"

    @property
    def budget(self) -> dict[By, int]:
        """What a network may take at most, of each kind that is limited."""
        limits: dict[By, int | None] = {
            "parameters": self.max_parameters,
            "bytes": self.max_bytes,
            "macs": self.max_macs,
            "ram": self.max_ram,
        }
        return {kind: most for kind, most in limits.items() if most is not None}

    @property
    def of_forms(self) -> bool:
        """Whether a choice looks at forms of networks, and not at whole networks in 32 bits alone."""
        return self.by != "parameters" or any(kind != "parameters" for kind in self.budget)

    @property
    def in_words(self) -> str:
        """The budget, such as `at most 20,000 bytes and at most 9,000 parameters`; empty without one."""
        parts = [f"at most {most:,} {NOUNS[kind]}" for kind, most in self.budget.items()]
        return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)

    def allows(self, form: Measured, *, unknown: bool = False) -> bool:
        """Return whether a form fits; `unknown` is what counts where the store does not know what it takes."""
        for kind, most in self.budget.items():
            taken = taken_by(form, kind)
            if not (unknown if taken is None else taken <= most):
                return False
        return True


def taken_by(form: Measured, by: By) -> int | None:
    """Return what a form takes, None where the store does not know; of parameters, all of the network's."""
    return {"parameters": form.parameters, "bytes": form.bytes, "macs": form.macs, "ram": form.ram}[by]


def may_fit(limits: Limits, forms: Callable[[ArchitectureKey], Sequence[Measured]]) -> Callable[[Cell], bool]:
    """Return which architectures count as rivals: those of which some form that was measured, safe or not, fits.

    What a form costs does not depend on accuracies, and so neither does the choice of rivals. One of which the store
    does not know what it takes is a rival, lest the bound be too low.
    """

    def fits(cell: Cell) -> bool:
        if limits.max_parameters is not None and cell.parameters > limits.max_parameters:
            return False
        return not limits.of_forms or any(limits.allows(form, unknown=True) for form in forms(cell.key))

    return fits


def smallest(forms: Sequence[Measured], limits: Limits) -> Measured | None:
    """Return the form that takes least of what is to be small, of those known to fit, None where none is.

    Of equal ones that of fewest bytes: all forms of a network have as many parameters.
    """
    fitting = [form for form in forms if limits.allows(form) and taken_by(form, limits.by) is not None]
    return min(fitting, key=lambda form: (taken_by(form, limits.by) or 0, form.bytes), default=None)


def exceeded(forms: Sequence[Measured], limits: Limits) -> Iterator[str]:
    """Yield by what no form fits, taken one by one: what the least of them takes, and what is allowed."""
    for kind, most in limits.budget.items():
        taken = [one for form in forms if (one := taken_by(form, kind)) is not None]
        if taken and min(taken) > most:
            yield f"{min(taken):,} {NOUNS[kind]}, and {most:,} are allowed"
