"""From the parsed options of a command to what is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from generate.cuts import FINETUNE_SPARSITIES, METHODS
from generate.families import FAMILIES
from generate.families.settings import check_settings
from generate.options import AUTO
from generate.protocol import PRECISIONS, SPARSITIES
from generate.requirements import require_training
from store.errors import MinarchError
from store.families import layered_families

if TYPE_CHECKING:
    from generate.plan import Phase, Request
    from generate.sequential import SearchRequest

AUTO_OPTIONS = {"goal": "--for", "max_drop": "--max-drop", "budget": "--budget", "looks": "--looks"}
"""What goes with `--repeats auto` only."""
CUT_OPTIONS = ("prune_by", "finetune", "finetune_sparsities", "finetune_by")
"""What is done to fp32 networks beside pruning by magnitude."""
PHASES = ("all", "shapes", "convergence", "quantization")


def auto_of(options: dict[str, Any]) -> SearchRequest | None:
    """Return what `--repeats auto` asks for, None without it; its options are taken out."""
    context = click.get_current_context()
    own = {name: value for name in AUTO_OPTIONS if (value := options.pop(name)) is not None}
    if options["repeats"] != AUTO:
        if own:
            option = AUTO_OPTIONS[min(own, key=list(AUTO_OPTIONS).index)]
            raise click.UsageError(f"{option} goes with --repeats auto", context)
        return None
    options["repeats"] = None
    if options.get("precisions", PRECISIONS) != PRECISIONS:
        raise click.UsageError(
            "--precision goes with a number of repeats; --repeats auto decides about int8 alone", context
        )
    require_training()
    from generate.sequential import SearchRequest

    if "looks" in own:
        own["looks"] = looks_of(own["looks"])
    return SearchRequest(resolution=None, **own)


def looks_of(given: tuple[int, ...]) -> tuple[int, ...]:
    """Return the looks in order.

    Raises:
        click.BadParameter: there are fewer than two.
    """
    looks = tuple(sorted(set(given)))
    if len(looks) < 2:
        raise click.BadParameter(
            "takes two numbers of replicates or more, such as 10,20,30",
            click.get_current_context(),
            param_hint="--looks",
        )
    return looks


def request_of(phase: str, options: dict[str, Any]) -> Request:
    """Return the request that a command's options make.

    Raises:
        click.UsageError: they do not go together.
    """
    require_training()
    from generate.datasets import resolve_names
    from generate.plan import Request

    context = click.get_current_context()
    families = tuple(dict.fromkeys(options.pop("families"))) or tuple(FAMILIES)
    layered = tuple(name for name in families if FAMILIES[name].facts.layered)
    named_layered = ", ".join(layered_families())
    if phase == "shapes":
        if not layered:
            raise click.UsageError(f"--family: the shapes phase has the family {named_layered} only", context)
        families = layered
    if options["depths"] and not layered:
        raise click.UsageError(f"--depths goes with the family {named_layered}; others have one depth each", context)
    try:
        check_settings(options["settings"], families)
    except MinarchError as error:
        raise click.BadParameter(str(error), context, param_hint="--set") from None
    _settle_cuts(phase, options)
    named: Phase = phase  # type: ignore[assignment]  # click.Choice and the commands admit these only
    try:
        datasets = tuple(dict.fromkeys(resolve_names(options.pop("datasets"))))
    except MinarchError as error:
        raise click.BadParameter(str(error), context, param_hint="--dataset") from None
    return Request(phase=named, datasets=datasets, families=families, **options)


def _settle_cuts(phase: str, options: dict[str, Any]) -> None:
    """Replace what was not given of the options on pruning, and refuse what says nothing."""
    context = click.get_current_context()
    given = [name for name in CUT_OPTIONS if options[name] is not None]
    if phase == "quantization" and given:
        raise click.UsageError(f"{option_of(given[0])} goes with phases that train in fp32", context)
    if options["finetune"] is None and given not in ([], ["prune_by"]):
        raise click.UsageError(f"{option_of(given[-1])} goes with --finetune EPOCHS", context)
    by = options["prune_by"] or ()
    options["prune_by"] = tuple(method for method in METHODS if method in {*by, METHODS[0]})
    options["sparsities"] = options["sparsities"] or SPARSITIES
    options["finetune_sparsities"] = options["finetune_sparsities"] or FINETUNE_SPARSITIES
    options["finetune_by"] = options["finetune_by"] or METHODS[:1]


def option_of(name: str) -> str:
    """Return the option of a parameter of that name."""
    return f"--{name.replace('_', '-')}"
