"""Export and import: whole, repeatable, and refusing what does not fit by table and column."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from store import spool
from store.errors import MinarchError
from store.results import Store
from store.tables import ADDED, ADDED_TABLES, SCHEMAS, TABLES
from tests.store.build import INVOCATION, grid, make_cuts, make_post_training, make_records, make_run, make_store

Spoil = Callable[[pl.DataFrame], pl.DataFrame]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    path = tmp_path_factory.mktemp("store") / "a.duckdb"
    diverged = make_run((2,), replicate=9, test_accuracy=None, status="diverged")
    records = make_records([*grid(widths=(2, 5), replicates=2), diverged])
    cuts = tuple(row for run in records.runs for row in make_cuts(run, [("random", 0), ("magnitude", 5), ("units", 5)]))
    after = tuple(row for run in records.runs if run.precision == "fp32" for row in make_post_training(run))
    return make_store(path, replace(records, pruning=(*records.pruning, *cuts), post_training=after))


def contents(store: Store) -> dict[str, set[str]]:
    return {table: set(map(repr, store.query(f"FROM {table}").iter_rows())) for table in TABLES}


def test_an_export_has_a_file_per_table_with_the_named_columns(store: Store, tmp_path: Path) -> None:
    counts = store.export(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(f"{t}.parquet" for t in TABLES)
    for table in TABLES:
        frame = pl.read_parquet(tmp_path / "out" / f"{table}.parquet")
        assert frame.columns == SCHEMAS[table].names
        assert frame.height == counts[table] == store.query(f"FROM {table}").height
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_an_import_rebuilds_the_store(store: Store, tmp_path: Path) -> None:
    counts = store.export(tmp_path / "out")
    copy = Store(tmp_path / "copy.duckdb")
    assert copy.import_(tmp_path / "out") == counts
    assert contents(copy) == contents(store)
    assert copy.import_(tmp_path / "out") == dict.fromkeys(TABLES, 0)
    assert contents(copy) == contents(store)


def test_an_export_of_an_earlier_version_is_taken_in(tmp_path: Path) -> None:
    store = make_store(tmp_path / "a.duckdb", make_records(grid(widths=(2, 5), replicates=2)))
    counts = store.export(tmp_path / "out")
    for table, columns in ADDED.items():
        path = tmp_path / "out" / f"{table}.parquet"
        pl.read_parquet(path).drop(columns).write_parquet(path)
    for table in ADDED_TABLES:
        (tmp_path / "out" / f"{table}.parquet").unlink()
    copy = Store(tmp_path / "copy.duckdb")
    assert copy.import_(tmp_path / "out") == counts
    assert contents(copy) == contents(store)
    assert copy.query("SELECT DISTINCT method, finetune_epochs FROM pruning").rows() == [("magnitude", 0)]
    assert sum(store.import_(tmp_path / "out").values()) == 0


def test_an_earlier_export_contradicts_no_rows_of_other_methods(tmp_path: Path) -> None:
    run = make_run()
    records = make_records([run])
    make_store(tmp_path / "a.duckdb", records).export(tmp_path / "out")
    path = tmp_path / "out" / "pruning.parquet"
    pl.read_parquet(path).drop(ADDED["pruning"]).write_parquet(path)
    cuts = make_cuts(run, [("random", 0), ("magnitude", 5)])
    richer = make_store(tmp_path / "b.duckdb", replace(records, pruning=(*records.pruning, *cuts)))
    assert sum(richer.import_(tmp_path / "out").values()) == 0
    assert richer.query("FROM pruning").height == 5


def test_a_request_survives_an_export(tmp_path: Path) -> None:
    invocation = replace(INVOCATION, request='{"phase":"all"}')
    store = make_store(tmp_path / "a.duckdb", make_records(invocation=invocation))
    store.export(tmp_path / "out")
    copy = Store(tmp_path / "copy.duckdb")
    copy.import_(tmp_path / "out")
    assert copy.query("SELECT request FROM invocations").rows() == [('{"phase":"all"}',)]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("generate all --dataset digits --repeats 3", None),
        (
            "generate all --data-dir /home/someone/data --store=/srv/x/s.duckdb",
            "generate all --data-dir data --store=s.duckdb",
        ),
        ("generate all --dataset '/home/some one/my images'", "generate all --dataset 'my images'"),
        ("generate all --dataset ~/photos --set vit.blocks=3", "generate all --dataset photos --set vit.blocks=3"),
        ("generate all --dataset ../photos/ --store /", "generate all --dataset photos --store /"),
        ("generate 'open /home/me", "generate"),
    ],
)
def test_an_export_names_no_folder_of_a_command_line(line: str, shown: str | None, tmp_path: Path) -> None:
    store = make_store(tmp_path / "a.duckdb", make_records(invocation=replace(INVOCATION, argv=line)))
    store.export(tmp_path / "out")
    assert pl.read_parquet(tmp_path / "out/invocations.parquet")["argv"].to_list() == [shown or line]
    assert sum(store.import_(tmp_path / "out").values()) == 0
    assert store.query("SELECT argv FROM invocations").item() == line


def test_an_anonymous_export_names_no_folder_at_all(tmp_path: Path) -> None:
    request = {"data_dir": "/home/me/data", "datasets": [{"source": "/home/me/photos"}, {"source": "mnist"}], "seed": 0}
    invocation = replace(INVOCATION, request=json.dumps(request))
    store = make_store(tmp_path / "a.duckdb", make_records(invocation=invocation))
    store.export(tmp_path / "out", anonymous=True)
    found = json.loads(pl.read_parquet(tmp_path / "out/invocations.parquet")["request"].item())
    assert found == {"data_dir": "data", "datasets": [{"source": "photos"}, {"source": "mnist"}], "seed": 0}
    assert not any(b"/home/me" in path.read_bytes() for path in (tmp_path / "out").iterdir())
    assert sum(store.import_(tmp_path / "out").values()) == 0


def test_stores_merge(tmp_path: Path) -> None:
    ours, theirs, shared = make_run((2,)), make_run((3,)), make_run((5,), test_accuracy=0.8)
    other = replace(INVOCATION, invocation_id="other")
    left = make_store(tmp_path / "left.duckdb", make_records([ours, shared], pruning=False))
    right = make_store(
        tmp_path / "right.duckdb", make_records([theirs, replace(shared, test_accuracy=0.7)], invocation=other)
    )
    right.export(tmp_path / "out")
    counts = left.import_(tmp_path / "out", on_conflict="keep")
    assert counts == {
        "protocols": 0,
        "datasets": 0,
        "invocations": 1,
        "runs": 1,
        "labels": 1,
        "epochs": 3,
        "pruning": 6,
        "integer_checks": 0,
        "designs": 0,
        "looks": 0,
        "post_training": 0,
        "costs": 1,
    }
    rows = left.query("SELECT capacity, test_accuracy FROM runs ORDER BY 1").rows()
    assert rows == [(2, 0.9), (3, 0.9), (5, 0.8)]


def test_an_import_takes_in_what_waits_first(store: Store, tmp_path: Path) -> None:
    store.export(tmp_path / "out")
    target = Store(tmp_path / "b.duckdb")
    run = store.query("SELECT run_id FROM runs WHERE capacity = 2 AND replicate = 0 AND depth = 1").item(0, 0)
    spool.write(target.spool, make_records([make_run((2,), test_accuracy=0.123)]), "waiting")
    target.import_(tmp_path / "out", on_conflict="keep")
    assert target.query("SELECT test_accuracy FROM runs WHERE run_id = ?", [run]).item() == 0.123
    assert spool.waiting(target.spool) == []


def test_an_earlier_export_is_replaced_and_nothing_else(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    make_store(tmp_path / "other.duckdb").export(target)
    store.export(target)
    assert pl.read_parquet(target / "runs.parquet").height == store.query("FROM runs").height
    (target / "thesis.txt").write_text("mine")
    with pytest.raises(
        MinarchError, match=r"out holds something else than an export \(thesis\.txt\); name a new folder"
    ):
        store.export(target)
    assert (target / "thesis.txt").read_text() == "mine"
    with pytest.raises(MinarchError, match=r"thesis\.txt is a file; export wants a folder"):
        store.export(target / "thesis.txt")


def test_paths_with_odd_characters(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "a=b's [*] ü"
    counts = store.export(folder)
    assert Store(tmp_path / "b=c.duckdb").import_(folder) == counts


@pytest.fixture(scope="module")
def exported(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "out"
    store.export(path)
    return path


@pytest.fixture
def export(exported: Path, tmp_path: Path) -> Path:
    """An export of the store to spoil."""
    return shutil.copytree(exported, tmp_path / "out")


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with other runs."""
    return make_store(tmp_path_factory.mktemp("target") / "b.duckdb", make_records([make_run((77,))]))


