"""Random command lines of all programs, drawn from their click commands, with values that nobody should give."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import click

from analyze.cli import analyze
from analyze.cli import main as analyze_main
from generate.cli import generate
from generate.cli import main as generate_main
from reports.cli import cli as reports
from reports.cli import main as reports_main
from store.cli import group as store
from store.cli import main as store_main

PROGRAMS: dict[str, tuple[click.Command, Callable[[], object]]] = {
    "generate": (generate, generate_main),
    "store": (store, store_main),
    "analyze": (analyze, analyze_main),
    "reports": (reports, reports_main),
}
DATASET, PROTOCOL = "planted", "p1"
"""What the planted store holds."""

TEXTS = (
    *("", " ", "-", "--", "-1", "0", "1", "1e400", "-1e400", "nan", "-inf", "inf", "1e-320", "0x10", "1_000", "٣", "½"),
    *("1,", ",", "1,1,1", "1,-2", "2147483648", "9" * 400, "-" + "9" * 400, "9" * 5000, "x" * 300, "x" * 5000),
    *("x/" * 3000, "\udcff\udcfe", "a\udc80b", "a\nb", "a\tb", "\r", "\x1b[31mred", "a\x00b", "[bold]x[/bold]", "[/]"),
    *("[red", "<b>&amp;", "'", '"', "''", "\\", "%s%n", "{0}", "$HOME", "`id`", "*", "?", "[a-z]", "..", ".", "/", "~"),
    *(
        "~nouser/x",
        "~root/x",
        "\u202eabc\u2066",
        "e\u0301",
        "\ufeff",
        "\U0001f600",
        "\u2028",
        "None",
        "true",
        "=",
        "a=b",
    ),
    *("=1", "--store", "@x", "#"),
)
SQL = (
    *r"""
