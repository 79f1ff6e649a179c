"""SQL reads the store and does nothing else: no file, no network, no extension, no setting, no end of memory."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from store.errors import MinarchError
from store.results import Store
from store.sandbox import Limits
from tests.store.build import grid, make_records, make_store

ROOT = Path(__file__).parents[2]
SECRET = "a line that is nobody's business"
VARIABLE = [1, 2, 3]

# FILE is a file beside the store, NEW one that is not there, STORE the store itself, FOLDER where they lie.
FILES = [
    "FROM read_csv('FILE')",
    "FROM read_csv_auto('FILE')",
    "FROM read_text('FILE')",
    "FROM read_blob('FILE')",
    "FROM read_json('FILE')",
    "FROM read_json_auto('FILE')",
    "FROM read_ndjson('FILE')",
    "FROM read_ndjson_objects('FILE')",
    "FROM read_json_objects('FILE')",
    "FROM read_parquet('FILE')",
    "FROM parquet_scan('FILE')",
    "FROM parquet_metadata('FILE')",
    "FROM parquet_schema('FILE')",
    "FROM parquet_file_metadata('FILE')",
    "FROM parquet_kv_metadata('FILE')",
    "FROM sniff_csv('FILE')",
    "FROM glob('FOLDER/*')",
    "FROM glob('/etc/*')",
    "FROM 'FILE'",
    'FROM "FILE"',
    "SELECT * FROM '/etc/passwd'",
    "FROM 'FOLDER/*.csv'",
    "FROM 'data.csv'",
    "SELECT (SELECT content FROM read_text('FILE'))",
    "WITH a AS (FROM read_text('FILE')) SELECT * FROM a",
    "WITH RECURSIVE a AS (SELECT 1 UNION ALL SELECT 1 FROM read_csv('FILE')) FROM a",
    "FROM runs, read_text('FILE')",
    "FROM runs WHERE run_id IN (SELECT content FROM read_text('FILE'))",
    "SELECT * FROM runs UNION ALL BY NAME SELECT * FROM read_csv('FILE')",
    "FROM query('FROM read_text(''FILE'')')",
    "FROM query_table('FILE')",
    "FROM query_table(['FILE'])",
    "FROM read_text(getvariable('a'))",
    "DESCRIBE FROM read_csv('FILE')",
    "DESCRIBE 'FILE'",
    "SUMMARIZE 'FILE'",
    "SUMMARIZE FROM read_csv('FILE')",
    "SHOW 'FILE'",
    "EXPLAIN FROM read_csv('FILE')",
    "EXPLAIN ANALYZE FROM read_text('FILE')",
    "FROM read_duckdb('STORE')",
]
NETWORK = [
    "FROM read_csv('http://localhost:9/a.csv')",
    "FROM read_parquet('https://localhost:9/a.parquet')",
    "FROM 'https://localhost:9/a.parquet'",
    "FROM read_text('s3://bucket/a')",
    "FROM 's3://bucket/a.parquet'",
    "FROM read_csv('gcs://bucket/a.csv')",
    "FROM read_csv('hf://datasets/a/b.csv')",
    "FROM sqlite_scan('FILE', 'a')",
    "FROM sqlite_attach('FILE')",
    "FROM postgres_scan('host=localhost', 'public', 'a')",
    "FROM mysql_query('a', 'SELECT 1')",
    "FROM iceberg_scan('FOLDER')",
    "FROM delta_scan('FOLDER')",
    "FROM read_xlsx('FILE')",
    "FROM st_read('FILE')",
    "SELECT http_get('http://localhost:9')",
    "ATTACH 'http://localhost:9/a.duckdb'",
    "ATTACH 'host=localhost' AS a (TYPE postgres)",
]
WRITES = [
    "COPY runs TO 'NEW'",
    "COPY (SELECT 1) TO 'NEW' (FORMAT parquet)",
    "COPY (SELECT 1) TO 'STORE'",
    "COPY runs FROM 'FILE'",
    "COPY FROM DATABASE memory TO memory",
    "EXPLAIN COPY (SELECT 1) TO 'NEW'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO 'NEW'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO 'STORE'",
    "explain analyze copy runs to 'NEW'",
    "EXPLAIN /* harmless */ ANALYZE -- so\n COPY (SELECT 1) TO 'NEW'",
    "/* SELECT 1 */ EXPLAIN ANALYZE COPY (SELECT 1) TO 'NEW'",
    "-- SELECT\nEXPLAIN ANALYZE COPY (SELECT 1) TO 'NEW'",
    "EXPLAIN (ANALYZE) COPY (SELECT 1) TO 'NEW'",
    "EXPLAIN (ANALYZE, FORMAT json) COPY (SELECT 1) TO 'NEW'",
    "EXPLAIN(FORMAT json) COPY (SELECT 1) TO 'NEW'",
    "EXPLAIN ANALYZE EXPORT DATABASE 'NEW'",
    "EXPLAIN ANALYZE INSERT INTO runs FROM runs",
    "EXPLAIN ANALYZE UPDATE runs SET depth = 1",
    "EXPLAIN ANALYZE CREATE TABLE a (b INTEGER)",
    "EXPLAIN ANALYZE DROP TABLE runs",
    "EXPLAIN ANALYZE ATTACH 'NEW' AS a",
    "EXPLAIN ANALYZE PRAGMA import_database('FOLDER')",
    "EXPLAIN ANALYZE EXPLAIN ANALYZE COPY (SELECT 1) TO 'NEW'",
    "EXPLAIN EXPLAIN SELECT 1",
    "EXPORT DATABASE 'NEW'",
    "EXPORT DATABASE 'NEW' (FORMAT parquet)",
    "IMPORT DATABASE 'FOLDER'",
    "PRAGMA import_database('FOLDER')",
    "INSERT INTO runs FROM runs",
    "INSERT INTO migrations VALUES (99, 'x', now(), 'x')",
    "UPDATE runs SET test_accuracy = 1",
    "DELETE FROM runs",
    "TRUNCATE runs",
    "MERGE INTO runs USING runs r ON true WHEN MATCHED THEN DELETE",
    "WITH d AS (DELETE FROM runs RETURNING *) SELECT * FROM d",
    "DROP TABLE runs",
    "DROP VIEW cells",
    "DROP SCHEMA main CASCADE",
    "ALTER TABLE runs DROP COLUMN depth",
    "ALTER TABLE runs RENAME TO walks",
    "COMMENT ON TABLE runs IS 'x'",
    "CREATE TABLE a (b INTEGER)",
    "CREATE TEMP TABLE a AS SELECT 1",
    "CREATE OR REPLACE VIEW cells AS SELECT 1",
    "CREATE VIEW v AS FROM read_text('FILE')",
    "CREATE MACRO m() AS 1",
    "CREATE INDEX i ON runs (depth)",
    "CREATE SEQUENCE s",
    "CREATE TYPE t AS ENUM ('a')",
    "CREATE SCHEMA s",
    "CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
    "CREATE PERSISTENT SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
    "DROP SECRET s",
]
SETTINGS = [
    "SET enable_external_access = true",
    "SET GLOBAL enable_external_access = true",
    "SET SESSION enable_external_access = true",
    "RESET enable_external_access",
    "SET lock_configuration = false",
    "RESET lock_configuration",
    "PRAGMA enable_external_access = true",
    "SET memory_limit = '1TB'",
    "PRAGMA memory_limit = '1TB'",
    "SET python_enable_replacements = true",
    "SET autoinstall_known_extensions = true",
    "SET autoload_known_extensions = true",
    "SET allow_unsigned_extensions = true",
    "SET custom_extension_repository = 'http://localhost:9'",
    "SET extension_directory = 'FOLDER'",
    "SET temp_directory = 'FOLDER'",
    "SET home_directory = 'FOLDER'",
    "SET secret_directory = 'FOLDER'",
    "SET allowed_directories = ['/']",
    "SET allowed_paths = ['FILE']",
    "SET log_query_path = 'NEW'",
    "SET profiling_output = 'NEW'",
    "PRAGMA enable_profiling = 'json'",
    "PRAGMA profiling_output = 'NEW'",
    "PRAGMA table_info('runs')",
    "PRAGMA database_list",
    "PRAGMA version",
    "PRAGMA force_checkpoint",
    "SET VARIABLE a = 1",
    "USE memory",
    "CALL enable_logging(storage = 'file', storage_path = 'NEW')",
    "FROM enable_logging(storage = 'file', storage_path = 'NEW')",
    "CALL pragma_version()",
    "INSTALL httpfs",
    "FORCE INSTALL httpfs FROM community",
    "LOAD httpfs",
    "LOAD 'FILE'",
    "UPDATE EXTENSIONS",
    "ATTACH 'NEW' AS a",
    "ATTACH 'FOLDER/other.duckdb' AS a",
    "ATTACH 'STORE' AS a",
    "ATTACH ':memory:' AS a",
    "DETACH a",
    "BEGIN",
    "BEGIN TRANSACTION",
    "COMMIT",
    "ROLLBACK",
    "CHECKPOINT",
    "FORCE CHECKPOINT",
    "VACUUM",
    "ANALYZE",
    "PREPARE p AS SELECT 1",
    "PREPARE p AS COPY (SELECT 1) TO 'NEW'",
    "EXECUTE p",
    "DEALLOCATE p",
]
TRICKS = [
    "SELECT 1; COPY (SELECT 1) TO 'NEW'",
    "SELECT 1; SELECT 2",
    "; ; COPY (SELECT 1) TO 'NEW'",
    "SELECT 1 /* ; */ ; DROP TABLE runs --",
    "SELECT 1; EXPLAIN ANALYZE COPY (SELECT 1) TO 'NEW'",
    "EXPLAIN SELECT 1; COPY (SELECT 1) TO 'NEW'",
    "SELECT getenv('HOME')",
    "SELECT nextval('s')",
    "FROM VARIABLE",
    "FROM variable",
    "FROM two_runs",
    "FROM SECRET",
    "FROM sys.modules",
    "FROM python_scan(1)",
    "FROM pandas_scan(1)",
    "FROM arrow_scan(1, 2, 3)",
    "FROM seq_scan()",
    "FROM query('COPY (SELECT 1) TO ''NEW''')",
    "FROM query('SELECT 1; DROP TABLE runs')",
    "FROM query('DROP TABLE runs')",
    "FROM query('PRAGMA version')",
    "FROM query('EXPLAIN ANALYZE COPY (SELECT 1) TO ''NEW''')",
]
HOSTILE = FILES + NETWORK + WRITES + SETTINGS + TRICKS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, with a file, another database, and a script that `import_database` would run."""
    path = tmp_path_factory.mktemp("sandbox")
    make_store(path / "a.duckdb", make_records(grid(widths=(2,), replicates=2)))
    (path / "data.csv").write_text(f"a\n{SECRET}\n")
    (path / "schema.sql").write_text(f"COPY (SELECT 1) TO '{path}/new';")
    (path / "load.sql").write_text("")
    with duckdb.connect(path / "other.duckdb") as connection:
        connection.execute("CREATE TABLE a AS SELECT 1 AS b")
    return path