def put(column: str, value: object, kind: type[pl.DataType] | pl.DataType | None = None) -> Spoil:
    """Return a change that gives the first row of `column` this value."""

    def spoil(frame: pl.DataFrame) -> pl.DataFrame:
        values = frame[column].to_list()
        return frame.with_columns(pl.Series(column, [value, *values[1:]], kind or frame.schema[column]))

    return spoil


def cast(column: str, kind: type[pl.DataType] | pl.DataType) -> Spoil:
    return lambda frame: frame.with_columns(pl.col(column).cast(kind))


@pytest.mark.parametrize(
    ("table", "spoil", "message"),
    [
        ("runs", lambda f: f.drop("capacity"), "runs: column capacity is missing"),
        ("epochs", lambda f: f.with_columns(note=1), "epochs: column note is unknown; the store has run_id, epoch"),
        ("runs", lambda f: f.rename({"depth": "Depth"}), "runs: column Depth is unknown"),
        ("runs", cast("capacity", pl.String), "runs: column capacity is VARCHAR, and the store wants INTEGER"),
        ("runs", cast("capacity", pl.Float64), "runs: column capacity is DOUBLE, and the store wants INTEGER"),
        ("runs", cast("created_at", pl.Date), "runs: column created_at is DATE, and the store wants TIMESTAMP"),
        ("runs", lambda f: f.with_columns(hidden_sizes=pl.lit(1)), "runs: column hidden_sizes is INTEGER, and"),
        ("pruning", cast("run_id", pl.Binary), "pruning: column run_id is BLOB, and the store wants VARCHAR"),
        ("labels", cast("degenerate", pl.Int8), "labels: column degenerate is TINYINT, and the store wants BOOLEAN"),
        ("runs", put("family", None), "runs: column family has no value in 1 rows"),
        ("pruning", put("nonzero", None), "pruning: column nonzero has no value in 1 rows"),
        ("runs", put("epochs", 2**40, pl.Int64), f"runs: column epochs has the value {2**40}, which does not fit INT"),
        ("runs", put("hidden_sizes", [2**40], pl.List(pl.Int64)), f"runs: column hidden_sizes has the value [{2**40}]"),
        ("epochs", put("test_loss", float("nan")), "epochs: column test_loss has the value nan"),
        ("runs", put("test_accuracy", float("inf")), "runs: column test_accuracy has the value inf"),
        ("protocols", put("spec", "{"), "protocols: column spec has the value {, which does not fit JSON"),
        ("runs", lambda f: pl.concat([f, f.head(1)]), "runs: two rows have the same run_id ("),
        ("epochs", lambda f: pl.concat([f, f.head(1)]), "epochs: two rows have the same run_id, epoch ("),
        (
            "pruning",
            lambda f: f.with_columns(method=pl.lit("random"), finetune_epochs=pl.lit(0, pl.Int32)),
            "pruning: two rows have the same run_id, sparsity, method, finetune_epochs (",
        ),
        ("post_training", put("weight_bits", None), "post_training: column weight_bits has no value in 1 rows"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    table: str, spoil: Spoil, message: str, export: Path, target: Store
) -> None:
    path = export / f"{table}.parquet"
    spoil(pl.read_parquet(path)).write_parquet(path)
    with pytest.raises(MinarchError) as caught:
        target.import_(export)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    counts = ", ".join(f"(SELECT count(*) FROM {name})" for name in TABLES)
    assert target.query(f"SELECT {counts}").row(0) == (1, 1, 1, 1, 1, 3, 3, 0, 0, 0, 0, 1), (
        "all of an export, or nothing"
    )


@pytest.mark.parametrize(
    "spoil",
    [
        cast("capacity", pl.Int64),
        cast("seconds", pl.Int64),
        cast("replicate", pl.UInt8),
        cast("family", pl.Categorical),
    ],
)
def test_other_widths_of_a_type_are_welcome(spoil: Spoil, export: Path, tmp_path: Path) -> None:
    path = export / "runs.parquet"
    spoil(pl.read_parquet(path)).write_parquet(path)
    assert Store(tmp_path / "b.duckdb").import_(export)["runs"] == pl.read_parquet(path).height


def test_columns_may_come_in_any_order(export: Path, tmp_path: Path, store: Store) -> None:
    for table in TABLES:
        path = export / f"{table}.parquet"
        frame = pl.read_parquet(path)
        frame.select(reversed(frame.columns)).write_parquet(path)
    copy = Store(tmp_path / "b.duckdb")
    copy.import_(export)
    assert contents(copy) == contents(store)


def test_an_incomplete_export_is_refused(export: Path, tmp_path: Path) -> None:
    (export / "epochs.parquet").unlink()
    (export / "labels.parquet").unlink()
    target = Store(tmp_path / "b.duckdb")
    with pytest.raises(MinarchError, match=r"out is no complete export: it lacks labels\.parquet, epochs\.parquet"):
        target.import_(export)
    assert not target.path.exists(), "a refused import makes no store"


def test_a_damaged_file_is_refused(export: Path, tmp_path: Path) -> None:
    path = export / "runs.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(MinarchError, match=r"runs\.parquet cannot be read"):
        Store(tmp_path / "b.duckdb").import_(export)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MinarchError, match=r"no folder .*nowhere to import from; `store export` writes one"):
        Store(tmp_path / "b.duckdb").import_(tmp_path / "nowhere")