SELECT 1
FROM runs
FROM runs LIMIT 3
FROM cells
SHOW TABLES
DESCRIBE runs
SELECT
SELECT 1; SELECT 2
SELECT [INTERVAL 1 DAY] AS a
SELECT DATE 'infinity' AS a
SELECT TIMESTAMP '-infinity' AS a
SELECT MAP {1: 2} AS a
SELECT {} AS a
SELECT [{}] AS a
SELECT {'a': {}} AS a
SELECT MAP {} AS a
SELECT [] AS a
SELECT NULL AS a
SELECT {'a': 1, 'b': [MAP {'x': {'y': NULL}}]} AS a
SELECT 'nan'::DOUBLE AS a, 'inf'::FLOAT AS b
SELECT ''::BLOB AS a
SELECT '\x00'::BLOB AS a
SELECT chr(0) AS a
SELECT 'a' AS ""
SELECT 1 AS a, 2 AS a
SELECT '101'::BIT AS a
SELECT uuid() AS a
SELECT TIME '24:00:00' AS a
SELECT '12:00:00+15:59'::TIMETZ AS a
SELECT now() AS a
SELECT 170141183460469231731687303715884105727::HUGEINT AS a
SELECT 1::UHUGEINT AS a
SELECT 1.5::DECIMAL(38, 37) AS a
SELECT 'a'::ENUM('a', 'b') AS a
SELECT union_value(k := 1) AS a
SELECT [1, 2]::INTEGER[2] AS a
SELECT array_value({}) AS a
SELECT (SELECT 1 WHERE false) AS a
FROM runs WHERE false
SELECT * FROM range(3) a, range(3) b
PRAGMA version
EXPLAIN SELECT 1
COPY runs TO 'x.csv'
DROP TABLE runs
DELETE FROM runs
INSERT INTO runs SELECT * FROM runs
ATTACH 'x.duckdb'
INSTALL httpfs
FROM read_csv('/etc/passwd')
SELECT repeat('x', 100000) AS a
SELECT '[bold]' AS "[/b]"
SELECT getenv('HOME') AS a
SELECT error('a' || chr(10) || 'b')
SELECT 1 / 0 AS a
SELECT 'x'::INTEGER
-- nothing
/*
$1
SELECT ?
SELECT $a
SELECT 'Infinity'::DATE AS a, DATE '5877642-06-25 (BC)' AS b
SELECT TIMESTAMP_NS '2262-04-11 23:47:16' AS a
SELECT struct_pack(a := NULL) AS a
SELECT row(1, 2) AS a
SELECT '{"a": [1]}'::JSON AS a
VALUES (1), ('x')
SUMMARIZE runs
""".strip().splitlines(),
    'SELECT 1 AS "a\nb"',
    "SELECT 'a\x00b' AS a",
)
"""Queries, most of them for types and names that some format lacks."""
PLAUSIBLE: Mapping[str, Sequence[str]] = {
    "query": (*SQL, "-"),
    "name": ("convergence", "pruning", "quantization", "shapes", "epochs"),
    "view": ("parameters", "accuracy", "loss", "size"),
    "datasets": (DATASET, DATASET, "digits", "mnist", "paper", "images"),
    "dataset": (DATASET, DATASET, "digits"),
    "protocol": (PROTOCOL,),
    "settings": (
        "kernel_size=5",
        "vit.blocks=3",
        "vit.heads=0",
        "kernel_size=99",
        "learning_rate=1e-3",
        "batch_size=0",
    ),
    "scheduler": ("tcp://127.0.0.1:1", "localhost", "inproc://x"),
}
"""Values that a parameter with this name may well take; of others the type says what they may be."""
SMALL = ("--repeats=1", "--capacities=2", "--no-claims")
"""Options that keep a command short; most lines begin with those that theirs has, and may say otherwise after."""
STORE = "results.duckdb"
READ = (STORE, "export", "folder", "text", "nothing", "dangling", "round", "pipe", "new", "/dev/full", "/dev/null")
"""Paths in a folder made by `furnish`; a pipe is among them: it must be refused, not waited for."""
WRITTEN = (
    *("new", "new.csv", "new.json", "new.parquet", "a/b", "text", "folder", "dangling", "round", STORE),
    *("/dev/full", "/dev/null", "/proc/self/fd/77", "/proc/x"),
)
"""Paths to write to; a pipe without a reader would have to be waited for."""


def furnish(folder: Path, planted: Path, export: Path) -> None:
    """Make a folder with a copy of the planted store and paths of every kind."""
    folder.mkdir()
    (folder / STORE).write_bytes(planted.read_bytes())
    (folder / "export").symlink_to(export)
    (folder / "folder").mkdir()
    (folder / "images").mkdir()
    (folder / "text").write_text("no database")
    (folder / "nothing").touch()
    (folder / "dangling").symlink_to("nowhere")
    (folder / "round").symlink_to("round")
    os.mkfifo(folder / "pipe")


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every program with each of its commands."""
    for program, (group, _) in PROGRAMS.items():
        assert isinstance(group, click.Group)
        for command in group.commands.values():
            yield program, command


def line(rng: random.Random, program: str, command: click.Command) -> list[str]:
    """Return a random command line of a command, without the program's name."""
    options = [p for p in command.params if isinstance(p, click.Option)]
    known = {name for option in options for name in (*option.opts, *option.secondary_opts)}
    small = [word for word in SMALL if word.split("=")[0] in known and rng.random() < 0.9]
    words = [str(command.name), *small]
    for option in rng.choices(options, k=rng.choice((0, 1, 1, 2, 3, 5))):
        name = rng.choice([*option.opts, *option.secondary_opts])
        if option.is_flag:
            words.append(name)
        elif rng.random() < 0.5:
            words.append(f"{name}={_value(rng, option)}")
        else:
            words += [name, _value(rng, option)]
    for argument in command.params:
        if isinstance(argument, click.Argument) and rng.random() < 0.97:
            words.insert(rng.choice((1, len(words))), _value(rng, argument))
    chance = rng.random()
    if chance < 0.02:
        words.insert(rng.randrange(len(words) + 1), rng.choice(TEXTS))
    elif chance < 0.04:
        words.pop()
    return words


def _value(rng: random.Random, parameter: click.Parameter) -> str:
    if rng.random() < 0.25:
        return rng.choice(TEXTS)
    kind, name = parameter.type, str(parameter.name)
    if name in PLAUSIBLE:
        return rng.choice(PLAUSIBLE[name])
    if isinstance(kind, click.Choice):
        return str(rng.choice(list(kind.choices)))
    if isinstance(kind, click.Path):
        return rng.choice(WRITTEN if name == "out" else (STORE, STORE, *READ))
    if isinstance(kind, click.IntRange):
        low, high = kind.min or 0, kind.max if kind.max is not None else 2**63
        return str(rng.choice((low, low, low + 1, low + 4, high, low - 1, high + 1)))
    if isinstance(kind, click.FloatRange):
        return rng.choice(("0.01", "0.5", "0.999", "1e-300", "0", "1"))
    return rng.choice(("1", "1,2,5", "0.5", "1,3", "500MB", "32MB", "x"))