def written(sql: str, folder: Path) -> str:
    places = {"FILE": "data.csv", "NEW": "new", "STORE": "a.duckdb", "FOLDER": ""}
    for word, name in places.items():
        sql = sql.replace(f"'{word}", f"'{folder / name}").replace(f'"{word}', f'"{folder / name}')
    return sql


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_there_are_many_hostile_statements() -> None:
    assert len(HOSTILE) == len({*HOSTILE}) > 150


@pytest.mark.parametrize("sql", HOSTILE)
def test_a_hostile_statement_is_refused_in_a_line(sql: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    store, before = Store(folder / "a.duckdb"), contents(folder)
    with pytest.raises(MinarchError, match=r"^SQL: ") as caught:
        store.query(written(sql, folder))
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)
    assert contents(folder) == before
    assert store.query("SELECT count(*) FROM runs").item() > 0


@pytest.mark.parametrize(
    "sql",
    [
        "EXPLAIN FROM runs",
        "EXPLAIN ANALYZE FROM runs",
        "EXPLAIN(FORMAT json) FROM runs",
        "EXPLAIN (ANALYZE, FORMAT json) SELECT 1",
        "EXPLAIN (SELECT 1)",
        "-- a remark\nEXPLAIN /* and another */ ANALYZE -- one more\nSELECT 1",
        "SELECT 1 -- ; COPY",
        "SELECT ';'",
        "VALUES (1)",
        "TABLE runs",
        "SHOW ALL TABLES",
        "FROM duckdb_columns()",
        "FROM query('FROM runs')",
        "SELECT spec->>'$.family' FROM protocols",
    ],
)
def test_reading_is_welcome(sql: str, folder: Path) -> None:
    assert Store(folder / "a.duckdb").query(sql).height > 0


