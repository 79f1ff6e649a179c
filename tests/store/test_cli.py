"""The `store` command: what it prints, and one line for everything that is wrong."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from store import cli, spool
from store.results import Store
from tests.cpu import children_seconds
from tests.store.build import grid, make_records, make_run, make_store

ROOT = Path(__file__).parents[2]
Answer = tuple[int, str, str]
Ask = Callable[..., Answer]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = make_store(tmp_path_factory.mktemp("cli") / "a.duckdb", make_records(grid(replicates=2)))
    return store.path


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ask:
    """Run the command in an empty folder, and return exit code, output and complaints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("MINARCH_STORE", raising=False)

    def run(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["store", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, errors = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return stop.value.code, out, errors

    return run


def good(answer: Answer) -> str:
    code, out, errors = answer
    assert (code, errors) == (0, "")
    return out


def test_info_as_a_table_fits_the_terminal(ask: Ask, path: Path) -> None:
    out = good(ask("info", "--store", path))
    assert "digits   dnn     fp32" in out
    assert max(len(line) for line in out.splitlines()[1:]) <= 80
    assert not any(line != line.rstrip() for line in out.splitlines())


def test_info_as_json(ask: Ask, path: Path) -> None:
    out = json.loads(good(ask("info", "--store", path, "--format", "json")))
    assert out["groups"][0] == {
        "dataset": "digits",
        "family": "dnn",
        "precision": "fp32",
        "runs": 16,
        "diverged": 0,
        "replicates": 2,
        "architectures": 8,
    }
    assert out["waiting"] == 0


def test_info_speaks_of_an_empty_store_and_of_the_spool(ask: Ask, tmp_path: Path) -> None:
    store = make_store(tmp_path / "b.duckdb")
    waiting = spool.write(store.spool, make_records(), "unit")
    waiting.with_name("x.parquet.damaged").write_bytes(b"")
    out = good(ask("info", "--store", store.path))
    assert "no runs yet" in out
    assert "1 finished unit waits in the spool: `store ingest` takes in what waits" in out
    assert "1 damaged unit was set aside" in out


def test_the_store_may_come_from_the_environment(ask: Ask, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARCH_STORE", str(path))
    assert good(ask("sql", "SELECT count(*) AS n FROM runs", "--format", "csv")) == "n\n32\n"


def test_the_store_is_results_duckdb_otherwise(ask: Ask, tmp_path: Path) -> None:
    make_store(tmp_path / "results.duckdb", make_records())
    assert good(ask("sql", "SELECT count(*) AS n FROM runs", "--format", "csv")) == "n\n1\n"


def test_sql_prints_a_table(ask: Ask, path: Path) -> None:
    query = "SELECT depth, mean, shape FROM cells WHERE capacity = 2 AND precision = 'fp32' ORDER BY depth"
    out = good(ask("sql", query, "--store", path))
    assert [line.split() for line in out.splitlines()] == [
        ["depth", "mean", "shape"],
        ["─" * len(out.splitlines()[1])],
        ["1", "0.725"],
        ["2", "0.725", "="],
        ["2", "rows"],
    ]


def test_sql_prints_wide_rows_one_below_another(ask: Ask, path: Path) -> None:
    out = good(ask("sql", "SELECT * FROM runs LIMIT 2", "--store", path))
    assert out.count("test_accuracy  ") == 4, "test_accuracy and last_test_accuracy, twice"
    assert max(map(len, out.splitlines())) <= 80
    assert out.endswith("\n\n2 rows\n")


def test_sql_says_what_it_left_out(ask: Ask, path: Path) -> None:
    out = good(ask("sql", "SELECT * FROM range(1000)", "--store", path))
    assert out.endswith("200 of 1,000 rows; --format csv, json or parquet gives all of them\n")
    out = good(ask("sql", "SELECT r.*, i FROM runs r, range(3) t(i)", "--store", path))
    assert out.endswith("20 of 96 rows; --format csv, json or parquet gives all of them\n")


def test_long_text_is_folded_not_cut(ask: Ask, path: Path) -> None:
    out = good(ask("sql", "SELECT repeat('abcdefghij', 20) AS long, 7 AS n", "--store", path))
    assert max(map(len, out.splitlines())) <= 80
    assert "".join(ch for ch in out if ch in "abcdefghij").count("abcdefghij") >= 19


def test_sql_prints_csv_and_json(ask: Ask, path: Path) -> None:
    query = "SELECT hidden_sizes, test_accuracy, sum(capacity) AS s FROM runs WHERE capacity = 2 AND replicate = 0"
    query += " AND precision = 'fp32' GROUP BY ALL ORDER BY ALL"
    assert good(ask("sql", query, "--store", path, "--format", "csv")) == (
        'hidden_sizes,test_accuracy,s\n[2],0.75,2\n"[2, 2]",0.75,2\n'
    )
    assert json.loads(good(ask("sql", query, "--store", path, "--format", "json"))) == [
        {"hidden_sizes": [2], "test_accuracy": 0.75, "s": 2},
        {"hidden_sizes": [2, 2], "test_accuracy": 0.75, "s": 2},
    ]


def test_formats_hold_every_type(ask: Ask, path: Path) -> None:
    query = "SELECT 1.5::DECIMAL(4, 2) d, '\\x01'::BLOB b, {'a': 1} s, NULL n, 'NaN'::DOUBLE x, DATE '2025-01-02' t"
    assert json.loads(good(ask("sql", query, "--store", path, "--format", "json"))) == [
        {"d": 1.5, "b": "01", "s": {"a": 1}, "n": None, "x": None, "t": "2025-01-02"}
    ]
    assert good(ask("sql", query, "--store", path, "--format", "csv")).splitlines()[1].startswith("1.5,01,")
    assert "2025-01-02" in good(ask("sql", query, "--store", path))


def content(form: str, file: Path) -> object:
    """Return what a file in a format says: its rows, or the lines of a table."""
    if form == "parquet":
        return pl.read_parquet(file).rows()
    text = file.read_text()
    return json.loads(text) if form == "json" else text.split()


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        ("table", ["n", "─", "7", "1", "row"]),
        ("csv", ["n", "7"]),
        ("json", [{"n": 7}]),
        ("parquet", [(7,)]),
    ],
)
def test_sql_writes_files(form: str, wanted: object, ask: Ask, path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.file"
    assert good(ask("sql", "SELECT 7 AS n", "--store", path, "--format", form, "--out", out)) == ""
    assert content(form, out) == wanted
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.file"]
    named = tmp_path / f"out.{form}"
    assert good(ask("sql", "SELECT 7 AS n", "--store", path, "--out", named)) == ""
    assert content(form, named) == wanted, "the file's ending names the format"


def test_sql_reads_standard_input(ask: Ask, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("SELECT 1 AS n\n-- a remark\n;\n"))
    assert good(ask("sql", "-", "--store", path, "--format", "csv")) == "n\n1\n"


def test_export_and_import(ask: Ask, path: Path, tmp_path: Path) -> None:
    assert "runs 32" in good(ask("export", tmp_path / "out", "--store", path))
    assert "runs 32" in good(ask("import", tmp_path / "out", "--store", tmp_path / "b.duckdb"))
    assert "runs 0" in good(ask("import", tmp_path / "out", "--store", tmp_path / "b.duckdb"))


def test_ingest(ask: Ask, tmp_path: Path) -> None:
    store = Store(tmp_path / "b.duckdb")
    spool.write(store.spool, make_records([make_run((2,)), make_run((3,))]), "unit")
    assert good(ask("ingest", "--store", store.path)) == "2 new runs\n"
    assert good(ask("ingest", "--store", store.path)) == "0 new runs\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["frobnicate"], "No such command 'frobnicate'; the commands are export, import, info, ingest, sql"),
        (["info", "--format", "xml"], "'xml' is not one of 'table', 'json'"),
        (["info", "--stor", "x"], "No such option '--stor'; store info takes --format, --help, --store"),
        (["--nonsense"], "No such option '--nonsense'; store takes --help, --version"),
        (["info", "extra"], "unexpected extra argument (extra)"),
        (["info", "--store", "."], "'--store' (env var: 'MINARCH_STORE'): File '.' is a directory"),
        (["sql", "SELECT 1", "--out", "."], "Invalid value for '--out': File '.' is a directory"),
        (["info", "--store"], "Option '--store' requires an argument"),
        (["sql"], "Missing argument 'QUERY'"),
        (["sql", "SELECT 1", "--format", "xml"], "'xml' is not one of 'table', 'json', 'csv', 'parquet'"),
        (["sql", "SELECT 1", "--format", "parquet"], "--format parquet needs --out FILE"),
        (["sql", "SELECT 1", "--out"], "Option '--out' requires an argument"),
        (["export"], "Missing argument 'DIRECTORY'"),
        (["import"], "Missing argument 'DIRECTORY'"),
        (["import", "a", "b"], "unexpected extra argument (b)"),
        (["ingest", "now"], "unexpected extra argument (now)"),
        (["sql", "SELECT 1", "--memory-limit", "lots"], "'lots' is no size from 32MB to 1000TB, such as 500MB or 8GB"),
        (["sql", "SELECT 1", "--memory-limit", "1KB"], "'1KB' is no size from 32MB"),
        (["sql", "SELECT 1", "--max-rows", "0"], "0 is not in the range x>=1"),
        (["import", "a", "--on-conflict", "replace"], "'replace' is not one of 'refuse', 'keep'"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: list[str], complaint: str, ask: Ask) -> None:
    code, out, errors = ask(*arguments)
    assert (code, out) == (2, "")
    assert complaint in errors
    assert errors.startswith("store: ")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["info", "--store", "none.duckdb"], "none.duckdb; `generate` makes one, and --store or MINARCH_STORE names"),
        (["info"], "results.duckdb; `generate` makes one"),
        (["info", "--store", "text.txt"], "text.txt is not a minarch store"),
        (["sql", "SELECT 1", "--store", "none.duckdb"], "no store at"),
        (["sql", "", "--store", "STORE"], "SQL: one statement is wanted, and here are none"),
        (["sql", "SELEC 1", "--store", "STORE"], 'SQL: syntax error at or near "SELEC"'),
        (["sql", "DELETE FROM runs", "--store", "STORE"], "SQL: DELETE is refused: queries only read"),
        (["sql", "SELECT nothing FROM runs", "--store", "STORE"], 'SQL: Referenced column "nothing" not found'),
        (
            ["sql", "SELECT 1", "--store", "STORE", "--out", "no/folder/x"],
            "no/folder/x: there is no folder",
        ),
        (["export", "out", "--store", "none.duckdb"], "no store at"),
        (["export", "text.txt", "--store", "STORE"], "text.txt is a file; export wants a folder"),
        (["export", ".", "--store", "STORE"], "holds something else than an export (text.txt)"),
        (["import", "nowhere", "--store", "new.duckdb"], "no folder nowhere to import from"),
        (["import", ".", "--store", "new.duckdb"], "is no complete export: it lacks protocols.parquet"),
        (["ingest", "--store", "text.txt"], ""),
        (["ingest", "--store", "none.duckdb"], "no store at"),
        (["ingest", "--store", "damaged.duckdb"], "damaged.duckdb"),
        (["sql", "SELECT 1", "--store", "STORE", "--out", "STORE"], "it is a DuckDB database"),
        (["sql", "FROM range(9)", "--store", "STORE", "--max-rows", "8"], "more than 8 rows; add a LIMIT, or raise"),
    ],
)
def test_faults_are_one_line_and_exit_code_1(
    arguments: list[str], complaint: str, ask: Ask, path: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("no store")
    if "damaged.duckdb" in arguments:
        (tmp_path / "damaged.duckdb").write_bytes(path.read_bytes()[:5000])
    if "text.txt" in arguments:
        spool.write(spool.folder_of(tmp_path / "text.txt"), make_records(), "unit")
    code, out, errors = ask(*(path if argument == "STORE" else argument for argument in arguments))
    assert (code, out) == (1, "")
    assert complaint in errors
    assert errors.startswith("store: ")
    assert errors.count("\n") == 1


@pytest.mark.parametrize("name", [None, *sorted(cli.group.commands)])
def test_help(name: str | None, ask: Ask) -> None:
    out = good(ask(*([name] if name else []), "--help"))
    assert max(map(len, out.splitlines())) <= 80
    if name:
        assert f"    store {name}" in out
        assert "--store FILE" in out
        assert "MINARCH_STORE" in out


def command(*arguments: object, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "store.cli", *map(str, arguments)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        check=False,
    )


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, store.cli; print(*{'duckdb', 'polars', 'pyarrow', 'numpy', 'rich', 'torch'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.split() == []
    assert command("--help").returncode == 0
    assert children_seconds(lambda: command("--help")) < 0.5


def test_a_reader_that_goes_away_is_no_fault(path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "store.cli", "sql", "SELECT * FROM range(200000)", "--format", "csv", "--store", path],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == b"range\n"
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 0


def test_a_terminal_without_unicode_gets_plain_characters(path: Path) -> None:
    done = command("sql", "SELECT 'é' AS e, 1 AS n", "--store", path, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode("ascii").splitlines()[-1] == "1 row"
    assert b"\\xe9" in done.stdout


def program(*arguments: object, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "store.cli", *map(str, arguments)], cwd=ROOT, **options)


@pytest.mark.parametrize("form", ["table", "csv", "json"])
@pytest.mark.parametrize("closed", [False, True])
def test_standard_output_that_takes_nothing_is_a_line(closed: bool, form: str, path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        closing = {"preexec_fn": lambda: os.close(1)} if closed else {"stdout": full}
        process = program("sql", "FROM runs", "--format", form, "--store", path, stderr=subprocess.PIPE, **closing)
    _, errors = process.communicate(timeout=60)
    reason = b"Bad file descriptor" if closed else b"No space left on device"
    assert (process.returncode, errors) == (1, b"store: cannot read or write: " + reason + b"\n")


def _close(numbers: tuple[int, ...]) -> None:
    for number in numbers:
        os.close(number)


def test_nothing_takes_the_place_of_a_closed_stream(path: Path, tmp_path: Path) -> None:
    """A store opened as file 1 would get what is printed."""
    copy = tmp_path / "a.duckdb"
    copy.write_bytes(path.read_bytes())
    for closed in ((0,), (1,), (2,), (0, 1, 2)):
        process = program("ingest", "--store", copy, preexec_fn=partial(_close, closed))
        assert process.wait(60) == (1 if 1 in closed else 0)
        assert Store(copy).query("SELECT count(*) FROM runs").item() == 32


@pytest.mark.parametrize(
    ("given", "complaint"),
    [(None, "standard input is closed"), (b"\xff\xfe\x00SELECT", "standard input is not UTF-8 text")],
)
def test_a_query_from_no_standard_input(given: bytes | None, complaint: str, path: Path) -> None:
    closing: dict[str, Any] = {"stdin": subprocess.PIPE} if given else {"preexec_fn": lambda: os.close(0)}
    process = program("sql", "-", "--store", path, stderr=subprocess.PIPE, **closing)
    _, errors = process.communicate(given, timeout=60)
    assert (process.returncode, errors.decode()) == (1, f"store: {complaint}\n")


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    script = "import os, sys; os.rmdir(os.getcwd()); from store.cli import main; main()"
    for arguments in (["info"], ["sql", "SELECT 1"], ["export", "out"], ["import", "in"], ["ingest"]):
        folder.mkdir(exist_ok=True)
        command = [sys.executable, "-c", script, *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 1
        assert done.stderr.startswith("store: ")
        assert done.stderr.count("\n") == 1


def test_a_query_hears_ctrl_c_where_the_shell_has_it_ignored(path: Path) -> None:
    """As a script's background job: there the signal is ignored from the start."""
    endless = "SELECT count(*) AS n FROM range(1000000) a, range(1000000) b WHERE (a.range * b.range) % 7 = 3"
    ignoring = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)}
    process = program("sql", endless, "--store", path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **ignoring)
    try:
        for _ in range(120):  # Before it listens the signal is lost.
            process.send_signal(signal.SIGINT)
            try:
                process.wait(1)
                break
            except subprocess.TimeoutExpired:
                continue
        out, errors = process.communicate(timeout=1)
    finally:
        process.kill()
    assert (process.returncode, out, errors.strip()) == (130, b"", b"store: interrupted")


@pytest.mark.parametrize(
    "how",
    [
        "raise KeyboardInterrupt",
        "exec('os.kill(os.getpid(), signal.SIGINT)')",
        "exec('try: os.kill(os.getpid(), signal.SIGINT); time.sleep(1)\\nexcept: time.sleep(60)')",
    ],
    ids=["raised", "in a text", "swallowed"],
)
def test_an_interrupt_is_one_line_and_130(how: str, tmp_path: Path) -> None:
    """Also where it hits a text that is executed, which marks the interpreter to end by the signal, or is swallowed."""
    lines = (
        "import os, signal, sys, time, click",
        "from store import console, signals",
        "signals.PATIENCE_SECONDS = 0.5",
        "def main():",
        f"    {how}",
        "signal.signal(signal.SIGINT, signal.default_int_handler)",
        "signals.understand('store')",
        "sys.argv[1:] = []",
        "console.run(click.command()(main), 'store')",
    )
    (tmp_path / "program.py").write_text("\n".join(lines))
    command, place = [sys.executable, "-m", "program"], {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=place, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "", "store: interrupted")
