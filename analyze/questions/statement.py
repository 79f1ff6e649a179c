"""What can be cited of a recommendation: the answer with everything that it rests on, and what it leaves open."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any, overload

import polars

from analyze.arguments import checked
from analyze.questions.candidates import Candidate, Cell, cells
from analyze.questions.costs import By
from analyze.questions.recommend import Recommendation, Recommendations, recommend
from analyze.stats.safety import MARGIN
from analyze.stats.tolerance import reach_bound
from analyze.study import Study, study_of
from store.words import host_in_words

VARIED = ("initial weights", "which of the training images validate", "order of the minibatches")
"""What a replicate draws anew, by its number."""
SAME = ("training and test images", "settings of the protocol")
"""What all replicates share, the hardware apart."""
HARDWARE = "kind of hardware"
NOT_RECORDED = "not recorded"
ONE_LOOK = (
    "no sequential design in the store was made for this question: levels hold for one look, at a number of replicates "
    "that was fixed beforehand; looks at earlier stages, if there were any, are not accounted for"
)

DATASETS = "SELECT * FROM datasets"
SOURCES = """
SELECT r.dataset_fingerprint, r.protocol_id, r.family, r.run_id IN (SELECT run_id FROM equal_widths) AS equal,
       r.seconds, r.created_at, r.engine, i.package_version, i.torch_version, i.host
FROM runs r LEFT JOIN invocations i USING (invocation_id)
"""
SPECS = "SELECT protocol_id, spec::VARCHAR AS spec FROM protocols"
RESULTS = "SELECT run_id, status, test_accuracy FROM runs ORDER BY run_id"


@dataclass(frozen=True, kw_only=True)
class Data:
    """The images that networks were trained and tested on; sizes in images and pixels, `chance_accuracy` a fraction."""

    fingerprint: str
    train_images: int
    test_images: int
    height: int
    width: int
    channels: int
    classes: int
    chance_accuracy: float


@dataclass(frozen=True, kw_only=True)
class Tried:
    """The networks of one family and depth that were trained: sizes, and how many replicates they have."""

    family: str
    depth: int
    capacities: tuple[int, ...]
    fewest_replicates: int
    most_replicates: int
    protocol_id: str


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was asked for: the limits, what is to be small, and the seed of the resampling."""

    max_drop: float
    max_parameters: int | None
    max_bytes: int | None
    min_accuracy: float | None
    max_macs: int | None
    max_ram: int | None
    by: By
    seed: int


@dataclass(frozen=True, kw_only=True)
class Lowest:
    """The lowest accuracy among the trainings of the network, and the exact lower 95% bound on the share that reach it.

    Source: Wilks (1941), Annals of Mathematical Statistics 12, 91-96: the bound holds although the data chose it.
    """

    accuracy: float
    share: float


@dataclass(frozen=True, kw_only=True)
class Compute:
    """Trainings of equal widths, in 32 and in 8 bits, that the statement is about, and all of the store; hours of them.

    `first` and `last` are the days, in UTC, on which the first and the last of those ended.
    """

    trainings: int
    hours: float
    store_trainings: int
    store_hours: float
    first: str
    last: str


@dataclass(frozen=True, kw_only=True)
class Versions:
    """What trained the networks, as the store recorded it, and the version of minarch that says so."""

    analysed_with: str
    minarch: tuple[str, ...]
    torch: tuple[str, ...]
    engines: tuple[str, ...]
    hosts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Statement:
    """The citable statement on one dataset and scope; `docs/method.md` defines the fields."""

    dataset: str
    scope: str
    asked: Asked
    answer: Recommendation
    lowest: Lowest | None
    data: Data
    varied: tuple[str, ...]
    same: tuple[str, ...]
    tried: tuple[Tried, ...]
    looks: str
    undecided: tuple[str, ...]
    compute: Compute
    versions: Versions
    protocols: dict[str, Any]
    store: str
    store_id: str
    notes: tuple[str, ...]

    def markdown(self) -> str:
        """Return the statement as Markdown."""
        from analyze.questions.citable import markdown

        return markdown(self)