def test_there_are_no_secrets(folder: Path) -> None:
    store = Store(folder / "a.duckdb")
    assert store.query("FROM duckdb_secrets()").height == 0
    assert store.query("SELECT name FROM duckdb_settings() WHERE value LIKE '%password%'").height == 0


def test_a_view_of_a_strange_store_reads_no_files(folder: Path, tmp_path: Path) -> None:
    """A store may come from anybody, and what its views do is done by whoever reads them."""
    store = make_store(tmp_path / "b.duckdb")
    with duckdb.connect(store.path) as connection:
        connection.execute(f"CREATE VIEW trap AS FROM read_text('{folder / 'data.csv'}')")
        connection.execute("DROP TABLE labels")
        connection.execute(f"CREATE VIEW labels AS FROM read_text('{folder / 'data.csv'}')")
    for use in (lambda: store.query("FROM trap"), lambda: store.export(tmp_path / "out")):
        with pytest.raises(MinarchError, match="disabled by configuration"):
            use()
    assert not (tmp_path / "out").exists()


def test_rows_are_limited(folder: Path) -> None:
    store = Store(folder / "a.duckdb")
    assert store.query("FROM range(100000)", limits=Limits(rows=100_000)).height == 100_000
    with pytest.raises(MinarchError, match="SQL: more than 100,000 rows; add a LIMIT, or raise --max-rows"):
        store.query("FROM range(100001)", limits=Limits(rows=100_000))


