"""Which run a model is made of: one that was named, or the best replicate of the network that is recommended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from generate.analysis import ask
from generate.architectures import Architecture
from generate.deploy.stored import StoredRun, best_replicate, stored_run
from store.advice import load_advice
from store.errors import MinarchError
from store.families import family_facts
from store.precisions import Precision
from store.results import Store

Standing = Literal["recommended", "best guess, not proven", "named"]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is to be recommended: on a dataset as the store names it, of a family or any, within which limits."""

    dataset: str
    family: str | None = None
    limits: Mapping[str, float | str] = field(default_factory=dict)
    guess: bool = False

    @property
    def words(self) -> list[str]:
        """The options of `analyze recommend`."""
        options = ["--dataset", self.dataset, *(["--family", self.family] if self.family else [])]
        return options + [word for name, value in self.limits.items() for word in (f"--{name}", _word(value))]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the store's analysis says of a recommendation.

    Attributes:
        statement: as `analyze recommend --statement --format json` gives it, None where there is none.
        markdown: the same in words.
    """

    statement: dict[str, Any] | None = None
    markdown: str = ""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The run that is taken, and why."""

    run: StoredRun
    standing: Standing
    evidence: Evidence


def chosen(store: Store, asked: Asked, precision: Precision) -> Choice:
    """Return the replicate of the recommended network with the highest validation accuracy.

    Raises:
        MinarchError: nothing is recommended, and the best guess, if there is one, is not asked for; or the network was
            not trained in this precision.
    """
    evidence = evidence_on(store, asked)
    if evidence.statement is None:
        raise MinarchError(f"{store.path} has no results on {asked.dataset} that a recommendation could rest on")
    answer = evidence.statement["answer"]
    standing: Standing = "recommended"
    if answer["family"] is None:
        standing = "best guess, not proven"
        if not asked.guess:
            raise MinarchError(_nothing(asked, answer))
        if answer["guess_family"] is None:
            raise MinarchError(f"{_nothing(asked, answer)}, and there is no best guess")
    prefix = "" if standing == "recommended" else "guess_"
    family, depth, capacity = (answer[f"{prefix}{name}"] for name in ("family", "depth", "capacity"))
    protocol = _protocol(evidence.statement, family, depth)
    architecture = Architecture(family, _sizes(family, depth, capacity))
    fingerprint = evidence.statement["data"]["fingerprint"]
    run_id = best_replicate(
        store, protocol=protocol, fingerprint=fingerprint, architecture=architecture, precision=precision
    )
    if run_id is None:
        phase: Literal["convergence", "quantization"] = "convergence" if precision == "fp32" else "quantization"
        sizes: dict[str, object] = {"capacities": (capacity,)}
        if family_facts(family).layered:
            sizes["depths"] = (depth,)
        command = load_advice(store.path).command(phase, asked.dataset, family, protocol=protocol, **sizes)
        named = f"{family_facts(family).title}, {family_facts(family).sized(depth, capacity)}"
        raise MinarchError(f"the store has no {precision} run of {named} on {asked.dataset}: `{command}` trains some")
    return Choice(run=stored_run(store, run_id), standing=standing, evidence=evidence)


def evidence_on(store: Store, asked: Asked) -> Evidence:
    """Return the statement on a dataset: on the family if one is named, else on all of them.

    Raises:
        MinarchError: the store has no results on it.
    """
    text, _ = ask("recommend", "--statement", *asked.words, "--store", str(store.path), "--format", "json")
    statements = json.loads(text)
    if not statements:
        return Evidence()
    found = next((one for one in statements if one["scope"] == (asked.family or "all")), statements[0])
    return Evidence(markdown=found.pop("markdown"), statement=found)


def _sizes(family: str, depth: int, capacity: int) -> tuple[int, ...]:
    return (capacity,) * depth if family_facts(family).layered else (capacity,)


def _protocol(statement: Mapping[str, Any], family: str, depth: int) -> str:
    if statement["answer"]["family"] is not None:
        return str(statement["answer"]["protocol_id"])
    return next(
        str(row["protocol_id"]) for row in statement["tried"] if (row["family"], row["depth"]) == (family, depth)
    )


def _nothing(asked: Asked, answer: Mapping[str, Any]) -> str:
    scope = f"{asked.dataset}, {asked.family}" if asked.family else asked.dataset
    text = f"nothing is recommended for {scope} ({answer['reason'] or answer['status']})"
    if answer["guess_family"] is None:
        return f"{text}; `{answer['command']}` would tell more" if answer["command"] else text
    facts = family_facts(answer["guess_family"])
    guess = f"{facts.title}, {facts.sized(answer['guess_depth'], answer['guess_capacity'])}"
    return f"{text}; the best guess, not proven, is {guess}: --guess takes it"


def _word(value: float | str) -> str:
    """Return a value as every option takes it: sizes without an exponent."""
    if isinstance(value, str):
        return value
    return str(int(value)) if float(value).is_integer() else repr(float(value))
