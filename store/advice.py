"""Commands of `generate` that add to what a store holds, in full: as its user asked for the runs that are there.

Analyses know which phase, dataset and sizes a store lacks. A command of these alone would train other models than those
stored, or none: the user's own data lies in some folder, and grids, epochs, seed, folder of data and store may be
others than the defaults. `Advice` knows them, from the requests that `generate` records and from the runs themselves.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from store.families import FAMILIES, family_facts, layered_families
from store.precisions import QUANTIZED
from store.results import Store

if TYPE_CHECKING:
    import polars

Phase = Literal["all", "shapes", "convergence", "quantization", "search"]
"""Commands of `generate` that train."""

# What `generate` does unless told otherwise, beside what `store.families` says; a test holds these to the protocol.
EPOCHS = 20
DIGITS_EPOCHS = 100
DEFAULT_PRECISION = "int8"
DEFAULT_STORE = "results.duckdb"

_RUNS = """
SELECT dataset, dataset_fingerprint, family, protocol_id, len(list_distinct(hidden_sizes)) < 2 AS equal,
       list(DISTINCT capacity) AS capacities, list(DISTINCT depth) AS depths,
       list(DISTINCT precision) AS precisions, max(replicate) + 1 AS repeats, count(*) AS runs
FROM runs GROUP BY ALL ORDER BY runs DESC, dataset, dataset_fingerprint, family, protocol_id, equal
"""
_ASKED = "SELECT request, argv FROM invocations ORDER BY started_at DESC, invocation_id"

CUTS = ("prune-by", "finetune", "finetune-sparsities", "finetune-by")
"""Options on the pruning of fp32 networks."""
OPTIONS = {"goal": "for"}
"""Options of `generate` that are called otherwise in a request."""

Values = dict[str, str | tuple[str, ...] | None]
"""Values of options by name, without the dashes: several where it repeats, None for what `generate` does by itself."""


@dataclass(frozen=True)
class Stored:
    """Runs of one dataset, family and protocol, all of equal widths or none: sizes, precisions and replicates."""

    dataset: str
    fingerprint: str
    family: str
    protocol_id: str
    equal: bool
    capacities: tuple[int, ...]
    depths: tuple[int, ...]
    precisions: tuple[str, ...]
    repeats: int


@dataclass(frozen=True)
class Source:
    """Where a dataset was taken from: its name or folder, the folder of data, and the request that named it."""

    source: str
    data_dir: str | None = None
    request: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Advice:
    """What is known of a store, to write commands with: its runs, its protocols and what was asked for.

    `asked` has what `invocations` keeps, the newest first: requests as dictionaries, or the command lines of an older
    version as text.
    """

    store: Path
    runs: tuple[Stored, ...]
    protocols: Mapping[str, Mapping[str, Any]]
    asked: tuple[Mapping[str, Any] | str, ...]

    @cached_property
    def datasets(self) -> tuple[str, ...]:
        """The datasets that the store has runs of."""
        return tuple(sorted({row.dataset for row in self.runs}))

    def command(
        self,
        phase: Phase,
        datasets: str | Sequence[str] = (),
        families: str | Sequence[str] = (),
        *,
        protocol: str | None = None,
        **values: object,
    ) -> str:
        """Return the command line, quoted for a shell, that runs a phase the way the stored runs were made.

        Args:
            phase: what to run.
            datasets: names as in the store; none: all of the store.
            families: none: those that the store has of the dataset.
            protocol: the one to continue; None: the one with most runs.
            values: `capacities`, `depths`, `precision`, `repeats`, `epochs`, `patience`; those left out are as in the
                store, `precision` with int8.

        Where datasets or families take other options than one another, several commands are joined by `&&`.
        """
        if phase == "search":
            return " && ".join(self._search(dataset) for dataset in _names(datasets) or self.datasets)
        given: Values = {name: _text(value) for name, value in values.items() if value is not None}
        alike: dict[tuple[tuple[str, ...], ...], list[str]] = {}
        for dataset in _names(datasets) or self.datasets:
            lines = tuple(self._lines(phase, dataset, _names(families), given, protocol))
            alike.setdefault(lines, []).append(dataset)
        if not alike:
            named = [word for family in _names(families) for word in ("--family", family)]
            alike = {((*named, *_words(given), *self._places(None)),): []}
        commands = []
        for lines, members in alike.items():
            named = [word for member in members for word in ("--dataset", self.source(member).source)]
            commands += [shlex.join(["generate", phase, *named, *line]) for line in lines]
        return " && ".join(commands)

    def _search(self, dataset: str) -> str:
        """Return the command line that goes on with the newest design about equal widths of a dataset, or searches."""
        source = self.source(dataset)
        searches = [
            asked
            for asked in self.asked
            if not isinstance(asked, str)
            and (asked.get("phase") == "search" or ("auto" in asked and asked.get("phase") in ("all", "convergence")))
            and [*_sources(asked, dataset, set())]
        ]
        request = searches[0] if searches else {}
        phase, wanted = request.get("phase", "search"), request.get("search", request.get("auto", {}))
        families = request.get("families", ())
        values: Values = {
            "family": () if len(families) == len(FAMILIES) else tuple(families),
            "depths": _unless(request.get("depths"), None),
            "capacities": _unless(request.get("capacities"), None),
            "repeats": "auto" if "auto" in request else None,
            **{name: _unless(request.get(name), None) for name in ("epochs", "patience")},
            "seed": _unless(request.get("seed"), 0),
            "engine": _unless(request.get("engine"), "auto"),
            "compute": _unless(request.get("compute"), "float32"),
            "device": _unless(request.get("device"), "cpu"),
            "set": tuple(request.get("settings", ())) or None,
            **{OPTIONS.get(name, name.replace("_", "-")): _unless(value, None) for name, value in wanted.items()},
        }
        return shlex.join(["generate", phase, "--dataset", source.source, *_words(values), *self._places(source)])

    def source(self, dataset: str) -> Source:
        """Return where a dataset was taken from; where that is not known, its name."""
        fingerprints = {row.fingerprint for row in self.runs if row.dataset == dataset}
        found = [source for asked in self.asked for source in _sources(asked, dataset, fingerprints)]
        there = [source for source in found if "/" not in source.source or Path(source.source).is_dir()]
        return next(iter(there or found), Source(dataset))

    def _lines(
        self, phase: Phase, dataset: str, families: Sequence[str], given: Values, protocol: str | None
    ) -> list[tuple[str, ...]]:
        """Return the words after the datasets of the commands that a dataset takes: one, or one per family."""
        have = {row.family for row in self.runs if row.dataset == dataset}
        layered = list(layered_families())
        chosen = layered if phase == "shapes" else list(families) or [name for name in FAMILIES if name in have]
        places = self._places(self.source(dataset))
        values = {name: self._values(phase, dataset, name, given, protocol) for name in chosen or FAMILIES}
        together = _together(values)
        if together is not None:
            every = len(values) == len(FAMILIES) or (phase == "shapes" and not families)
            named = [] if every else [word for name in values for word in ("--family", name)]
            return [(*named, *_words(together), *places)]
        return [("--family", name, *_words(_plain(name, own)), *places) for name, own in values.items()]

    def _values(self, phase: Phase, dataset: str, family: str, given: Values, protocol: str | None) -> Values:
        """Return the values of all options for one dataset and family, defaults spelled out where they differ."""
        rows = [row for row in self.runs if (row.dataset, row.family) == (dataset, family)]
        rows = [row for row in rows if row.protocol_id == protocol] or [
            row for row in rows if row.protocol_id == rows[0].protocol_id
        ]
        source = self.source(dataset)
        request: Mapping[str, Any] = source.request or {}
        training = self.protocols.get(rows[0].protocol_id, {}).get("training", request) if rows else request
        requests = [asked for asked in self.asked if not isinstance(asked, str) and _sources(asked, dataset, set())]
        digits, facts = source.source == "digits", family_facts(family)
        grid = facts.grid(source.source)
        values: Values = {
            "depths": _sizes("depths", facts.depths, phase, family, rows, requests) if facts.layered else None,
            "capacities": _sizes("capacities", grid, phase, family, rows, requests),
            "repeats": str(max((row.repeats for row in rows), default=request.get("repeats") or facts.replicates)),
            "epochs": _unless(training.get("epochs"), DIGITS_EPOCHS if digits else EPOCHS),
            "patience": _unless(training.get("patience"), None),
            "sparsities": _unless(request.get("sparsities"), None) if phase != "shapes" else None,
            **{
                name: _unless(request.get(name.replace("-", "_")), None) if phase in ("all", "convergence") else None
                for name in CUTS
            },
            "precision": _precisions(family, rows, requests) if phase in ("all", "quantization") else None,
            "integer-check": _unless(request.get("integer_checks"), 1) if phase in ("all", "quantization") else None,
            "seed": _unless(training.get("seed"), 0),
            "engine": _unless(request.get("engine"), "auto"),
            "compute": _unless(training.get("compute"), "float32"),
            "device": _unless(request.get("device"), "cpu"),
            "set": tuple(text for text in request.get("settings", ()) if text.startswith(f"{family}.")) or None,
        }
        return values | given

    def _places(self, source: Source | None) -> tuple[str, ...]:
        """Return the options that say where data and results lie."""
        words: list[str] = []
        if source is not None and source.data_dir and "/" not in source.source:
            words += ["--data-dir", source.data_dir]
        if str(self.store) != os.environ.get("MINARCH_STORE", DEFAULT_STORE):
            words += ["--store", str(self.store)]
        return tuple(words)


def load_advice(store: Path | str) -> Advice:
    """Return what is known of the store at this path.

    Raises:
        MinarchError: there is no store, or it cannot be read.
    """
    return advice_from(store, Store(Path(store)).query)


def advice_from(store: Path | str, query: Callable[[str], polars.DataFrame]) -> Advice:
    """Return what is known of the store at this path, whose protocols, invocations and runs `query` reads."""
    return Advice(
        store=Path(store),
        runs=tuple(
            Stored(dataset, data, family, protocol, equal, tuple(capacities), tuple(depths), tuple(precisions), repeats)
            for dataset, data, family, protocol, equal, capacities, depths, precisions, repeats, _ in query(
                _RUNS
            ).iter_rows()
        ),
        protocols={
            protocol: _object(spec) for protocol, spec in query("SELECT protocol_id, spec FROM protocols").iter_rows()
        },
        asked=tuple(_object(request) if request else argv for request, argv in query(_ASKED).iter_rows()),
    )


def _object(text: str) -> dict[str, Any]:
    """Return the object that a JSON text holds; an empty one where it holds something else."""
    found = json.loads(text)
    return found if isinstance(found, dict) else {}


def _sources(asked: Mapping[str, Any] | str, dataset: str, fingerprints: set[str]) -> Iterator[Source]:
    """Yield where a request, or a command line of old, took a dataset from."""
    if isinstance(asked, str):
        words = asked.replace("=", " ").split()
        pairs = list(pairwise(words))
        data_dir = next((value for option, value in pairs if option == "--data-dir"), None)
        for option, value in pairs:
            if option == "--dataset" and dataset in (value, Path(value).name):
                yield Source(value, data_dir)
        return
    for entry in asked.get("datasets", ()):
        if entry.get("dataset") == dataset or entry.get("fingerprint") in fingerprints:
            yield Source(entry["source"], asked.get("data_dir"), asked)


def _sizes(
    name: Literal["capacities", "depths"],
    default: Sequence[int],
    phase: Phase,
    family: str,
    rows: Sequence[Stored],
    requests: Sequence[Mapping[str, Any]],
) -> str | None:
    """Return the sizes that the store has or that were asked for, None where they are the protocol's."""
    shapes = phase == "shapes"
    kind = [row for row in rows if phase == "all" or row.equal != shapes] or rows
    sizes = {size for row in kind for size in getattr(row, name)}
    for request in requests:
        if request.get("phase") == "search":
            continue  # What it trained was its own choice.
        if family in request.get("families", FAMILIES) and (request.get("phase") == "shapes") == shapes:
            sizes |= set(request.get(name) or default)
    plain = set(default)
    if shapes and name == "depths":
        sizes, plain = sizes - {1}, plain - {1}  # One topology only.
    return None if sizes in (set(), plain) else _text(sorted(sizes))