@dataclass(frozen=True)
class Statements(Sequence[Statement]):
    """Statements, one per dataset and scope, and remarks on what was analysed."""

    rows: tuple[Statement, ...]
    notes: tuple[str, ...] = ()

    @overload
    def __getitem__(self, index: int) -> Statement: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Statement, ...]: ...
    def __getitem__(self, index: int | slice) -> Statement | tuple[Statement, ...]:
        return self.rows[index]

    def __iter__(self) -> Iterator[Statement]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def records(self) -> list[dict[str, Any]]:
        """Return the statements as nested dictionaries, ready for JSON; `markdown` has each in words."""
        return [{**asdict(row), "markdown": row.markdown()} for row in self.rows]

    def json(self) -> str:
        """Return the statements as JSON, a list of objects."""
        return json.dumps(self.records(), indent=1, ensure_ascii=False) + "\n"

    def markdown(self) -> str:
        """Return the statements as Markdown, a section each."""
        return "\n".join(row.markdown() for row in self.rows)


@checked
def statement(
    store: str | Path | Study,
    dataset: str | Sequence[str] | None = None,
    family: str | Sequence[str] | None = None,
    protocol: str | None = None,
    *,
    max_drop: float = MARGIN,
    max_parameters: int | None = None,
    max_bytes: int | None = None,
    min_accuracy: float | None = None,
    max_macs: int | None = None,
    max_ram: int | None = None,
    by: By = "parameters",
    seed: int = 0,
) -> Statements:
    """Return what can be cited of each recommendation, with the arguments of `recommend`, whose answer it is.

    Raises:
        MinarchError: there is no such store, or it holds none of a dataset, family or protocol that was named.
    """
    study = study_of(store, dataset, family, protocol, seed=seed, tables=("pruning", "post_training"))
    limits: dict[str, Any] = {
        "max_drop": max_drop,
        "max_parameters": max_parameters,
        "max_bytes": max_bytes,
        "min_accuracy": min_accuracy,
        "max_macs": max_macs,
        "max_ram": max_ram,
        "by": by,
    }
    found = recommend(study, **limits)
    asked = Asked(**limits, seed=study.seed)
    return Statements(tuple(_statements(study, found, asked)), found.notes)


def _statements(study: Study, found: Recommendations, asked: Asked) -> Iterator[Statement]:
    facts = {row["dataset_fingerprint"]: row for row in study.query(DATASETS).iter_rows(named=True)}
    specs = {row["protocol_id"]: json.loads(row["spec"]) for row in study.query(SPECS).iter_rows(named=True)}
    sources, identity = study.query(SOURCES), store_identity(study)
    for answer in found:
        evidence = [row for row in found.evidence if (row.dataset, row.scope) == (answer.dataset, answer.scope)]
        part = [cell for cell in cells(study) if _within(cell, answer)]
        tried = _tried(part)
        own = _of(sources, part)
        versions = _versions(own)
        yield Statement(
            dataset=answer.dataset,
            scope=answer.scope,
            asked=asked,
            answer=answer,
            lowest=_lowest(part, answer),
            data=_data(facts[part[0].dataset_fingerprint]),
            varied=VARIED,
            same=(*SAME, *([HARDWARE] if _one_kind(versions.hosts) else [])),
            tried=tried,
            looks=_looks(answer),
            undecided=tuple(_undecided(answer, evidence)),
            compute=_compute(own, sources),
            versions=versions,
            protocols={name: specs[name] for name in dict.fromkeys(row.protocol_id for row in tried)},
            store=study.path.name,
            store_id=identity,
            notes=found.notes,
        )


def store_identity(study: Study) -> str:
    """Return what tells a store's results from others': a hash of every run's id, status and test accuracy."""
    lines = ("\t".join(map(str, row)) for row in study.query(RESULTS).iter_rows())
    return sha256("\n".join(lines).encode()).hexdigest()[:16]


def _within(cell: Cell, answer: Recommendation) -> bool:
    return cell.dataset == answer.dataset and answer.scope in ("all", cell.family)


def _of(sources: polars.DataFrame, part: Sequence[Cell]) -> polars.DataFrame:
    """Return the runs of equal widths behind these architectures, in either precision."""
    keys = {(cell.dataset_fingerprint, cell.protocol_id, cell.family) for cell in part}
    columns = ["dataset_fingerprint", "protocol_id", "family"]
    wanted = polars.DataFrame(sorted(keys), schema=columns, orient="row")
    return sources.filter("equal").join(wanted, on=columns, how="semi")


