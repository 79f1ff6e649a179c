"""A store read once: what every question is asked of, with each answer that several of them need found once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, update_wrapper
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, Generic, NamedTuple, ParamSpec, Self, TypeVar, cast
from zlib import crc32

import numpy as np

from analyze.advice import completed
from analyze.texts import Command, phrase, quoted
from store.advice import Advice, Phase, advice_from
from store.errors import MinarchError
from store.results import Store
from store.tables import TABLES
from store.words import counted

if TYPE_CHECKING:
    import polars

    from store.snapshot import Snapshot

SMALL_TABLES = ("protocols", "datasets", "invocations", "runs", "labels", "designs", "looks", "costs")
"""What every question looks at; the other tables have many rows per run."""

Content = TypeVar("Content")
Made = TypeVar("Made")
Options = ParamSpec("Options")
Answer = TypeVar("Answer")


class SweepKey(NamedTuple):
    """What tells one sweep over sizes from another."""

    dataset: str
    dataset_fingerprint: str
    protocol_id: str
    family: str
    depth: int


class ArchitectureKey(NamedTuple):
    """What tells one architecture of equal widths, on one version of the data, from another."""

    sweep: SweepKey
    capacity: int

    @classmethod
    def of(
        cls, dataset: str, dataset_fingerprint: str, protocol_id: str, family: str, depth: int, capacity: int
    ) -> Self:
        """Return the key of an architecture by what `ARCHITECTURE` selects."""
        return cls(SweepKey(dataset, dataset_fingerprint, protocol_id, family, depth), capacity)


ARCHITECTURE = "dataset, dataset_fingerprint, protocol_id, family, depth, capacity"
"""The columns of an architecture in a query, in the order of `ArchitectureKey.of`."""


@dataclass(frozen=True)
class Kind:
    """What an analysis is about, in words, and the phase that adds more of it."""

    noun: str
    source: Phase


FP32_RUNS = Kind("fp32 runs of equal widths", "convergence")


@dataclass(frozen=True)
class Selection:
    """What of a store to analyse: names of datasets and families (empty: all), and a protocol (None: the commonest).

    A name that is not there is an error, unless the selection is `lenient`.
    """

    datasets: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    protocol: str | None = None
    lenient: bool = False

    @property
    def protocols(self) -> tuple[str, ...]:
        """The protocol that was named, as a tuple."""
        return (self.protocol,) if self.protocol else ()


@dataclass(frozen=True)
class Found(Generic[Content]):
    """What a store holds of a kind; remarks on the choice; what was named and is not there, in words, if anything."""

    content: Content
    notes: tuple[str, ...] = ()
    missing: str | None = None

    def made_into(self, make: Callable[[Content], Made]) -> Found[Made]:
        """Return the same choice with its content made into something else."""
        return Found(make(self.content), self.notes, self.missing)


class Study:
    """A store as it stood at one moment, and what of it to analyse.

    Every analysis takes a study where it takes the path of a store. Several that are asked of one study see the same
    rows, and share what takes long to find, such as the stability boundaries.
    """

    def __init__(self, path: Path, tables: Snapshot, chosen: Selection, *, seed: int = 0) -> None:
        self.path = path
        self.tables = tables
        self.chosen = chosen
        self.seed = seed
        self._answers: dict[object, object] = {}

    @classmethod
    def read(
        cls,
        store: str | Path,
        dataset: str | Sequence[str] | None = None,
        family: str | Sequence[str] | None = None,
        protocol: str | None = None,
        *,
        seed: int = 0,
        lenient: bool = False,
        tables: Sequence[str] = TABLES,
    ) -> Self:
        """Return a study of the store at a path: of some datasets and families (None: all), under a protocol.

        Args:
            store: Path of the results store.
            dataset: Name or names.
            family: Name or names.
            protocol: Its id; None for the one with most runs, per dataset and family.
            seed: What resampling depends on.
            lenient: Whether a name that the store does not have gives no rows, instead of an error.
            tables: The tables to read: those with many rows can be left out where no question looks at them.

        Raises:
            MinarchError: there is no such store, or it cannot be read.
        """
        chosen = Selection(_names(dataset), _names(family), protocol, lenient)
        return cls(Path(store), Store(Path(store)).snapshot(tables), chosen, seed=seed)

    def query(self, sql: str) -> polars.DataFrame:
        """Return the rows of a reading SQL statement on the study's tables.

        Raises:
            MinarchError: the statement writes, or DuckDB refuses it.
        """
        return self.tables.query(sql)

    def rng(self, *key: object) -> np.random.Generator:
        """Return a generator that depends on the seed and the key only."""
        return sweep_rng(self.seed, *key)

    def among(self, condition: str) -> Study:
        """Return a study of the runs alone that meet a condition, in SQL, otherwise as this one."""
        return Study(self.path, self.tables.where("runs", condition), self.chosen, seed=self.seed)

    def choose(self, rows: polars.DataFrame, kind: Kind) -> Found[polars.DataFrame]:
        """Return the rows that were chosen, of one protocol and one version of the data per dataset and family."""
        import polars

        if rows.is_empty():
            note = phrase(f"the store holds no {kind.noun} yet; ", quoted(Command(kind.source)), " adds them")
            return Found(rows, (note,))
        missing: list[str] = []
        for column, wanted in (
            ("dataset", self.chosen.datasets),
            ("family", self.chosen.families),
            ("protocol_id", self.chosen.protocols),
        ):
            known = rows[column].unique().sort().to_list()
            what = column.removesuffix("_id")
            missing += [
                f"the store holds no {kind.noun} of {what} {name!r}, only of {', '.join(known)}"
                for name in wanted
                if name not in known
            ]
            if wanted:
                rows = rows.filter(polars.col(column).is_in(list(wanted)))
        rows, notes = _commonest(rows)
        return Found(rows, notes, missing[0] if missing else None)

    def demand(self, found: Found[Content]) -> Found[Content]:
        """Return what was found.

        Raises:
            MinarchError: something that was named is not there, and the study is not lenient.
        """
        if found.missing and not self.chosen.lenient:
            raise MinarchError(found.missing)
        return found

    @cached_property
    def advice(self) -> Advice:
        """What is known of the store, to write commands with that add to it."""
        return advice_from(self.path, self.query)

    def advised(self, found: Content) -> Content:
        """Return results as they leave: their texts are strings, the commands in them complete."""
        return completed(found, lambda: self.advice, self.chosen.datasets)

    def answer(self, question: object, find: Callable[[], Answer]) -> Answer:
        """Return the answer to a question: found now, or the one that was found before."""
        if question not in self._answers:
            self._answers[question] = find()
        return cast(Answer, self._answers[question])


def once(question: Callable[Concatenate[Study, Options], Answer]) -> Callable[Concatenate[Study, Options], Answer]:
    """Return a function of a study and hashable options that finds each answer once per study."""
    parameters = signature(question)

    def asked(study: Study, /, *args: Options.args, **options: Options.kwargs) -> Answer:
        bound = parameters.bind(study, *args, **options)
        bound.apply_defaults()  # An option that is given its default value makes no other question.
        key = (question, *list(bound.arguments.items())[1:])
        return study.answer(key, lambda: question(study, *args, **options))

    update_wrapper(asked, question)
    return asked


def study_of(
    store: str | Path | Study,
    dataset: str | Sequence[str] | None,
    family: str | Sequence[str] | None,
    protocol: str | None,
    *,
    seed: int = 0,
    tables: Sequence[str] = (),
) -> Study:
    """Return the study that a caller's arguments mean: a new one of a store's small tables and these, or the one given.

    Raises:
        MinarchError: there is no such store, or a choice is made of a study, which has made its own.
    """
    if not isinstance(store, Study):
        return Study.read(store, dataset, family, protocol, seed=seed, tables=(*SMALL_TABLES, *tables))
    if (dataset, family, protocol) != (None, None, None):
        raise MinarchError("a study has its own choice of dataset, family and protocol; choose in Study.read")
    lacking = set(tables) - store.tables.names
    if lacking:
        raise MinarchError(f"the study was read without the table {min(lacking)}; read it with tables including it")
    return store


def sweep_rng(seed: int, *key: object) -> np.random.Generator:
    """Return a generator that depends on `seed` and the key only."""
    return np.random.default_rng([seed, crc32("/".join(str(part) for part in key).encode())])


def _commonest(rows: polars.DataFrame) -> tuple[polars.DataFrame, tuple[str, ...]]:
    """Return the rows of the protocol and version of the data with most, per dataset and family, and remarks."""
    import polars

    keys = ["dataset", "family"]
    identity = [*keys, "protocol_id", "dataset_fingerprint"]
    # Most runs first; the names settle ties, so that the choice does not hang on the order of rows.
    ranked = rows.group_by(identity).agg(polars.len().cast(int)).sort(*keys, -polars.col("len"), *identity[2:])
    best = ranked.unique(keys, keep="first", maintain_order=True)
    rivals = ranked.group_by(keys, maintain_order=True).agg(polars.col("protocol_id"), polars.col("len"))
    notes = tuple(
        _choice(dataset, family, protocols, lengths)
        for dataset, family, protocols, lengths in rivals.iter_rows()
        if len(protocols) > 1
    )
    return rows.join(best.drop("len"), on=identity, how="semi", maintain_order="left"), notes


def _choice(dataset: str, family: str, protocols: list[str], lengths: list[int]) -> str:
    others = sorted(set(protocols) - {protocols[0]})
    if not others:
        return f"{dataset}, {family}: runs on {len(protocols)} versions of the data; analysing the one with most runs"
    return (
        f"{dataset}, {family}: analysing protocol {protocols[0]} ({counted(lengths[0], 'run')}); "
        f"choose another with --protocol: {', '.join(others)}"
    )


def _names(given: str | Sequence[str] | None) -> tuple[str, ...]:
    if given is None:
        return ()
    return (given,) if isinstance(given, str) else tuple(given)