def _precisions(family: str, rows: Sequence[Stored], requests: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the precisions under fake quantization that the store has or that were asked for, and int8."""
    found = {DEFAULT_PRECISION, *(precision for row in rows for precision in row.precisions)}
    for request in requests:
        if family in request.get("families", FAMILIES):
            found |= set(request.get("precisions") or ())
    return None if found <= {"fp32", DEFAULT_PRECISION} else _text(p for p in QUANTIZED if p in found)


def _together(values: Mapping[str, Values]) -> Values | None:
    """Return the values of one command for all these families, None where they differ."""
    joint: Values = {}
    for name in next(iter(values.values())):
        found = {own[name] for family, own in values.items() if name != "depths" or family_facts(family).layered} or {
            None
        }
        if name == "repeats" and all(
            own[name] == str(family_facts(family).replicates) for family, own in values.items()
        ):
            found = {None}
        if len(found) > 1:
            return None
        joint[name] = found.pop()
    return joint


def _plain(family: str, values: Values) -> Values:
    """Return one family's values, None for the protocol's number of replicates."""
    together = _together({family: values})
    assert together is not None
    return together


def _words(values: Values) -> list[str]:
    given = {name: (value,) if isinstance(value, str) else value or () for name, value in values.items()}
    return [word for name, several in given.items() for value in several for word in (f"--{name}", value)]


def _unless(value: object, default: object) -> str | None:
    """Return a value as an option's text, None where it is the default or not known."""
    return None if value is None or value == default else _text(value)


def _text(value: object) -> str:
    if isinstance(value, str) or not isinstance(value, Iterable):
        return str(value)
    return ",".join(f"{part:g}" if isinstance(part, float) else str(part) for part in value)


def _names(names: str | Sequence[str] | None) -> tuple[str, ...]:
    if names is None:
        return ()
    return (names,) if isinstance(names, str) else tuple(names)