def _data(row: dict[str, Any]) -> Data:
    return Data(
        fingerprint=row["dataset_fingerprint"],
        **{name: row[name] for name in ("train_images", "test_images", "height", "width", "channels", "classes")},
        chance_accuracy=row["chance_accuracy"],
    )


def _tried(part: Sequence[Cell]) -> tuple[Tried, ...]:
    rows = []
    for key, group in groupby(part, key=lambda cell: cell.key.sweep):
        members = list(group)
        counts = [len(cell.observed) for cell in members]
        rows.append(
            Tried(
                family=key.family,
                depth=key.depth,
                capacities=tuple(cell.capacity for cell in members),
                fewest_replicates=min(counts),
                most_replicates=max(counts),
                protocol_id=key.protocol_id,
            )
        )
    return tuple(rows)


def _lowest(part: Sequence[Cell], answer: Recommendation) -> Lowest | None:
    """Return the least accurate training of the network that is recommended."""
    chosen = (answer.family, answer.depth, answer.capacity)
    seen = next((cell.observed for cell in part if (cell.family, cell.depth, cell.capacity) == chosen), None)
    return None if seen is None else Lowest(accuracy=float(seen.min()), share=reach_bound(len(seen), len(seen)))


def _looks(answer: Recommendation) -> str:
    """Return after how many replicates the data were looked at, and what that means for the levels."""
    if answer.design is None:
        return ONE_LOOK
    decided = "" if answer.look is None else f"; the last one that counted was at {answer.look}"
    return (
        f"after {answer.planned_looks} replicates, as sequential design {answer.design} planned before the first "
        f"training; the error rate is spent over these looks (O'Brien-Fleming type){decided}"
    )


def _undecided(answer: Recommendation, evidence: Sequence[Candidate]) -> Iterator[str]:
    """Yield what the data do not decide, in words."""
    smaller = [row for row in evidence if answer.parameters is None or row.parameters < answer.parameters]
    for what, verdicts, rows in (
        ("stable, and neither shown to be good enough nor shown not to be", ("not shown", "guess"), smaller),
        ("stable, but not of the sequential design", ("not in the design",), evidence),
        ("stable, but with too few replicates to be tested", ("too few",), evidence),
        ("too little data to tell whether stable", ("unknown",), evidence),
    ):
        named = _named([row for row in rows if row.verdict in verdicts])
        if named:
            yield f"{what}: {named}"
    if answer.family is not None:
        yield from _undecided_cuts(answer)
    yield "sizes between those that were tried, and other families"


def _undecided_cuts(answer: Recommendation) -> Iterator[str]:
    if answer.safe_sparsity is None:
        yield "whether it can be pruned"
    if answer.int8_safe is None:
        yield "what 8 bits cost"
    elif not answer.int8_safe:
        yield "whether 8 bits cost less than the margin: it is not shown"
    yield "what pruning and 8 bits cost together"


def _named(rows: Sequence[Candidate]) -> str:
    """Return architectures in words, those of a sweep together: `dnn, depth 1, size 20, 30`."""
    return "; ".join(
        f"{family}, depth {depth}, size {', '.join(str(row.capacity) for row in group)}"
        for (family, depth), group in groupby(rows, key=lambda row: (row.family, row.depth))
    )


def _compute(own: polars.DataFrame, everything: polars.DataFrame) -> Compute:
    days = own["created_at"].dt.date().cast(polars.String)
    return Compute(
        trainings=own.height,
        hours=float(own["seconds"].sum()) / 3600,
        store_trainings=everything.height,
        store_hours=float(everything["seconds"].sum()) / 3600,
        first=str(days.min()),
        last=str(days.max()),
    )


def _versions(own: polars.DataFrame) -> Versions:
    from importlib.metadata import version

    def values(column: str) -> tuple[str, ...]:
        return tuple(own[column].drop_nulls().unique().sort().to_list())

    return Versions(
        analysed_with=version("minarch"),
        minarch=values("package_version"),
        torch=values("torch_version"),
        engines=values("engine"),
        hosts=tuple(dict.fromkeys(host_in_words(host) or NOT_RECORDED for host in values("host"))) or (NOT_RECORDED,),
    )


def _one_kind(hosts: Sequence[str]) -> bool:
    return len(hosts) == 1 and hosts[0] != NOT_RECORDED
