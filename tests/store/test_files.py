"""Where `--out` writes: files whole or not at all; devices, pipes and links stay what they are."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from store import files
from store.errors import MinarchError
from tests.store.build import grid, make_records, make_store

ROOT = Path(__file__).parents[2]
OUTPUTS = {
    "store": ["sql", "SELECT 7 AS n"],
    "analyze": ["power"],
    "reports": ["figure", "convergence", "--format", "json", "--dataset", "digits", "--family", "dnn"],
}


def test_a_file_is_replaced_with_its_mode(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_bytes(b"old")
    out.chmod(0o600)
    with files.writing(out) as file:
        file.write(b"new")
        assert out.read_bytes() == b"old", "nobody meets half of it"
    assert out.read_bytes() == b"new"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_bytes(b"old")

    def fail() -> None:
        with files.writing(out) as file:
            file.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert out.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_followed(there: bool, tmp_path: Path) -> None:
    target, link = tmp_path / "folder" / "target", tmp_path / "link"
    target.parent.mkdir()
    if there:
        target.write_bytes(b"old")
    link.symlink_to(Path("folder") / "target")
    files.write(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert [path.name for path in target.parent.iterdir()] == ["target"]


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    files.write(pipe, b"through")
    reader.join(10)
    assert read == [b"through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_device_is_written_to() -> None:
    before = Path(os.devnull).stat()
    files.write(Path(os.devnull), b"gone")
    after = Path(os.devnull).stat()
    assert stat.S_ISCHR(after.st_mode)
    assert (before.st_ino, before.st_rdev) == (after.st_ino, after.st_rdev)
    with pytest.raises(MinarchError, match="no space left to write /dev/full"):
        files.write(Path("/dev/full"), b"more")


def loop(path: Path) -> Path:
    path.symlink_to(path)
    return path


def bind(path: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder, "it is a folder"),
        (lambda folder: folder / "none" / "out", "there is no folder"),
        (lambda folder: loop(folder / "loop"), "lead round in a circle"),
        (lambda folder: bind(folder / "socket"), "No such device"),
        (lambda folder: folder / ("x" * 300), "File name too long"),
        (lambda folder: Path(f"/{'x' * 5000}/out"), "File name too long"),
        (lambda folder: make_store(folder / "a.duckdb").path, "it is a DuckDB database, such as a results store"),
    ],
)
def test_what_cannot_be_written_is_refused_in_a_line(
    make: Callable[[Path], Path], message: str, tmp_path: Path
) -> None:
    out = make(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(MinarchError, match="cannot write") as caught:
        files.write(out, b"x")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("files") / "a.duckdb", make_records(grid())).path


@pytest.mark.parametrize("program", OUTPUTS)
def test_every_program_leaves_devices_and_links_alone(program: str, store: Path, tmp_path: Path) -> None:
    """A device of our own, since replacing /dev/null would break more than this test."""
    device, link = tmp_path / "null", tmp_path / "link"
    if os.geteuid() == 0:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    else:
        device.symlink_to(os.devnull)
    link.symlink_to("target")
    for out in (device, link):
        script = f"from {program}.cli import main; main()"
        command = [sys.executable, "-c", script, *OUTPUTS[program], "--store", str(store), "--out", str(out)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
        if out == device and "Operation not permitted" in done.stderr:
            continue  # Some folders let nobody use the devices in them.
        assert done.returncode == 0, done.stderr
    assert stat.S_ISCHR(device.stat().st_mode)
    assert link.is_symlink()
    assert (tmp_path / "target").stat().st_size > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "null", "target"]


def test_cache_folder_without_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert files.cache_folder() == Path("/home/somebody/.cache/minarch")
