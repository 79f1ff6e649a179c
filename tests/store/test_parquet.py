"""Small files that unfold to much are refused before they do."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from store import parquet, spool
from store.errors import MinarchError
from store.results import Store
from tests.store.build import make_records, make_run, make_store

ROOT = Path(__file__).parents[2]


def bomb(path: Path) -> Path:
    """Write a small file with the columns of `labels`: 7,000 times one text of a megabyte."""
    ids = pa.DictionaryArray.from_arrays(pa.array([0] * 7000, pa.int32()), pa.array(["x" * 1_000_000]))
    table = pa.table({"run_id": ids, "shape": pa.array([""] * 7000), "degenerate": pa.array([False] * 7000)})
    pq.write_table(table, path, compression="zstd", store_schema=False)
    return path


def test_a_dictionary_bomb_takes_no_memory(tmp_path: Path) -> None:
    make_store(tmp_path / "a.duckdb", make_records()).export(tmp_path / "out")
    path = bomb(tmp_path / "out" / "labels.parquet")
    assert path.stat().st_size < 100_000
    # Not `ru_maxrss`: a process starts with its parent's, and the tests' own process may be large.
    script = (
        "import re, sys; from pathlib import Path; from store.results import Store\n"
        "try: Store(sys.argv[1]).import_(sys.argv[2])\n"
        "except Exception as error:\n"
        "    peak = int(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1])\n"
        "    print(peak // 1024, error)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "b.duckdb"), str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    megabytes, message = done.stdout.split(" ", 1)
    assert message.endswith("labels.parquet cannot be read: it unfolds to more than 4 GB\n")
    assert int(megabytes) < 700


def test_declared_rows_are_counted_before_any_is_read(tmp_path: Path) -> None:
    count = 1_000_000
    table = pa.table({"degenerate": pa.repeat(pa.scalar(1.0), count)})
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(parquet.TooLargeError, match=r"it unfolds to more than 0\.001 GB"):
        parquet.check_declared(tmp_path / "a.parquet", 10**6)
    parquet.check_declared(tmp_path / "a.parquet", 10**7)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >= before


def test_lists_of_repeated_numbers_are_counted(tmp_path: Path) -> None:
    table = pa.table({"hidden_sizes": pa.array([[1] * 1_000_000], pa.list_(pa.int32()))})
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd")
    assert (tmp_path / "a.parquet").stat().st_size < 1_000
    with pytest.raises(parquet.TooLargeError):
        parquet.check_declared(tmp_path / "a.parquet", 10**6)


def test_the_memory_limit_of_an_import_can_be_raised(tmp_path: Path) -> None:
    from store.sandbox import Limits

    make_store(tmp_path / "a.duckdb", make_records([make_run((w,), epochs=30) for w in range(2, 40)])).export(
        tmp_path / "out"
    )
    target = Store(tmp_path / "b.duckdb")
    with pytest.raises(MinarchError, match=r"\.parquet cannot be read: it unfolds to more than"):
        target.import_(tmp_path / "out", limits=Limits(memory=20_000))
    assert target.import_(tmp_path / "out")["runs"] == 38


def test_a_bomb_in_the_spool_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = make_store(tmp_path / "a.duckdb")
    rows = [{"run_id": "x" * 1_000_000, "shape": "", "degenerate": False}] * 20
    pq.write_table(pa.table({"labels": pa.array([rows])}), store.spool / "bomb.parquet", compression="zstd")
    good = spool.write(store.spool, make_records(), "good")
    monkeypatch.setattr(parquet.read, "__defaults__", (10**7,))
    monkeypatch.setattr(parquet.plain, "__defaults__", (10**7,))
    assert store.ingest() == 1
    assert not good.exists()
    assert [path.name for path in spool.damaged(store.spool)] == ["bomb.parquet.damaged"]
    assert "it unfolds to more than 0.01 GB" in caplog.text


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": ["x", None, "y"] * 100, "b": range(300), "c": [[1, 2], [], None] * 100})
    frame.write_parquet(tmp_path / "a.parquet", row_group_size=70)
    with parquet.opened(tmp_path / "a.parquet") as file:
        rows = parquet.plain(parquet.read(file))
    assert pl.DataFrame(rows.to_pydict()).to_dicts() == frame.to_dicts()


def test_changed_bytes_are_noticed_or_harmless(tmp_path: Path) -> None:
    """Whatever is damaged in a file, and be it its account of itself, the program goes on."""
    pl.DataFrame({"a": ["x", None, "y"] * 100, "b": range(300)}).write_parquet(tmp_path / "a")
    content = (tmp_path / "a").read_bytes()
    rng = np.random.default_rng(3)
    noticed = 0
    for position in rng.integers(4, len(content), 60):
        changed = bytes([content[position] ^ int(rng.integers(1, 256))])
        (tmp_path / "b").write_bytes(content[:position] + changed + content[position + 1 :])
        try:
            parquet.check_declared(tmp_path / "b", 10**9)
            with parquet.opened(tmp_path / "b") as file:
                parquet.plain(parquet.read(file))
        except (duckdb.Error, pa.ArrowException, OSError, KeyError, TypeError, UnicodeError, parquet.TooLargeError):
            noticed += 1
    assert noticed > 15