@pytest.mark.parametrize(
    "sql",
    [
        "FROM range(400000000)",
        "SELECT repeat('x', 1000) FROM range(10000000)",
        "SELECT list(range) FROM range(400000000)",
        "SELECT count(DISTINCT (a, b)) FROM range(30000) t(a), range(30000) u(b)",
    ],
)
def test_memory_is_limited(sql: str, folder: Path) -> None:
    """Peak memory stays near what an idle query takes plus the limit, for DuckDB's share and the frame's together."""
    limit = 200 * 10**6
    script = (
        "import resource, sys; from store.results import Store; from store.sandbox import Limits\n"
        "store = Store(sys.argv[1]); store.query('FROM runs'); peak = lambda: resource.getrusage(0).ru_maxrss\n"
        "before = peak()\n"
        f"try: store.query(sys.argv[2], limits=Limits(memory={limit}))\n"
        "except Exception as error: print(peak() - before, error, file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", script, str(folder / "a.duckdb"), sql]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300, check=True)
    grown, message = done.stderr.split(" ", 1)
    assert "SQL: this takes more than 0.2 GB of memory; select less, or raise --memory-limit" in message
    assert int(grown) * 1024 < 2.5 * limit


def test_a_raised_limit_lets_more_through(folder: Path) -> None:
    store, sql = Store(folder / "a.duckdb"), "FROM range(4000000)"
    with pytest.raises(MinarchError, match="memory"):
        store.query(sql, limits=Limits(memory=40_000_000))
    assert store.query(sql, limits=Limits(memory=200_000_000)).height == 4_000_000


def test_a_file_is_written_as_rows_come(folder: Path, tmp_path: Path) -> None:
    """CSV of 160 MB under a limit of 64 MB."""
    out = tmp_path / "out.csv"
    command = [sys.executable, "-m", "store.cli", "sql", "SELECT range, range AS b FROM range(10000000)", "--format"]
    command += ["csv", "--out", str(out), "--memory-limit", "64MB", "--store", str(folder / "a.duckdb")]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300)
    with out.open("rb") as file:
        assert file.readline() == b"range,b\n"
        file.seek(-16, os.SEEK_END)
        assert file.read() == b"9999999,9999999\n"


def test_this_process_is_not_restricted(folder: Path) -> None:
    Store(folder / "a.duckdb").query("FROM runs")
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
    with duckdb.connect(folder / "a.duckdb", read_only=True) as connection:
        assert connection.execute(f"FROM read_text('{folder / 'data.csv'}')").fetchall()
