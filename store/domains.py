"""What values can be: the domain of each column, and what a row needs beside it.

Most rules stand in the schema too, as CHECK constraints of the migration `domains`: whoever writes to a store, with
this package or without it, is held to them. Vocabularies do not, for they grow. An import and a spool file are checked
against all of them, so that a refusal names table, column and row.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable
from dataclasses import dataclass

import duckdb

from store.errors import MinarchError
from store.families import FAMILIES, layered_families
from store.precisions import PRECISIONS
from store.records import Engine, PruningMethod, Status
from store.tables import KEYS

# No loss in single precision is larger.
_LARGEST_LOSS = "1e39"
# Logarithms in single precision round: a loss of nothing may come out this much below.
_ROUNDING = "-1e-6"
# Characters of a value that a message shows.
_SHOWN = 60


@dataclass(frozen=True)
class Rule:
    """What a column's values are held to: an SQL condition on its row, which NULL passes, and the same in words."""

    column: str
    holds: str
    allowed: str
    in_schema: bool = True


class DomainError(MinarchError):
    """A row that cannot be; the text names table, column and row."""


def _fraction(column: str) -> Rule:
    return Rule(column, f"{column} BETWEEN 0 AND 1", "0 to 1")


def _loss(column: str) -> Rule:
    return Rule(column, f"{column} BETWEEN {_ROUNDING} AND {_LARGEST_LOSS}", f"0 to {_LARGEST_LOSS}")


def _at_least(least: int, column: str) -> Rule:
    return Rule(column, f"{column} >= {least}", f"{least} or more")


def _seconds() -> Rule:
    return Rule("seconds", "seconds BETWEEN 0 AND 1e10", "0 to 1e10")


def _bits(column: str) -> Rule:
    return Rule(column, f"{column} BETWEEN 2 AND 8", "2 to 8")


def _word(column: str, known: Iterable[str]) -> Rule:
    words = tuple(known)
    return Rule(column, f"{column} IN ({_listed(words)})", f"one of {', '.join(words)}", in_schema=False)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)


_METRICS = [f"{part}_{what}" for part in ("train", "validation", "test") for what in ("accuracy", "loss")]


def _metrics(*columns: str) -> tuple[Rule, ...]:
    return tuple(_fraction(name) if name.endswith("accuracy") else _loss(name) for name in columns)


RULES: dict[str, tuple[Rule, ...]] = {
    "datasets": (
        *(_at_least(1, name) for name in ("train_images", "test_images", "height", "width", "channels", "classes")),
        _fraction("chance_accuracy"),
    ),
    "runs": (
        _word("precision", PRECISIONS),
        _word("engine", typing.get_args(Engine)),
        _word("status", typing.get_args(Status)),
        _at_least(1, "depth"),
        _at_least(1, "capacity"),
        Rule(
            "hidden_sizes",
            "len(hidden_sizes) IN (1, depth) AND hidden_sizes[1] = capacity AND list_min(hidden_sizes) >= 1",
            "capacity first, and either no more or a width of 1 or more for each of depth",
        ),
        _at_least(1, "parameters"),
        _at_least(0, "replicate"),
        _at_least(1, "epochs"),
        Rule("best_epoch", "best_epoch BETWEEN 1 AND epochs", "1 to the run's epochs"),
        *_metrics(*_METRICS, *(f"last_{name}" for name in _METRICS)),
        _seconds(),
    ),
    "labels": (Rule("shape", "regexp_full_match(shape, '[-+=]*')", "one of +, -, = per step between hidden layers"),),
    "epochs": (_at_least(1, "epoch"), *_metrics(*_METRICS)),
    "pruning": (
        _word("method", typing.get_args(PruningMethod)),
        _fraction("sparsity"),
        *_metrics("test_accuracy", "test_loss"),
        _at_least(0, "nonzero"),
        _at_least(0, "finetune_epochs"),
    ),
    "integer_checks": (_fraction("test_accuracy"), _seconds()),
    "looks": (_at_least(0, "number"),),
    "post_training": (
        _bits("weight_bits"),
        _bits("activation_bits"),
        *_metrics("test_accuracy", "test_loss"),
        _seconds(),
    ),
    "costs": (
        *(_at_least(0, name) for name in ("weights", "macs")),
        *(_at_least(1, name) for name in ("ram_fp32", "ram_int8")),
    ),
}


def rules(table: str) -> tuple[Rule, ...]:
    """Return the rules of a table, those on families by the families that are registered."""
    if table != "runs":
        return RULES.get(table, ())
    layered = _listed(layered_families())
    widths = Rule(
        "hidden_sizes",
        f"len(hidden_sizes) = CASE WHEN family IN ({layered}) THEN depth ELSE 1 END",
        f"a width for each of depth where the family is {layered}, else one",
        in_schema=False,
    )
    return (_word("family", FAMILIES), *RULES[table], widths)


def check(connection: duckdb.DuckDBPyConnection, table: str, rows: str) -> None:
    """Accept rows that can be; `rows` names a relation with the columns of `table`, or those of an earlier version.

    Raises:
        DomainError: a value lies outside of its column's domain.
    """
    columns = {name for name, *_ in connection.execute(f"DESCRIBE {rows}").fetchall()}
    held = [rule for rule in rules(table) if rule.column in columns]
    if not held:
        return
    counts = ", ".join(f"count(*) FILTER (NOT ({rule.holds}))" for rule in held)
    found = connection.execute(f"SELECT {counts} FROM {rows}").fetchall()[0]
    for rule, count in zip(held, found, strict=True):
        if count:
            raise DomainError(_complaint(connection, table, rows, rule, count))


def check_store(connection: duckdb.DuckDBPyConnection) -> None:
    """Accept an open store, of any version, whose rows can be.

    Raises:
        DomainError: a value lies outside of its column's domain.
    """
    there = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    for table in RULES:
        if table in there:
            check(connection, table, table)


def _complaint(connection: duckdb.DuckDBPyConnection, table: str, rows: str, rule: Rule, count: int) -> str:
    keys = KEYS[table]
    value, *key = connection.execute(
        f"SELECT {rule.column}::VARCHAR, {', '.join(f'{name}::VARCHAR' for name in keys)} FROM {rows}"
        f" WHERE NOT ({rule.holds}) ORDER BY ALL LIMIT 1"
    ).fetchall()[0]
    where = ", ".join(f"{name} {_shown(text)}" for name, text in zip(keys, key, strict=True))
    others = f" and {count - 1:,} more" if count > 1 else ""
    return f"{table}: column {rule.column} is {_shown(value)} in the row of {where}{others}; allowed is {rule.allowed}"


def _shown(text: str) -> str:
    """Return a value as it can stand in a line."""
    short = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return short if short.isprintable() and short else repr(short)
