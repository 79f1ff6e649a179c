"""Full disks, missing permissions, files that are no store: one line each, and nothing stored is lost."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from store import database, folders, spool, transfer
from store.errors import MinarchError
from store.records import Records
from store.results import Store
from store.transaction import transaction
from tests.store.build import make_records, make_run, make_store

NOBODY = 65534


def unit(number: int) -> Records:
    return make_records([make_run((number + 1, i + 1), replicate=i, epochs=20) for i in range(40)])


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes: to the writer, a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def without_rights() -> Iterator[None]:
    """Be a user to whom file modes apply."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter; pytest's own belong to one user."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path
        path.chmod(0o755)


def append_until_it_fails(store: Store) -> None:
    for number in range(2, 30):
        store.append(unit(number), name="unit")


# Sizes at which the spool file, the database's log, or its checkpoint fails.
@pytest.mark.parametrize("limit", [2_000, 40_000, 60_000, 100_000, 300_000])
def test_a_full_disk_loses_nothing(limit: int, tmp_path: Path) -> None:
    store = make_store(tmp_path / "a.duckdb", unit(0), unit(1))
    stored = store.run_ids()
    new = {run.run_id for run in unit(2).runs}
    with largest_file(limit):
        with pytest.raises(MinarchError, match=r"no space left to write.*; free some$"):
            append_until_it_fails(store)
        assert stored <= store.run_ids()
    safe = bool(spool.waiting(store.spool))
    assert safe == (limit > 2_000), "only the smallest limit keeps the unit from the spool"
    store.ingest()
    assert stored <= store.run_ids()
    assert (new <= store.run_ids()) == safe
    assert spool.waiting(store.spool) == spool.damaged(store.spool) == []
    assert store.append(unit(50), name="unit") == 40
    found = store.query("SELECT count(*), count(DISTINCT (run_id, epoch)) FROM epochs").row(0)
    assert found == (20 * len(store.run_ids()),) * 2


def test_a_full_disk_makes_no_half_store(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.duckdb")
    with largest_file(100_000), pytest.raises(MinarchError, match="no space left"):
        store.prepare()
    assert not store.path.exists()
    assert store.prepare() == 0


def test_a_full_disk_leaves_no_half_export(tmp_path: Path) -> None:
    store = make_store(tmp_path / "a.duckdb", unit(0))
    store.export(tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    store.append(unit(1), name="unit")
    with largest_file(1_000), pytest.raises(MinarchError, match="no space left to write"):
        store.export(tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.duckdb", "a.duckdb.spool", "out"]


def test_a_folder_that_may_not_be_written(open_folder: Path) -> None:
    open_folder.chmod(0o555)
    store = Store(open_folder / "a.duckdb")
    with without_rights():
        for use in (store.prepare, lambda: store.append(unit(0), name="unit")):
            with pytest.raises(MinarchError, match=r"a\.duckdb.*: Permission denied"):
                use()


def test_a_store_that_may_be_read_but_not_written(open_folder: Path) -> None:
    store = make_store(open_folder / "a.duckdb", unit(0))
    store.path.chmod(0o444)
    store.spool.chmod(0o777)
    open_folder.chmod(0o555)
    with without_rights():
        assert store.query("SELECT count(*) FROM runs").item() == 40
        with pytest.raises(MinarchError, match="no permission to read or write"):
            store.append(unit(1), name="unit")
        assert len(store.run_ids()) == 80, "the unit is safe in the spool"
    store.path.chmod(0o644)
    open_folder.chmod(0o755)
    assert store.ingest() == 40


def test_a_store_that_may_not_be_read(open_folder: Path) -> None:
    store = make_store(open_folder / "a.duckdb", unit(0))
    store.path.chmod(0o000)
    with without_rights(), pytest.raises(MinarchError, match="no permission to read or write"):
        store.info()


@pytest.mark.parametrize("name", ["a.duckdb", "a.csv", "a.parquet", "a"])
@pytest.mark.parametrize("content", [b"", b"run_id,depth\n", bytes(20_000)], ids=["empty", "text", "zeros"])
def test_a_file_that_is_no_store_is_left_alone(content: bytes, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for use in (Store(path).info, Store(path).prepare, Store(path).run_ids):
        with pytest.raises(MinarchError, match=r"/a(\.\w+)? is not a minarch store$"):
            use()
    assert path.read_bytes() == content


def test_a_truncated_store_is_reported(tmp_path: Path) -> None:
    store = make_store(tmp_path / "a.duckdb", unit(0))
    with store.path.open("r+b") as file:
        file.truncate(50_000)
    with pytest.raises(MinarchError, match=r"a\.duckdb") as caught:
        store.query("SELECT * FROM runs")
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    for use in (Store(tmp_path).info, Store(tmp_path).prepare):
        with pytest.raises(MinarchError, match="is a folder, not a store"):
            use()


def test_a_store_in_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MinarchError, match="Not a directory"):
        Store(tmp_path / "file" / "a.duckdb").prepare()


def test_missing_folders_are_made(tmp_path: Path) -> None:
    assert Store(tmp_path / "new" / "folder" / "a.duckdb").append(unit(0), name="unit") == 40


@pytest.mark.parametrize("kind", ["a pipe", "a socket", "a device", "a folder"])
@pytest.mark.parametrize("linked", [False, True])
def test_what_is_no_file_is_no_store(kind: str, linked: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.duckdb"
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    elif kind == "a device":
        path.symlink_to(os.devnull)
    else:
        path.mkdir()
    if linked:
        path, target = tmp_path / "link", path
        path.symlink_to(target)
    store = Store(path)
    for use in (store.info, store.prepare, store.run_ids, store.check, lambda: store.append(unit(0), name="unit")):
        with pytest.raises(MinarchError, match=rf"{path.name} is {kind}, not a store"):
            use()


def test_a_link_to_a_store_that_is_not_there_yet_stays_one(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "a.duckdb").symlink_to(Path("disk") / "b.duckdb")
    assert Store(tmp_path / "a.duckdb").prepare() == 0
    assert (tmp_path / "a.duckdb").is_symlink()
    assert (tmp_path / "disk" / "b.duckdb").is_file()


@pytest.mark.parametrize("name", ["x" * 300, "\udcff.duckdb", "x/" * 3000])
def test_a_path_that_cannot_be_is_a_line(name: str, tmp_path: Path) -> None:
    store = Store(tmp_path / name)
    for use in (store.info, store.prepare, store.check, lambda: store.query("SELECT 1")):
        with pytest.raises(MinarchError, match=r"File name too long|UTF-8|no store at") as caught:
            use()
        assert "\n" not in str(caught.value)


def test_a_failed_commit_is_reported_as_what_failed(tmp_path: Path) -> None:
    """Not as the transaction that is gone by then: "cannot rollback"."""
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE a (b INTEGER PRIMARY KEY)")

        def fail() -> None:
            with transaction(connection):
                connection.execute("INSERT INTO a VALUES (1)")
                connection.rollback()  # What a commit on a full disk does.
                raise duckdb.IOException("No space left on device")

        with pytest.raises(duckdb.IOException, match="No space left"):
            fail()
        connection.execute("INSERT INTO a VALUES (1)")


def test_an_export_clears_away_what_a_killed_one_left(tmp_path: Path) -> None:
    store = make_store(tmp_path / "a.duckdb", unit(0))
    script = (
        "import os, sys, signal; from store import transfer, spool; from store.results import Store\n"
        "spool.sync_folder = lambda folder: os.kill(os.getpid(), signal.SIGKILL)\n"
        "Store(sys.argv[1]).export(sys.argv[2])\n"
    )
    command = [sys.executable, "-c", script, str(store.path), str(tmp_path / "exp")]
    assert subprocess.run(command, cwd=Path(__file__).parents[2], check=False).returncode == -signal.SIGKILL
    (leftover,) = tmp_path.glob(".exp.part-*")
    assert (leftover / "runs.parquet").exists()
    busy = tmp_path / ".exp.part-busy"
    busy.mkdir()
    with folders.held(busy):
        store.export(tmp_path / "exp")
        assert not leftover.exists()
        assert busy.exists(), "another export is at work in it"
    store.export(tmp_path / "exp")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.duckdb", "a.duckdb.spool", "exp"]


KILLED_BETWEEN_RENAMES = """
import os, sys
from store.results import Store
rename = os.rename
def last_rename_kills(source, target):
    if str(target) == sys.argv[2]:
        os._exit(9)
    rename(source, target)
os.rename = last_rename_kills
Store(sys.argv[1]).export(sys.argv[2])
"""


def test_an_export_killed_between_its_renames_gives_the_earlier_one_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, exported = make_store(tmp_path / "a.duckdb", unit(0)), tmp_path / "exp"
    counts = store.export(exported)
    earlier = {path.name: path.read_bytes() for path in exported.iterdir()}
    store.append(unit(1), name="unit")
    command = [sys.executable, "-c", KILLED_BETWEEN_RENAMES, str(store.path), str(exported)]
    assert subprocess.run(command, cwd=Path(__file__).parents[2], check=False).returncode == 9
    assert not exported.exists()
    (moved,) = tmp_path.glob(".exp.part-*.old")

    copy = Store(tmp_path / "b.duckdb")
    with pytest.raises(MinarchError, match=rf"stopped half way.*{re.escape(moved.name)}: give that its name back"):
        copy.import_(exported)

    with monkeypatch.context() as patch:  # The next export fails, and yet the earlier one is there again.
        patch.setattr(transfer, "_write_table", lambda *_, **__: (_ for _ in ()).throw(OSError("no luck")))
        with pytest.raises(MinarchError, match="no luck"):
            store.export(exported)
    assert {path.name: path.read_bytes() for path in exported.iterdir()} == earlier
    assert copy.import_(exported) == counts
    assert store.export(exported)["runs"] == 2 * counts["runs"]
    assert not list(tmp_path.glob(".exp*"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('Parser Error: syntax error at or near "x"\n\nLINE 1: x\n        ^', 'syntax error at or near "x"'),
        ("TransactionContext Error: Failed to commit: Could not write", "Failed to commit: Could not write"),
        ("INTERNAL Error: bad\n\nStack Trace:\n0 x", "bad"),
        ("Binder Error: a\n  b", "a b"),
    ],
)
def test_duckdb_s_messages_become_a_line(text: str, sentence: str) -> None:
    assert database.first_sentence(Exception(text)) == sentence
